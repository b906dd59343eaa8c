"""Scenes are read as they are: masks, scales, ENVI peculiarities, mirrored edges."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import rasterio
import rasterio.control
import rasterio.enums
import rasterio.shutil
from rasterio.rpc import RPC
from rasterio.windows import Window
from synthetic import BANDS, CRS, HEIGHT, TRANSFORM, WIDTH, make_spectra, write_scene

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.scene import Scene, unplaced_allowed


def test_values_and_wavelengths_are_those_written(scene_path):
    with Scene.open(str(scene_path)) as scene:
        spectra, valid = scene.read(Window(10, 20, 30, 7), scene.bands)
        np.testing.assert_array_equal(spectra, make_spectra()[:, 20:27, 10:40])
        assert valid.all()
        assert (scene.bands[0].wavelength, scene.bands[-1].wavelength) == (450.0, 1000.0)


def test_a_pixel_without_data_in_one_band_is_invalid_and_zero(tmp_path):
    spectra = make_spectra()
    spectra[3, 5, 6] = -1.0
    spectra[0, 7, 8] = np.nan
    spectra[1, 9, 9] = np.inf
    path = write_scene(tmp_path / "gaps.tif", spectra)
    with Scene.open(str(path)) as scene:
        values, valid = scene.read(Window(0, 0, WIDTH, HEIGHT), scene.bands)
    assert set(zip(*np.nonzero(~valid), strict=True)) == {(5, 6), (7, 8), (9, 9)}
    assert not values[:, 5, 6].any()


@pytest.mark.parametrize(("scale", "offset"), [(0.0001, 0.5), (0.0001, 0.0), (1.0, 0.5)])
def test_scale_and_offset_of_a_band_are_applied_after_nodata_is_found(tmp_path, scale, offset):
    raw = np.full((3, 4, 5), 2000, np.int16)
    raw[:, 0, 0] = -99
    with rasterio.open(tmp_path / "scaled.tif", "w", driver="GTiff", count=3, height=4, width=5, dtype="int16",
                       crs="EPSG:32633", transform=TRANSFORM, nodata=-99) as dataset:  # fmt: skip
        dataset.write(raw)
        dataset.scales, dataset.offsets = (1.0, scale, 1.0), (0.0, offset, 0.0)
    with Scene.open(str(tmp_path / "scaled.tif")) as scene:
        values, valid = scene.read(Window(0, 0, 5, 4), scene.bands)
    assert values[:, 1, 1] == pytest.approx([2000, 2000 * scale + offset, 2000])
    assert not valid[0, 0]
    assert valid.sum() == 19


def test_a_float32_nodata_survives_the_way_through_float64(tmp_path):
    spectra = make_spectra()
    nodata = float(np.float32(-3.4028235e38))
    spectra[:, 0, 0] = nodata
    path = write_scene(tmp_path / "lowest.tif", spectra, nodata=nodata)
    with Scene.open(str(path)) as scene:
        _, valid = scene.read(Window(0, 0, WIDTH, HEIGHT), scene.bands)
    assert not valid[0, 0]
    assert valid.sum() == HEIGHT * WIDTH - 1


@pytest.mark.parametrize("fill", [-3.4028234663852886e38, 1e20, -1e34, np.inf])
def test_fill_values_that_the_file_does_not_declare_or_rounds_off_are_no_data(tmp_path, fill):
    spectra = make_spectra()
    spectra[2, 0, 0] = fill
    path = write_scene(tmp_path / "filled.tif", spectra, nodata=-3.40282e38)
    with Scene.open(str(path)) as scene:
        _, valid = scene.read(Window(0, 0, WIDTH, HEIGHT), scene.bands)
    assert not valid[0, 0]
    assert valid.sum() == HEIGHT * WIDTH - 1


def with_opacity(folder, spectra):
    """A file whose fourth band is called alpha."""
    path = write_scene(folder / "alpha.tif", spectra, nodata=None, photometric="RGB")
    with rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = [*dataset.colorinterp[:3], rasterio.enums.ColorInterp.alpha]
    return str(path)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("is_mask", [True, False])
def test_a_band_of_opacity_tells_which_pixels_hold_data(tmp_path, is_mask, dtype):
    """A fourth band that GDAL calls alpha, but that has many values, is a spectral one."""
    spectra = (200 * make_spectra()[:4]).clip(1).astype(dtype)
    spectra[3, :30] = 0
    if is_mask:
        spectra[3, 30:] = 255
        spectra[3, 30, :2] = 100, 200  # as resampling leaves along the border
    with Scene.open(with_opacity(tmp_path, spectra)) as scene:
        _, valid = scene.read(Window(0, 0, WIDTH, HEIGHT), scene.bands[:3])
        assert scene.bands[3].good is not is_mask
    assert valid.sum() == ((HEIGHT - 30) * WIDTH - 1 if is_mask else HEIGHT * WIDTH)


def test_a_fourth_band_that_varies_further_down_only_is_no_opacity(tmp_path):
    spectra = (200 * make_spectra()[:4]).clip(1).astype("uint8")
    spectra[3, :60] = 255
    with Scene.open(with_opacity(tmp_path, spectra)) as scene:
        assert scene.bands[3].good


def test_an_overview_keeps_the_shape_of_the_scene(scene_path):
    with Scene.open(str(scene_path)) as scene:
        assert scene.overview(scene.bands[0], 50).shape == (HEIGHT // 2, WIDTH // 2)


def test_single_bands_are_read_with_the_mask_and_the_scale_of_the_file(tmp_path):
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:10] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write_scene(tmp_path / "masked.tif", make_spectra(), nodata=None)
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(mask)
            dataset.scales, dataset.offsets = [2.0] * BANDS, [1.0] * BANDS
    with Scene.open(str(path)) as scene:
        everything = Window(0, 0, WIDTH, HEIGHT)
        values, valid = scene.read(everything, scene.bands)
        pixels = scene.read_with_nan(everything, scene.bands)
    np.testing.assert_array_equal(pixels, np.where(valid, 2 * make_spectra() + 1, np.nan))
    np.testing.assert_array_equal(values[:, valid], pixels[:, valid])
    np.testing.assert_array_equal(valid, mask > 0)


def test_gains_and_a_scale_factor_of_one_envi_header_say_the_same(tmp_path):
    path = write_scene(tmp_path / "s.bsq", np.full((3, 4, 5), 5000, np.int16), driver="ENVI", wavelengths=None)
    header = path.with_suffix(".hdr")
    plain = header.read_text()
    gains = "data gain values = {0.0001, 0.0001, 0.0001}\n"
    for factor, added, expected in (
        ("10000", "", 0.5), ("10000", gains, 0.5), ("0", "", 5000), ("inf", "", 5000), ("none", "", 5000),
    ):  # fmt: skip
        header.write_text(f"{plain}reflectance scale factor = {factor}\n{added}")
        with Scene.open(str(path)) as scene:
            values, _ = scene.read(Window(0, 0, 5, 4), scene.bands)
        assert values == pytest.approx(expected)


def test_control_points_alone_are_refused(tmp_path):
    path = write_scene(tmp_path / "gcp.tif", make_spectra()[:3])
    with rasterio.open(path) as source, rasterio.open(
        tmp_path / "points.tif", "w", **{**source.profile, "transform": rasterio.Affine.identity(), "crs": None},
    ) as target:  # fmt: skip
        corners = ((0, 0, 380000, 5820000), (9, 0, 380000, 5819900), (0, 9, 380100, 5820000))
        points = [rasterio.control.GroundControlPoint(*corner) for corner in corners]
        target.gcps = points, rasterio.CRS.from_epsg(32633)
    with pytest.raises(EngineError, match="by control points or coefficients only; warp it first"):
        Scene.open(str(tmp_path / "points.tif"), "EPSG:32633")


def test_rational_coefficients_alone_are_refused(tmp_path):
    path = write_scene(tmp_path / "rpc.tif", make_spectra()[:3], transform=None, crs=None)
    with rasterio.open(path, "r+") as dataset:
        one, line = [1.0] + 19 * [0.0], [0.0, 1.0] + 18 * [0.0]
        dataset.rpcs = RPC(0.0, 100.0, 52.0, 0.1, one, line, 40.0, 40.0, 13.0, 0.1, one, line, 50.0, 50.0)
    with pytest.raises(EngineError, match="by control points or coefficients only"):
        Scene.open(str(path), "EPSG:32633")


@pytest.mark.parametrize("height", [0.0, float("nan")])
def test_pixels_without_an_area_are_refused(tmp_path, height):
    transform = rasterio.Affine(10, 0, 380000, 0, height, 5820000)
    path = write_scene(tmp_path / "flat.tif", make_spectra()[:3], transform=transform)
    with pytest.raises(EngineError, match="flat.tif has pixels without a width or height"):
        Scene.open(str(path))


@pytest.mark.parametrize(("transform", "place"), [(None, (3, -2)), (rasterio.Affine.identity(), (3, 2))])
def test_a_scene_without_a_place_lies_where_qgis_draws_it(tmp_path, transform, place):
    """One that says its coordinates are those of the pixels lies there, upside down."""
    path = write_scene(tmp_path / "s.tif", make_spectra()[:3], transform=transform, crs=None)
    with Scene.open(str(path), "EPSG:32633") as scene:
        assert scene.transform @ (3, 2) == place


def test_all_files_of_a_scene_are_known(tmp_path):
    body = write_scene(tmp_path / "s.img", make_spectra(), driver="ENVI")
    rasterio.shutil.copy(body, tmp_path / "1.vrt", driver="VRT")
    (tmp_path / "2.vrt").write_text((tmp_path / "1.vrt").read_text().replace("s.img", "1.vrt"))
    with Scene.open(str(tmp_path / "2.vrt")) as scene:
        assert {str(tmp_path / name) for name in ("2.vrt", "1.vrt", "2.qml")} | {str(body)} <= set(scene.files)
    with Scene.open(str(body.with_suffix(".hdr"))) as scene:
        assert {str(body), str(body.with_suffix(".hdr"))} <= set(scene.files)


@pytest.mark.parametrize(("row", "column", "height", "width"), [(-16, -5, 40, 30), (60, 80, 64, 64), (-3, 0, 200, 10)])
def test_beyond_its_edges_a_scene_is_mirrored(scene_path, row, column, height, width):
    with Scene.open(str(scene_path)) as scene:
        inner, rows, columns = scene.reflect(row, column, height, width)
        values, _ = scene.read(inner, scene.bands[:3])
    padded = np.pad(make_spectra()[:3], ((0, 0), (128, 128), (128, 128)), mode="symmetric")
    expected = padded[:, 128 + row :, 128 + column :][:, :height, :width]
    np.testing.assert_array_equal(values[:, rows][:, :, columns], expected)


@pytest.fixture
def compressed_envi(tmp_path):
    path = write_scene(tmp_path / "envi.bsq", make_spectra(), driver="ENVI", wavelengths=None)
    header = path.with_suffix(".hdr")
    text = header.read_text()
    wavelengths = ", ".join(f"{w:.4f}" for w in np.linspace(0.45, 1.0, BANDS))
    header.write_text(f"{text}file compression = 1\nwavelength units = Micrometers\nwavelength = {{{wavelengths}}}\n")
    path.write_bytes(gzip.compress(path.read_bytes()))
    return path


def test_a_compressed_envi_body_is_read_without_a_trace(compressed_envi):
    before = {p.name for p in compressed_envi.parent.iterdir()}
    with Scene.open(str(compressed_envi)) as scene:
        spectra, _ = scene.read(Window(0, 30, WIDTH, 3), scene.bands)
        assert scene.bands[-1].wavelength == pytest.approx(1000.0)
    np.testing.assert_array_equal(spectra, make_spectra()[:, 30:33])
    assert {p.name for p in compressed_envi.parent.iterdir()} == before


def test_what_is_kept_beside_a_compressed_envi_file_counts(compressed_envi):
    """Such as values that stand for no data, set in QGIS or by GDAL."""
    band = '<PAMRasterBand band="2"><NoDataValue>-7</NoDataValue></PAMRasterBand>'
    (compressed_envi.parent / "envi.bsq.aux.xml").write_text(f"<PAMDataset>{band}</PAMDataset>")
    with Scene.open(str(compressed_envi)) as scene:
        assert scene.bands[1].nodata == -7


@pytest.mark.parametrize("missing", [1, BANDS * HEIGHT * WIDTH * 2])
def test_an_envi_body_that_was_cut_off_is_one_sentence(compressed_envi, tmp_path, missing):
    """GDAL reads zeros where there is none."""
    whole = gzip.decompress(compressed_envi.read_bytes())[:-missing]
    compressed_envi.write_bytes(gzip.compress(whole))
    plain = tmp_path / "plain.bsq"
    plain.write_bytes(whole)
    header = next(compressed_envi.parent.glob("*.hdr")).read_text()
    plain.with_suffix(".hdr").write_text(header.replace("file compression = 1", "file compression = 0"))
    for path in (compressed_envi, plain):
        with pytest.raises(EngineError, match=f"{path.name} is shorter than its header says; it is probably incompl"):
            Scene.open(str(path))


def test_the_header_of_an_envi_file_stands_for_its_body(compressed_envi):
    with Scene.open(str(compressed_envi.with_suffix(".hdr"))) as scene:
        assert scene.width == WIDTH


def test_a_damaged_compressed_body_is_one_sentence(compressed_envi):
    compressed_envi.write_bytes(compressed_envi.read_bytes()[:2000])
    with pytest.raises(EngineError, match="damaged"):
        Scene.open(str(compressed_envi))


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "does not exist"), (b"no raster at all", "not a raster that can be read")]
)
def test_what_is_no_raster_is_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "scene.tif"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EngineError, match=sentence):
        Scene.open(str(path))


def test_a_scene_without_crs_is_refused_unless_one_is_given(tmp_path):
    path = write_scene(tmp_path / "nowhere.tif", make_spectra(), crs=None)
    with pytest.raises(EngineError, match="no coordinate reference system"):
        Scene.open(str(path))
    with Scene.open(str(path), "EPSG:32633") as scene:
        assert scene.crs.to_epsg() == 32633


def test_a_truncated_file_is_one_sentence(tmp_path):
    # Without tags the directory stands at the front, so that the file opens.
    path = write_scene(tmp_path / "cut.tif", make_spectra(), wavelengths=None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with Scene.open(str(path)) as scene, pytest.raises(EngineError, match="cannot be read at row 60"):
        scene.read(Window(0, 60, 10, 10), scene.bands)


@pytest.mark.filterwarnings("error")
def test_a_virtual_raster_of_files_without_a_place_is_opened_without_a_word(tmp_path):
    with unplaced_allowed():
        path = write_scene(tmp_path / "s.tif", make_spectra()[:3], wavelengths=None, transform=None, crs=None)
        rasterio.shutil.copy(path, tmp_path / "s.vrt", driver="VRT")
    with Scene.open(str(tmp_path / "s.vrt"), CRS) as scene:
        assert scene.bands[0].wavelength is None


def test_a_file_that_a_virtual_raster_is_made_of_and_that_is_gone_is_named(tmp_path):
    rasterio.shutil.copy(write_scene(tmp_path / "tile.tif", make_spectra()[:3]), tmp_path / "s.vrt", driver="VRT")
    (tmp_path / "tile.tif").unlink()
    with Scene.open(str(tmp_path / "s.vrt")) as scene, pytest.raises(EngineError, match=r"s.vrt cannot .*tile.tif"):
        scene.read(Window(0, 0, 10, 10), scene.bands)


@pytest.mark.parametrize(("scale", "offset"), [("nan", 0), ("0", 0), ("1e300", 0), ("1", "inf")])
def test_a_scale_that_leaves_no_numbers_is_refused(tmp_path, scale, offset):
    write_scene(tmp_path / "s.tif", make_spectra()[:3])
    rasterio.shutil.copy(tmp_path / "s.tif", tmp_path / "s.vrt", driver="VRT")
    text = (tmp_path / "s.vrt").read_text()
    scaled = f"</NoDataValue><Scale>{scale}</Scale><Offset>{offset}</Offset>"
    (tmp_path / "s.vrt").write_text(text.replace("</NoDataValue>", scaled, 1))
    with pytest.raises(EngineError, match="has a band whose scale or offset leaves no numbers"):
        Scene.open(str(tmp_path / "s.vrt"))


def test_a_virtual_raster_that_is_made_of_itself_is_one_sentence(tmp_path):
    path = tmp_path / "scene.vrt"
    band = f"<SimpleSource><SourceFilename>{path}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    path.write_text(
        f'<VRTDataset rasterXSize="9" rasterYSize="9"><SRS>{CRS}</SRS>'
        f'<VRTRasterBand dataType="Float32" band="1">{band}</VRTRasterBand></VRTDataset>'
    )
    with Scene.open(str(path)) as scene, pytest.raises(EngineError, match="cannot be read at row 0") as raised:
        scene.read(Window(0, 0, 9, 9), scene.bands)
    assert "\n" not in str(raised.value)


def test_bands_of_several_types_and_nodata_values_are_read(tmp_path):
    """A virtual raster of two files, which GDAL lets differ."""
    spectra = make_spectra()[:4]
    kinds = {"Int16": (spectra[:2] * 1e4).astype(np.int16), "Float32": spectra[2:]}
    missing = {"Int16": -9999, "Float32": 0}
    for i, (kind, other) in enumerate([("Int16", "Float32"), ("Float32", "Int16")]):
        kinds[kind][0, i, i], kinds[kind][1, 9, i] = missing[kind], missing[other]
    bands, number = "", 1
    for kind, values in kinds.items():
        write_scene(tmp_path / f"{kind}.tif", values)
        for source in (1, 2):
            bands += (
                f'<VRTRasterBand dataType="{kind}" band="{number}"><NoDataValue>{missing[kind]}</NoDataValue>'
                f'<SimpleSource><SourceFilename relativeToVRT="1">{kind}.tif</SourceFilename>'
                f"<SourceBand>{source}</SourceBand></SimpleSource></VRTRasterBand>"
            )
            number += 1
    origin = ", ".join(map(str, TRANSFORM.to_gdal()))
    (tmp_path / "s.vrt").write_text(
        f'<VRTDataset rasterXSize="{WIDTH}" rasterYSize="{HEIGHT}"><SRS>{CRS}</SRS>'
        f"<GeoTransform>{origin}</GeoTransform>{bands}</VRTDataset>"
    )
    with Scene.open(str(tmp_path / "s.vrt")) as scene:
        read, valid = scene.read(Window(0, 0, WIDTH, HEIGHT), scene.bands)
    assert np.argwhere(~valid).tolist() == [[0, 0], [1, 1]]
    np.testing.assert_allclose(read[:, valid], np.concatenate(list(kinds.values()))[:, valid])


def test_masks_of_single_bands_tell_what_is_no_data(tmp_path):
    """As virtual rasters may have them."""
    source = write_scene(tmp_path / "s.tif", make_spectra()[:3], nodata=None)
    marks = np.full((1, HEIGHT, WIDTH), 255, np.uint8)
    marks[0, 5, 6] = 0
    write_scene(tmp_path / "mask.tif", marks, nodata=None, wavelengths=None)
    virtual = tmp_path / "s.vrt"
    rasterio.shutil.copy(source, virtual, driver="VRT")
    mask = (
        '<MaskBand><VRTRasterBand dataType="Byte"><SimpleSource><SourceFilename relativeToVRT="1">mask.tif'
        "</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></MaskBand></VRTRasterBand>"
    )
    first, second, third = virtual.read_text().split("</VRTRasterBand>", 2)
    virtual.write_text(f"{first}</VRTRasterBand>{second}{mask}{third}")
    with Scene.open(str(virtual)) as scene:
        pixels = scene.read_with_nan(Window(0, 0, WIDTH, HEIGHT), scene.bands)
    assert np.argwhere(np.isnan(pixels)).tolist() == [[1, 5, 6]]


def test_complex_numbers_in_one_band_are_refused(tmp_path):
    """A virtual raster may have bands of several types."""
    rasterio.shutil.copy(write_scene(tmp_path / "s.tif", make_spectra()[:3]), tmp_path / "s.vrt", driver="VRT")
    head, tail = (tmp_path / "s.vrt").read_text().rsplit('dataType="Float32" band="3"', 1)
    (tmp_path / "s.vrt").write_text(f'{head}dataType="CFloat32" band="3"{tail}')
    with pytest.raises(EngineError, match="s.vrt holds complex numbers"):
        Scene.open(str(tmp_path / "s.vrt"))
