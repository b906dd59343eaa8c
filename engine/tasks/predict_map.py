"""predictmap: a land-cover map of a scene, with confidence, probabilities and uncertainty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from ..backbone import Backbone
from ..device import Device, choose_device
from ..errors import EngineError
from ..feature_settings import FeatureSettings
from ..feature_source import ComputedFeatures, Piece, RasterFeatures, stream_spectra
from ..jobs import PredictMap
from ..map_style import style_files, style_map, write_style_files
from ..model import Classification, Model
from ..outputs import NODATA, Outputs, write_masked
from ..progress import Progress
from ..scene import Band, Scene
from ..survey import sample_bands
from ..wavelengths import match_bands

CHUNK = 8192
SUSPICIOUS_RATIO = 5.0


def predict_map(job: PredictMap, progress: Progress, token: str) -> dict[str, Any]:
    """Stream the scene through the model; the map is 0 and the other rasters nodata where it is not valid."""
    inputs = [job.scene, job.model, job.features]
    with ExitStack() as stack:
        outputs = stack.enter_context(Outputs(inputs, token))
        outputs.check(job.output, *style_files(job.output), job.confidence, job.probabilities, job.uncertainty)
        model = Model.load(job.model)
        scene = stack.enter_context(Scene.open(job.scene, job.scene_crs))
        bands = model_bands(model, scene)
        device = choose_device(job.device, progress)
        with progress.stage(0.0, 0.04):
            _compare_values(model, scene, bands, progress)
        with progress.stage(0.04, 1.0, f"Mapping {job.scene} with {model.method.title}."):
            counts = _write_rasters(job, model, scene, bands, device, outputs, progress)
        write_style_files(outputs, job.output, model.classes)
    total = int(counts[1:].sum())
    for c in model.classes:
        progress.info(f"{c.name}: {counts[c.id]} pixels, {counts[c.id] / total:.1%}.")
    return {"pixels": {c.name: int(counts[c.id]) for c in model.classes}}


def model_bands(model: Model, scene: Scene) -> list[Band]:
    """The scene's bands that the model was trained on, in the model's order.

    Raises:
        EngineError: the scene has other bands than the model.
    """
    if model.wavelengths:
        available = {b.number: b.wavelength for b in scene.bands if b.good and b.wavelength is not None}
        if not available:
            raise EngineError(
                f"{scene.path} does not say the wavelengths of its bands, by which they are matched with those of "
                "the model; add them to its metadata."
            )
        numbers = match_bands(model.wavelengths, available)
    else:
        numbers = list(model.band_numbers)
        if max(numbers) > len(scene.bands):
            raise EngineError(
                f"The model needs band {max(numbers)}, but {scene.path} has {len(scene.bands)} bands; use a scene "
                "with the same bands as the training scene."
            )
    return [scene.bands[n - 1] for n in numbers]


def _compare_values(model: Model, scene: Scene, bands: list[Band], progress: Progress) -> None:
    """Warn where reflectance is stored on another scale than in the training scene."""
    sample = sample_bands(scene, tuple(bands))
    if not len(sample):
        return
    expected, found = np.abs(model.spectral.mean), np.abs(sample.mean(0))
    known = (expected > 0) & (found > 0)
    ratio = float(np.median(found[known] / expected[known])) if known.any() else 1.0
    if not 1 / SUSPICIOUS_RATIO < ratio < SUSPICIOUS_RATIO:
        progress.warning(
            f"The values of {scene.path} are about {ratio:.3g} times those of the scene the model was trained on; "
            "if one holds reflectance and the other scaled integers, set the scale of its bands."
        )


def _write_rasters(
    job: PredictMap, model: Model, scene: Scene, bands: list[Band], device: Device, outputs: Outputs,
    progress: Progress,
) -> np.ndarray:  # fmt: skip
    """Write every raster asked for; pixels of each class id (0 is no data)."""
    counts = np.zeros(len(model.classes) + 1, np.int64)
    with ExitStack() as stack:
        land_cover = stack.enter_context(outputs.raster(job.output, scene, 1, "uint8", 0))
        style_map(land_cover, model.classes)

        def optional(path: str, names: list[str]) -> Any:
            if not path:
                return None
            options = {"interleave": "pixel"} if len(names) > 1 else {}
            raster = stack.enter_context(
                outputs.raster(path, scene, len(names), "float32", NODATA, predictor=3, **options)
            )
            for number, name in enumerate(names, 1):
                raster.set_band_description(number, name)
            return raster

        confidence = optional(job.confidence, ["confidence"])
        probabilities = optional(job.probabilities, [c.name for c in model.classes])
        # A single network has no members that could disagree; its entropy stands in.
        kind = "disagreement of the ensemble" if model.method.ensemble else "entropy"
        uncertainty = optional(job.uncertainty, [kind])
        model.network.to(device.target)
        for window, spectra, valid, features in _pieces(job, model, scene, bands, device, progress):
            result = _classify(model, spectra[:, valid], features[:, valid], device)
            classes = np.zeros(valid.shape, np.uint8)
            classes[valid] = result.probabilities.argmax(1) + 1
            counts += np.bincount(classes.ravel(), minlength=len(counts))
            land_cover.write(classes, 1, window=window)
            if confidence:
                write_masked(confidence, _spread(result.probabilities.max(1)[:, None], valid), valid, window)
            if probabilities:
                write_masked(probabilities, _spread(result.probabilities, valid), valid, window)
            if uncertainty:
                values = result.disagreement if model.method.ensemble else result.entropy()
                write_masked(uncertainty, _spread(values[:, None], valid), valid, window)
        if not counts[1:].any():
            raise EngineError(
                f"{scene.path} has no valid pixel in the {len(bands)} bands that the model needs; check its "
                "nodata value and its bands."
            )
    return counts


def _pieces(
    job: PredictMap, model: Model, scene: Scene, bands: list[Band], device: Device, progress: Progress
) -> Iterator[Piece]:
    if model.features is None:
        return stream_spectra(scene, bands, progress)
    raster = _fitting_raster(job.features, model.features, scene, bands) if job.features else None
    if not model.sees_features:
        progress.info("Cross-validation gave the spatial features no say in this model; only spectra are read.")
        return stream_spectra(scene, bands, progress)
    if raster:
        return raster.stream(model.spatial, progress)
    composites = model.features.load_composites().on(bands)
    backbone = _load_backbone(job.backbone, model.features, device)
    return ComputedFeatures(scene, bands, composites, backbone, model.features).stream(model.spatial, progress)


def _fitting_raster(path: str, settings: FeatureSettings, scene: Scene, bands: list[Band]) -> RasterFeatures:
    raster = RasterFeatures(path, scene, bands)
    differences = raster.settings.differences(settings)
    if differences:
        raise EngineError(
            f"The features raster {path} was made with other {', '.join(differences)} than the model; leave it out "
            "to have the features computed."
        )
    return raster


def _load_backbone(given: str, settings: FeatureSettings, device: Device) -> Backbone:
    """The backbone a model was trained with: as given, the bundled one, or where it was then."""
    tried = []
    for path in [given] if given else ["", settings.backbone_path]:
        try:
            backbone = Backbone.load(path, device)
        except EngineError as error:
            tried.append(str(error))
            continue
        if backbone.sha256 == settings.backbone_sha256:
            return backbone
        tried.append(f"{backbone.path} is another one.")
    raise EngineError(
        f"The model was trained with the backbone {settings.backbone} (SHA-256 {settings.backbone_sha256[:12]}), "
        f"which was not found; choose its folder as 'Backbone'. {tried[-1]}"
    )


def _classify(model: Model, spectra: np.ndarray, features: np.ndarray, device: Device) -> Classification:
    parts = [
        model.classify(spectra[:, i : i + CHUNK].T, np.ascontiguousarray(features[:, i : i + CHUNK].T), device.target)
        for i in range(0, spectra.shape[1], CHUNK)
    ]
    if not parts:
        return Classification(np.zeros((0, len(model.classes)), np.float32), np.zeros(0, np.float32))
    return Classification(
        np.concatenate([p.probabilities for p in parts]), np.concatenate([p.disagreement for p in parts])
    )


def _spread(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Put (n, k) values of valid pixels into place: (k, height, width)."""
    image = np.zeros((values.shape[1], *valid.shape), np.float32)
    image[:, valid] = values.T
    return image
