"""A model keeps what it was made with, and says where a scene does not fit it."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import torch
from synthetic import BANDS, WAVELENGTHS, make_spectra, write_scene

from spectrafilm.engine.calibration import mixture
from spectrafilm.engine.ensemble import FilmEnsemble
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.methods import METHODS
from spectrafilm.engine.model import Model
from spectrafilm.engine.polygons import make_classes
from spectrafilm.engine.projection import Projection
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.smoothing import Smoothing
from spectrafilm.engine.survey import survey_scene
from spectrafilm.engine.tasks.model_on_scene import compare_values, model_bands


def small_model(scene_path, **changes):
    """A spectral model of two classes that was not trained."""
    with Scene.open(str(scene_path)) as scene:
        survey = survey_scene(scene)
    projection = Projection(survey.pixels.mean(0), np.eye(BANDS, dtype=np.float32))
    torch.manual_seed(0)
    network = FilmEnsemble(2, BANDS, 0, 0, 2).eval()
    network.join_kernel(network.empty_kernel(3))
    options = {"wavelengths": (), "spatial": None, **changes}
    return Model(METHODS["spectral"], make_classes(["a", "b"]), band_numbers=tuple(range(1, BANDS + 1)),
                 spectral=projection, network=network, **options)  # fmt: skip


def test_a_model_keeps_its_temperature_and_its_smoothing(scene_path, tmp_path):
    model = small_model(scene_path, temperature=2.5, smoothing=Smoothing((0.4,), 0.7))
    model.save(tmp_path / "m.safetensors")
    again = Model.load(str(tmp_path / "m.safetensors"))
    assert (again.temperature, again.smoothing) == (2.5, Smoothing((0.4,), 0.7))
    logits = np.random.default_rng(0).normal(0, 3, (2, 5, 2))
    np.testing.assert_allclose(again.classification(logits).probabilities, mixture(logits, 2.5))


def warnings_about_values(model, path, progress):
    with Scene.open(str(path)) as scene:
        compare_values(model, scene, list(scene.bands), progress)
    return progress.warnings


@pytest.mark.parametrize(("scale", "warned"), [(1e-4, True), (1.0, False), (1e4, True)])
def test_values_on_another_scale_are_pointed_out_either_way(scene_path, tmp_path, progress, scale, warned):
    path = write_scene(tmp_path / "s.tif", make_spectra() * np.float32(scale))
    warnings = warnings_about_values(small_model(scene_path), path, progress)
    assert [f"about {scale:.3g} times" in warning for warning in warnings] == [True] * warned


def test_values_are_compared_where_all_bands_have_data(scene_path, tmp_path, progress):
    spectra = make_spectra() * np.float32(1e4)
    spectra[0, :2] = np.nan
    spectra[1:, 2:4] = np.nan
    path = write_scene(tmp_path / "s.tif", spectra)
    assert "times those of the scene the model" in warnings_about_values(small_model(scene_path), path, progress)[0]


def test_a_bad_band_is_not_taken_for_one_of_the_model(scene_path, tmp_path, progress):
    model = small_model(scene_path, wavelengths=tuple(WAVELENGTHS))
    path = write_scene(tmp_path / "s.tif", make_spectra())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(3, bbl="0")
    with Scene.open(str(path)) as scene, pytest.raises(EngineError, match=r"no band for 1 of the 24 .* \(498 nm\)"):
        model_bands(model, scene, progress)


def test_a_band_that_leaves_pixels_without_a_class_is_named(scene_path, tmp_path, progress):
    spectra = make_spectra()
    spectra[6, :, :40] = np.nan
    path = write_scene(tmp_path / "s.tif", spectra)
    assert warnings_about_values(small_model(scene_path), path, progress) == [
        "Band 7 (593 nm) alone has no data in 40% of the pixels that are valid in every other band; those pixels "
        "cannot be classified."
    ]


def test_undeclared_fill_values_of_a_scene_to_be_mapped_are_pointed_out(scene_path, tmp_path, progress):
    spectra = make_spectra()
    spectra[:, :20] = -9999.0
    path = write_scene(tmp_path / "s.tif", spectra, nodata=None)
    warnings = warnings_about_values(small_model(scene_path), path, progress)
    # The scale is that of the other pixels.
    assert [warning[:45] for warning in warnings] == ["About 25% of the pixels are -9999 in every ba"]
