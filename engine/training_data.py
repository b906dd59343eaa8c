"""From polygons to what a network is trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .errors import EngineError
from .feature_source import FeatureSource, patch_grid
from .labels import Labels, count_by_class
from .methods import Method
from .patches import PatchGrid
from .polygons import LandCoverClass
from .progress import Progress
from .projection import Projection, fit_spatial, fit_spectral, fit_standard
from .sampling import context_pixels, read_pixels, thin_labels
from .scene import Scene
from .smoothing import around
from .survey import Survey
from .training import Samples

PIXELS_PER_CLASS = 2000
FEW_PIXELS = 5
# Of so many pixels at most, features are read to ask what surrounds labelled ones; fewer where they have many channels.
MOST_AROUND = 100_000
AROUND_VALUES = 80_000_000


@dataclass(frozen=True)
class Surroundings:
    """Labelled pixels and those around them, which have a say in what a labelled one is taken for.

    Attributes:
        rows, columns: (m,) in raster order.
        samples: what the network sees of them; their targets mean nothing.
        at: (n,) index among them of each labelled pixel.
    """

    rows: np.ndarray
    columns: np.ndarray
    samples: Samples
    at: np.ndarray

    def of(self, pixels: np.ndarray) -> Surroundings:
        """Those of some labelled pixels, which a mask or an index array picks, alone."""
        at = self.at[pixels]
        width = int(self.columns.max()) + 1
        wanted = around(self.rows[at], self.columns[at], int(self.rows.max()) + 1, width)
        keys = self.rows * width + self.columns
        kept = np.flatnonzero(np.isin(keys, wanted[0] * width + wanted[1]))
        samples = replace(
            self.samples, spectra=self.samples.spectra[kept], features=self.samples.features[kept],
            targets=self.samples.targets[kept],
        )  # fmt: skip
        return Surroundings(self.rows[kept], self.columns[kept], samples, np.searchsorted(kept, at))


@dataclass(frozen=True)
class TrainingData:
    """Labelled pixels and what the network sees of them.

    Attributes:
        classes: those that have a pixel.
        labels: the pixels.
        spectra: (n, bands) as read.
        samples: projected spectra and features with their targets.
        spectral, spatial: the projections.
        channels: number of features before projection.
        autocorrelation: of the scene, see `Survey.autocorrelation`.
        noise: variance of the noise of projected spectra, summed over their components.
        surroundings: None where nothing is smoothed.
    """

    classes: list[LandCoverClass]
    labels: Labels
    spectra: np.ndarray
    samples: Samples
    spectral: Projection
    spatial: Projection | None
    channels: int
    autocorrelation: float
    noise: float = 1.0
    surroundings: Surroundings | None = None


def prepare(
    method: Method,
    scene: Scene,
    survey: Survey,
    labels: Labels,
    classes: list[LandCoverClass],
    source: FeatureSource | None,
    seed: int,
    progress: Progress,
    per_class: int = PIXELS_PER_CLASS,
    validate: bool = True,
) -> TrainingData:
    """Read spectra and features of labelled pixels and fit the projections.

    Classes of more than `per_class` pixels are thinned out. Projections are fitted to unlabelled pixels too. What
    surrounds the pixels is read for validation of an ensemble, which decides how much it has to say.

    Raises:
        EngineError: fewer than two classes have a valid pixel.
    """
    classes, labels, spectra = _read_labelled(scene, survey, labels, classes, per_class, seed, progress)
    pool = np.concatenate([survey.pixels, spectra])
    spectral = fit_spectral(pool, survey.noise) if method.ensemble else fit_standard(pool)
    nothing = np.zeros((len(labels), 0), np.float32)
    samples = Samples(
        spectral.apply(spectra), nothing, labels.class_ids - 1, len(classes), polygons=labels.polygons,
        cover=labels.cover,
    )  # fmt: skip
    data = TrainingData(
        classes, labels, spectra, samples, spectral, spatial=None, channels=0,
        autocorrelation=survey.autocorrelation(spectral), noise=spectral.variance(survey.noise),
    )  # fmt: skip
    if source is None:
        return data
    return _with_features(data, method, scene, survey, source, seed, progress, smoothed=method.ensemble and validate)


def _read_labelled(
    scene: Scene, survey: Survey, labels: Labels, classes: list[LandCoverClass], per_class: int, seed: int,
    progress: Progress,
) -> tuple[list[LandCoverClass], Labels, np.ndarray]:  # fmt: skip
    """The classes that have a valid pixel, such pixels, so many of a class at most, and their spectra (n, bands)."""
    drawn = count_by_class(labels, classes)
    total = len(labels)
    labels = labels.select(thin_labels(labels, 4 * per_class, seed))
    with progress.stage(0.0, 0.1):
        spectra, valid = read_pixels(scene, survey.bands, labels.rows, labels.columns, progress)
    if not valid.all():
        progress.warning(f"{(~valid).sum()} of {len(valid)} labelled pixels have no valid data and are left out.")
    labels, spectra = labels.select(valid), spectra[valid]
    classes, labels = _keep_classes(classes, labels, drawn, progress)
    kept = thin_labels(labels, per_class, seed)
    if len(kept) < len(labels):
        progress.info(f"{len(kept)} of {total} labelled pixels are used, at most {per_class} a class.")
    return classes, labels.select(kept), spectra[kept]


def _with_features(
    data: TrainingData, method: Method, scene: Scene, survey: Survey, source: FeatureSource, seed: int,
    progress: Progress, smoothed: bool,
) -> TrainingData:  # fmt: skip
    """The data with spatial features and, if neighbours shall be asked, with what surrounds the pixels."""
    labels = data.labels
    grid = patch_grid(source.settings, scene)
    with progress.stage(0.1, 0.15):
        rows, columns = valid_context(scene, survey, labels, grid, seed, progress)
    surrounded = np.random.default_rng(seed).permutation(len(labels) if smoothed else 0)
    most = min(MOST_AROUND, AROUND_VALUES // source.channels)
    near_rows, near_columns, near_spectra = _with_surroundings(scene, survey, labels, surrounded, most, progress)
    at = np.searchsorted(near_rows * scene.width + near_columns, labels.rows * scene.width + labels.columns)
    patches = len(grid.containing(near_rows, near_columns))
    text = f"Reading features of {len(labels)} labelled pixels from {patches} of {grid.rows * grid.columns} patches."
    with progress.stage(0.15, 1.0, text):
        both = source.at(np.concatenate([near_rows, rows]), np.concatenate([near_columns, columns]), progress)
    features, context = np.split(both, [len(near_rows)])
    means = source.settings.means
    spatial = fit_spatial(np.concatenate([features[at], context]), means) if method.components else None
    seen = spatial.apply(features) if spatial else features
    samples = replace(data.samples, features=seen[at], means=means, sections=source.settings.sections)
    surroundings = None
    if smoothed:
        theirs = replace(
            samples, spectra=data.spectral.apply(near_spectra), features=seen, targets=np.zeros(len(seen), np.int64),
            polygons=None, cover=None,
        )  # fmt: skip
        surroundings = Surroundings(near_rows, near_columns, theirs, at)
    return replace(data, samples=samples, spatial=spatial, channels=source.channels, surroundings=surroundings)


def _with_surroundings(
    scene: Scene, survey: Survey, labels: Labels, surrounded: np.ndarray, most: int, progress: Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and spectra of labelled pixels and of the valid ones around them, in raster order.

    Args:
        surrounded: indices of the labelled pixels whose surroundings are wanted, at least of the first ones.
        most: how many pixels may surround them.
    """
    rows, columns = around(labels.rows[surrounded], labels.columns[surrounded], scene.height, scene.width)
    while len(rows) > most:
        surrounded = surrounded[: len(surrounded) // 2]
        rows, columns = around(labels.rows[surrounded], labels.columns[surrounded], scene.height, scene.width)
    keys = [x * scene.width + y for x, y in ((rows, columns), (labels.rows, labels.columns))]
    rows, columns = np.divmod(np.unique(np.concatenate(keys)), scene.width)
    spectra, valid = read_pixels(scene, survey.bands, rows, columns, progress)
    return rows[valid], columns[valid], spectra[valid]


def valid_context(
    scene: Scene, survey: Survey, labels: Labels, grid: PatchGrid, seed: int, progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the valid ones of `context_pixels`."""
    rows, columns = context_pixels(labels, grid, seed)
    _, valid = read_pixels(scene, survey.bands, rows, columns, progress)
    return rows[valid], columns[valid]


def _keep_classes(
    classes: list[LandCoverClass], labels: Labels, drawn: dict[int, tuple[int, int]], progress: Progress
) -> tuple[list[LandCoverClass], Labels]:
    """Leave out classes without a valid pixel and number the others 1, 2, ...

    Args:
        drawn: pixels and polygons of each class id before any were left out, for the log.
    """
    counts = count_by_class(labels, classes)
    for c in classes:
        if counts[c.id][0]:
            pixels, polygons = drawn[c.id]
            progress.info(f"Class {c.name}: {pixels} pixel(s) of {polygons} polygon(s).")
        else:
            progress.warning(f"Class '{c.name}' has no valid pixel and is left out.")
    few = [f"{c.name} ({counts[c.id][0]})" for c in classes if 0 < counts[c.id][0] < FEW_PIXELS]
    if few:
        progress.warning(f"There are only a few labelled pixels of {', '.join(few)}, which teach little.")
    kept = [c for c in classes if counts[c.id][0]]
    if len(kept) < 2:
        raise EngineError(
            "The polygons hold valid pixels of fewer than two classes; draw polygons where the scene has data."
        )
    if len(kept) == len(classes):
        return classes, labels
    renumbered = [replace(c, id=i) for i, c in enumerate(kept, 1)]
    new_id = np.zeros(max(c.id for c in classes) + 1, np.int64)
    new_id[[c.id for c in kept]] = [c.id for c in renumbered]
    cover = labels.cover and labels.cover.of_classes(np.array([c.id for c in kept]))
    return renumbered, replace(labels, class_ids=new_id[labels.class_ids], cover=cover)
