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
        uses_spectra: whether it looks at the pixel's spectrum.
        uses_features: whether it looks at spatial features.
        ensemble: whether it is trained as an ensemble, whose disagreement is an uncertainty.
        components: whether it sees principal components of the spatial features instead of all of them.
        composites: the composites it sees by default (see `composites.KINDS`), or "published".
        layers, timesteps: decoder layers and timesteps by default, for a backbone of 12 layers; without timesteps those
            that the backbone's pretraining chose.
        neighbourhoods: widths in pixels of the windows over which composites are averaged, too.
        of_scene: whether its backbone has to be one that was pretrained on a scene.
    """

    key: str
    title: str
    uses_spectra: bool = True
    uses_features: bool = True
    ensemble: bool = False
    components: bool = False
    composites: str = ""
    layers: tuple[int, ...] = ()
    timesteps: tuple[int, ...] = ()
    neighbourhoods: tuple[int, ...] = ()
    of_scene: bool = False


# The paper's best decoder layers are 10 and 11 of 16, the end of the 32-pixel stage, which are the
# layers 7 and 8 of a U-Net with 12. That of DiffSpectralNet stands for the last of the four layers of a spectral U-Net,
# which tells the most by itself, at the first of its six published timesteps; further ones made it worse. DiffCRN takes
# all four stages, at timesteps that its backbone chose in pretraining.
METHODS = {
    m.key: m
    for m in (
        Method("spectrafilm", "SpectraFiLM", ensemble=True, components=True,
               composites="noise-adjusted components", layers=(7, 8), timesteps=(0,), neighbourhoods=(3, 5)),
        Method("geodiffnet-f", "GeoDiffNet-F (as published)", composites="published", layers=(8,), timesteps=(0,)),
        Method("geodiffnet", "GeoDiffNet (spatial only)", uses_spectra=False, composites="published", layers=(8,),
               timesteps=(0,)),
        Method("spectral", "Spectral only", uses_features=False, ensemble=True),
        Method("diffspectralnet", "DiffSpectralNet", uses_spectra=False, components=True, layers=(11,),
               timesteps=(5,), of_scene=True),
        Method("diffcrn", "DiffCRN", uses_spectra=False, layers=(2, 5, 8, 11), of_scene=True),
    )
}  # fmt: skip
DEFAULT = METHODS["spectrafilm"]


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
