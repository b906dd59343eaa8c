"""Write a scene as GeoTIFF and GeoPackage with GDAL; the only module here that needs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from osgeo import gdal, ogr, osr

from .classes import CLASSES
from .digitize import Ring
from .mixing import NODATA, SCALE
from .scene import Scene
from .styles import TRUE_COLOUR

for _module in (gdal, ogr, osr):
    _module.UseExceptions()

EPSG = 32633
ORIGIN = (412_300.0, 5_781_600.0)
"""Easting and northing of the upper left corner: farmland south of Berlin, which looks nothing like this."""
LICENCE = "CC0-1.0"
# GeoPackage stores when it was made; a fixed date keeps the bytes the same from run to run.
DATE = "2024-01-01T00:00:00.000Z"

TIFF_OPTIONS = ("TILED=YES", "COMPRESS=DEFLATE", "PREDICTOR=2", "ZLEVEL=9", "INTERLEAVE=PIXEL",
                "BLOCKXSIZE=80", "BLOCKYSIZE=80")
COLOURS = {"red": gdal.GCI_RedBand, "green": gdal.GCI_GreenBand, "blue": gdal.GCI_BlueBand}


def write_scene(scene: Scene, path: Path, seed: int) -> None:
    """The image as int16 reflectance x 10 000, with wavelengths and quality flags on its bands."""
    bands = len(scene.image.table)
    target = _create_raster(path, scene, bands, gdal.GDT_Int16)
    target.SetMetadata({
        "TITLE": f"SpectraFiLM sample scene, synthetic, seed {seed}",
        "LICENCE": LICENCE,
    })
    shown = {scene.image.table.nearest(values[0]): COLOURS[colour] for colour, values in TRUE_COLOUR.items()}
    for index in range(bands):
        band = target.GetRasterBand(index + 1)
        wavelength = float(scene.image.table.wavelength[index])
        band.SetDescription(f"band {index + 1} ({wavelength:.1f} nm)")
        band.SetMetadata({
            "wavelength": f"{wavelength:.1f}",
            "wavelength_units": "Nanometers",
            "fwhm": f"{scene.image.table.fwhm[index]:.1f}",
            "bbl": str(int(scene.image.table.good[index])),
        })
        band.SetNoDataValue(NODATA)
        band.SetScale(1.0 / SCALE)
        band.SetOffset(0.0)
        band.SetColorInterpretation(shown.get(index, gdal.GCI_Undefined))
        band.WriteArray(scene.image.counts[index])
    target.FlushCache()


def write_truth(scene: Scene, path: Path) -> None:
    """The class that covers most of each pixel, 0 outside the swath, with class names and colours."""
    target = _create_raster(path, scene, 1, gdal.GDT_Byte)
    band = target.GetRasterBand(1)
    table = gdal.ColorTable()
    for cover in CLASSES:
        table.SetColorEntry(cover.id, (*cover.colour, 255))
    band.SetColorTable(table)
    band.SetCategoryNames(["no data"] + [cover.name for cover in CLASSES])
    band.SetNoDataValue(0)
    band.WriteArray(np.where(scene.image.seen, scene.image.truth.majority, 0).astype(np.uint8))
    target.FlushCache()


def write_polygons(scene: Scene, path: Path) -> None:
    """The training polygons, layer `polygons`, fields `class` and `class_id`."""
    rows = []
    for feature in scene.polygons:
        geometry = ogr.Geometry(ogr.wkbMultiPolygon)
        for ring in feature.rings:
            geometry.AddGeometry(_polygon(ring))
        rows.append((geometry, feature.cover.id))
    _write_layer(path, "polygons", ogr.wkbMultiPolygon, rows)


def write_points(scene: Scene, path: Path) -> None:
    """The reference points, layer `reference`, fields `class` and `class_id`."""
    size = scene.image.canvas.grid.pixel_size
    rows = []
    for row, column, label in zip(scene.points.row, scene.points.column, scene.points.label):
        geometry = ogr.Geometry(ogr.wkbPoint)
        geometry.AddPoint_2D(*_to_map(np.array([(column + 0.5) * size, (row + 0.5) * size])))
        rows.append((geometry, int(label)))
    _write_layer(path, "reference", ogr.wkbPoint, rows)


def _create_raster(path: Path, scene: Scene, bands: int, kind: int) -> gdal.Dataset:
    grid = scene.image.canvas.grid
    driver = gdal.GetDriverByName("GTiff")
    target = driver.Create(str(path), grid.pixels, grid.pixels, bands, kind, options=list(TIFF_OPTIONS))
    target.SetGeoTransform((ORIGIN[0], grid.pixel_size, 0.0, ORIGIN[1], 0.0, -grid.pixel_size))
    target.SetProjection(_reference_system().ExportToWkt())
    return target


def _reference_system() -> osr.SpatialReference:
    system = osr.SpatialReference()
    system.ImportFromEPSG(EPSG)
    system.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return system


def _to_map(point: NDArray[np.float64]) -> tuple[float, float]:
    """Easting and northing of a point in metres from the upper left corner, y downwards."""
    return round(ORIGIN[0] + float(point[0]), 2), round(ORIGIN[1] - float(point[1]), 2)


def _polygon(ring: Ring) -> ogr.Geometry:
    line = ogr.Geometry(ogr.wkbLinearRing)
    for corner in [*ring, ring[0]]:
        line.AddPoint_2D(*_to_map(corner))
    polygon = ogr.Geometry(ogr.wkbPolygon)
    polygon.AddGeometry(line)
    return polygon


def _write_layer(path: Path, name: str, kind: int, rows: list[tuple[ogr.Geometry, int]]) -> None:
    """A GeoPackage with one layer; rows are geometries with their class ids."""
    names = {cover.id: cover.name for cover in CLASSES}
    path.unlink(missing_ok=True)
    gdal.SetConfigOption("OGR_CURRENT_DATE", DATE)
    target = ogr.GetDriverByName("GPKG").CreateDataSource(str(path))
    # A few hundred features need no spatial index, and it would double the file.
    layer = target.CreateLayer(name, _reference_system(), kind, options=["SPATIAL_INDEX=NO"])
    layer.CreateField(ogr.FieldDefn("class", ogr.OFTString))
    layer.CreateField(ogr.FieldDefn("class_id", ogr.OFTInteger))
    layer.StartTransaction()
    for geometry, label in rows:
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetField("class", names[label])
        feature.SetField("class_id", label)
        feature.SetGeometry(geometry)
        layer.CreateFeature(feature)
    layer.CommitTransaction()
    del layer, target
    gdal.SetConfigOption("OGR_CURRENT_DATE", None)
