"""Names of classes are found however QGIS has opened a raster."""

from __future__ import annotations

import numpy as np
import pytest
from in_qgis import write_raster
from osgeo import gdal
from qgis.core import Qgis, QgsPalettedRasterRenderer, QgsProcessingContext, QgsProcessingUtils, QgsRasterLayer
from qgis.PyQt.QtGui import QColor

from spectrafilm.plugin.polygon_source import Legend
from spectrafilm.plugin.raster_legend import read_raster_legend


def test_categories_of_a_raster_that_was_opened_with_options(qgis_app, tmp_path):
    path = write_raster(tmp_path / "map.tif", np.ones((1, 4, 4), np.uint8))
    dataset = gdal.Open(path, gdal.GA_Update)
    dataset.GetRasterBand(1).SetCategoryNames(["no data", "Water"])
    dataset = None
    for source in (path, f"{path}|option:NUM_THREADS=2"):
        layer = QgsRasterLayer(source, "map")
        assert layer.isValid()
        assert read_raster_legend(layer) == Legend(("0", "1"), ("no data", "Water"))


@pytest.mark.parametrize("usage", [gdal.GFU_Name, gdal.GFU_Generic])
def test_the_raster_attribute_table_counts_if_it_says_which_column_holds_names(qgis_app, tmp_path, usage):
    path = write_raster(tmp_path / "map.tif", np.ones((1, 4, 4), np.uint8))
    table = gdal.RasterAttributeTable()
    table.CreateColumn("Value", gdal.GFT_Real, gdal.GFU_MinMax)
    table.CreateColumn("Class", gdal.GFT_String, usage)
    for row, (number, name) in enumerate(((5.0, "Corn"), (111.0, "Open water"))):
        table.SetValueAsDouble(row, 0, number)
        table.SetValueAsString(row, 1, name)
    dataset = gdal.Open(path)
    dataset.GetRasterBand(1).SetDefaultRAT(table)
    dataset = None
    # QGIS 3.30 and later find the column themselves and style the layer by it.
    named = usage == gdal.GFU_Name or Qgis.QGIS_VERSION_INT >= 33000
    expected = Legend(("5", "111"), ("Corn", "Open water")) if named else Legend()
    assert read_raster_legend(QgsRasterLayer(path, "map")) == expected


def test_the_style_beside_a_raster_that_is_in_no_project_counts(qgis_app, tmp_path):
    """As of one that is named by its path, in a dialog or for qgis_process."""
    path = write_raster(tmp_path / "map.tif", np.ones((1, 4, 4), np.uint8))
    layer = QgsRasterLayer(path, "map")
    classes = [QgsPalettedRasterRenderer.Class(1, QColor("#0000ff"), "Water")]
    layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, classes))
    layer.saveNamedStyle(str(tmp_path / "map.qml"))
    context = QgsProcessingContext()
    assert read_raster_legend(QgsProcessingUtils.mapLayerFromString(path, context)) == Legend(("1",), ("Water",))
    # But a script may give a layer another style.
    other = [QgsPalettedRasterRenderer.Class(1, QColor("#0000ff"), "Lake")]
    layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), 1, other))
    assert read_raster_legend(layer) == Legend(("1",), ("Lake",))


def test_a_raster_that_is_gone_has_no_legend(qgis_app, tmp_path):
    path = write_raster(tmp_path / "map.tif", np.ones((1, 4, 4), np.uint8))
    layer = QgsRasterLayer(path, "map")
    (tmp_path / "map.tif").unlink()
    assert read_raster_legend(layer) == Legend()
