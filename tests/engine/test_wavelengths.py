"""Wavelengths come in nm from wherever a product keeps them, and match bands between scenes."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from synthetic import BANDS, HEIGHT, WIDTH, make_spectra, write_scene

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.wavelengths import BandSpectrum, match_bands, read_band_spectra


def spectra_of(path):
    with rasterio.open(path) as dataset:
        return read_band_spectra(dataset)


@pytest.mark.parametrize(
    ("tags", "nanometres"),
    [
        ({"wavelength": "0.55", "wavelength_units": "Micrometers"}, 550.0),
        ({"wavelength": "550", "wavelength_units": "nm"}, 550.0),
        ({"wavelength": "0.55"}, 550.0),
        ({"wavelength": "2450"}, 2450.0),
        ({"WAVELENGTH": "2.45", "WAVELENGTH_UNITS": "um"}, 2450.0),
        ({"wavelength": "unknown"}, None),
        ({"wavelength": "550.0 nm"}, 550.0),
        ({"wavelength": "0.55 um", "wavelength_units": "Nanometers"}, 550.0),
        ({"wavelength": "0", "wavelength_units": "Nanometers"}, None),
        ({"wavelength": "-1"}, None),
        ({"wavelength": "5500", "wavelength_units": "Angstroms"}, 550.0),
        ({"wavelength": "5.5e-7", "wavelength_units": "m"}, 550.0),
        ({"wavelength": "0.00055", "wavelength_units": "Millimeters"}, 550.0),
        ({"wavelength": "18182", "wavelength_units": "Wavenumber"}, None),
        ({"wavelength": "0.55", "wavelength_units": "Unknown"}, 550.0),
    ],
)
def test_band_tags_in_any_unit(tmp_path, tags, nanometres):
    path = write_scene(tmp_path / "s.tif", make_spectra()[:3], wavelengths=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, **tags)
    found = spectra_of(path)[0].wavelength
    assert found == (None if nanometres is None else pytest.approx(nanometres))


def test_a_zero_in_bbl_marks_a_bad_band(tmp_path):
    path = write_scene(tmp_path / "s.tif", make_spectra()[:3])
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(2, bbl="0")
    assert [s.good for s in spectra_of(path)] == [True, False, True]


def without_tags(source, virtual):
    """A virtual raster of a file, as GDAL puts tiles together."""
    rasterio.shutil.copy(source, virtual, driver="VRT")
    virtual.write_text(re.sub("<Metadata.*?</Metadata>", "", virtual.read_text(), flags=re.DOTALL))
    return virtual


def test_a_virtual_raster_without_tags_has_those_of_its_files(tmp_path):
    tile = write_scene(tmp_path / "tile.tif", make_spectra()[:3], wavelengths=(450, 550, 650))
    with rasterio.open(tile, "r+") as dataset:
        dataset.update_tags(2, bbl="0")
    virtual = without_tags(without_tags(tile, tmp_path / "inner.vrt"), tmp_path / "s.vrt")
    virtual.write_text(virtual.read_text().replace("<SourceBand>1<", "<SourceBand>3<"))
    assert spectra_of(virtual) == [BandSpectrum(650.0), BandSpectrum(550.0, False), BandSpectrum(650.0)]


def test_a_virtual_raster_of_computed_bands_or_of_files_that_are_gone_has_no_wavelengths(tmp_path):
    tile = write_scene(tmp_path / "tile.tif", make_spectra()[:3])
    virtual = without_tags(tile, tmp_path / "s.vrt")
    text = virtual.read_text()
    computed = text.replace('band="2"', 'band="2" subClass="VRTDerivedRasterBand"')
    virtual.write_text(computed.replace("</VRTR", "<PixelFunctionType>mod</PixelFunctionType></VRTR"))
    assert spectra_of(virtual) == [BandSpectrum()] * 3
    virtual.write_text(text)
    tile.unlink()
    assert spectra_of(virtual) == [BandSpectrum()] * 3


@pytest.mark.parametrize(("domain", "key"), [("ENVI", "wavelength_units"), (None, "wavelength_units"),
                                             (None, "wavelength#units")])  # fmt: skip
def test_one_unit_for_all_bands(tmp_path, domain, key):
    path = write_scene(tmp_path / "s.tif", make_spectra()[:3], wavelengths=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(ns=domain, **{key: "Angstroms"})
        dataset.update_tags(1, wavelength="5500")
    assert spectra_of(path)[0].wavelength == pytest.approx(550.0)


def test_gdal_imagery_domain(tmp_path):
    path = write_scene(tmp_path / "s.tif", make_spectra()[:3], wavelengths=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(2, ns="IMAGERY", CENTRAL_WAVELENGTH_UM="0.665")
    assert spectra_of(path)[1].wavelength == pytest.approx(665.0)


def test_wavelengths_hidden_in_band_names(tmp_path):
    path = write_scene(tmp_path / "s.tif", make_spectra()[:3], wavelengths=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("band 1 (0.455400 Micrometers)", "Green 560 nm", "B4")
    assert [s.wavelength for s in spectra_of(path)] == [pytest.approx(455.4), pytest.approx(560.0), None]


@pytest.mark.parametrize(
    ("name", "nanometres"),
    [
        ("Red (630-690 nm)", 660.0),
        ("630–690nm", 660.0),
        ("Band 4 (0.63 - 0.69 µm)", 660.0),
        ("Red: 630 to 690 nanometers", 660.0),
        ("B04-665 nm", 665.0),
        ("Band 12 - 665 nm", 665.0),
        ("12-665 nm", 665.0),
        ("Band 500 - 900 nm", 900.0),
    ],
)
def test_the_middle_of_a_range_in_a_band_name_is_its_wavelength(tmp_path, name, nanometres):
    """A number of the band before its wavelength is no range."""
    path = write_scene(tmp_path / "s.tif", make_spectra()[:1], wavelengths=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = (name,)
    assert spectra_of(path)[0].wavelength == pytest.approx(nanometres)


def test_names_and_headers_of_any_length_are_read_at_once(tmp_path):
    path = write_scene(tmp_path / "s.tif", make_spectra()[:3], wavelengths=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.set_band_description(1, "1" * 10_000)
    began = time.monotonic()
    assert [s.wavelength for s in spectra_of(path)] == [None, None, None]
    size = f"samples = {WIDTH}\nlines = {HEIGHT}\nbands = 3"
    path.with_suffix(".hdr").write_text(f"ENVI\n{size}\n{' ' * 5_000}x\nwavelength = {{ 450,\n 550, 650 }}\n")
    assert [s.wavelength for s in spectra_of(path)] == [450, 550, 650]
    assert time.monotonic() - began < 2


def test_enmap_metadata_beside_the_image(tmp_path):
    path = write_scene(tmp_path / "ENMAP01-X-SPECTRAL_IMAGE.TIF", make_spectra()[:3], wavelengths=None)
    band = "<bandID><wavelengthCenterOfBand>{}</wavelengthCenterOfBand><FWHMOfBand>6.5</FWHMOfBand></bandID>"
    bands = "".join(band.format(w) for w in (418.4, 424.0, 429.4))
    text = f"<level_X><specific><bandCharacterisation>{bands}</bandCharacterisation></specific></level_X>"
    (tmp_path / "ENMAP01-X-METADATA.XML").write_text(text)
    assert [s.wavelength for s in spectra_of(path)] == [418.4, 424.0, 429.4]
    encoded = '<?xml version="1.0" encoding="{}"?>'
    for damaged in (text[:99], encoded.format("gb18030") + text, encoded.format("unheard-of") + text):
        (tmp_path / "ENMAP01-X-METADATA.XML").write_text(damaged)
        with pytest.raises(EngineError, match="METADATA.XML cannot be read .*; download it again"):
            spectra_of(path)


def test_an_envi_header_beside_a_geotiff(tmp_path):
    """As in DESIS products, whose GeoTIFF says nothing of wavelengths."""
    path = write_scene(tmp_path / "DESIS-HSI-L2A-SPECTRAL_IMAGE.tif", make_spectra()[:3], wavelengths=None)
    header = path.with_suffix(".hdr")
    size = f"samples = {WIDTH}\nlines   = {HEIGHT}\nbands = 3\n"
    header.write_text(
        f"ENVI\ndescription = {{\n  a = b}}\n{size}wavelength units = nanometers\n"
        "wavelength = { 402.1,\n 404.6, 407.2}\nfwhm = {2.5, 2.5, 2.6}\nbbl = {1, 0, 1}\n"
    )
    assert [s.wavelength for s in spectra_of(path)] == [402.1, 404.6, 407.2]
    assert [s.good for s in spectra_of(path)] == [True, False, True]
    lists = "wavelength units = nm \nwavelength = {402.1,\n 404.6, 407.2} \nbbl = {1,\n 0, 1}\t\n"
    header.write_text(f"ENVI\n{size}{lists}")
    assert [s.wavelength for s in spectra_of(path)] == [402.1, 404.6, 407.2], "blanks at the ends of lines"
    assert [s.good for s in spectra_of(path)] == [True, False, True]
    header.write_text(f"no header of ENVI\n{size}wavelength = {{1, 2, 3}}\n")
    assert spectra_of(path)[0].wavelength is None


@pytest.mark.parametrize("size", [(WIDTH + 1, HEIGHT, 3), (WIDTH, HEIGHT - 1, 3), (WIDTH, HEIGHT, 4)])
def test_the_envi_header_of_another_raster_of_the_same_name_says_nothing(tmp_path, size):
    path = write_scene(tmp_path / "scene.tif", make_spectra()[:3], wavelengths=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, wavelength="550")
    path.with_suffix(".hdr").write_text(
        "ENVI\nsamples = {}\nlines = {}\nbands = {}\nwavelength units = Micrometers\n"
        "wavelength = {{1, 2, 3}}\nbbl = {{0, 0, 0}}\n".format(*size)
    )
    assert [(s.wavelength, s.good) for s in spectra_of(path)] == [(550.0, True), (None, True), (None, True)]


def test_bands_are_matched_by_wavelength_whatever_their_order():
    available = dict(enumerate([900.0, 452.0, 551.0, 648.0], 1))
    assert match_bands([450.0, 550.0, 650.0], available) == [2, 3, 4]


def test_missing_wavelengths_are_named():
    sentence = r"The scene \(550 to 650 nm\) has no band for 2 of the 4 wavelengths needed \(1600, 2200 nm\)"
    with pytest.raises(EngineError, match=sentence):
        match_bands([550.0, 650.0, 1600.0, 2200.0], {1: 550.0, 2: 650.0}, tolerance=10.0)


def test_two_wavelengths_never_share_a_band():
    with pytest.raises(EngineError, match="no band for 1 of the 2"):
        match_bands([550.0, 552.0], {1: 551.5, 2: 700.0}, tolerance=10.0)


def test_a_coarser_sensor_is_refused():
    fine = np.linspace(400, 1000, 100)
    with pytest.raises(EngineError, match=r"no band for 75 of the 100 .*\(406, 412, .*, 461 and 67 more nm\)"):
        match_bands(fine, dict(enumerate(fine[::4], 1)))


def test_every_band_of_the_scene_is_described(scene_path):
    assert len(spectra_of(scene_path)) == BANDS


def test_a_scene_with_the_same_wavelengths_in_the_same_places_has_its_own_bands():
    """Also where two dates are stacked, or detectors overlap."""
    available = dict(enumerate([450.0, 550.0, 650.0] * 2, 1))
    numbers, wavelengths = list(available), list(available.values())
    for order in ([1, 2, 3, 4, 5, 6], [4, 5, 6, 1, 2, 3], [1, 5, 3, 4, 2, 6]):
        assert match_bands(wavelengths, available, numbers=order) == order
    shifted = {number: w + 0.3 for number, w in available.items()}
    assert match_bands(wavelengths, shifted, numbers=numbers) == numbers
    assert match_bands([650.0, 450.0], {1: 450.0, 2: 651.0}, numbers=[1, 2]) == [2, 1]


@pytest.mark.parametrize("shift", [-0.8, 0.3, 0.8])
def test_overlapping_detectors_fit_another_date_whose_calibration_has_shifted(shift):
    detectors = [*np.arange(910.0, 960.0, 6.0), *np.arange(911.5, 955.0, 10.0)]
    available = {number: w + shift for number, w in enumerate(detectors, 1)}
    assert match_bands(detectors, available, numbers=list(available)) == list(available)
    assert match_bands(detectors, available) == list(available)


def test_a_band_may_be_off_by_half_the_distance_to_the_next_one_though_a_few_lie_closer_together():
    wanted = [400.0 + 10 * i for i in range(10)] + [451.0]
    shifted = {number: w + 4.9 for number, w in enumerate(wanted, 1)}
    assert match_bands(wanted, shifted) == list(shifted)
    with pytest.raises(EngineError, match="no band for"):
        match_bands(wanted, {number: w + 5.1 for number, w in enumerate(wanted, 1)})


def test_a_scene_that_lacks_the_first_band_is_not_matched_one_band_off():
    """Though every number then has a wavelength within the tolerance."""
    wavelengths = [400.0 + 2.5 * i for i in range(10)]
    available = dict(enumerate(wavelengths[1:], 1))
    with pytest.raises(EngineError, match=r"no band for 1 of the 10 wavelengths needed \(400 nm\)"):
        match_bands(wavelengths, available, numbers=range(1, 11))
    assert match_bands(wavelengths[1:], {**available, 0: 400.0}, numbers=range(2, 11)) == list(range(1, 10))


def test_the_tolerance_does_not_depend_on_the_order_of_bands():
    with pytest.raises(EngineError, match=r"wavelengths needed \(850 nm\)"):
        match_bands([650.0, 560.0, 480.0, 850.0], {1: 650.0, 2: 560.0, 3: 480.0, 4: 700.0})


@pytest.mark.parametrize(("step", "bands"), [(5.0, 100), (2.55, 230)])
def test_a_missing_band_is_named_and_the_others_do_not_move_on(step, bands):
    """Though there are further bands at the end."""
    wanted = [400.0 + step * i for i in range(bands)]
    available = {i + 1: 400.0 + step * i for i in range(bands + 20) if i != 49}
    with pytest.raises(EngineError, match="no band for 1 of the"):
        match_bands(wanted, available, numbers=range(1, bands + 1))


def test_sensors_of_one_series_fit_each_other():
    """Bands 2, 3, 4, 8, 11 and 12 of Sentinel-2A and 2B, in nm."""
    first = [492.4, 559.8, 664.6, 832.8, 1613.7, 2202.4]
    second = dict(enumerate([492.1, 559.0, 664.9, 832.9, 1610.4, 2185.7], 1))
    assert match_bands(first, second) == [1, 2, 3, 4, 5, 6]
    with pytest.raises(EngineError, match=r"\(1614, 2202 nm\)"):
        match_bands(first, {**second, 5: 1300.0, 6: 1930.0})
