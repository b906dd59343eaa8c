"""extractfeatures: a raster of spatial features."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from typing import Any

from ..backbone import Backbone
from ..backbone_files import files_of
from ..composites import Composites, image_itself, make_composites
from ..device import choose_device
from ..errors import EngineError, reason
from ..feature_settings import CHANNELS_TAG, COMPOSITES_TAG, SCENE_TAG, TAG, FeatureSettings
from ..feature_source import ComputedFeatures, patch_grid
from ..jobs import ExtractFeatures
from ..methods import DEFAULT
from ..outputs import HALF_NODATA, Outputs, write_masked
from ..patches import SceneImages
from ..progress import Progress
from ..scene import Band, Scene
from ..survey import survey_scene
from .training_inputs import composites_for, settings_for
from .unused_choices import warn_of_unused


def extract_features(job: ExtractFeatures, progress: Progress, token: str) -> dict[str, Any]:
    """Write one band a feature channel, as 16-bit floats, with the settings as a tag."""
    with ExitStack() as stack:
        scene = stack.enter_context(Scene.open(job.scene, job.scene_crs))
        outputs = stack.enter_context(Outputs([*scene.files, *files_of(job.backbone)], token))
        outputs.check(job.output)
        device = choose_device(job.device, progress)
        backbone = Backbone.load(job.backbone, device)
        with progress.stage(0.02, 0.05, f"Surveying {job.scene}."):
            bands, composites, recipe = _composites_of(scene, job, backbone, progress)
        settings = settings_for(DEFAULT, backbone, composites, job.layers, job.timesteps, job.seed)
        settings = replace(settings, composites=recipe, stride=job.stride or settings.stride)
        source = ComputedFeatures(SceneImages(scene, bands, composites), backbone, settings)
        grid = patch_grid(settings, scene)
        progress.info(
            f"{source.channels} channels of {composites.count} composite(s) ({composites.kind}), layers "
            f"{list(settings.layers)}, timesteps {list(settings.timesteps)}, {grid.rows * grid.columns} patches of "
            f"{grid.patch} pixels, stride {grid.stride}, backbone {backbone.name}."
        )
        with (
            progress.stage(0.05, 1.0),
            outputs.raster(
                job.output, scene, source.channels, "float32", HALF_NODATA, nbits=16, interleave="pixel"
            ) as dataset,
        ):
            dataset.update_tags(**{TAG: settings.to_json(), CHANNELS_TAG: source.channels})
            # Three bands that are taken as they are show a scene with other pixels.
            origin = scene.tag(SCENE_TAG) if scene.tag(COMPOSITES_TAG) else scene.digest()
            if recipe and origin:
                dataset.update_tags(**{SCENE_TAG: origin})
            _describe(dataset, backbone, settings, composites.count)
            for window, _, valid, features in source.stream(None, progress):
                write_masked(dataset, features, valid, window)
    return {"channels": source.channels}


def _composites_of(
    scene: Scene, job: ExtractFeatures, backbone: Backbone, progress: Progress
) -> tuple[tuple[Band, ...], Composites, str]:
    """Bands, composites and recipe: of a scene, or of a raster with three bands, which is taken as it is."""
    survey = survey_scene(scene, job.seed)
    if len(scene.bands) == 3 and backbone.composites is None:
        warn_of_unused({"composites": job.composites}, "a raster with three bands is taken as it is", progress)
        if recipe := scene.tag(COMPOSITES_TAG):
            _check_recipe(recipe, scene)
            return survey.bands, image_itself(), recipe
        progress.warning(
            f"{scene.path} does not say how its three bands were made; a model trained on these features will need a "
            "features raster for every scene it maps."
        )
        return survey.bands, make_composites("band numbers", survey, [1, 2, 3], (0.0, 100.0)), ""
    survey.log(progress)
    composites = composites_for(job.composites, DEFAULT, survey, backbone, progress)
    return survey.bands, composites, composites.to_json()


def _check_recipe(recipe: str, scene: Scene) -> None:
    """Raise EngineError unless a text says how the three bands of a scene were made."""
    try:
        shape = Composites.from_json(recipe).low.shape
        if shape != (1, 3):
            raise ValueError(f"composites of shape {shape}")
    except ValueError as error:
        raise EngineError(
            f"What {scene.path} says of how its bands were made is damaged ({reason(error)}); make it again with "
            "'Select bands'."
        ) from error


def _describe(dataset: Any, backbone: Backbone, settings: FeatureSettings, composites: int) -> None:
    of_layers = (
        f"composite {k + 1}, t={t}, layer {layer}, channel {c}"
        for k in range(composites)
        for t in settings.timesteps
        for layer in settings.layers
        for c in range(backbone.layers[layer].channels)
    )
    means = (
        f"composite {k + 1}, channel {c}, mean of {size} x {size} pixels"
        for size in settings.neighbourhoods
        for k in range(composites)
        for c in range(backbone.channels)
    )
    for index, name in enumerate(chain(of_layers, means), 1):
        dataset.set_band_description(index, name)
