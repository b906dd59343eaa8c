"""What the numbers of a label raster or a map stand for, as QGIS or GDAL knows it."""

from __future__ import annotations

from contextlib import suppress

from osgeo import gdal
from qgis.core import QgsPalettedRasterRenderer, QgsProviderRegistry, QgsRasterLayer

from .polygon_source import Legend, value_text


def read_raster_legend(layer: QgsRasterLayer | None) -> Legend:
    """Names from the layer's paletted style or, where that has only numbers, from its file.

    Call it where the layer may be touched: in the main thread.
    """
    if not isinstance(layer, QgsRasterLayer) or layer.providerType() != "gdal":
        return Legend()
    names = _labels(layer)
    if not names and layer.project() is None:
        # A layer that was opened for this run only has not been given its style; one of the project keeps its own.
        layer.loadDefaultStyle()
        names = _labels(layer)
    if not names:
        names = {number: name.strip() for number, name in _categories(gdal_name(layer)).items() if name.strip()}
    return Legend(tuple(names), tuple(names.values()))


def _labels(layer: QgsRasterLayer) -> dict[str, str]:
    """Names by number in a paletted style; none where it has only numbers."""
    renderer = layer.renderer()
    if not isinstance(renderer, QgsPalettedRasterRenderer):
        return {}
    names = {value_text(c.value): c.label.strip() for c in renderer.classes() if c.label.strip()}
    return {} if all(value == name for value, name in names.items()) else names


def gdal_name(layer: QgsRasterLayer) -> str:
    """What GDAL opens a layer by: its source without the options that QGIS writes after it."""
    source = str(layer.source())
    if "|" in source:
        source = str(QgsProviderRegistry.instance().decodeUri("gdal", source).get("path", source))
    return source


def _categories(source: str) -> dict[str, str]:
    """Names by number that stand in a file or beside it, as categories or as a raster attribute table."""
    dataset = None
    with suppress(RuntimeError):  # of GDAL, where it is told to raise errors
        dataset = gdal.OpenEx(source, gdal.OF_RASTER)
    if dataset is None:
        return {}
    band = dataset.GetRasterBand(1)
    # Only now does GDAL read the file beside a GeoTIFF that holds the categories, too.
    band.GetMetadata()
    if categories := band.GetCategoryNames():
        return {str(number): name for number, name in enumerate(categories)}
    table = band.GetDefaultRAT()
    number, name = (table.GetColOfUsage(usage) if table else -1 for usage in (gdal.GFU_MinMax, gdal.GFU_Name))
    if number < 0 or name < 0:
        return {}
    return {
        value_text(table.GetValueAsDouble(row, number)): table.GetValueAsString(row, name)
        for row in range(table.GetRowCount())
    }
