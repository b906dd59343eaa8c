"""Digitized polygons and reference points, read from GeoJSON and brought onto a scene's pixel grid."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from affine import Affine
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as transform_coordinates

from .class_colours import default_colours
from .errors import EngineError, reason
from .json_text import parse_json
from .progress import Progress

COLOUR = re.compile("#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class LandCoverClass:
    """A class of the map. `id` counts from 1, `colour` is "#rrggbb"."""

    id: int
    name: str
    colour: str


class Feature(NamedTuple):
    """A feature of a layer: the name of its class, its GeoJSON geometry, the group it belongs to, and its id.

    Group and id are "" where there is none.
    """

    name: str
    geometry: dict[str, Any]
    group: str = ""
    id: str = ""


@dataclass(frozen=True)
class Part:
    """One single-part polygon or point.

    Attributes:
        class_id: its class.
        group, feature: group and id of its feature.
        rings: (n, 2) float64 arrays of (column, row) in pixels of the scene, the outer ring first;
            a point is one ring of one vertex.
    """

    class_id: int
    rings: tuple[np.ndarray, ...]
    group: str = ""
    feature: str = ""

    @property
    def is_point(self) -> bool:
        """Whether it is a point."""
        return len(self.rings[0]) == 1

    def geometry(self) -> dict[str, Any]:
        """It as GeoJSON, in pixels."""
        rings = [ring.tolist() for ring in self.rings]
        if self.is_point:
            return {"type": "Point", "coordinates": rings[0][0]}
        return {"type": "Polygon", "coordinates": rings}

    def bounds(self) -> tuple[float, float, float, float]:
        """First column, first row, last column, last row it reaches, in pixels."""
        low, high = self.rings[0].min(0), self.rings[0].max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def make_classes(names: Sequence[str], colours: Sequence[str] = ()) -> list[LandCoverClass]:
    """Classes 1, 2, ... of the given names, with a default colour where none is given.

    Raises:
        EngineError: there are fewer than two classes, or more than 255, or a colour is not "#rrggbb".
    """
    if len(names) < 2:
        found = f"only '{names[0]}'" if names else "none"
        raise EngineError(f"At least two land-cover classes are needed, the labels have {found}; draw more classes.")
    if len(names) > 255:
        raise EngineError(f"The class field holds {len(names)} different values; at most 255 classes can be mapped.")
    given = [*colours, *[""] * (len(names) - len(colours))]
    for name, colour in zip(names, given, strict=True):
        if colour and not COLOUR.fullmatch(colour):
            raise EngineError(f"The colour '{colour}' of the class '{name}' is not written as in #1b7837.")
    plain = [name for name, colour in zip(names, given, strict=True) if not colour]
    defaults = dict(zip(plain, default_colours(plain, [c for c in given if c]), strict=True))
    return [
        LandCoverClass(i, name, colour or defaults[name])
        for i, (name, colour) in enumerate(zip(names, given, strict=True), 1)
    ]


def read_features(path: str, class_field: str, progress: Progress, group_field: str = "") -> list[Feature]:
    """Every feature of a GeoJSON file that has a class and a geometry.

    Texts in its member `spectrafilm_warnings`, which the QGIS half writes, are told.

    Raises:
        EngineError: the file is missing or no GeoJSON, a field is missing, or no feature has a class and a geometry.
    """
    features = _read_collection(path, progress)
    properties = [feature.get("properties") or {} for feature in features]
    if not features:
        raise EngineError(f"The layer {path} holds no features; draw at least one polygon per class.")
    for field, held in ((class_field, "the class"), (group_field, "what belongs together")):
        if field and not any(field in p for p in properties):
            raise EngineError(f"The polygons have no field '{field}'; choose the field that holds {held}.")
    named = [
        Feature(
            class_name(p.get(class_field)), f.get("geometry") or {},
            class_name(p.get(group_field)) if group_field else "", class_name(f.get("id")),
        )
        for f, p in zip(features, properties, strict=True)
    ]  # fmt: skip
    if not any(feature.name for feature in named):
        raise EngineError(f"The class field '{class_field}' is empty (NULL) in every feature; fill it in.")
    kept = [feature for feature in named if feature.name and feature.geometry]
    if not kept:
        raise EngineError("No feature with a class has a geometry; draw polygons.")
    if len(kept) < len(features):
        progress.warning(f"{len(features) - len(kept)} feature(s) without a class or geometry are left out.")
    return kept


def read_geometries(path: str, progress: Progress) -> list[dict[str, Any]]:
    """The geometries of a GeoJSON file; warnings as in `read_features`.

    Raises:
        EngineError: the file is missing or no GeoJSON.
    """
    return [feature["geometry"] for feature in _read_collection(path, progress) if feature.get("geometry")]


def _read_collection(path: str, progress: Progress) -> list[dict[str, Any]]:
    try:
        # Programs on Windows put a mark of their encoding in front.
        collection = parse_json(Path(path).read_text(encoding="utf-8-sig"))
        features, warnings = list(collection["features"]), list(collection.get("spectrafilm_warnings", ()))
        if not all(isinstance(f, dict) and isinstance(f.get("properties") or {}, dict) for f in features):
            raise ValueError("a feature is no object, or its properties are none")
    except OSError as error:
        raise EngineError(f"The polygons {path} cannot be read ({error.strerror}); check the path.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(f"{path} is not a GeoJSON feature collection; export the polygons as GeoJSON.") from error
    for warning in warnings:
        progress.warning(str(warning))
    return features


def class_name(value: Any) -> str:
    """The name that a field value gives a class; empty for no value, and for NaN. 3.0 and 3 are the same class."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def class_order(name: str) -> tuple[float, str, str]:
    """Sort key: numbers by value, then texts by alphabet; names that are equal so far as they are written."""
    try:
        number = float(name)
    except ValueError:
        number = math.nan
    # "nan" is a name like others, and in no order with numbers.
    return (math.inf, name.casefold(), name) if math.isnan(number) else (number, "", name)


def to_parts(
    features: Sequence[Feature],
    classes: Sequence[LandCoverClass],
    transform: Affine,
    source_crs: str,
    target_crs: CRS,
) -> list[Part]:
    """Single parts of the features, in pixel coordinates of the scene.

    Args:
        classes: which id a name has; features of other names are left out.
        transform: pixel to map coordinates of the scene.
        source_crs: WKT or authority code of the features.
        target_crs: of the scene.

    Raises:
        EngineError: a geometry is no polygon or point, or cannot be brought into the scene's system.
    """
    ids = {c.name: c.id for c in classes}
    try:
        kept = [(f, rings) for f in features if f.name in ids for rings in _single_parts(f.geometry)]
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise EngineError(
            f"The geometry of a feature is not written as GeoJSON has them ({reason(error)}); export the polygons as "
            "GeoJSON again."
        ) from error
    if not kept:
        return []
    lengths = [len(ring) for _, rings in kept for ring in rings]
    vertices = np.concatenate([ring for _, rings in kept for ring in rings])
    vertices = _reprojected(vertices, source_crs, target_crs)
    inverse = ~transform
    pixels = np.column_stack([
        inverse.a * vertices[:, 0] + inverse.b * vertices[:, 1] + inverse.c,
        inverse.d * vertices[:, 0] + inverse.e * vertices[:, 1] + inverse.f,
    ])  # fmt: skip
    pieces = iter(np.split(pixels, np.cumsum(lengths)[:-1]))
    # Longitudes are the same a turn further, and some scenes count them from 0 to 360.
    turn = 360 / abs(transform.a) if target_crs.is_geographic and not (transform.b or transform.d) else math.inf
    return [Part(ids[f.name], _within_turn([next(pieces) for _ in rings], turn), f.group, f.id) for f, rings in kept]


def _reprojected(vertices: np.ndarray, source_crs: str, target_crs: CRS) -> np.ndarray:
    """Vertices (n, 2) in the scene's coordinate system; arguments and errors as of `to_parts`."""
    try:
        source = CRS.from_user_input(source_crs)
        if source != target_crs:
            vertices = np.column_stack(transform_coordinates(source, target_crs, vertices[:, 0], vertices[:, 1]))
    except CRSError as error:
        raise EngineError(
            f"The polygons cannot be brought into the scene's coordinate system ({reason(error)})."
        ) from error
    except CPLE_BaseError as error:
        raise EngineError(
            f"The coordinates of the polygons do not fit the coordinate system of their layer ({reason(error)}); "
            "set the one in which they were drawn."
        ) from error
    if not np.isfinite(vertices).all():
        raise EngineError(
            "Some polygons have coordinates that are no numbers in the scene's coordinate system; check in which one "
            "they were drawn, and repair the layer (in QGIS: Fix geometries)."
        )
    return vertices


def _within_turn(rings: list[np.ndarray], turn: float) -> tuple[np.ndarray, ...]:
    """Rings in pixels, moved by whole turns, of so many columns, if they lie left of the scene or beyond a turn."""
    low, high = rings[0][:, 0].min(), rings[0][:, 0].max()
    turns = max(math.ceil(-high / turn), 0) - max(math.floor(low / turn), 0)
    return tuple(ring + (turns * turn, 0.0) for ring in rings) if turns else tuple(rings)


def _single_parts(geometry: dict[str, Any]) -> Iterator[list[np.ndarray]]:
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        for member in geometry.get("geometries", []):
            yield from _single_parts(member)
    elif kind in ("Polygon", "MultiPolygon"):
        for part in [coordinates] if kind == "Polygon" else coordinates or []:
            # An empty outer ring is an empty polygon, an empty inner one no hole.
            if part and part[0]:
                yield [_positions(ring, 4) for ring in part if ring]
    elif kind == "Point" and coordinates:
        yield [_positions([coordinates])]
    elif kind == "MultiPoint":
        for point in coordinates or []:
            yield [_positions([point])]
    elif kind in ("LineString", "MultiLineString"):
        raise EngineError("Lines cannot serve as labels; draw polygons.")


def _positions(written: Any, least: int = 1) -> np.ndarray:
    """(n, 2) float64 of GeoJSON's positions, whose heights are left out.

    Raises:
        ValueError: they are none, or fewer than a ring or point has.
    """
    found = np.asarray(written, float)
    if found.ndim != 2 or found.shape[1] < 2 or len(found) < least:
        raise ValueError(f"{least} pair(s) of numbers at least are wanted, not an array of shape {found.shape}")
    return found[:, :2]
