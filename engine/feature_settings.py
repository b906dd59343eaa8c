"""How spatial features were made: kept in feature rasters and models, and compared between them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from .composites import Composites
from .errors import EngineError, reason
from .json_text import parse_json

TAG = "SPECTRAFILM_FEATURES"
COMPOSITES_TAG = "SPECTRAFILM_COMPOSITES"
SCENE_TAG = "SPECTRAFILM_SCENE"
CHANNELS_TAG = "SPECTRAFILM_CHANNELS"
# In pixels, of a neighbourhood.
WIDEST = 100


@dataclass(frozen=True)
class FeatureSettings:
    """Everything that decides what a pixel's features are.

    Attributes:
        backbone, backbone_path, backbone_sha256: which U-Net, where it was, and its digest.
        layers, timesteps: of the U-Net, in the order of the channels.
        patch, stride: side of the patches and their distance, in pixels.
        seed: of the noise shared by all patches.
        composites: JSON of the `Composites`, or empty for a three-band image of unknown origin.
        neighbourhoods: widths in pixels of the windows over which composites are averaged, too.
    """

    backbone: str
    backbone_path: str
    backbone_sha256: str
    layers: tuple[int, ...]
    timesteps: tuple[int, ...]
    patch: int
    stride: int
    seed: int
    composites: str
    neighbourhoods: tuple[int, ...]

    @property
    def means(self) -> int:
        """How many of the features, the last ones, are means of the composites over neighbourhoods."""
        channels = self.load_composites().channels if self.composites else 3
        return channels * len(self.neighbourhoods)

    @property
    def of_spectral_backbone(self) -> bool:
        """Whether the composites are not three-channel images, but what a backbone pretrained on a scene sees."""
        return bool(self.composites) and self.load_composites().weights.shape[1] > 3

    @property
    def sections(self) -> tuple[int, int]:
        """Numbers of timesteps and of decoder layers, in whose order each composite's features come."""
        return len(self.timesteps), len(self.layers)

    def to_json(self) -> str:
        """A text for tags and model files."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, source: str) -> FeatureSettings:
        """The inverse of `to_json`; `source` is named in the error.

        Raises:
            EngineError: the text does not describe features.
        """
        try:
            return cls.from_dict(parse_json(text))
        except (ValueError, LookupError, TypeError, OverflowError) as error:
            raise EngineError(
                f"The description of the features in {source} is damaged, or of another version of SpectraFiLM "
                f"({reason(error)}); extract them again."
            ) from error

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FeatureSettings:
        """The inverse of `dataclasses.asdict`, from JSON or not.

        Raises:
            ValueError, or what unpacking other data raises: they cannot be.
        """
        values: dict[str, Any] = {
            key: str(data[key]) for key in ("backbone", "backbone_path", "backbone_sha256", "composites")
        }
        values |= {key: int(data[key]) for key in ("patch", "stride", "seed")}
        values |= {key: tuple(map(int, data[key])) for key in ("layers", "timesteps", "neighbourhoods")}
        # What else there is, as of another version, makes other features.
        found = cls(**data | values)
        wrong = {
            "seed": not 0 <= found.seed < 2**32,
            "layers": not found.layers or min(found.layers) < 0,
            "timesteps": not found.timesteps or min(found.timesteps) < 0,
            "neighbourhoods": not all(0 < width < WIDEST and width % 2 for width in found.neighbourhoods),
        }
        if any(wrong.values()):
            raise ValueError(f"its {' and '.join(name for name, is_wrong in wrong.items() if is_wrong)}")
        if found.composites:
            found.load_composites()
        return found

    def differences(self, other: FeatureSettings) -> list[str]:
        """What distinguishes two settings, in words; empty where features of both are comparable."""
        pairs = {
            "backbone": (self.backbone_sha256, other.backbone_sha256),
            "decoder layers": (self.layers, other.layers),
            "timesteps": (self.timesteps, other.timesteps),
            "stride": (self.stride, other.stride),
            "seed": (self.seed, other.seed),
            "composites": (self.composites, other.composites),
            "neighbourhoods": (self.neighbourhoods, other.neighbourhoods),
        }
        return [name for name, (ours, theirs) in pairs.items() if ours != theirs]

    def load_composites(self) -> Composites:
        """The composites.

        Raises:
            EngineError: they are not known, because the features come from an image of unknown origin.
            ValueError: they are damaged.
        """
        if not self.composites:
            raise EngineError(
                "The model's features come from a three-band image that does not say how it was made from the "
                "scene; give a features raster made in the same way."
            )
        return Composites.from_json(self.composites)
