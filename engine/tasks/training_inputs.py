"""What training and the analysis of features both begin with: the labels, and how features are made."""

from __future__ import annotations

import numpy as np

from ..backbone import Backbone
from ..composites import Composites, make_composites, published_composite
from ..errors import EngineError
from ..feature_settings import FeatureSettings
from ..jobs import AnalyseFeatures, TrainFilm
from ..labels import Labels, join_groups, label_pixels
from ..methods import Method, scale_layers
from ..polygons import LandCoverClass, Part, class_order, make_classes, read_features, to_parts
from ..progress import Progress
from ..sampling import thin_labels
from ..scene import Scene
from ..survey import Survey, survey_scene
from .unused_choices import warn_of_unused

CLEANEST = (0,)
# Values of polygons made from label rasters that often stand for no label.
NO_CLASS = frozenset({"0", "-1", "255"})
# Labelled pixels of a class that tell which values are usual in it.
TYPICAL = 100
LabelJob = TrainFilm | AnalyseFeatures


def read_labels(
    job: LabelJob, scene: Scene, progress: Progress, measure_cover: bool = False
) -> tuple[list[LandCoverClass], Labels, list[Part]]:
    """The classes of a job's polygons, the pixels that they label, and their parts, which `Labels.polygons` counts.

    `measure_cover` as in `label_pixels`.
    """
    features = read_features(job.polygons, job.class_field, progress, job.group_field)
    present = {feature.name for feature in features}
    # Classes of the layer's legend that nothing was drawn for do not belong on the map.
    colour_of = dict(zip(job.class_names, job.class_colours, strict=False))
    # Several values of a legend may have one name.
    in_legend = [name for name in dict.fromkeys(job.class_names) if name in present]
    names = in_legend + sorted(present - set(in_legend), key=class_order)
    for variants in _written_alike(names):
        written = " and ".join(f"'{name}'" for name in variants)
        progress.warning(f"{written} are different classes; make them one if they are the same.")
    for name in sorted(NO_CLASS & present):
        progress.warning(
            f"'{name}' is trained as a class like the others; if it stands for what is not labelled, filter the layer."
        )
    classes = make_classes(names, [colour_of.get(n, "") for n in names])
    parts = to_parts(features, classes, scene.transform, job.polygons_crs, scene.crs)
    labels = label_pixels(parts, classes, scene.height, scene.width, progress, measure_cover)
    if not len(labels):
        raise EngineError(
            "No pixel is labelled by one class alone; check that polygons of different classes do not cover each other."
        )
    joined = join_groups(labels, parts)
    if job.group_field:
        before, after = (len(np.unique(found.polygons)) for found in (labels, joined))
        progress.info(f"Polygons of one group count as one: {before} polygons with labels are {after}.")
    return classes, joined, parts


def survey_labelled(job: LabelJob, scene: Scene, labels: Labels, progress: Progress) -> Survey:
    """A survey of the scene by someone who knows the labels."""
    some = labels.select(thin_labels(labels, TYPICAL, job.seed))
    with progress.stage(0.02, 0.06, f"Surveying {job.scene}."):
        survey = survey_scene(scene, job.seed, some, progress)
    survey.log(progress)
    return survey


def _written_alike(names: list[str]) -> list[list[str]]:
    """Names that differ by case or blanks only."""
    by_spelling: dict[str, list[str]] = {}
    for name in names:
        by_spelling.setdefault("".join(name.casefold().split()), []).append(name)
    return [variants for variants in by_spelling.values() if len(variants) > 1]


def composites_for(kind: str, method: Method, survey: Survey, backbone: Backbone, progress: Progress) -> Composites:
    """Composites of a kind, or the default of the method; a spectral backbone sees what it was pretrained on.

    Raises:
        EngineError: the scene lacks bands that they need, or the method needs another backbone.
    """
    if backbone.composites is not None:
        warn_of_unused({"composites": kind}, f"{backbone.name} sees all bands", progress)
        return backbone.composites.on(survey.bands)
    if method.of_scene:
        raise wrong_backbone(method, backbone.name)
    kind = kind or method.composites
    return published_composite(survey) if kind == "published" else make_composites(kind, survey)


def once(numbers: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers in their order, none twice."""
    return tuple(dict.fromkeys(numbers))


def wrong_backbone(method: Method, backbone: str) -> EngineError:
    """The error of a method that needs another backbone."""
    return EngineError(
        f"{method.title} needs a backbone that was pretrained on the scene, which {backbone} was not; run 'Pretrain on "
        "scene' and choose its output as 'Backbone'."
    )


def settings_for(
    method: Method, backbone: Backbone, composites: Composites, layers: tuple[int, ...], timesteps: tuple[int, ...],
    seed: int,
) -> FeatureSettings:  # fmt: skip
    """How features are made, with the default of backbone or method where no layers or timesteps are given."""
    return FeatureSettings(
        backbone.name, str(backbone.path), backbone.sha256,
        once(layers) or scale_layers(method.layers, len(backbone.layers)),
        once(timesteps) or method.timesteps or backbone.best_timesteps or CLEANEST,
        backbone.patch, backbone.patch // 2, seed, composites.to_json(), method.neighbourhoods,
    )  # fmt: skip
