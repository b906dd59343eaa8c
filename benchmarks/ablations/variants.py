"""The default method with one thing changed: other inputs, or another mixture of the same trained members."""

from __future__ import annotations

from dataclasses import dataclass, replace

from spectrafilm.engine.methods import DEFAULT as METHOD
from spectrafilm.engine.methods import Method
from spectrafilm.engine.training import MEMBERS


@dataclass(frozen=True)
class Mixture:
    """How trained members and experts are put together.

    Attributes:
        members: of the ensemble, at most twice the default number.
        without: an expert that is left out.
        shares: of the experts: "fitted", "fitted without prior" or "equal".
        calibrated: whether logits are divided by a temperature.
    """

    members: int = MEMBERS
    without: str = ""
    shares: str = "fitted"
    calibrated: bool = True


@dataclass(frozen=True)
class Spectra:
    """How spectra are projected.

    Attributes:
        noise_known: whether components are told from noise; else they are principal components alone.
    """

    noise_known: bool = True


Variant = Method | Mixture | Spectra
DEFAULT = "default"
# Of a `Method` networks are trained anew; one without layers sees no U-Net.
GROUPS: dict[str, dict[str, Variant]] = {
    "Spectra": {"principal components alone": Spectra(noise_known=False)},
    "Composites": {
        "three triplets of principal components": replace(METHOD, composites="principal components"),
        "one true-colour image": replace(METHOD, composites="true colour"),
        "the three most informative bands": replace(METHOD, composites="most informative bands"),
        "one triplet of principal components": replace(METHOD, composites="one principal-component triplet"),
        "true colour and principal components": replace(METHOD, composites="true colour and principal components"),
    },
    "Decoder layers": {
        **{f"layer {layer}": replace(METHOD, layers=(layer,)) for layer in (5, 8, 10, 11)},
        "layers 5, 8 and 10": replace(METHOD, layers=(5, 8, 10)),
    },
    "Timesteps": {
        "timestep 200": replace(METHOD, timesteps=(200,)),
        "timesteps 0, 50 and 200": replace(METHOD, timesteps=(0, 50, 200)),
    },
    "Surroundings": {
        "no U-Net": replace(METHOD, layers=()),
        "no means of 3 x 3 and 5 x 5 pixels": replace(METHOD, neighbourhoods=()),
    },
    "Experts": {
        **{f"no {name} expert": Mixture(without=name) for name in ("spectral", "neighbourhood", "FiLM", "kernel")},
        "shares without prior": Mixture(shares="fitted without prior"),
        "equal shares": Mixture(shares="equal"),
    },
    "Ensemble size": {f"{n} member{'s' * (n > 1)}": Mixture(members=n) for n in (1, 2, 2 * MEMBERS)},
    "Confidence": {"no temperature": Mixture(calibrated=False)},
}
VARIANTS: dict[str, Variant] = {
    DEFAULT: Mixture(), **{name: variant for group in GROUPS.values() for name, variant in group.items()}
}  # fmt: skip
