"""A trained model: what it needs to know to map a scene, and its file.

The file is one `.safetensors` with the numbers as tensors and everything else as JSON metadata.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import entr
from torch import nn

from .calibration import mixture
from .ensemble import FilmEnsemble
from .errors import EngineError, reason
from .feature_settings import FeatureSettings
from .methods import METHODS, Method
from .outliers import Range
from .polygons import COLOUR, LandCoverClass
from .projection import Projection
from .smoothing import STEPS, Smoothing
from .tensor_files import read_tensors, write_tensors
from .training import build_network

FORMAT = "spectrafilm-model"
FORMAT_VERSION = 7


@dataclass(frozen=True)
class Classification:
    """What is known of pixels.

    Attributes:
        probabilities: (n, C), 0..1.
        disagreement: (n,) share (0..1) of the experts' votes that went to other classes; None where they were not
            asked.
    """

    probabilities: np.ndarray
    disagreement: np.ndarray | None = None

    def entropy(self) -> np.ndarray:
        """Entropy of the probabilities in units of log C: (n,), 0 where one class is certain."""
        return (entr(self.probabilities).sum(1) / np.log(self.probabilities.shape[1])).astype(np.float32)


@dataclass
class Model:
    """A trained model.

    Attributes:
        method: how it classifies.
        classes: what it tells apart.
        wavelengths: nm of its bands, empty where the scene had none.
        band_numbers: of its bands in the training scene.
        usual: their usual ranges there.
        spectral, spatial: projections of spectra and features; None where the network takes them raw.
        network: maps projected spectra and features to logits (members, n, C).
        temperature: by which logits are divided to give calibrated probabilities.
        features: how its spatial features are made; None for spectral methods.
        channels: number of spatial features before projection.
        smoothing: how much the pixels around one have to say.
        scores: cross-validated accuracy in per cent, and how it was measured.
    """

    method: Method
    classes: list[LandCoverClass]
    wavelengths: tuple[float, ...]
    band_numbers: tuple[int, ...]
    usual: tuple[Range | None, ...]
    spectral: Projection
    spatial: Projection | None
    network: nn.Module
    temperature: float = 1.0
    features: FeatureSettings | None = None
    channels: int = 0
    smoothing: Smoothing = field(default_factory=Smoothing)
    scores: dict[str, Any] = field(default_factory=dict)

    @property
    def members(self) -> int:
        """How many networks vote."""
        return getattr(self.network, "replicas", 1)

    def spatial_asked(self) -> Projection | None:
        """The projection of features, with zeros for what no expert with a share looks at."""
        if self.spatial is None or not isinstance(self.network, FilmEnsemble) or self.network.asks_about_features:
            return self.spatial
        components = self.spatial.components.copy()
        components[: self.network.channels] = 0
        return replace(self.spatial, components=components)

    @torch.inference_mode()
    def logits(
        self, spectra: np.ndarray, features: np.ndarray, device: torch.device, votes: bool = False
    ) -> np.ndarray:
        """Logits (members, n, C) of pixels, each by itself.

        Args:
            spectra: (n, k) projected.
            features: (n, d) projected; (n, 0) for spectral methods.
            device: where the network is.
            votes: whether the votes of an ensemble's experts follow, see `FilmEnsemble.forward`.
        """
        inputs = [torch.from_numpy(values).to(device) for values in (spectra, features)]
        logits: torch.Tensor = self.network(*inputs, votes=True) if votes else self.network(*inputs)
        return logits.cpu().numpy()

    def classification(self, logits: np.ndarray) -> Classification:
        """What (smoothed) logits (members, n, C) say, with votes after them or not.

        Source of the disagreement: Freeman (1965), Elementary applied statistics: the variation ratio, of votes.
        """
        probabilities = mixture(logits[: self.members], self.temperature)
        if len(logits) == self.members:
            return Classification(probabilities)
        for_it = np.take_along_axis(logits[-1], probabilities.argmax(1)[:, None], 1)[:, 0]
        return Classification(probabilities, (1 - for_it).clip(0, 1))

    def save(self, path: Path) -> None:
        """Write the model to a file."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        for name, projection in (("spectral", self.spectral), ("spatial", self.spatial)):
            if projection is not None:
                tensors[f"{name}.mean"] = torch.from_numpy(projection.mean)
                tensors[f"{name}.components"] = torch.from_numpy(np.ascontiguousarray(projection.components))
        metadata = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "method": self.method.key,
            "members": self.members,
            "classes": [asdict(c) for c in self.classes],
            "wavelengths": list(self.wavelengths),
            "band_numbers": list(self.band_numbers),
            "usual": self.usual,
            "temperature": self.temperature,
            "features": asdict(self.features) if self.features else None,
            "channels": self.channels,
            "smoothing": asdict(self.smoothing),
            "scores": self.scores,
        }
        write_tensors(path, FORMAT, tensors, metadata)

    @classmethod
    def load(cls, path: str) -> Model:
        """Read a model from a file.

        Raises:
            EngineError: the file is missing, truncated, not ours, or of another format.
        """
        metadata, tensors = read_tensors(Path(path), FORMAT, FORMAT_VERSION, "SpectraFiLM model", "Train model")
        try:
            method = METHODS[metadata["method"]]
            spectral, spatial = (_projection(tensors, name) for name in ("spectral", "spatial"))
            if spectral is None:
                raise KeyError("spectral.mean")
            features, smoothing = metadata["features"], metadata["smoothing"]
            model = cls(
                method=method,
                classes=[LandCoverClass(int(c["id"]), c["name"], c["colour"]) for c in metadata["classes"]],
                wavelengths=tuple(metadata["wavelengths"]),
                band_numbers=tuple(metadata["band_numbers"]),
                usual=tuple(None if r is None else (float(r[0]), float(r[1])) for r in metadata["usual"]),
                spectral=spectral,
                spatial=spatial,
                network=nn.Identity(),
                temperature=float(metadata["temperature"]),
                features=FeatureSettings.from_dict(features) if features else None,
                channels=int(metadata["channels"]),
                smoothing=Smoothing(tuple(map(float, smoothing["shares"])), float(smoothing["noise"])),
                scores=dict(metadata["scores"]),
            )
            _check_consistency(model)
            channels = len(spatial.components) if spatial else model.channels
            means, sections = (f.means, f.sections) if (f := model.features) else (0, (1, 1))
            state = {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
            # Without memory at first: whatever sizes the file asks for must be those of its tensors.
            with torch.device("meta"):
                model.network = build_network(
                    method, int(metadata["members"]), len(spectral.components), channels, means, sections,
                    len(model.classes),
                )
                if isinstance(model.network, FilmEnsemble):
                    model.network.join_kernel(model.network.empty_kernel(len(state["kernel.pixels"])))
            kinds = {name: outlined.dtype for name, outlined in model.network.state_dict().items()}
            state = {name: tensor.to(kinds.get(name)) for name, tensor in state.items()}
            model.network.load_state_dict(state, assign=True)
            _check_shares(model.network)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError) as error:
            raise EngineError(f"The model {path} is damaged ({reason(error)}); train it again.") from error
        model.network.eval()
        return model


def _check_consistency(model: Model) -> None:
    """Raise ValueError where what a file says of a model cannot be."""
    bands = len(model.band_numbers)
    projections = [p for p in (model.spectral, model.spatial) if p is not None]
    wrong = {
        "temperature": not 0.1 <= model.temperature <= 10,
        "classes": [c.id for c in model.classes] != list(range(1, len(model.classes) + 1))
        or not 2 <= len(model.classes) <= 255,
        "colours": not all(COLOUR.fullmatch(c.colour) for c in model.classes),
        "names": not all(isinstance(c.name, str) for c in model.classes),
        "bands": not all(isinstance(n, int) and 1 <= n < 2**31 for n in model.band_numbers) or not bands,
        "wavelengths": len(model.wavelengths) not in (0, bands) or not np.isfinite(model.wavelengths).all(),
        "usual ranges": len(model.usual) != bands or not all(-np.inf < r[0] < r[1] < np.inf for r in model.usual if r),
        "projections": model.spectral.components.shape[1] != bands
        or (model.spatial is not None and model.spatial.components.shape[1] != model.channels)
        or any(p.mean.shape != p.components.shape[1:] for p in projections),
        "scores": bool(model.scores) and not all(isinstance(model.scores[k], int) for k in ("samples", "polygons")),
        "features": (model.features is not None) != model.method.uses_features,
        "votes of neighbours": len(model.smoothing.shares) > len(STEPS)
        or not all(0 <= share <= 1 for share in model.smoothing.shares)
        or not 0 <= model.smoothing.noise < np.inf,
    }
    if found := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise ValueError(f"{', '.join(found)} do not fit together")


def _check_shares(network: nn.Module) -> None:
    """Raise ValueError where the experts of an ensemble have no shares that add up to 1."""
    if isinstance(network, FilmEnsemble) and not (
        (network.shares >= 0).all() and torch.isclose(network.shares.sum(), torch.ones(()), atol=1e-3)
    ):
        raise ValueError("the shares of its experts do not add up to 1")


def _projection(tensors: dict[str, torch.Tensor], name: str) -> Projection | None:
    if f"{name}.mean" not in tensors:
        return None
    return Projection(tensors[f"{name}.mean"].numpy(), tensors[f"{name}.components"].numpy())
