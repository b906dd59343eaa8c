"""Unusable bands are dropped and named; scenes without usable data are refused in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from synthetic import BANDS, HEIGHT, WIDTH, make_spectra, write_scene

from spectrafilm.engine import survey as survey_module
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.projection import fit_standard
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.survey import _sample, survey_scene


def survey_of(path):
    with Scene.open(str(path)) as scene:
        return survey_scene(scene)


def test_bad_empty_and_constant_bands_are_dropped_by_name(tmp_path, progress):
    spectra = make_spectra()
    spectra[4] = np.nan
    spectra[7] = -1.0
    spectra[9] = 0.25
    path = write_scene(tmp_path / "s.tif", spectra)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(2, bbl="0")
    survey = survey_of(path)
    dropped = {reason: [b.number for b in bands] for reason, bands in survey.dropped.items()}
    assert dropped == {"bad": [2], "empty": [5, 8], "constant": [10]}
    assert len(survey.bands) == BANDS - 4
    survey.log(progress)
    assert any("2 empty band(s) left out: 5 (546 nm), 8 (617 nm)" in m for m in progress.messages)


def test_bands_that_vary_only_where_others_have_no_data_are_constant(tmp_path):
    spectra = make_spectra()
    spectra[5, :, 2:] = 0.1
    spectra[0, :, :2] = -1
    spectra[5, 40:] = np.nan
    path = write_scene(tmp_path / "s.tif", spectra)
    with Scene.open(str(path)) as scene:
        survey = survey_scene(scene)
    assert [b.number for b in survey.dropped["constant"]] == [6]
    assert len(survey.bands) == BANDS - 1
    # What the dropped band alone lacks is valid.
    assert survey.valid_share == pytest.approx(0.98)


def test_the_sample_holds_valid_pixels_only(tmp_path):
    spectra = make_spectra()
    spectra[:, :40] = -1.0
    spectra[3, 50, 50] = np.inf
    survey = survey_of(write_scene(tmp_path / "s.tif", spectra))
    assert len(survey.pixels) == 40 * WIDTH - 1
    assert all(np.isfinite(values).all() for values in (survey.pixels, survey.noise, survey.change))
    assert survey.valid_share == pytest.approx((40 * WIDTH - 1) / (HEIGHT * WIDTH))


def test_a_band_that_spoils_many_pixels_is_pointed_out(tmp_path, progress):
    spectra = make_spectra()
    spectra[6, :, :40] = np.nan
    spectra[8:10, :, 90:] = np.nan
    survey = survey_of(write_scene(tmp_path / "s.tif", spectra))
    survey.log(progress)
    assert [b.number for b in survey.blocking] == [7]
    # Of 90 columns that are valid in every other band.
    assert "Band 7 (593 nm) alone has no data in 44%" in progress.warnings[0]


def test_bands_that_miss_the_same_pixels_are_not_blamed_alone(tmp_path):
    spectra = make_spectra()
    spectra[6:8, :, :40] = np.nan
    assert not survey_of(write_scene(tmp_path / "s.tif", spectra)).blocking


@pytest.mark.parametrize("offset", [0, -0.1])
@pytest.mark.parametrize("fill", [0, -9999])
def test_one_value_in_all_bands_is_pointed_out_as_it_is_stored(tmp_path, progress, fill, offset):
    stored = (10_000 * make_spectra()).astype(np.int16)
    stored[:, :20] = fill
    stored[:, 20, :5] = 7
    path = write_scene(tmp_path / "s.tif", stored, nodata=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = [1e-4] * dataset.count, [offset] * dataset.count
    with Scene.open(str(path)) as scene:
        survey_scene(scene).log(progress)
    assert progress.warnings == [
        f"About 25% of the pixels are {fill} in every band and count as data; if they hold none, set {fill} as the "
        "file's nodata value (in QGIS: Raster > Conversion > Translate)."
    ]


def test_bands_without_a_wavelength_among_others_are_pointed_out(tmp_path, progress):
    """As where heights are stacked upon a scene; then bands of other scenes cannot be matched by wavelength."""
    path = write_scene(tmp_path / "s.tif", make_spectra())
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(24, wavelength="", wavelength_units="")
    with Scene.open(str(path)) as scene:
        survey_scene(scene).log(progress)
    assert "1 of them without a wavelength (band 24), so bands of other scenes are matched by" in progress.messages[0]


def test_zeros_in_one_band_and_a_few_grey_pixels_are_data(tmp_path, progress):
    spectra = make_spectra()
    spectra[0, :20] = 0.0
    spectra[:, 30, :5] = 0.5
    survey_of(write_scene(tmp_path / "s.tif", spectra)).log(progress)
    assert not progress.warnings


def test_a_large_scene_is_sampled_all_over_by_seed(tmp_path, monkeypatch):
    blocks = np.arange(1, 17, dtype=np.float32).reshape(4, 4).repeat(64, 0).repeat(64, 1)
    path = write_scene(tmp_path / "s.tif", np.stack([blocks, 2 * blocks, 3 * blocks]), wavelengths=None)
    monkeypatch.setattr(survey_module, "ENOUGH_PIXELS", 5000)
    with Scene.open(str(path)) as scene:
        seen = [set(survey_scene(scene, seed).pixels[:, 0].tolist()) for seed in range(4)]
    assert [len(s) for s in seen] == [2] * 4
    assert len(set.union(*seen)) > 4


def test_a_sparsely_filled_scene_is_read_until_there_is_data(tmp_path):
    spectra = np.full((3, 1024, 1024), -1.0, np.float32)
    spectra[:, 1000:, 1000:] = np.random.default_rng(0).random((3, 24, 24), np.float32)
    survey = survey_of(write_scene(tmp_path / "s.tif", spectra, wavelengths=None))
    assert len(survey.pixels) == 24 * 24


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda s: s[:2], "has 2 band\\(s\\); at least three"),
        (lambda s: np.full_like(s, -1.0), "no valid pixel"),
        (lambda s: np.full_like(s, np.nan), "no valid pixel"),
        (lambda s: np.full_like(s, 0.5), "same value in every pixel"),
        (lambda s: np.concatenate([s[:2], np.full_like(s[2:], 0.5)]), "Only 2 band"),
    ],
)
def test_unusable_scenes_are_one_sentence(tmp_path, spoil, sentence):
    path = write_scene(tmp_path / "s.tif", spoil(make_spectra()), wavelengths=None)
    with pytest.raises(EngineError, match=sentence):
        survey_of(path)


def test_bands_that_are_never_valid_together_name_the_worst(tmp_path):
    spectra = make_spectra()
    spectra[0, :30] = np.nan
    spectra[1, 30:] = np.nan
    with pytest.raises(EngineError, match="band 2 .* has the most gaps"):
        survey_of(write_scene(tmp_path / "s.tif", spectra))


def test_pixels_without_data_take_no_memory(tmp_path):
    spectra = np.full((3, HEIGHT, WIDTH), -1.0, np.float32)
    spectra[:, :2] = np.random.default_rng(0).random((3, 2, WIDTH))
    with Scene.open(str(write_scene(tmp_path / "s.tif", spectra))) as scene:
        sample, *_, seen = _sample(scene, list(scene.bands), 0)
    assert sample.shape == (2 * WIDTH, 3)
    assert seen == HEIGHT * WIDTH


def test_noise_is_looked_for_along_rows_and_columns(tmp_path):
    rows = np.random.default_rng(0).normal(5, 1, (6, HEIGHT, 1)).repeat(WIDTH, 2).astype(np.float32)
    survey = survey_of(write_scene(tmp_path / "s.tif", rows, wavelengths=None))
    assert (np.diag(survey.noise) > 0.3).all()


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("factor", [2, 3, 6])
def test_pixels_that_were_repeated_beside_finer_bands_are_as_noisy_as_they_were(tmp_path, factor, first):
    """As bands of 20 and 60 m beside those of 10 m. Our pairs may all lie within pixels of 20 m."""
    rng = np.random.default_rng(0)
    fine = rng.normal(20, 1, (3, 192, 192))
    coarse = rng.normal(20, 1, (3, 100, 100)).repeat(factor, 1).repeat(factor, 2)
    spectra = np.concatenate([fine, coarse[:, first : first + 192, first : first + 192]]).astype(np.float32)
    noise = survey_of(write_scene(tmp_path / "s.tif", spectra, wavelengths=None)).noise
    np.testing.assert_allclose(np.diag(noise), 1, rtol=0.15)
    assert np.abs(noise - np.diag(np.diag(noise))).max() < 0.15


def test_coarse_numbers_and_bands_that_hardly_change_are_not_taken_for_repeated_pixels(tmp_path):
    rng = np.random.default_rng(0)
    spectra = rng.normal(20, 1, (4, HEIGHT, WIDTH)).astype(np.float32)
    spectra[1] = np.round(spectra[1])
    # Its only two changes lie eight pixels apart.
    spectra[2], spectra[2, 10, 8:16] = 20, 21
    plain = survey_of(write_scene(tmp_path / "s.tif", spectra, wavelengths=None)).noise
    np.testing.assert_allclose(np.diag(plain)[[0, 1, 3]], [1, 1 + 1 / 12, 1], rtol=0.15)
    assert plain[2, 2] < 0.01


# Without any, fields of 5 pixels would be taken for pixels that were repeated.
@pytest.mark.parametrize("noise", [0.02, 0.5])
def test_autocorrelation_is_of_the_ground_and_not_of_the_noise(tmp_path, noise):
    """Fields of 16 pixels are alike across two pixels, mixed pixels without objects are not; noise changes neither."""
    rng = np.random.default_rng(0)
    fields = np.repeat(np.repeat(rng.normal(0, 1, (6, 8, 8)), 16, 1), 16, 2)
    # Of neighbours a fifth lies in two fields of 5 pixels, of pixels two apart two fifths.
    small = np.repeat(np.repeat(rng.normal(0, 1, (6, 26, 26)), 5, 1), 5, 2)
    # Neighbours share half of what they show; of that nothing is left two pixels away.
    mixed = rng.normal(0, 1, (6, 129, 129))
    mixed = (mixed[:, 1:, 1:] + mixed[:, :-1, 1:] + mixed[:, 1:, :-1] + mixed[:, :-1, :-1]) / 2

    def autocorrelation(ground):
        spectra = (20 + ground + noise * rng.normal(0, 1, ground.shape)).astype(np.float32)
        survey = survey_of(write_scene(tmp_path / "s.tif", spectra, wavelengths=None))
        return survey.autocorrelation(fit_standard(survey.pixels))

    assert autocorrelation(fields) > 0.85
    assert autocorrelation(small) == pytest.approx(1 - 0.2 / 0.8, abs=0.05)
    assert autocorrelation(mixed) < 0.15
