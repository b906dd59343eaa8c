"""The real scenes and how their labels are divided into training and test polygons."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.features import shapes

from spectrafilm.engine.folds import split_by_polygon
from spectrafilm.engine.labels import Labels, label_pixels
from spectrafilm.engine.polygons import LandCoverClass, class_order, make_classes, read_features, to_parts
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.scene import Band, Scene, unplaced_allowed
from spectrafilm.engine.survey import survey_scene
from spectrafilm.tools.qgis_shell import QgisShell

RASTERS = (".tif", ".tiff")
# Class field of polygons that are made from label rasters.
CLASS = "class"
POTSDAM = {1: "roof", 2: "pavement", 3: "low vegetation", 4: "tree", 5: "soil", 6: "water"}


@dataclass(frozen=True)
class RealScene:
    """One scene of the data folder.

    Attributes:
        name, title: for files and for people.
        scene: path in the data folder.
        labels: a polygon layer, a label raster (.tif), or the training and the validation label raster.
        class_field: of the polygon layer.
        protocol: how test pixels are kept apart.
        seeds: how often it is repeated by default, with other folds and other initial weights.
        names: of the classes of a label raster, by value; others are called by their value.
    """

    name: str
    title: str
    scene: str
    labels: tuple[str, ...]
    class_field: str
    protocol: str
    seeds: int = 1
    names: Mapping[int, str] = field(default_factory=dict)


BY_POLYGON = "5-fold by polygon"
DIVISION = "standard division"
# What label rasters often have where nothing is labelled, beside 0 and nodata.
UNLABELLED = 255
ENMAP_LABELS = "enmap_berlin/LandCov_BerlinUrbanGradient.shp"
SCENES = {
    s.name: s
    for s in (
        RealScene("enmap_berlin", "EnMAP Berlin (30 m, 177 bands)", "enmap_berlin/EnMAP_BerlinUrbanGradient.bsq",
                  (ENMAP_LABELS,), "Level_2", BY_POLYGON),
        RealScene("hymap_berlin", "HyMap Berlin (9 m, 111 bands)",
                  "hymap_berlin/HyMap02_Berlin_Urban_Gradient_2009.bsq",
                  ("hymap_berlin/LandCov_Vec_Berlin_Urban_Gradient_2009.shp",), "Level_2", BY_POLYGON),
        RealScene("aerial_berlin", "Aerial Berlin (3.6 m, 4 bands)",
                  "aerial_berlin/HighResolution_BerlinUrbanGradient.bsq", (ENMAP_LABELS,), "Level_2", BY_POLYGON),
        RealScene("enmap_potsdam", "EnMAP Potsdam (30 m, 218 bands)", "enmap_potsdam/enmap_potsdam.tif",
                  ("enmap_potsdam/labels_train.tif", "enmap_potsdam/labels_validation.tif"), CLASS,
                  "training tiles to validation tiles", 3, POTSDAM),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Training polygons as a GeoJSON file, the pixels they label, and the pixels to test on."""

    polygons: Path
    crs: str
    training: Labels
    testing: Labels


class LabelledScene:
    """A real scene with its labels as single-part polygons.

    Args:
        data: folder of the real scenes.
        folder: where polygon files are written.
        shell: QGIS, which takes multipart features apart.
    """

    def __init__(self, real: RealScene, data: Path, folder: Path, shell: QgisShell) -> None:
        self.real = real
        self.path = str(data / real.scene)
        self.source = data / real.labels[0]
        self.has_validation_raster = len(real.labels) == 2
        self.folder = folder
        self._progress = Progress()
        with Scene.open(self.path) as scene:
            self._shape, self._transform, self._crs = (scene.height, scene.width), scene.transform, scene.crs
            self.bands = survey_scene(scene).bands
            self.pixels = whole_scene(scene, self.bands)
        self.crs = self._crs.to_wkt()
        if self.source.suffix.lower() in RASTERS:
            layers = [self._polygonize(data / name) for name in real.labels]
        else:
            layers = [self._single_parts(self.source, shell)]
        self._features: list[dict[str, Any]] = [feature for layer in layers for feature in layer]
        self._first = len(layers[0])
        everything = self._write(self._features, folder / "polygons.geojson")
        named = read_features(str(everything), real.class_field, self._progress)
        self.classes: list[LandCoverClass] = make_classes(sorted({f.name for f in named}, key=class_order))
        self.labels = self._label(everything)

    def splits(self, seed: int) -> Iterator[Split]:
        """Training and test labels of every fold."""
        if self.has_validation_raster:
            yield self._split(~self.in_training_raster(self.labels), self.folder / "train.geojson")
            return
        folds = split_by_polygon(self.labels, self.classes, seed, self._progress)
        for number, testing in enumerate(folds.testing):
            yield self._split(testing, self.folder / f"train-{seed}-{number}.geojson")

    def spectra(self, labels: Labels) -> np.ndarray:
        """Spectra (n, bands) of labelled pixels."""
        return self.pixels[:, labels.rows, labels.columns].T

    def in_training_raster(self, labels: Labels) -> np.ndarray:
        """Which pixels (n,) bool come from the first of two label rasters."""
        return labels.polygons < self._first

    def _split(self, testing: np.ndarray, path: Path) -> Split:
        tested = set(self.labels.polygons[testing].tolist())
        polygons = [f for i, f in enumerate(self._features) if i not in tested]
        self._write(polygons, path)
        train = self._label(path)
        test = self.labels.select(testing)
        # A pixel that small polygons of both sides share trains, and so must not test.
        taken = set((train.rows * self._shape[1] + train.columns).tolist())
        apart = [p not in taken for p in (test.rows * self._shape[1] + test.columns).tolist()]
        return Split(path, self.crs, train, test.select(np.array(apart)))

    def _label(self, path: Path) -> Labels:
        features = read_features(str(path), self.real.class_field, self._progress)
        parts = to_parts(features, self.classes, self._transform, self.crs, self._crs)
        assert len(parts) == len(features), "every feature is one part"  # noqa: S101
        labels = label_pixels(parts, self.classes, *self._shape, self._progress, measure_cover=True)
        valid = np.isfinite(self.pixels[:, labels.rows, labels.columns]).all(0)
        return labels.select(valid)

    def _single_parts(self, path: Path, shell: QgisShell) -> list[dict[str, Any]]:
        fixed, parts = self.folder / "fixed.gpkg", self.folder / "parts.geojson"
        for algorithm, source, target in (("fixgeometries", path, fixed), ("multiparttosingleparts", fixed, parts)):
            answer = shell.run(f"native:{algorithm}", {"INPUT": source, "OUTPUT": target})
            if answer.status:
                raise SystemExit(answer.output)
        return list(json.loads(parts.read_text(encoding="utf-8"))["features"])

    def _polygonize(self, path: Path) -> list[dict[str, Any]]:
        """The areas of a label raster as features with a field `class`."""
        with unplaced_allowed(), rasterio.open(path) as dataset:
            # Labels are often published without a place, pixel by pixel those of the scene.
            placed = bool(dataset.crs) and not dataset.transform.is_identity
            if placed and dataset.crs != self._crs:
                raise SystemExit(f"{path} has another coordinate reference system than its scene; warp it.")
            if not placed and dataset.shape != self._shape:
                raise SystemExit(f"{path} has no place in the world and another size than its scene.")
            values = class_numbers(np.where(dataset.read_masks(1) > 0, dataset.read(1), 0), str(path))
            transform = dataset.transform if placed else self._transform
            return [
                {
                    "type": "Feature",
                    "properties": {CLASS: self.real.names.get(int(value), str(int(value)))},
                    "geometry": geometry,
                }
                for geometry, value in shapes(values, mask=values > 0, transform=transform)
            ]

    def _write(self, features: Sequence[dict[str, Any]], path: Path) -> Path:
        collection: dict[str, Any] = {"type": "FeatureCollection", "features": list(features)}
        if code := self._crs.to_epsg():
            collection["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{code}"}}
        path.write_text(json.dumps(collection), encoding="utf-8")
        return path


def whole_scene(scene: Scene, bands: Sequence[Band]) -> np.ndarray:
    """Bands (bands, height, width) of all pixels, NaN where they are not valid."""
    return scene.read_with_nan(rasterio.windows.Window(0, 0, scene.width, scene.height), bands)


def class_numbers(values: np.ndarray, path: str) -> np.ndarray:
    """Numbers of a label raster as 32-bit integers; 0 where nothing is labelled.

    Raises:
        SystemExit: they are no class numbers.
    """
    numbers = np.where(np.isfinite(values) & (values > 0) & (values != UNLABELLED), values, 0)
    if np.any(numbers != np.rint(numbers)):
        raise SystemExit(f"{path} holds numbers with decimals and is no label raster.")
    return numbers.astype(np.int32)
