"""A few values far beyond all others, as of saturated detectors, decide nothing; rare covers are none of them."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.windows import Window
from synthetic import BANDS, HEIGHT, WIDTH, make_spectra, square, write_polygons, write_scene
from training_job import training

from spectrafilm.engine.composites import make_composites
from spectrafilm.engine.jobs import PredictMap
from spectrafilm.engine.labels import Labels
from spectrafilm.engine.model import Model
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.projection import fit_spectral, fit_standard
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.survey import survey_scene

SATURATED = np.float32(65.535)


def spotted(share, bands=slice(None), seed=0):
    """The spectra, and which pixels (HEIGHT, WIDTH) are saturated in some bands."""
    spectra = make_spectra()
    spots = np.random.default_rng(seed).random((HEIGHT, WIDTH)) < share
    spectra[bands, spots] = SATURATED
    return spectra, spots


def survey_of(path, labels=None):
    with Scene.open(str(path)) as scene:
        return survey_scene(scene, labels=labels)


def labelled(places, class_ids):
    """Labels of single pixels (row, column)."""
    rows, columns = np.transpose(places)
    return Labels(rows, columns, np.array(class_ids), np.arange(len(rows)))


def read(path, bands):
    with Scene.open(str(path)) as scene:
        return scene.read(Window(0, 0, WIDTH, HEIGHT), bands)[0]


def gram(values):
    """How alike every two pixels are, whatever the axes are called."""
    return (values @ values.T).ravel()


def bordered(value):
    """The spectra, and which pixels hold one value in all bands."""
    spectra, border = make_spectra(), np.zeros((HEIGHT, WIDTH), bool)
    border[:, :20] = border[60:] = True
    spectra[:, border] = value
    return spectra, border


SPOILED = {
    "saturated pixels": spotted(0.003), "fill": bordered(-9999.0), "fill that might be a value": bordered(0.0),
}  # fmt: skip


@pytest.mark.parametrize("spoiled", SPOILED)
@pytest.mark.parametrize("fit", [fit_spectral, lambda pixels, _noise: fit_standard(pixels)])
def test_what_is_learned_of_a_scene_does_not_hang_on(tmp_path, spoiled, fit):
    spectra, where = SPOILED[spoiled]
    declared = np.where(where, np.float32(-1), spectra)
    expected, found = (
        gram(fit(survey.pixels, survey.noise).apply(spectra[:, ~where].T))
        for survey in (survey_of(write_scene(tmp_path / "s.tif", values)) for values in (declared, spectra))
    )
    assert np.corrcoef(expected, found)[0, 1] > 0.999


@pytest.mark.parametrize("spoiled", SPOILED)
def test_composites_show_the_same_beside(tmp_path, spoiled):
    spectra, where = SPOILED[spoiled]
    shown = []
    for values in (np.where(where, np.float32(-1), spectra), spectra):
        path = write_scene(tmp_path / "s.tif", values)
        survey = survey_of(path)
        images = make_composites("noise-adjusted components", survey).apply(read(path, survey.bands))
        shown.append(images[0, 0][~where])
    assert abs(np.corrcoef(shown)[0, 1]) > 0.99


def test_single_bands_of_a_pixel_are_drawn_in_to_what_they_usually_show(tmp_path, progress):
    spectra, spots = spotted(0.004, bands=7)
    spectra[7, 0, :10] = -5.0
    path = write_scene(tmp_path / "s.tif", spectra)
    survey = survey_of(path)
    found, usual = read(path, survey.bands), np.percentile(spectra[7], (1, 99))
    np.testing.assert_allclose(found[7][spots], usual[1], rtol=1e-5)
    np.testing.assert_allclose(found[7, 0, :10], usual[0], rtol=1e-5)
    others = np.delete(np.arange(BANDS), 7)
    np.testing.assert_array_equal(found[others], spectra[others])
    assert survey.outlying_share == pytest.approx((spots.sum() + 10) / spots.size)
    survey.log(progress)
    assert sum("of the pixels have values far beyond all others" in message for message in progress.messages) == 1


def test_usual_values_are_read_as_they_are(scene_path, progress):
    survey = survey_of(scene_path)
    np.testing.assert_array_equal(read(scene_path, survey.bands), make_spectra())
    survey.log(progress)
    assert survey.outlying_share == 0
    assert not any("far beyond" in message for message in progress.messages)


def test_a_band_of_one_value_nearly_everywhere_has_no_usual_range(tmp_path):
    spectra = make_spectra()
    spectra[3] = 0
    spectra[3, 20:24, 20:24] = 0.7
    path = write_scene(tmp_path / "s.tif", spectra)
    np.testing.assert_array_equal(read(path, survey_of(path).bands)[3], spectra[3])


def ships():
    """Water everywhere but for a few pixels in three places, much brighter than water ever is."""
    spectra = make_spectra()[:, 40:, :50]
    spectra = np.tile(spectra, (1, 2, 2))
    for row, column in ((10, 12), (30, 60), (66, 40)):
        spectra[:, row : row + 3, column : column + 3] = np.linspace(2, 3, BANDS)[:, None, None]
    return spectra


def test_what_most_of_a_class_shows_is_not_unusual(tmp_path):
    spectra = ships()
    spectra[:, 66, 40] = 400.0  # one of the three is saturated
    path = write_scene(tmp_path / "s.tif", spectra)
    assert read(path, survey_of(path).bands).max() < 0.2
    labels = labelled([(10, 12), (30, 60), (66, 40), (0, 0), (1, 3), (5, 3)], [2, 2, 2, 1, 1, 1])
    aware = read(path, survey_of(path, labels).bands)
    spectra[:, 66, 40] = aware[:, 66, 40]
    np.testing.assert_array_equal(aware, spectra)
    assert aware[:, 66, 40].max() < 3.1


def test_ships_at_sea_are_mapped(tmp_path, backbone_path):
    path = write_scene(tmp_path / "s.tif", ships())
    places = {"ship": ((10, 12), (30, 60)), "water": ((0, 0), (50, 80))}
    drawn = [(name, square(*corner, 3)) for name, corners in places.items() for corner in corners]
    polygons = write_polygons(tmp_path / "p.geojson", drawn)
    names = {"class_names": ("ship", "water"), "class_colours": ()}
    run_job(training(path, polygons, backbone_path, tmp_path, method="spectral", **names), Progress())
    ship = mapped_by(tmp_path / "m.safetensors", path, tmp_path) == 1
    assert ship[66:69, 40:43].all()
    assert ship.sum() == 27


# Two pixels of each quarter of the scene, one near its middle and one near its corner.
QUARTERS = labelled([(r, c) for r in (3, 30, 50, 77) for c in (3, 44, 52, 97)], [1, 1, 2, 2] * 2 + [3, 3, 4, 4] * 2)


def clouded(rows):
    """The spectra, and clouds over some of the rows, not all alike and between two quarters of the labels."""
    spectra, covered = make_spectra(), np.zeros((HEIGHT, WIDTH), bool)
    covered[rows, 5:40] = True
    spectra[:, covered] = np.random.default_rng(0).uniform(2, 3, covered.sum())
    return spectra, covered


def test_statistics_of_a_clouded_scene_are_those_of_the_rest(tmp_path, progress):
    spectra, covered = clouded(slice(8, 28))
    path, rest = write_scene(tmp_path / "s.tif", spectra), make_spectra()[:, ~covered].T
    survey = survey_of(path, QUARTERS)
    assert survey.unlike_share == pytest.approx(covered.mean())
    np.testing.assert_array_equal(np.sort(survey.pixels, 0), np.sort(rest, 0))
    unaware, clear = survey_of(path), survey_of(write_scene(tmp_path / "clear.tif", make_spectra()))
    assert np.trace(survey.noise) == pytest.approx(np.trace(clear.noise), rel=0.1)
    assert np.trace(survey.change) == pytest.approx(np.trace(clear.change), rel=0.1)
    assert np.trace(unaware.noise) > 2 * np.trace(clear.noise)
    survey.log(progress)
    assert "About 9% of the pixels are unlike anything that is labelled, as clouds may be." in progress.warnings[0]


def test_clouds_that_are_labelled_are_like_what_is_labelled(tmp_path, progress):
    spectra, _ = clouded(slice(8, 28))
    path = write_scene(tmp_path / "s.tif", spectra)
    labels = labelled([*zip(QUARTERS.rows, QUARTERS.columns, strict=True), (10, 10), (20, 20)],
                      [*QUARTERS.class_ids, 5, 5])  # fmt: skip
    survey = survey_of(path, labels)
    assert survey.unlike_share == 0
    assert len(survey.pixels) == HEIGHT * WIDTH
    survey.log(progress)
    assert not progress.warnings


@pytest.mark.parametrize("rows", [slice(8, 18), None])
def test_few_pixels_or_most_of_a_scene_are_kept_though_unlike_what_is_labelled(tmp_path, rows):
    spectra = make_spectra()
    if rows is None:
        labels = labelled([(3, 3), (4, 44)], [1, 2])  # of one quarter, and the other three differ
    else:
        spectra, labels = clouded(rows)[0], QUARTERS
        spectra[:, :, 20:40] = make_spectra()[:, :, 20:40]
    survey = survey_of(write_scene(tmp_path / "s.tif", spectra), labels)
    assert survey.unlike_share == 0
    assert len(survey.pixels) == HEIGHT * WIDTH


def test_a_map_does_not_hang_on_single_bands_that_are_saturated(tmp_path, scene_path, polygons_path, backbone_path):
    spectra, spots = spotted(0.02, bands=7)
    path = write_scene(tmp_path / "s.tif", spectra)
    run_job(training(scene_path, polygons_path, backbone_path, tmp_path, method="spectral"), Progress())
    expected, found = (mapped_by(tmp_path / "m.safetensors", p, tmp_path) for p in (scene_path, path))
    assert (found == expected)[spots].mean() > 0.95


def mapped_by(model, scene, folder):
    """Class numbers (HEIGHT, WIDTH) of a map by a model."""
    run_job(PredictMap(str(scene), str(model), str(folder / "map.tif")), Progress())
    with Scene.open(str(folder / "map.tif")) as land_cover:
        return land_cover.read(Window(0, 0, WIDTH, HEIGHT), land_cover.bands)[0][0]


def test_a_model_keeps_the_usual_ranges_of_its_scene(trained, scene_path):
    model = Model.load(str(trained[0] / "m.safetensors"))
    assert model.usual == tuple(band.usual for band in survey_of(scene_path).bands)
