"""trainfilm: from labelled polygons to a model and an honest report."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ..accuracy import known
from ..backbone import Backbone
from ..backbone_files import files_of
from ..composites import band_wavelengths
from ..device import choose_device
from ..errors import EngineError
from ..feature_source import ComputedFeatures, FeatureSource, RasterFeatures
from ..jobs import TrainFilm
from ..labels import Labels
from ..learning_curve import measure_learning_curve
from ..methods import METHODS, Method, find_method
from ..model import Model
from ..outputs import Outputs
from ..patches import SceneImages
from ..polygons import LandCoverClass
from ..progress import Progress, Quiet
from ..report import report_files
from ..scene import Scene
from ..survey import Survey
from ..training_data import prepare
from ..validation import train
from .analyse_features import analyse_labels, read_recommendation, whole_grid
from .training_inputs import composites_for, read_labels, settings_for, survey_labelled, wrong_backbone
from .training_report import TrainingResult, write_training_report
from .unused_choices import warn_of_unused

RESULTS = ("overall_accuracy", "overall_accuracy_low", "overall_accuracy_high", "average_accuracy", "kappa")

CHANCE = (
    "Held-out polygons are classified no better than by chance (kappa); check the class field, and that the polygons "
    "lie where they should. Or there are too few of them, or the scene does not show these classes."
)


def train_film(job: TrainFilm, progress: Progress, token: str) -> dict[str, Any]:
    """Train, validate by polygon, and write the model and its report."""
    method = find_method(job.method)
    with ExitStack() as stack:
        scene = stack.enter_context(Scene.open(job.scene, job.scene_crs))
        inputs = [*scene.files, job.polygons, job.features, *report_files(job.analysis), *files_of(job.backbone)]
        outputs = stack.enter_context(Outputs(inputs, token))
        outputs.check(job.model, *report_files(job.report))
        _warn_of_unused(job, method, progress)
        # Published methods count every pixel alike.
        classes, labels, parts = read_labels(job, scene, progress, measure_cover=method.ensemble)
        survey = survey_labelled(job, scene, labels, progress)
        source: FeatureSource | None = None
        with progress.stage(0.06, 0.4 if job.analyse else 0.08):
            if method.uses_features and job.features:
                source = _given_features(job, method, scene, survey, progress)
            elif method.uses_features:
                source = _computed_features(job, method, scene, survey, labels, classes, progress)
        with progress.stage(0.4 if job.analyse else 0.08, 0.6):
            data = prepare(
                method, scene, survey, labels, classes, source, job.seed, progress, validate=job.validate
            )
        _tell_of_borders(data.labels, progress)
        with progress.stage(0.6, 0.92, f"Training {method.title} on {len(data.labels)} pixels."):
            trained = train(method, data, job.validate, job.seed, progress)
        if trained.accuracy and trained.accuracy.is_chance:
            progress.warning(CHANCE)
        model = Model(
            method=method,
            classes=data.classes,
            wavelengths=band_wavelengths(survey.bands),
            band_numbers=tuple(b.number for b in survey.bands),
            usual=tuple(b.usual for b in survey.bands),
            spectral=data.spectral,
            spatial=data.spatial,
            network=trained.network,
            temperature=trained.temperature,
            features=source.settings if source else None,
            channels=data.channels,
            smoothing=trained.smoothing,
            scores=trained.scores,
        )
        model.save(outputs.reserve(job.model))
        if job.report:
            with progress.stage(0.92, 0.95, "Measuring a learning curve with a quick stand-in for the model."):
                learning = measure_learning_curve(method, data, trained.folds, job.seed, progress)
            progress.info(learning.advice)
            if trained.doubtful:
                progress.info(
                    f"{len(trained.doubtful)} polygon(s) are taken for another class by models that have not seen "
                    "them; the report names those to look at."
                )
            with progress.stage(0.95, 1.0, "Writing the report."):
                result = TrainingResult(job, model, labels, parts, data, trained, learning)
                write_training_report(result, scene, survey, outputs, progress)
    accuracy = trained.accuracy
    if accuracy is None:
        return dict.fromkeys(RESULTS)
    progress.info(
        f"Cross-validated by polygon, with 95 % intervals: overall accuracy {accuracy.overall}, average accuracy "
        f"{accuracy.average}, kappa {accuracy.kappa}."
    )
    overall = accuracy.overall
    values = (overall.value, overall.low, overall.high, accuracy.average.value, accuracy.kappa.value)
    return dict(zip(RESULTS, map(known, values), strict=True))


def _tell_of_borders(labels: Labels, progress: Progress) -> None:
    """Say how many pixels are not taken for their class alone, see `Samples.shown`."""
    if labels.cover is None:
        return
    shares, trust = labels.cover.shown(labels.class_ids - 1, int(labels.class_ids.max()))
    mixed, partly = int((shares.max(1) < 1).sum()), int((trust < 0.999).sum())
    if mixed:
        progress.info(
            f"{mixed} of {len(labels)} pixels lie in polygons of several classes and are trained as mixtures of these."
        )
    if partly:
        progress.info(
            f"{partly} of {len(labels)} pixels show in part what no polygon tells of them, or mostly other classes; "
            "they count less."
        )


def _warn_of_unused(job: TrainFilm, method: Method, progress: Progress) -> None:
    """Say which choices another one overrules."""
    of_features = {
        "backbone": job.backbone, "composites": job.composites, "decoder layers": job.layers,
        "timesteps": job.timesteps, "analysis": job.analysis or job.analyse,
    }  # fmt: skip
    if not method.uses_features:
        unused, reason = {"features": job.features, **of_features}, f"{method.title} sees no spatial features"
    elif job.features:
        unused, reason = of_features, f"the features raster {job.features} is given"
    else:
        chosen = job.layers or job.timesteps
        unused, reason = {"analysis": chosen and of_features["analysis"]}, "decoder layers or timesteps are given"
    warn_of_unused(unused, reason, progress)


def _given_features(
    job: TrainFilm, method: Method, scene: Scene, survey: Survey, progress: Progress
) -> RasterFeatures:
    given = RasterFeatures(job.features, scene, survey.bands)
    if method.of_scene and not given.settings.of_spectral_backbone:
        raise wrong_backbone(method, given.settings.backbone)
    layers, timesteps = given.settings.layers, given.settings.timesteps
    progress.info(
        f"Features of {job.features}: decoder layers {list(layers)}, timesteps {list(timesteps)}, backbone "
        f"{given.settings.backbone}."
    )
    if method is METHODS["diffcrn"] and len(timesteps) < 2:
        progress.warning(
            f"{method.title} fuses features of several timesteps and stages, and the raster has decoder layers "
            f"{list(layers)} at one timestep only; leave 'Features' empty, or extract layers 0,1,2,3 at the "
            "timesteps that 'Pretrain on scene' named."
        )
    return given


def _computed_features(
    job: TrainFilm, method: Method, scene: Scene, survey: Survey, labels: Labels, classes: list[LandCoverClass],
    progress: Progress,
) -> ComputedFeatures:  # fmt: skip
    advice = read_recommendation(job.analysis) if job.analysis else None
    backbone = Backbone.load(job.backbone, choose_device(job.device, progress))
    if advice and advice.backbone_sha256 != backbone.sha256:
        raise EngineError(
            f"The analysis {job.analysis} was made with the backbone {advice.backbone}, training is to use "
            f"{backbone.name}; choose the same backbone for both."
        )
    kind = job.composites or (advice.composites if advice and backbone.composites is None else "")
    composites = composites_for(kind, method, survey, backbone, progress)
    if advice and composites.kind != advice.composites:
        progress.warning(
            f"The analysis {job.analysis} was made with other composites ({advice.composites}) than these "
            f"({composites.kind}); its recommendation may not hold."
        )
    layers, timesteps = job.layers, job.timesteps
    if advice and not layers and not timesteps:
        layers, timesteps = advice.layers, advice.timesteps
    settings = settings_for(method, backbone, composites, layers, timesteps, job.seed)
    source = ComputedFeatures(SceneImages(scene, survey.bands, composites), backbone, settings)
    if job.analyse and not layers and not timesteps:
        progress.info("Analysing decoder layers and timesteps.")
        _, _, analysis = analyse_labels(
            scene, survey, source, labels, classes, *whole_grid(backbone), job.seed, Quiet(progress)
        )
        source = source.changed(layers=analysis.recommended.layers, timesteps=analysis.recommended.timesteps)
    progress.info(
        f"Features of {composites.count} composite(s) ({composites.kind}), decoder layers "
        f"{list(source.settings.layers)}, timesteps {list(source.settings.timesteps)}, backbone {backbone.name}."
    )
    return source
