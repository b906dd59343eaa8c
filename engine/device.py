"""Choosing where to compute: CUDA, Apple's MPS, or the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .progress import Progress

CHOICES = ("auto", "cuda", "mps", "cpu")


@dataclass(frozen=True)
class Device:
    """A torch device, its name for the log, and the number type its U-Net runs fastest in."""

    target: torch.device
    dtype: torch.dtype
    name: str


def choose_device(wanted: str, progress: Progress) -> Device:
    """The device asked for, or the best one; the CPU, with a warning, where that does not work.

    Args:
        wanted: "auto", "cuda", "mps" or "cpu".
    """
    candidates = {"auto": ["cuda", "mps"], "cpu": []}.get(wanted, [wanted])
    for kind in candidates:
        if not _is_available(kind):
            if wanted != "auto":
                progress.warning(f"This machine has no usable {kind.upper()} device; the CPU is used instead.")
            continue
        problem = _try(kind)
        if problem is None:
            device = _accelerator(kind)
            progress.info(f"Computing on {device.name}.")
            return device
        progress.warning(f"The {kind.upper()} device does not compute ({problem}); the CPU is used instead.")
    device = _cpu()
    progress.info(f"Computing on {device.name}.")
    return device


def for_volumes(device: Device) -> Device:
    """Where three-dimensional networks run: the CPU in place of MPS, which lacks their transposed convolutions."""
    return _cpu() if device.target.type == "mps" else device


def _is_available(kind: str) -> bool:
    return torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()


def _try(kind: str) -> str | None:
    """Do a small convolution; the reason in one line where it fails.

    A device can be listed and still fail: a driver too old, a card the build has no kernels for.
    """
    try:
        image = torch.ones(1, 4, 8, 8, device=kind)
        torch.nn.functional.conv2d(image, torch.ones(4, 4, 3, 3, device=kind)).sum().item()
    except Exception as error:  # every backend raises errors of its own
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return None


def _accelerator(kind: str) -> Device:
    if kind == "mps":
        return Device(torch.device("mps"), torch.float32, "the GPU (MPS)")
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return Device(torch.device("cuda"), dtype, f"the GPU {torch.cuda.get_device_name(0)} (CUDA)")


def _cpu() -> Device:
    # bf16 pays only where the processor multiplies it in hardware, in tiles (AMX) or vectors; elsewhere it is
    # many times slower.
    queries = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    multiplies = any(query() for query in queries if query)
    dtype = torch.bfloat16 if multiplies else torch.float32
    return Device(torch.device("cpu"), dtype, f"the CPU ({torch.get_num_threads()} threads)")
