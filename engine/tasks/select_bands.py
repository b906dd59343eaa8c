"""selectbands: a three-band pseudo-RGB raster of a scene."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..composites import make_composites
from ..errors import EngineError
from ..feature_settings import COMPOSITES_TAG, SCENE_TAG
from ..jobs import SelectBands
from ..outputs import Outputs
from ..pieces import stream_spectra
from ..progress import Progress
from ..scene import Scene
from ..survey import survey_scene


def select_bands(job: SelectBands, progress: Progress, token: str) -> dict[str, Any]:
    """Write bytes 1..255, 0 where the scene is not valid, and as tags the recipe and which scene it was."""
    with Scene.open(job.scene, job.scene_crs) as scene, Outputs(scene.files, token) as outputs:
        outputs.check(job.output)
        with progress.stage(0.0, 0.2, f"Surveying {job.scene}."):
            survey = survey_scene(scene)
        survey.log(progress)
        composites = make_composites(
            job.composite, survey, job.bands, (job.stretch_low, job.stretch_high)
        )
        if composites.count > 1:
            raise EngineError(
                f"'{job.composite}' are {composites.count} images, and a pseudo-RGB is one; choose one of "
                "'true colour', 'colour infrared', 'band numbers', 'most informative bands' and 'one "
                "principal-component triplet'."
            )
        shown = [np.flatnonzero(weights) for weights in composites.weights[0]]
        labels = [
            survey.bands[int(bands[0])].label if len(bands) == 1 else f"principal component {channel}"
            for channel, bands in enumerate(shown, 1)
        ]
        progress.info("Red, green and blue show " + ", ".join(labels) + ".")
        with (
            progress.stage(0.2, 1.0),
            outputs.raster(job.output, scene, 3, "uint8", 0, photometric="RGB", interleave="pixel") as dataset,
        ):
            dataset.update_tags(**{COMPOSITES_TAG: composites.to_json(), SCENE_TAG: scene.digest()})
            for channel, label in enumerate(labels, 1):
                dataset.set_band_description(channel, label)
            for window, spectra, valid, _ in stream_spectra(scene, survey.bands, progress):
                image = composites.apply(spectra)[0]
                # 0 is no data, so the range of the stretch becomes 1..255.
                values = np.rint((image + 1) / 2 * 254 + 1)
                dataset.write(np.where(valid, values, 0).astype(np.uint8), window=window)
    return {"bands": labels}
