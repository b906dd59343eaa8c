"""trainfilm: from labelled polygons to a model and an honest report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from ..accuracy import Accuracy, assess
from ..backbone import Backbone
from ..calibration import calibration_error, fit_share, fit_temperature, mixture
from ..composites import band_wavelengths
from ..device import choose_device
from ..ensemble import FilmEnsemble
from ..errors import EngineError
from ..feature_source import ComputedFeatures, FeatureSource, RasterFeatures
from ..folds import Folds, split_by_polygon
from ..jobs import TrainFilm
from ..labels import Labels
from ..methods import Method, find_method
from ..model import Model
from ..outputs import Outputs
from ..polygons import LandCoverClass
from ..progress import Progress, Quiet
from ..report import json_twin
from ..scene import Scene
from ..survey import Survey, survey_scene
from ..training import Samples, fit, predict_experts, predict_logits
from ..training_data import TrainingData, prepare
from .analyse_features import analyse_labels, read_recommendation, whole_grid
from .training_inputs import composites_for, read_labels, settings_for
from .training_report import TrainingResult, write_training_report


def train_film(job: TrainFilm, progress: Progress, token: str) -> dict[str, Any]:
    """Train, validate by polygon, and write the model and its report."""
    method = find_method(job.method)
    inputs = [job.scene, job.polygons, job.features, job.analysis]
    with Scene.open(job.scene, job.scene_crs) as scene, Outputs(inputs, token) as outputs:
        outputs.check(job.model, job.report, json_twin(job.report) if job.report else "")
        classes, labels = read_labels(job, scene, progress)
        with progress.stage(0.02, 0.06, f"Surveying {job.scene}."):
            survey = survey_scene(scene, job.seed)
        survey.log(progress)
        source = None
        if method.uses_features:
            with progress.stage(0.06, 0.4 if job.analyse else 0.08):
                source = _feature_source(job, method, scene, survey, labels, classes, progress)
        with progress.stage(0.4 if job.analyse else 0.08, 0.6):
            data = prepare(method, scene, survey, labels, classes, source, job.seed, progress)
        if job.validate:
            folds = split_by_polygon(data.labels, data.classes, job.seed, progress)
        else:
            folds = Folds((), (), np.zeros(len(data.labels), bool))
        everything = np.ones(len(data.labels), bool)
        with progress.stage(0.6, 0.92, f"Training {method.title} on {len(data.labels)} pixels."):
            fits = fit(method, data.samples, [everything, *folds.training], job.seed, progress)
        networks = [f.network for f in fits]
        accuracy, temperature, scores = _validate(data, folds, networks[0], networks[1:])
        if "film_share" in scores:
            progress.info(f"The spatial features' share, chosen by cross-validation, is {scores['film_share']:.0%}.")
        model = Model(
            method, data.classes, band_wavelengths(survey.bands), tuple(b.number for b in survey.bands),
            data.spectral, data.spatial, networks[0], temperature, source.settings if source else None,
            data.channels, scores,
        )  # fmt: skip
        model.save(outputs.reserve(job.model))
        if job.report:
            with progress.stage(0.93, 1.0, "Writing the report."):
                result = TrainingResult(job, model, labels, data, fits, folds, accuracy)
                write_training_report(result, scene, survey, outputs, progress)
    if accuracy is None:
        return {"overall_accuracy": None, "average_accuracy": None, "kappa": None}
    progress.info(
        f"Cross-validated by polygon: overall accuracy {accuracy.overall.value:.1f} % (95 % interval "
        f"{accuracy.overall.low:.1f} to {accuracy.overall.high:.1f}), average accuracy "
        f"{accuracy.average.value:.1f} %, kappa {accuracy.kappa.value:.1f} %."
    )
    return {
        "overall_accuracy": accuracy.overall.value,
        "average_accuracy": accuracy.average.value,
        "kappa": accuracy.kappa.value,
    }


def _feature_source(
    job: TrainFilm, method: Method, scene: Scene, survey: Survey, labels: Labels, classes: list[LandCoverClass],
    progress: Progress,
) -> FeatureSource:  # fmt: skip
    if job.features:
        return RasterFeatures(job.features, scene, survey.bands)
    advice = read_recommendation(job.analysis) if job.analysis else None
    backbone = Backbone.load(job.backbone, choose_device(job.device, progress))
    if advice and advice.backbone_sha256 != backbone.sha256:
        raise EngineError(
            f"The analysis {job.analysis} was made with the backbone {advice.backbone}, training is to use "
            f"{backbone.name}; choose the same backbone for both."
        )
    composites = composites_for(job.composites or (advice.composites if advice else ""), method, survey)
    if advice and composites.kind != advice.composites:
        progress.warning(
            f"The analysis {job.analysis} was made with other composites ({advice.composites}) than these "
            f"({composites.kind}); its recommendation may not hold."
        )
    layers, timesteps = job.layers, job.timesteps
    if advice and not layers and not timesteps:
        layers, timesteps = advice.layers, advice.timesteps
    settings = settings_for(method, backbone, composites, layers, timesteps, job.seed)
    source = ComputedFeatures(scene, survey.bands, composites, backbone, settings)
    if job.analyse and not layers and not timesteps:
        progress.info("Analysing decoder layers and timesteps.")
        _, _, analysis = analyse_labels(
            scene, survey, source, labels, classes, *whole_grid(backbone), job.seed, Quiet(progress)
        )
        source = source.with_choice(analysis.recommended.layers, analysis.recommended.timesteps)
    progress.info(
        f"Features of {composites.count} composite(s) ({composites.kind}), decoder layers "
        f"{list(source.settings.layers)}, timesteps {list(source.settings.timesteps)}, backbone {backbone.name}."
    )
    return source


def _validate(
    data: TrainingData, folds: Folds, final: nn.Module, networks: list[Any]
) -> tuple[Accuracy | None, float, dict[str, Any]]:
    """Accuracy, temperature and scores from predictions of pixels that a fold held out.

    The same predictions decide the share of the FiLM expert, which is set in every network; one
    number chosen out of eleven makes the accuracy hardly optimistic.
    """
    if not len(folds):
        return None, 1.0, {}
    tested = folds.validated
    targets = data.samples.targets[tested]
    scores: dict[str, Any] = {}
    if isinstance(final, FilmEnsemble) and final.channels:
        share = fit_share(_held_out(predict_experts, networks, data, folds)[..., tested, :], targets)
        scores["film_share"] = share
        for network in (final, *networks):
            network.set_film_share(share)
    logits = _held_out(predict_logits, networks, data, folds)[..., tested, :]
    temperature = fit_temperature(logits, targets)
    probabilities = mixture(logits, temperature)
    names = [c.name for c in data.classes]
    accuracy = assess(targets + 1, probabilities.argmax(1) + 1, names, data.labels.polygons[tested])
    scores |= {
        "overall_accuracy": accuracy.overall.value,
        "average_accuracy": accuracy.average.value,
        "kappa": accuracy.kappa.value,
        "calibration_error": 100 * calibration_error(probabilities, targets),
        "protocol": f"{len(folds)}-fold cross-validation grouped by polygon",
        "samples": accuracy.samples,
        "polygons": accuracy.groups,
    }
    return accuracy, temperature, scores


def _held_out(
    predict: Callable[[Any, Samples], np.ndarray], networks: list[Any], data: TrainingData, folds: Folds
) -> np.ndarray:
    """Predictions (..., n, C) of every pixel by the network that was not trained on it."""
    predictions = np.zeros_like(predict(networks[0], data.samples))
    for network, held_out in zip(networks, folds.testing, strict=True):
        predictions[..., held_out, :] = predict(network, data.samples)[..., held_out, :]
    return predictions
