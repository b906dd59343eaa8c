"""The classification methods a user can choose, and what each works on by default."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import EngineError


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        key: its name in jobs and model files.
        title: its name for people.
        uses_features: whether it looks at spatial features.
        ensemble: whether it is trained as an ensemble, whose disagreement is an uncertainty.
        composites: the composites it sees by default (see `composites.KINDS`), or "published".
        layers, timesteps: decoder layers and timesteps by default, for a backbone of 12 layers.
        neighbourhoods: widths in pixels of the windows over which composites are averaged, too.
    """

    key: str
    title: str
    uses_features: bool
    ensemble: bool
    composites: str = ""
    layers: tuple[int, ...] = ()
    timesteps: tuple[int, ...] = ()
    neighbourhoods: tuple[int, ...] = ()


# The paper's best decoder layers are 10 and 11 of 16, the end of the 32-pixel stage, which are the
# layers 7 and 8 of a U-Net with 12.
METHODS = {
    m.key: m
    for m in (
        Method("spectrafilm", "SpectraFiLM", True, True, "noise-adjusted components", (8,), (0,), (3, 5)),
        Method("geodiffnet-f", "GeoDiffNet-F (as published)", True, False, "published", (8,), (0,)),
        Method("geodiffnet", "GeoDiffNet (spatial only)", True, False, "published", (8,), (0,)),
        Method("spectral", "Spectral only", False, True),
    )
}


def find_method(key: str) -> Method:
    """The method of a key.

    Raises:
        EngineError: there is none.
    """
    if key not in METHODS:
        raise EngineError(f"There is no method '{key}'; choose one of: {', '.join(METHODS)}.")
    return METHODS[key]


def scale_layers(layers: tuple[int, ...], available: int) -> tuple[int, ...]:
    """Default layers, given for a backbone of 12 decoder layers, carried over to another number."""
    return tuple(sorted({min(round((layer + 1) * available / 12) - 1, available - 1) for layer in layers}))
