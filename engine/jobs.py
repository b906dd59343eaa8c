"""The jobs that cross the border between QGIS and the engine: plain dataclasses, sent as JSON.

This module, `partial_outputs` and `backbone_registry` need nothing but the standard library: they are
the only parts of the engine that the QGIS half imports.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar, Union, get_args

# What both halves advise when memory runs out; the size of a scene matters little.
SAVE_MEMORY = "close other programs, or use fewer decoder layers, timesteps or composites, or 'Spectral only'"


@dataclass(frozen=True)
class _Job:
    """What jobs have in common: a name, and the fields that are paths of files it writes."""

    name: ClassVar[str]
    written: ClassVar[tuple[str, ...]] = ()

    def outputs(self) -> tuple[str, ...]:
        """The files it writes."""
        return tuple(getattr(self, field) for field in self.written)


@dataclass(frozen=True)
class SelectBands(_Job):
    """Make a three-band pseudo-RGB raster. `bands` are numbers counted from 1, stretch is in per cent."""

    name = "selectbands"
    written = ("output",)
    scene: str
    output: str
    composite: str = "true colour"
    bands: tuple[int, ...] = ()
    stretch_low: float = 2.0
    stretch_high: float = 98.0
    scene_crs: str = ""


@dataclass(frozen=True)
class ImportScene(_Job):
    """Write a product of a mission, in a file that no GIS shows as a scene, as a GeoTIFF."""

    name = "importscene"
    written = ("output",)
    product: str
    output: str


@dataclass(frozen=True)
class ExtractFeatures(_Job):
    """Write spatial features of a scene, or of a three-band raster, as a raster; a stride of 0 is half of a patch."""

    name = "extractfeatures"
    written = ("output",)
    scene: str
    output: str
    backbone: str = ""
    composites: str = ""
    layers: tuple[int, ...] = ()
    timesteps: tuple[int, ...] = ()
    stride: int = 0
    device: str = "auto"
    seed: int = 0
    scene_crs: str = ""


@dataclass(frozen=True)
class PretrainScene(_Job):
    """Pretrain a spectral backbone on a scene, without labels.

    `method` is the one whose denoiser it is, diffspectralnet or diffcrn. At most `cubes` are seen; neighbouring bands
    are averaged to `positions`, a multiple of 8; `width` is the number of channels of the denoiser. A number of 0
    stands for the method's default.
    """

    name = "pretrainscene"
    written = ("output", "report")
    scene: str
    output: str
    report: str = ""
    method: str = "diffcrn"
    cubes: int = 0
    positions: int = 0
    width: int = 0
    device: str = "auto"
    seed: int = 0
    scene_crs: str = ""


@dataclass(frozen=True)
class TrainFilm(_Job):
    """Train a model from labelled polygons.

    `polygons` is a GeoJSON file in `polygons_crs`. `class_names` and `class_colours` give the classes
    in their order; left empty, they are the values of `class_field`, sorted. Polygons with the same value of
    `group_field`, where it is given, stand on the same side of every validation. Without `validate`
    nothing is cross-validated: no accuracy, confidences as they come, and experts have the shares that are
    likely beforehand. `labels_title` is what the report calls the labels; left empty, the file and its field.
    Layers and timesteps left empty come from `analysis`, a report of `AnalyseFeatures`, or from an
    analysis on the way (`analyse`), or are the method's default.
    """

    name = "trainfilm"
    written = ("model", "report")
    scene: str
    polygons: str
    model: str
    report: str = ""
    class_field: str = "class"
    group_field: str = ""
    polygons_crs: str = "EPSG:4326"
    class_names: tuple[str, ...] = ()
    class_colours: tuple[str, ...] = ()
    method: str = "spectrafilm"
    features: str = ""
    backbone: str = ""
    composites: str = ""
    layers: tuple[int, ...] = ()
    timesteps: tuple[int, ...] = ()
    analysis: str = ""
    analyse: bool = False
    device: str = "auto"
    seed: int = 0
    validate: bool = True
    scene_crs: str = ""
    labels_title: str = ""


@dataclass(frozen=True)
class AnalyseFeatures(_Job):
    """Find the decoder layers and timesteps that serve a scene and its polygons best.

    Polygons and classes as in `TrainFilm`. Empty `layers` and `timesteps` stand for all layers and
    for 0, 5, 10 and 20 % of the backbone's timesteps.
    """

    name = "analysefeatures"
    written = ("report",)
    scene: str
    polygons: str
    report: str
    class_field: str = "class"
    group_field: str = ""
    polygons_crs: str = "EPSG:4326"
    class_names: tuple[str, ...] = ()
    class_colours: tuple[str, ...] = ()
    backbone: str = ""
    composites: str = ""
    layers: tuple[int, ...] = ()
    timesteps: tuple[int, ...] = ()
    device: str = "auto"
    seed: int = 0
    scene_crs: str = ""


@dataclass(frozen=True)
class PredictMap(_Job):
    """Map a scene with a trained model."""

    name = "predictmap"
    written = ("output", "confidence", "probabilities", "uncertainty")
    scene: str
    model: str
    output: str
    confidence: str = ""
    probabilities: str = ""
    uncertainty: str = ""
    features: str = ""
    backbone: str = ""
    device: str = "auto"
    scene_crs: str = ""


@dataclass(frozen=True)
class AssessAccuracy(_Job):
    """Compare a map with a reference: a GeoJSON file of polygons or points, or a label raster.

    Polygons and points with the same value of `group_field`, where it is given, count as one in the intervals.
    `reference_crs` left empty is EPSG:4326 for GeoJSON and what a raster says itself. `reference_title` is what the
    report calls the reference; left empty, its path. `map_names` and `reference_names` are what the values in
    `map_values` and `reference_values` of rasters stand for, where the files do not say so themselves.
    """

    name = "assessaccuracy"
    written = ("report",)
    map: str
    reference: str
    report: str
    class_field: str = "class"
    group_field: str = ""
    reference_crs: str = ""
    map_crs: str = ""
    reference_title: str = ""
    map_values: tuple[str, ...] = ()
    map_names: tuple[str, ...] = ()
    reference_values: tuple[str, ...] = ()
    reference_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class SuggestSamples(_Job):
    """Find places whose labelling would help a model most.

    `labelled`, a GeoJSON file in `labelled_crs`, shows where nothing needs to be suggested.
    """

    name = "suggestsamples"
    scene: str
    model: str
    count: int = 20
    labelled: str = ""
    labelled_crs: str = "EPSG:4326"
    features: str = ""
    backbone: str = ""
    device: str = "auto"
    seed: int = 0
    scene_crs: str = ""


@dataclass(frozen=True)
class CheckEnvironment(_Job):
    """Prove that everything the engine needs is installed and computes."""

    name = "checkenvironment"
    device: str = "auto"


@dataclass(frozen=True)
class DownloadBackbone(_Job):
    """Download a backbone of the registry into a folder of its name within `folder`, and load it as proof.

    Without `consent` nothing is fetched. `revision` (40 hexadecimal digits of a commit) and `sha256`
    (64, of the weights) supply what the registry does not know.
    """

    name = "downloadbackbone"
    # Nothing is cleared away: what an interrupted download leaves is where the next one goes on.
    written = ()
    backbone: str
    folder: str
    consent: bool = False
    revision: str = ""
    sha256: str = ""
    proxy: str = ""


# Written for Python 3.9, which QGIS 3.22 has on Windows.
Job = Union[  # noqa: UP007
    SelectBands, ExtractFeatures, PretrainScene, AnalyseFeatures, TrainFilm, PredictMap, AssessAccuracy, SuggestSamples,
    CheckEnvironment, DownloadBackbone, ImportScene,
]
JOBS: dict[str, Any] = {job.name: job for job in get_args(Job)}


def to_json(job: Job, token: str = "") -> str:
    """One line of JSON. `token` marks the temporary files of this run."""
    return json.dumps({"job": job.name, "token": token, "parameters": dataclasses.asdict(job)})


def from_json(text: str) -> tuple[Job, str]:
    """The inverse of `to_json`: the job and its token.

    Raises:
        ValueError: the text does not describe a job.
    """
    data = json.loads(text)
    try:
        kind = JOBS[data["job"]]
        parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in data["parameters"].items()}
        return kind(**parameters), str(data["token"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a job: {error}") from error
