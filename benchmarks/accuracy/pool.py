"""The labelled pixels of a scene with everything a classifier may look at, and few-label draws from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from scipy.ndimage import uniform_filter
from skimage.morphology import dilation, disk, erosion, reconstruction
from sklearn.decomposition import PCA

from spectrafilm.benchmarks.kept_arrays import kept_array
from spectrafilm.benchmarks.real_scenes.rows import untrained_backbone
from spectrafilm.benchmarks.real_scenes.scenes import DIVISION, LabelledScene, whole_scene
from spectrafilm.engine.backbone import BUNDLED, Backbone
from spectrafilm.engine.device import choose_device
from spectrafilm.engine.feature_source import ComputedFeatures
from spectrafilm.engine.labels import Labels
from spectrafilm.engine.methods import DEFAULT, METHODS, Method
from spectrafilm.engine.patches import SceneImages, fill_invalid
from spectrafilm.engine.polygons import LandCoverClass
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.projection import Projection, fit_spectral, fit_standard
from spectrafilm.engine.sampling import thin_labels
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.smoothing import around
from spectrafilm.engine.survey import Survey, survey_scene
from spectrafilm.engine.tasks.training_inputs import composites_for, settings_for

PER_CLASS = 600
LEAST_PER_CLASS = 20
# Whoever draws so many labels a class wants all there are.
ALL = 9999
# Of a standard division.
MOST_TESTED = 50_000
RADII = (1, 2, 3, 4)
SHIPPED, PUBLISHED = DEFAULT.key, "geodiffnet-f"
RANDOM = "random pixels"
APART = "polygons apart"
PROTOCOLS = (RANDOM, APART)
BACKBONES = {"bundled": lambda _folder: BUNDLED, "untrained": untrained_backbone}
Key = TypeVar("Key")


class OnDemand(dict[Key, np.ndarray]):
    """Arrays by key, made when a row asks for them: those of a large scene take hours, and few rows need all."""

    def __init__(self, make: Callable[[Key], np.ndarray]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Key) -> np.ndarray:
        self[key] = self._make(key)
        return self[key]


@dataclass(frozen=True)
class Near:
    """The pixels of a pool and those around them.

    Attributes:
        rows, columns: (m,) in raster order.
        spectra: (m, bands).
        features: (m, channels) of `SHIPPED` by backbone.
        at: (n,) index among them of each pixel of the pool.
    """

    rows: np.ndarray
    columns: np.ndarray
    spectra: np.ndarray
    features: dict[str, np.ndarray]
    at: np.ndarray


@dataclass(frozen=True)
class Pool:
    """Pixels to draw labels from and to test on.

    Attributes:
        name: of the scene.
        labels: at most 600 pixels of every class that has 20; of a standard division all training pixels and at most
            50 000 others.
        classes: by class id - 1, also those that have no pixel in the pool.
        spectra: (n, bands).
        surroundings: (m, bands) pixels of the whole scene, unlabelled.
        noise: (bands, bands) covariance of their noise.
        autocorrelation: of pixels two apart.
        means: (n, bands) of the 3 x 3 or 5 x 5 pixels around each, by 3 or 5.
        profiles: makes (n, 3 * 9) extended morphological profiles.
        features: (n, channels) by method and backbone ("bundled", "untrained"), of the method's composites,
            layers, timesteps and neighbourhoods.
        neighbourhood_means: how many of the features of `SHIPPED`, the last ones, are means of neighbourhoods.
        for_training: (n,) bool for scenes that come with a division, else None.
        near: None where nothing is smoothed.
        protocols: by which labels are drawn; a standard division keeps training and test pixels apart as it is.
    """

    name: str
    labels: Labels
    classes: list[LandCoverClass]
    spectra: np.ndarray
    surroundings: np.ndarray
    noise: np.ndarray
    autocorrelation: float
    means: dict[int, np.ndarray]
    profiles: Callable[[], np.ndarray]
    features: dict[tuple[str, str], np.ndarray]
    neighbourhood_means: int
    for_training: np.ndarray | None
    near: Near | None = None
    protocols: tuple[str, ...] = PROTOCOLS

    def fit_spectral(self) -> Projection:
        """The projection of spectra with which the plugin's networks are trained."""
        return fit_spectral(self.surroundings, self.noise)

    def as_labelled(self, protocol: str) -> Pool:
        """The pool as its user has labelled it, for methods that validate themselves.

        Random pixels are like polygons of one pixel, so that validation holds out single pixels. What the polygons
        cover of them stays known.
        """
        if protocol != RANDOM:
            return self
        cover = self.labels.cover
        never_held_out = cover and replace(cover, polygons=np.full(len(cover.polygons), -1))
        return replace(
            self, labels=replace(self.labels, polygons=np.arange(len(self.labels)), cover=never_held_out)
        )  # fmt: skip

    def draw(self, protocol: str, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Indices of training pixels, `per_class` (or `ALL`) of each class, and of the pixels to test on.

        With "random pixels" all others are tested. With "polygons apart" training pixels come from a random
        half of the polygons of each class and the other half is tested; scenes with a division keep theirs.
        """
        rng = np.random.default_rng(seed)
        ids, training, testing = self.labels.class_ids, [], []
        per_class = len(ids) if per_class >= ALL else per_class
        for class_id in np.unique(ids):
            ours = rng.permutation(np.flatnonzero(ids == class_id))
            if protocol == RANDOM:
                # Half of a small class is kept for testing.
                count = min(per_class, len(ours) // 2)
                training.append(ours[:count])
                testing.append(ours[count:])
                continue
            side = self._training_side(ours, rng)
            training.append(ours[side][:per_class])
            testing.append(ours[~side])
        return np.sort(np.concatenate(training)), np.sort(np.concatenate(testing))

    def _training_side(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.for_training is not None:
            return self.for_training[pixels]
        polygons = rng.permutation(np.unique(self.labels.polygons[pixels]))
        return np.isin(self.labels.polygons[pixels], polygons[: -(-len(polygons) // 2)])


def make_pool(labelled: LabelledScene, smoothed: bool = False) -> Pool:
    """Everything about a scene's labelled pixels, computed when it is needed; features are kept in the scene's folder.

    Args:
        smoothed: whether neighbours may have a say, as in the plugin, for which features around the pixels are needed.
    """
    folder, scene_path = labelled.folder, labelled.path
    divided = labelled.real.protocol == DIVISION
    labels = _of_division(labelled) if divided else _thinned(labelled)
    spectra = labelled.spectra(labels)
    valid = np.isfinite(labelled.pixels).all(0)
    with Scene.open(scene_path) as scene:
        survey = survey_scene(scene)
        neighbourhood_means = feature_source(scene, survey, DEFAULT, BUNDLED).settings.means

    # Not of `labelled`, whose pixels would stay in memory.
    def filled() -> np.ndarray:
        with Scene.open(scene_path) as scene:
            image = whole_scene(scene, survey.bands)
        valid = np.isfinite(image).all(0)
        image[:, ~valid] = 0
        return fill_invalid(image, valid)

    def means_of(size: int) -> np.ndarray:
        return np.stack([uniform_filter(b, size, mode="reflect")[labels.rows, labels.columns] for b in filled()], 1)

    def profiles() -> np.ndarray:
        return _profiles(filled())[:, labels.rows, labels.columns].T

    def features_of(method: str, backbone: str, pixels: Labels) -> np.ndarray:
        with Scene.open(scene_path) as scene:
            source = feature_source(scene, survey, METHODS[method], BACKBONES[backbone](folder))
            return kept_features(source, pixels, folder)

    features = OnDemand[tuple[str, str]](lambda key: features_of(*key, labels))
    near = _near(labels, labelled.pixels, valid, partial(features_of, SHIPPED)) if smoothed else None
    division = labelled.in_training_raster(labels) if labelled.has_validation_raster else None
    return Pool(
        labelled.real.name, labels, labelled.classes, spectra, survey.pixels, survey.noise,
        survey.autocorrelation(fit_spectral(survey.pixels, survey.noise)), OnDemand(means_of), cache(profiles),
        features, neighbourhood_means, division, near, (APART,) if divided else PROTOCOLS,
    )  # fmt: skip


def _thinned(labelled: LabelledScene) -> Labels:
    labels = labelled.labels
    counts = np.bincount(labels.class_ids, minlength=len(labelled.classes) + 1)
    few = [c.name for c in labelled.classes if counts[c.id] < LEAST_PER_CLASS]
    if few:
        print(f"{labelled.real.title}: classes of fewer than {LEAST_PER_CLASS} pixels are left out: {', '.join(few)}")
    labels = labels.select(counts[labels.class_ids] >= LEAST_PER_CLASS)
    return labels.select(thin_labels(labels, PER_CLASS, 0))


def _of_division(labelled: LabelledScene) -> Labels:
    labels = labelled.labels
    training = labelled.in_training_raster(labels)
    others = np.random.default_rng(0).permutation(np.flatnonzero(~training))[:MOST_TESTED]
    return labels.select(np.sort(np.concatenate([np.flatnonzero(training), others])))


def _near(
    labels: Labels, pixels: np.ndarray, valid: np.ndarray, features_of: Callable[[str, Labels], np.ndarray]
) -> Near:
    rows, columns = around(labels.rows, labels.columns, *valid.shape)
    rows, columns = rows[valid[rows, columns]], columns[valid[rows, columns]]
    width = valid.shape[1]
    at = np.searchsorted(rows * width + columns, labels.rows * width + labels.columns)
    nothing = np.zeros(len(rows), np.int64)
    everything = Labels(rows, columns, nothing, nothing)
    features = OnDemand[str](lambda backbone: features_of(backbone, everything))
    return Near(rows, columns, pixels[:, rows, columns].T, features, at)


def feature_source(scene: Scene, survey: Survey, method: Method, path: Path) -> ComputedFeatures:
    """Features of a backbone with a method's composites, layers, timesteps and neighbourhoods."""
    backbone = Backbone.load(str(path), choose_device("cpu", Progress()))
    composites = composites_for("", method, survey, backbone, Progress())
    settings = settings_for(method, backbone, composites, (), (), 0)
    return ComputedFeatures(SceneImages(scene, survey.bands, composites), backbone, settings)


def kept_features(source: ComputedFeatures, labels: Labels, folder: Path) -> np.ndarray:
    """Features (n, channels) of labelled pixels, computed once and kept in `folder`."""
    settings = replace(source.settings, backbone_path="")
    places = np.stack([labels.rows, labels.columns]).astype("<i8")
    digest = hashlib.sha256(f"{settings} ".encode() + places.tobytes()).hexdigest()[:16]

    def features() -> np.ndarray:
        return source.at(labels.rows, labels.columns, Progress()).astype(np.float16)

    return kept_array(folder / f"features-{digest}.npy", features).astype(np.float32)


def _profiles(image: np.ndarray) -> np.ndarray:
    """Three principal components with openings and closings by reconstruction, radius 1 to 4: (27, height, width).

    Source: Benediktsson et al. (2005), Classification of hyperspectral data from urban areas based on extended
    morphological profiles.
    """
    bands = image.reshape(len(image), -1).T
    standard = fit_standard(bands).apply(bands)
    components = PCA(3, random_state=0).fit(standard[:: max(len(bands) // 100_000, 1)]).transform(standard).T
    profiles = []
    for component in components.reshape(-1, *image.shape[1:]):
        profiles.append(component)
        for radius in RADII:
            element = disk(radius)
            profiles.append(reconstruction(erosion(component, element), component, "dilation"))
            profiles.append(reconstruction(dilation(component, element), component, "erosion"))
    return np.stack(profiles)
