"""Our own files: tensors as safetensors, everything else as JSON in their metadata."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .errors import EngineError, reason
from .json_text import parse_json
from .version import plugin_version

PACKAGES = ("numpy", "rasterio", "torch", "diffusers", "scikit-learn")
# Beside the content: the digest of all that was written. Copies that were broken off may be as long as the whole.
DIGEST = "sha256"


def write_tensors(path: Path, mark: str, tensors: dict[str, torch.Tensor], content: dict[str, Any]) -> None:
    """Write tensors with a JSON content, to which versions of software are added, under the mark of their kind.

    Its `format_version` is what `read_tensors` goes by.
    """
    software = {"spectrafilm": plugin_version()} | {name: importlib.metadata.version(name) for name in PACKAGES}
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    text = json.dumps(content | {"software": software}, allow_nan=False)
    metadata = {mark: text, DIGEST: _digest(text, contiguous)}
    # Not by `save_file`, which has an error of its own for a full disk.
    path.write_bytes(save(contiguous, metadata))


def has_mark(path: Path, mark: str) -> bool:
    """Whether a file is one of ours of a kind."""
    try:
        with safe_open(path, "pt") as file:
            return mark in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_tensors(
    path: Path, mark: str, version: int, kind: str, writer: str
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Content and tensors of a file.

    Args:
        mark: of its kind.
        version: of its format.
        kind, writer: what it should be and which algorithm writes such, for errors.

    Raises:
        EngineError: the file is missing, truncated, of another kind, or of another version of its format.
    """
    if not path.is_file():
        raise EngineError(f"The file {path} does not exist; choose a {kind} written by '{writer}'.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if mark not in metadata:
                raise EngineError(f"{path} is not a {kind}; choose a file written by '{writer}'.")
            content = parse_json(metadata[mark])
            if not isinstance(content, dict):
                raise ValueError("its metadata are no JSON object")
            _check_version(path, content.get("format_version"), version, kind, writer)
            # Copies: what is still read from the file would change as the file does, and keep it in use on Windows.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            if metadata.get(DIGEST) not in (None, _digest(metadata[mark], tensors)):
                raise ValueError("its content is not what was written")
            if broken := [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]:
                raise ValueError(f"{broken[0]} holds numbers that are not finite")
            return content, tensors
    except (SafetensorError, ValueError, OSError, NotImplementedError) as error:
        raise EngineError(
            f"{path} is not a {kind}, or it is incomplete ({reason(error)}); copy it again, or make a new one "
            f"with '{writer}'."
        ) from error


def _digest(text: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_version(path: Path, found: Any, version: int, kind: str, writer: str) -> None:
    if found == version:
        return
    age, remedy = "a newer", "update the plugin"
    if isinstance(found, int) and found < version:
        age, remedy = "an older", f"run '{writer}' again"
    raise EngineError(
        f"The {kind} {path} was written by {age} version of SpectraFiLM (format {found}, this one reads {version}); "
        f"{remedy}."
    )
