"""A trained model applied to a scene, piece by piece: what mapping and choosing samples share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np
from rasterio.windows import Window

from ..device import Device
from ..errors import EngineError
from ..feature_settings import FeatureSettings
from ..feature_source import ComputedFeatures, FeatureSource, RasterFeatures
from ..jobs import PredictMap, SuggestSamples
from ..model import Classification, Model
from ..patches import SceneImages
from ..pieces import Piece, stream_spectra
from ..progress import Progress
from ..scene import Band, Scene
from ..smoothing import ScoredRows, in_context
from ..survey import find_blocking, find_fill, sample_bands, warn_of_blocking
from ..wavelengths import match_bands
from .unused_choices import warn_of_unused

if TYPE_CHECKING:
    from ..backbone import Backbone

CHUNK = 8192
SUSPICIOUS_RATIO = 5.0
# Of logits, while they become classes.
COPIES = 6
ModelJob = PredictMap | SuggestSamples


def classified_pieces(
    job: ModelJob, model: Model, scene: Scene, bands: list[Band], device: Device, progress: Progress,
    votes: bool = False,
) -> Iterator[tuple[Window, np.ndarray, np.ndarray, Classification]]:  # fmt: skip
    """The whole scene in windows: window, projected spectra (n, k) of valid pixels, which these are, their classes.

    Args:
        votes: whether the experts of an ensemble are asked for their disagreement.

    Raises:
        EngineError: no pixel of the scene is valid in the model's bands.
    """
    model.network.to(device.target)
    any_valid = False
    pieces = (_score(model, piece, device, votes) for piece in _pieces(job, model, scene, bands, device, progress))
    reach = model.smoothing.reach
    for window, around in in_context(pieces, reach, scene.height):
        rows, columns = np.nonzero(around.valid)
        logits = around.logits[:, :, rows, columns].swapaxes(1, 2)
        spectra = np.ascontiguousarray(around.spectra[:, rows, columns].T)
        if reach:
            logits = model.smoothing.apply(logits, spectra, rows, columns, device.target)
        top, left = int(window.row_off - around.window.row_off), int(min(reach, window.col_off))
        place = np.s_[top : top + int(window.height), left : left + int(window.width)]
        inside = np.zeros(around.valid.shape, bool)
        inside[place] = True
        ours = inside[rows, columns]
        any_valid = any_valid or bool(ours.any())
        yield window, spectra[ours], around.valid[place], model.classification(logits[:, ours])
    if not any_valid:
        raise EngineError(
            f"{scene.path} has no valid pixel in the {len(bands)} bands that the model needs; check its nodata value "
            "and its bands."
        )


def model_bands(model: Model, scene: Scene, progress: Progress) -> list[Band]:
    """The scene's bands that the model was trained on, in the model's order and with its usual ranges.

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
        numbers = match_bands(model.wavelengths, available, numbers=model.band_numbers)
    else:
        numbers = list(model.band_numbers)
        if max(numbers) > len(scene.bands):
            raise EngineError(
                f"The model needs band {max(numbers)}, but {scene.path} has {len(scene.bands)} bands; use a scene "
                "with the same bands as the training scene."
            )
        if unusable := [str(n) for n in numbers if not scene.bands[n - 1].good]:
            raise EngineError(
                f"The model needs band {', '.join(unusable)}, which {scene.path} marks as bad (bbl = 0) or as one of "
                "opacity; use a scene with the same bands as the training scene."
            )
        progress.info("The model knows no wavelengths; bands are matched by their number.")
    return [replace(scene.bands[n - 1], usual=r) for n, r in zip(numbers, model.usual, strict=True)]


def compare_values(model: Model, scene: Scene, bands: list[Band], progress: Progress) -> None:
    """Warn of pixels without data, or that may hold none, and of reflectance on another scale than in training."""
    sample = sample_bands(scene, bands)
    gaps = np.isnan(sample)
    warn_of_blocking(find_blocking(gaps, bands), "cannot be classified", progress)
    sample = sample[~gaps.any(1)]
    if fill := find_fill(sample):
        fill.warn(bands, progress)
        sample = sample[~fill.is_in(sample)]
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


def _pieces(
    job: ModelJob, model: Model, scene: Scene, bands: list[Band], device: Device, progress: Progress
) -> Iterator[Piece]:
    derived = COPIES * (model.members + 1) * len(model.classes)
    if model.features is None:
        choices = {"features": job.features, "backbone": job.backbone}
        warn_of_unused(choices, f"the model, {model.method.title}, sees no spatial features", progress)
        return stream_spectra(scene, bands, progress, derived)
    reach = model.smoothing.reach
    raster = _fitting_raster(job.features, model.features, scene, bands) if job.features else None
    if raster:
        warn_of_unused({"backbone": job.backbone}, f"the features raster {job.features} is given", progress)
        _check_channels(model, raster)
        return raster.stream(model.spatial_asked(), progress, reach, derived)
    # The bands are matched already: by themselves a few of them might be taken for their neighbours.
    trained_on = zip(bands, model.band_numbers, model.wavelengths or repeat(None))
    composites = model.features.load_composites().on([replace(b, number=n, wavelength=w) for b, n, w in trained_on])
    backbone = _load_backbone(job, model.features, device)
    source = ComputedFeatures(SceneImages(scene, bands, composites), backbone, model.features)
    _check_channels(model, source)
    return source.stream(model.spatial_asked(), progress, reach, derived)


def _check_channels(model: Model, source: FeatureSource) -> None:
    """Raise EngineError where a model's settings give other features than it was trained on."""
    if source.channels != model.channels:
        raise EngineError(
            f"The model was trained on {model.channels} spatial features, and its settings give {source.channels}, so "
            "that its file is damaged; train it again."
        )


def _fitting_raster(path: str, settings: FeatureSettings, scene: Scene, bands: list[Band]) -> RasterFeatures:
    raster = RasterFeatures(path, scene, bands)
    differences = raster.settings.differences(settings)
    if differences:
        raise EngineError(
            f"The features raster {path} was made with other {', '.join(differences)} than the model; leave it out "
            "to have the features computed."
        )
    return raster


def _load_backbone(job: ModelJob, settings: FeatureSettings, device: Device) -> Backbone:
    """The backbone a model was trained with: as given, the bundled one, or where it was then."""
    # Diffusers is loaded for it, which other methods and models with a features raster can do without.
    from ..backbone import Backbone

    tried = []
    for path in [job.backbone] if job.backbone else ["", settings.backbone_path]:
        if not job.backbone and _is_elsewhere(path, job.model):
            tried.append(f"It was at {path}, on another computer than the model, where nothing is opened unasked.")
            continue
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
        f"which was not found; choose its folder as 'Backbone', or train it again. {tried[-1]}"
    )


def _is_elsewhere(path: str, model: str) -> bool:
    """Whether a path in a model leads to another computer, where Windows would log in, whoever wrote the path."""
    drive, own = (PureWindowsPath(name).drive.lower() for name in (path, model))
    return drive.startswith("\\\\") and drive != own


def _score(model: Model, piece: Piece, device: Device, votes: bool) -> ScoredRows:
    """A piece with the logits of its valid pixels, and the votes of experts after them."""
    window, spectra, valid, features = piece
    pixels, theirs = spectra[:, valid].T, features[:, valid].T
    chunks = [slice(i, i + CHUNK) for i in range(0, len(pixels), CHUNK)]
    seen = [model.spectral.apply(pixels[c]) for c in chunks]
    parts = [
        model.logits(s, np.ascontiguousarray(theirs[c]), device.target, votes)
        for s, c in zip(seen, chunks, strict=True)
    ]
    projected = np.zeros((len(model.spectral.components), *valid.shape), np.float32)
    logits = np.zeros((model.members + votes, len(model.classes), *valid.shape), np.float32)
    if parts:
        projected[:, valid] = np.concatenate(seen).T
        logits[:, :, valid] = np.concatenate(parts, 1).swapaxes(1, 2)
    return ScoredRows(window, projected, valid, logits)
