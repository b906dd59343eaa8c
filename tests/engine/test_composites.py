"""Composites are linear, travel as text, and follow wavelengths to other scenes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from synthetic import HEIGHT, WIDTH, make_spectra, write_scene

from spectrafilm.engine.components import noise_adjusted_components, principal_components
from spectrafilm.engine.composites import (
    KINDS,
    Composites,
    band_averages,
    image_itself,
    make_composites,
    published_composite,
)
from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.jobs import SelectBands
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Band, Scene
from spectrafilm.engine.survey import survey_scene


@pytest.fixture(scope="module")
def survey(scene_path):
    with Scene.open(str(scene_path)) as scene:
        return survey_scene(scene)


def chosen_wavelengths(composites):
    return [composites.wavelengths[int(np.flatnonzero(w)[0])] for w in composites.weights[0]]


def test_true_colour_takes_the_nearest_bands(survey):
    chosen = chosen_wavelengths(make_composites("true colour", survey))
    assert chosen == pytest.approx([655, 555, 475], abs=12)


@pytest.mark.parametrize("backwards", [False, True])
def test_true_colour_of_a_stack_of_dates_is_of_one_date(tmp_path, backwards):
    """As of Sentinel-2A and 2B, whose bands differ by less than a nanometre."""
    first, second = [492.4, 559.8, 664.6, 832.8], [492.1, 559.0, 664.9, 832.9]
    wavelengths = (first[::-1] + second[::-1]) if backwards else first + second
    path = write_scene(tmp_path / "dates.tif", make_spectra()[:8], wavelengths=wavelengths)
    with Scene.open(str(path)) as scene:
        composites = make_composites("true colour", survey_scene(scene))
    assert chosen_wavelengths(composites) == pytest.approx([664.6, 559.8, 492.4])


def test_in_a_stack_of_dates_composites_keep_the_bands_they_were_made_of(tmp_path):
    path = write_scene(tmp_path / "s.tif", make_spectra(), wavelengths=np.tile(np.linspace(450, 1000, 12), 2))
    with Scene.open(str(path)) as scene:
        survey = survey_scene(scene)
    composites = make_composites("band numbers", survey, [20, 18, 14])
    np.testing.assert_array_equal(composites.on(survey.bands).weights, composites.weights)


def test_band_numbers_are_taken_as_given(survey):
    composites = make_composites("band numbers", survey, [20, 10, 1])
    assert [composites.numbers[int(np.flatnonzero(w)[0])] for w in composites.weights[0]] == [20, 10, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_images_span_the_stretch_and_stay_in_range(survey, kind):
    composites = make_composites(kind, survey)
    images = composites.apply(make_spectra())
    assert images.shape == (composites.count, 3, HEIGHT, WIDTH)
    assert composites.channels == 3 * composites.count
    assert images.dtype == np.float32
    assert images.min() == -1.0
    assert images.max() == 1.0
    clipped = (np.abs(images) == 1).mean((2, 3))
    np.testing.assert_allclose(clipped, 0.04, atol=0.005)


def test_principal_components_are_uncorrelated_and_ordered_by_variance(survey):
    composites = make_composites("principal components", survey)
    assert composites.count == 3
    sums = composites.weights.reshape(9, -1) @ survey.pixels.T
    largest = np.linalg.eigvalsh(np.cov(survey.pixels, rowvar=False))[::-1][:9]
    np.testing.assert_allclose(sums.var(1, ddof=1), largest, rtol=1e-3)
    off_diagonal = np.corrcoef(sums) - np.eye(9)
    assert np.abs(off_diagonal).max() < 1e-2


def test_the_sign_of_components_does_not_hang_on_the_solver(survey):
    for weights in make_composites("principal components", survey).weights.reshape(9, -1):
        assert weights[np.abs(weights).argmax()] > 0
    for make in (principal_components, noise_adjusted_components):
        axes = make(survey.pixels, survey.noise, 9).axes
        assert (axes[np.arange(len(axes)), np.abs(axes).argmax(1)] > 0).all()


def test_triplets_of_nothing_but_noise_are_left_out(survey, tmp_path):
    fields = np.stack([np.sign(np.sin(np.indices((HEIGHT, WIDTH))[axis] / length))
                       for axis, length in ((0, 20), (1, 20), (0, 7), (1, 7))])  # fmt: skip
    rng = np.random.default_rng(0)
    mixed = np.tensordot(rng.normal(size=(24, 4)), fields, 1)
    counts = []
    for noise in (0.01, 2.0, 50.0):
        spectra = 100 + mixed + noise * rng.standard_normal(mixed.shape)
        with Scene.open(str(write_scene(tmp_path / f"{noise}.tif", spectra.astype(np.float32)))) as scene:
            counts.append(make_composites("noise-adjusted components", survey_scene(scene)).count)
    assert counts == [2, 2, 1]
    clean = replace(survey, noise=np.zeros_like(survey.noise))
    assert make_composites("noise-adjusted components", clean).count == 3


@pytest.mark.parametrize("kind", ["principal components", "noise-adjusted components"])
def test_three_equal_bands_still_give_an_image(tmp_path, kind):
    grey = np.repeat(make_spectra()[:1], 3, 0)
    with Scene.open(str(write_scene(tmp_path / "s.tif", grey, wavelengths=None))) as scene:
        images = make_composites(kind, survey_scene(scene)).apply(grey)
    assert images.shape == (1, 3, HEIGHT, WIDTH)
    assert np.isfinite(images).all()


def test_four_bands_still_give_triplets(tmp_path):
    with Scene.open(str(write_scene(tmp_path / "s.tif", make_spectra()[:4]))) as scene:
        assert make_composites("principal components", survey_scene(scene)).count == 2


def test_the_most_informative_bands_differ_from_each_other(survey):
    composites = make_composites("most informative bands", survey)
    bands = [int(np.flatnonzero(w)[0]) for w in composites.weights[0]]
    covariance = np.cov(survey.pixels, rowvar=False) - survey.noise
    best = np.linalg.det(covariance[np.ix_(bands, bands)])
    rng = np.random.default_rng(0)
    rivals = [rng.choice(24, 3, replace=False) for _ in range(300)]
    assert all(np.linalg.det(covariance[np.ix_(r, r)]) <= best * (1 + 1e-9) for r in rivals)
    assert bands == sorted(bands, reverse=True)


def test_bands_of_noise_are_not_the_most_informative(tmp_path):
    """As bands in which water takes all light often are."""
    spectra = make_spectra()
    noisy = [3, 11]
    spread = 3 * spectra.reshape(len(spectra), -1).std(1).max()
    spectra[noisy] += np.random.default_rng(0).normal(0, spread, spectra[noisy].shape).astype(spectra.dtype)
    with Scene.open(str(write_scene(tmp_path / "s.tif", spectra))) as scene:
        composites = make_composites("most informative bands", survey_scene(scene))
    assert not set(composites.used) & set(noisy)


@pytest.mark.parametrize(("noise", "bands"), [
    ((0, 0, 0, 2, 0), [0, 1, 2]), ((2, 0, 0, 0, 0), [1, 2, 3]), ((4, 0, 0, 0, 4), [1, 2, 3]),
])  # fmt: skip
def test_noise_is_no_information(survey, noise, bands):
    """Of five bands of one variance, but for the third and the last, which vary less."""
    pixels = np.random.default_rng(0).normal(0, (2, 2, 1.8, 2, 1.5), (5000, 5))
    few = replace(survey, bands=survey.bands[:5], pixels=pixels, noise=np.diag(noise))
    assert make_composites("most informative bands", few).used == bands


def test_where_hardly_a_band_shows_more_than_noise_three_are_taken_nevertheless(survey):
    noise = np.diag(np.where(np.arange(24) < 2, 0, survey.pixels.var(0)))
    assert len(make_composites("most informative bands", replace(survey, noise=noise)).used) == 3


def test_the_published_composite_shares_one_range_and_gamma(survey):
    composites = published_composite(survey)
    assert composites.gamma == 0.4
    assert len(np.unique(composites.low)) == len(np.unique(composites.high)) == 1
    spectra = make_spectra()
    sums = np.tensordot(composites.weights[0], spectra, 1)
    shown = survey.pixels[:, composites.used]
    unit = ((sums - shown.min()) / (shown.max() - shown.min())).clip(0, 1)
    np.testing.assert_allclose(composites.apply(spectra)[0], 2 * unit**0.4 - 1, atol=1e-5)


def test_text_and_back_gives_the_same_images(survey):
    composites = make_composites("principal components", survey)
    again = Composites.from_json(composites.to_json())
    assert (again.kind, again.numbers) == (composites.kind, composites.numbers)
    np.testing.assert_allclose(again.apply(make_spectra()), composites.apply(make_spectra()), atol=2e-6)


def test_bands_in_another_order_are_found_by_wavelength(survey, tmp_path):
    composites = Composites.from_json(make_composites("true colour", survey).to_json())
    reverse = write_scene(tmp_path / "s.tif", make_spectra()[::-1].copy(), wavelengths=np.linspace(1000, 450, 24))
    with Scene.open(str(reverse)) as scene:
        other = composites.on(scene.bands)
        spectra, _ = scene.read(Window(0, 0, WIDTH, HEIGHT), scene.bands)
    expected = make_composites("true colour", survey).apply(make_spectra())
    np.testing.assert_allclose(other.apply(spectra), expected, atol=1e-6)


def test_bands_are_found_by_wavelength_beside_one_that_has_none(survey):
    """As a backbone that was pretrained on a scene finds them where heights are stacked upon it."""
    composites = make_composites("true colour", survey)
    turned = [replace(band, number=len(survey.bands) + 1 - band.number) for band in survey.bands]
    heights = Band(99, None, True, 1.0, 0.0, None)
    np.testing.assert_array_equal(composites.on([heights, *turned]).weights[..., 1:], composites.weights)
    with pytest.raises(EngineError, match="no band for 1 of the 3 wavelengths"):
        composites.on([heights, *turned[:8]])


def test_where_no_wavelength_is_known_bands_are_found_by_number(survey):
    composites = make_composites("band numbers", survey, [20, 10, 1])
    unknown = [replace(band, wavelength=None) for band in survey.bands]
    np.testing.assert_array_equal(composites.on(unknown[::-1]).weights[..., ::-1], composites.weights)
    with pytest.raises(EngineError, match="The bands 1, 20 are needed"):
        composites.on(unknown[1:19])


@pytest.mark.parametrize("stretch", [(50, 50), (-1, 98), (2, 100.5)])
def test_a_stretch_is_a_range_of_percentiles(survey, stretch):
    with pytest.raises(EngineError, match="per cent is empty"):
        make_composites("true colour", survey, stretch=stretch)


@pytest.mark.parametrize(
    ("kind", "numbers", "sentence"),
    [
        ("band numbers", [1, 2], "Three band numbers are needed"),
        ("band numbers", [1, 2, 99], "Band 99 does not exist"),
        ("rainbow", [], "no composites called 'rainbow'"),
    ],
)
def test_impossible_wishes_are_one_sentence(survey, kind, numbers, sentence):
    with pytest.raises(EngineError, match=sentence):
        make_composites(kind, survey, numbers)


def test_true_colour_without_wavelengths_is_one_sentence(tmp_path):
    path = write_scene(tmp_path / "s.tif", make_spectra(), wavelengths=None)
    with Scene.open(str(path)) as scene, pytest.raises(EngineError, match="does not say the wavelengths"):
        make_composites("true colour", survey_scene(scene))


def test_true_colour_far_from_the_visible_is_refused(tmp_path):
    path = write_scene(tmp_path / "s.tif", make_spectra(), wavelengths=np.linspace(800, 1100, 24))
    with Scene.open(str(path)) as scene, pytest.raises(EngineError, match="has no band for 3 of the 3") as raised:
        make_composites("true colour", survey_scene(scene))
    assert "such as principal components" in str(raised.value) and "train a model" not in str(raised.value)


def test_without_wavelengths_the_published_composite_takes_the_most_informative_bands(tmp_path):
    write_scene(tmp_path / "s.tif", make_spectra(), wavelengths=None)
    with Scene.open(str(tmp_path / "s.tif")) as scene:
        ours = survey_scene(scene)
    composites, expected = published_composite(ours), make_composites("most informative bands", ours)
    assert np.array_equal(composites.weights, expected.weights)


@pytest.mark.parametrize("text", ["", "{}", '{"kind": 1}', "[1, 2]"])
def test_a_damaged_description_is_one_sentence(text):
    with pytest.raises(ValueError, match="."):
        Composites.from_json(text)


@pytest.mark.parametrize(("key", "value"), [
    ("numbers", [1, 2]), ("low", [[0, 0]]), ("wavelengths", [500.0]), ("gamma", 0), ("low", [[0, 0, float("nan")]]),
    ("weights", []), ("numbers", [1, 2, -3]), ("numbers", 3),
])
def test_a_description_whose_parts_disagree_is_damaged(survey, key, value):
    description = json.loads(make_composites("true colour", survey).to_json())
    with pytest.raises(ValueError, match="composites"):
        Composites.from_json(json.dumps({**description, key: value}))


def test_a_spectral_backbone_sees_all_bands_in_averages_of_neighbours(survey):
    averages = band_averages(survey, 8).weights
    np.testing.assert_allclose(averages, np.repeat(np.eye(8), 3, axis=1)[None] / 3, rtol=1e-6)
    few = replace(survey, bands=survey.bands[:12], pixels=survey.pixels[:, :12])
    weights = band_averages(few, 32).weights[0]
    assert weights.shape == (16, 12), "a multiple of 8"
    assert (weights.sum(1) == 1).all() and (weights.max(1) == 1).all(), "one band each"
    assert (np.diff(weights.argmax(1)) >= 0).all() and (weights.sum(0) >= 1).all(), "all of them, in their order"
    assert band_averages(survey, 24).channels == band_averages(survey, 32).channels == 24


@pytest.mark.parametrize(
    ("count", "composite", "bands", "labels"),
    [(24, "band numbers", (3, 3, 1), ["3 (498 nm)", "3 (498 nm)", "1 (450 nm)"]),
     (3, "one principal-component triplet", (), [f"principal component {c}" for c in (1, 2, 3)])],
)  # fmt: skip
def test_channels_are_named_by_what_they_show(tmp_path, progress, count, composite, bands, labels):
    scene = write_scene(tmp_path / "s.tif", make_spectra()[:count])
    job = SelectBands(str(scene), str(tmp_path / "rgb.tif"), composite, bands)
    assert run_job(job, progress)["bands"] == labels


def test_several_images_are_no_pseudo_rgb(scene_path, tmp_path, progress):
    with pytest.raises(EngineError, match="a pseudo-RGB is one"):
        run_job(SelectBands(str(scene_path), str(tmp_path / "rgb.tif"), "principal components"), progress)
    assert not list(tmp_path.glob("rgb*"))


def test_a_pseudo_rgb_holds_rounded_bytes_of_the_stretch_and_0_without_data(tmp_path, progress):
    spectra = make_spectra()
    spectra[:, :10] = -1.0
    path = write_scene(tmp_path / "s.tif", spectra)
    run_job(SelectBands(str(path), str(tmp_path / "rgb.tif"), "band numbers", (20, 10, 1), 10.0, 80.0), progress)
    with Scene.open(str(path)) as scene:
        expected = make_composites("band numbers", survey_scene(scene), (20, 10, 1), (10.0, 80.0)).apply(spectra)[0]
    with rasterio.open(tmp_path / "rgb.tif") as dataset:
        found = dataset.read().astype(float)
        assert dataset.nodata == 0
    assert progress.positions == sorted(progress.positions) and progress.positions[-1] == 1
    assert not found[:, :10].any()
    assert np.abs(found - ((expected + 1) / 2 * 254 + 1))[:, 10:].max() < 0.501
    np.testing.assert_allclose(image_itself().apply(found)[0, :, 10:], expected[:, 10:], atol=0.501 / 127)
