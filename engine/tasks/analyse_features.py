"""analysefeatures: accuracies over decoder layers and timesteps, and the setting that training takes over."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..accuracy import known
from ..backbone import Backbone
from ..backbone_files import files_of
from ..device import choose_device
from ..errors import EngineError
from ..feature_analysis import FeatureAnalysis, analyse_features
from ..feature_source import ComputedFeatures, patch_grid
from ..folds import Folds, split_by_polygon
from ..jobs import AnalyseFeatures
from ..json_text import parse_json
from ..labels import Labels
from ..methods import DEFAULT
from ..outputs import Outputs
from ..patches import SceneImages
from ..pictures import heat_picture
from ..polygons import LandCoverClass
from ..progress import Progress
from ..report import json_twin, report_files, write_report
from ..scene import Scene
from ..survey import Survey
from ..training_data import TrainingData, prepare, valid_context
from .training_inputs import composites_for, once, read_labels, settings_for, survey_labelled

PIXELS_PER_CLASS = 150
TIMESTEPS = (0, 50, 100, 200)
FORMAT = "SpectraFiLM analysis of features"


@dataclass(frozen=True)
class Recommendation:
    """What a report of `analysefeatures` says training should use."""

    layers: tuple[int, ...]
    timesteps: tuple[int, ...]
    composites: str
    backbone: str
    backbone_sha256: str


def analyse_scene(job: AnalyseFeatures, progress: Progress, token: str) -> dict[str, Any]:
    """Judge decoder layers and timesteps, write the report and its JSON twin, and name the recommended setting."""
    with ExitStack() as stack:
        scene = stack.enter_context(Scene.open(job.scene, job.scene_crs))
        outputs = stack.enter_context(Outputs([*scene.files, job.polygons, *files_of(job.backbone)], token))
        outputs.check(*report_files(job.report))
        classes, labels, _ = read_labels(job, scene, progress)
        survey = survey_labelled(job, scene, labels, progress)
        backbone = Backbone.load(job.backbone, choose_device(job.device, progress))
        composites = composites_for(job.composites, DEFAULT, survey, backbone, progress)
        settings = settings_for(DEFAULT, backbone, composites, (), (), job.seed)
        source = ComputedFeatures(SceneImages(scene, survey.bands, composites), backbone, settings)
        every_layer, some_timesteps = whole_grid(backbone)
        layers, timesteps = once(job.layers) or every_layer, once(job.timesteps) or some_timesteps
        backbone.check_layers(layers)
        backbone.check_timesteps(timesteps)
        with progress.stage(0.06, 0.98):
            data, folds, analysis = analyse_labels(
                scene, survey, source, labels, classes, layers, timesteps, job.seed, progress
            )
        with progress.stage(0.98, 1.0, "Writing the report."):
            _write_report(job, source, data, folds, analysis, outputs, progress)
    best = analysis.recommended
    progress.info(
        f"Recommended: decoder layers {list(best.layers)} at timesteps {list(best.timesteps)}, overall accuracy "
        f"{best.with_spectra.overall_accuracy:.1f} % with spectra ({analysis.spectra_alone.overall_accuracy:.1f} % by "
        "spectra alone), cross-validated by polygon."
    )
    return {
        "layers": ",".join(map(str, best.layers)),
        "timesteps": ",".join(map(str, best.timesteps)),
        "overall_accuracy": best.with_spectra.overall_accuracy,
        "average_accuracy": best.with_spectra.average_accuracy,
        "kappa": known(best.with_spectra.kappa),
    }


def whole_grid(backbone: Backbone) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All decoder layers, and timesteps at 0, 5, 10 and 20 % of the noise schedule."""
    return tuple(range(len(backbone.layers))), tuple(t * backbone.timesteps // 1000 for t in TIMESTEPS)


def analyse_labels(
    scene: Scene, survey: Survey, source: ComputedFeatures, labels: Labels, classes: list[LandCoverClass],
    layers: tuple[int, ...], timesteps: tuple[int, ...], seed: int, progress: Progress,
) -> tuple[TrainingData, Folds, FeatureAnalysis]:  # fmt: skip
    """The analysis of at most 150 labelled pixels a class.

    Raises:
        EngineError: no class has two polygons, so that nothing can be compared.
    """
    with progress.stage(0.0, 0.05):
        data = prepare(DEFAULT, scene, survey, labels, classes, None, seed, progress, PIXELS_PER_CLASS)
        folds = split_by_polygon(data.labels, data.classes, seed, progress)
        if not len(folds):
            raise EngineError(
                "Decoder layers and timesteps cannot be compared, since every class has a single polygon; draw at "
                "least two polygons a class, in different places."
            )
        context = valid_context(scene, survey, data.labels, patch_grid(source.settings, scene), seed, progress)
    with progress.stage(0.05, 1.0):
        return data, folds, analyse_features(source, data, context, folds, layers, timesteps, progress)


def read_recommendation(path: str) -> Recommendation:
    """What a report of `analysefeatures` (its JSON, or the page beside it) recommends.

    Raises:
        EngineError: the file is missing, or is something else.
    """
    try:
        content = parse_json(Path(json_twin(path)).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(content["format"])
        chosen = content["recommended"]
        return Recommendation(
            tuple(map(int, chosen["layers"])), tuple(map(int, chosen["timesteps"])), str(content["composites"]),
            str(content["backbone"]), str(content["backbone_sha256"]),
        )  # fmt: skip
    except OSError as error:
        raise EngineError(f"The analysis {json_twin(path)} cannot be read ({error.strerror}).") from error
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise EngineError(
            f"{json_twin(path)} is no report of 'Analyse layers and timesteps'; choose the JSON file that it wrote."
        ) from error


def _write_report(
    job: AnalyseFeatures, source: ComputedFeatures, data: TrainingData, folds: Folds, analysis: FeatureAnalysis,
    outputs: Outputs, progress: Progress,
) -> None:  # fmt: skip
    layers = sorted({cell.layers[0] for cell in analysis.cells})
    timesteps = sorted({cell.timesteps[0] for cell in analysis.cells})
    figures = {
        "format": FORMAT,
        "layers": layers,
        "timesteps": timesteps,
        "cells": analysis.cells,
        "combinations": analysis.combinations,
        "spectra_alone": analysis.spectra_alone,
        "best": analysis.best,
        "recommended": analysis.recommended,
        "is_default": analysis.recommended is analysis.combinations[0],
        "backbone": source.backbone.name,
        "backbone_sha256": source.backbone.sha256,
        "composites": source.images.composites.kind,
        "scene": job.scene,
        "samples": int(folds.validated.sum()),
        "polygons": len(set(data.labels.polygons[folds.validated].tolist())),
        "classes": [c.name for c in data.classes],
        "folds": len(folds),
        "seed": job.seed,
        "warnings": progress.warnings,
    }
    grid = {(cell.layers[0], cell.timesteps[0]): cell for cell in analysis.cells}
    pictures = {
        name: heat_picture(
            [[getattr(grid[layer, t], name).overall_accuracy for t in timesteps] for layer in layers],
            [f"{layer}  ({source.backbone.patch // source.backbone.layers[layer].stride} px)" for layer in layers],
            [str(t) for t in timesteps], "timestep", "decoder layer",
        )
        for name in ("features_alone", "with_spectra")
    }  # fmt: skip
    write_report(outputs, job.report, "analysis.html", "Decoder layers and timesteps", figures, {}, pictures)
