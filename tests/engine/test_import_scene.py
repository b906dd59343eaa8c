"""Products of missions become scenes, every value where it belongs; the products are made (`made_products`)."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from made_products import make_cube, write_emit, write_neon, write_prisma, write_tanager
from rasterio.enums import ColorInterp

from spectrafilm.engine.errors import EngineError
from spectrafilm.engine.jobs import ImportScene
from spectrafilm.engine.products import emit, product
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Scene

VISIBLE = [475.0, 555.0, 655.0, 1400.0, 2200.0]


@pytest.fixture(autouse=True)
def several_parts(monkeypatch):
    """Small products are read in parts, too."""
    monkeypatch.setattr(product, "ROWS", 16)
    monkeypatch.setattr(emit, "BANDS", 2)


@dataclass
class Imported:
    """What becomes of a product: reflectances, NaN for no data, and what the file says of each band and its place."""

    path: Path
    values: np.ndarray
    tags: list[dict[str, str]]
    epsg: int
    geotransform: tuple[float, ...]
    colours: tuple[ColorInterp, ...]

    def tag(self, name):
        """The tag of every band."""
        return [tags[name] for tags in self.tags]


def imported(path, progress):
    """Import a product."""
    target = path.with_name("scene.tif")
    result = run_job(ImportScene(str(path), str(target)), progress)
    with rasterio.open(target) as dataset:
        assert result == {"bands": dataset.count}
        stored = dataset.read()
        return Imported(
            target, np.where(stored == dataset.nodata, np.nan, stored * 0.0001),
            [dataset.tags(n) for n in dataset.indexes], dataset.crs.to_epsg(), dataset.transform.to_gdal(),
            dataset.colorinterp,
        )  # fmt: skip


def test_prisma_bands_ascend_by_detector_and_lie_where_the_pixels_are(tmp_path, progress):
    cube = make_cube(7, 20, 15)
    cube[:, 3, 4] = np.nan
    path = write_prisma(tmp_path / "PRS_L2D_STD.he5", cube, [0.0, 860.0, 655.0, 555.0], [2200.0, 1400.0, 940.0])
    scene = imported(path, progress)
    # Within the step of the product, 1.5 / 65535, and half of ours.
    np.testing.assert_allclose(scene.values, cube[[3, 2, 1, 6, 5, 4]], atol=0.00008)
    assert [float(text) for text in scene.tag("wavelength")] == [555, 655, 860, 940, 1400, 2200]
    assert scene.tag("bbl") == ["1", "1", "1", "1", "0", "1"]
    assert set(scene.tag("fwhm")) == {"11.0"}
    assert scene.epsg == 32633
    assert scene.geotransform == (400000, 30, 0, 5800000, 0, -30)


def test_a_single_number_of_0_in_a_prisma_band_is_data(tmp_path, progress):
    cube = make_cube(4, 3, 4)
    cube[1, 2, 2] = 0.0
    path = write_prisma(tmp_path / "p.he5", cube, [655.0, 555.0], [2200.0, 1600.0])
    scene = imported(path, progress)
    assert np.isfinite(scene.values).all()
    assert scene.values[0, 2, 2] == 0


def test_emit_pixels_go_where_the_lookup_table_says(tmp_path, progress):
    cube = make_cube(5, 6, 7)
    cube[:, 4, 5] = np.nan
    line, sample = np.zeros((8, 9), int), np.zeros((8, 9), int)
    rows, columns = np.mgrid[0:6, 0:7]
    # Turned by half a circle, one pixel shown twice, another one nowhere.
    line[1:7, 1:8], sample[1:7, 1:8] = 6 - rows, 7 - columns
    line[0, 0], sample[0, 0] = 3, 2
    line[3, 3] = sample[3, 3] = 0
    scene = imported(write_emit(tmp_path / "EMIT.nc", cube, VISIBLE, line, sample), progress)
    wanted = np.full((5, 8, 9), np.nan)
    wanted[:, 1:7, 1:8] = cube[:, ::-1, ::-1]
    wanted[:, 0, 0], wanted[:, 3, 3] = cube[:, 2, 1], np.nan
    np.testing.assert_allclose(scene.values, wanted, atol=0.00006)
    assert np.isnan(wanted[:, 2, 2]).all()
    assert scene.tag("bbl") == ["1", "1", "1", "0", "1"]
    assert scene.epsg == 4326
    np.testing.assert_allclose(scene.geotransform, (13, 0.0005, 0, 52.5, 0, -0.0005))


@pytest.mark.parametrize(("write", "geotransform"), [
    (write_neon, (257000, 1, 0, 4112000, 0, -1)), (write_tanager, (329340, 30, 0, 3775800, 0, -30)),
])  # fmt: skip
def test_neon_tiles_and_tanager_grids(tmp_path, progress, write, geotransform):
    cube = make_cube(5, 20, 9)
    cube[:, 3, 4] = np.nan
    scene = imported(write(tmp_path / "product.h5", cube, VISIBLE), progress)
    np.testing.assert_allclose(scene.values, cube, atol=0.00006)
    assert scene.tag("bbl") == ["1", "1", "1", "0", "1"]
    assert scene.epsg == 32611
    assert scene.geotransform == geotransform


def test_what_is_written_is_a_scene_of_natural_colours(tmp_path, progress):
    cube = make_cube(5, 20, 9)
    cube[0, 0, :2] = -5, 5
    made = imported(write_tanager(tmp_path / "ortho.h5", cube, VISIBLE), progress)
    assert made.colours[:3] == (ColorInterp.blue, ColorInterp.green, ColorInterp.red)
    with Scene.open(str(made.path)) as scene:
        assert [band.wavelength for band in scene.bands] == VISIBLE
        assert [band.good for band in scene.bands] == [True, True, True, False, True]
        spectra, valid = scene.read(rasterio.windows.Window(0, 0, 9, 20), scene.bands)
    # The ends of what the numbers reach.
    cube[0, 0, :2] = -3.2767, 3.2767
    np.testing.assert_allclose(spectra / 10000, cube, atol=0.00006)
    assert valid.all()
    assert progress.messages[0].endswith(
        " is Tanager ortho surface reflectance: 9 x 20 pixels, 5 bands (475 to 2200 nm), 1 of them flagged bad."
    )
    assert progress.messages[-1] == "100 per cent of the grid hold data."


def swath(path):
    with h5py.File(path, "w") as file:
        file["HDFEOS/SWATHS/PRS_L2C_HCO/Data Fields/VNIR_Cube"] = np.zeros((2, 2, 2))


def other(path):
    with h5py.File(path, "w") as file:
        file["temperature"] = np.zeros((2, 2, 2))


def incomplete(path):
    write_neon(path, make_cube(5, 20, 9), VISIBLE)
    with h5py.File(path, "a") as file:
        del file["SJER/Reflectance/Metadata/Spectral_Data/FWHM"]


def cut_off(path):
    write_tanager(path, make_cube(5, 20, 9), VISIBLE)
    path.write_bytes(path.read_bytes()[:-2000])


def leading_out(path):
    write_emit(path, make_cube(5, 6, 7), VISIBLE, np.full((8, 9), 7), np.ones((8, 9)))


def turned(path):
    write_neon(path, make_cube(5, 20, 9), VISIBLE, rotation=", rotation=12.5")


def looping(path):
    write_neon(path, make_cube(5, 20, 9), VISIBLE)
    with h5py.File(path, "a") as file:
        del file["SJER/Reflectance/Reflectance_Data"]
        file["SJER/Reflectance/Reflectance_Data"] = h5py.SoftLink("/SJER/Reflectance/Reflectance_Data")


def grouped(path):
    write_tanager(path, make_cube(5, 20, 9), VISIBLE)
    with h5py.File(path, "a") as file:
        del file["HDFEOS INFORMATION/StructMetadata.0"]
        file.create_group("HDFEOS INFORMATION/StructMetadata.0")


def damaged_index(path):
    write_neon(path, make_cube(5, 20, 9), VISIBLE)
    content = bytearray(path.read_bytes())
    content[content.index(b"TREE")] ^= 1
    path.write_bytes(content)


def turned_round(path):
    write_neon(path, make_cube(5, 20, 9).transpose(1, 0, 2), VISIBLE)


def unscaled(path):
    write_neon(path, make_cube(5, 20, 9), VISIBLE)
    with h5py.File(path, "a") as file:
        file["SJER/Reflectance/Reflectance_Data"].attrs["Scale_Factor"] = 0


def packed(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PRS_L2D_STD.he5", b"")


@pytest.mark.parametrize(("make", "sentence"), [
    (swath, "is in the geometry of the instrument; download the product that lies on a grid"),
    (other, "is no product that can be imported; those are PRISMA L2D, EMIT L2A, NEON reflectance and Tanager"),
    (incomplete, r"cannot be read \(.*FWHM.*\); it is probably incomplete, download it again"),
    (cut_off, r"cannot be read \(.*truncated.*\); it is probably incomplete, download it again"),
    (leading_out, r"cannot be read \(its lookup table leads out of the image\)"),
    (turned, r"cannot be read \(its rows do not run from west to east\)"),
    (looping, r"cannot be read \(.*too many links"),
    (grouped, r"cannot be read \("),
    (damaged_index, r"cannot be read \("),
    (turned_round, r"cannot be read \(20 bands instead of 5\)"),
    (unscaled, r"cannot be read \(its reflectances are scaled by 0.0\)"),
    (lambda path: write_tanager(path, make_cube(5, 20, 9), [math.nan, *VISIBLE[1:]]), "the wavelengths of its bands"),
    (packed, "is a ZIP archive; unpack it, and choose the file in it"),
    (lambda path: path.write_text("no product"), "is no product that can be imported"),
    (lambda path: None, "does not exist; check the path"),
])  # fmt: skip
def test_what_is_wrong_is_one_sentence_and_nothing_is_left(tmp_path, progress, make, sentence):
    path = tmp_path / "product"
    make(path)
    before = {p.name for p in tmp_path.iterdir()}
    with pytest.raises(EngineError, match=sentence):
        run_job(ImportScene(str(path), str(tmp_path / "scene.tif")), progress)
    assert {p.name for p in tmp_path.iterdir()} == before


def test_damage_that_shows_while_reading_is_told_and_leaves_nothing(tmp_path, progress):
    path = write_emit(tmp_path / "EMIT.nc", make_cube(5, 6, 7), VISIBLE, np.ones((8, 9)), np.ones((8, 9)))
    with h5py.File(path) as file:
        offset = file["reflectance"].id.get_chunk_info(0).byte_offset
    damaged = bytearray(path.read_bytes())
    damaged[offset : offset + 20] = bytes(20)
    path.write_bytes(damaged)
    with pytest.raises(EngineError, match=r"The product .*EMIT\.nc cannot be read \("):
        run_job(ImportScene(str(path), str(tmp_path / "scene.tif")), progress)
    assert [p.name for p in tmp_path.iterdir()] == ["EMIT.nc"]


def test_a_product_is_never_overwritten(tmp_path, progress):
    path = write_neon(tmp_path / "NEON.h5", make_cube(5, 20, 9), VISIBLE)
    content = path.read_bytes()
    with pytest.raises(EngineError, match="is also an input of this run"):
        run_job(ImportScene(str(path), str(path)), progress)
    assert path.read_bytes() == content
