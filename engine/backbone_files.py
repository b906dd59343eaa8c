"""What a backbone is read from.

Not in `backbone`, for which diffusers is loaded; that takes longer than to load torch.
"""

from __future__ import annotations

from pathlib import Path

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")


def files_of(path: str) -> list[str]:
    """What a backbone is read from, as far as its path tells: a file, a folder, or what belongs to a config.json."""
    chosen = Path(path)
    if chosen.name != "config.json":
        return [path]
    return [path, *(str(chosen.with_name(name)) for name in WEIGHTS)]
