"""assessaccuracy: how well a map agrees with reference polygons, points or a label raster."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.vrt import WarpedVRT

from ..accuracy import adjust_for_area, assess, known
from ..class_colours import default_colours
from ..errors import EngineError, reason
from ..jobs import AssessAccuracy
from ..labels import join_groups, label_strips
from ..map_style import TAG, classes_from_tag
from ..outputs import Outputs
from ..pictures import confusion_picture, map_picture
from ..pieces import bounded_windows
from ..polygons import LandCoverClass, class_name, class_order, read_features, to_parts
from ..progress import Progress
from ..report import report_files, write_report
from ..sampling import read_pixels
from ..scene import Scene, told_by_gdal, transform_of, unplaced_allowed

CHANCE = (
    "Map and reference agree no better than by chance (kappa); check that they belong together, the class field, and "
    "their coordinate reference systems."
)
# In pixels; the page of the report says it, too.
BLOCK = 32
# Of 30 million: so a million pixels are compared at a time.
VALUES_PER_PIXEL = 30
PICTURE = 900
MOST_NAMES = 20  # of a warning
MOST_VALUES = 10_000
GEOJSON = (".geojson", ".json")


@dataclass(frozen=True)
class _Pairs:
    """Pairs of reference and mapped class ids in each polygon or block, and how many pixels have them.

    A reference of 0 is of a class that the map does not have.
    """

    reference: np.ndarray
    mapped: np.ndarray
    groups: np.ndarray
    counts: np.ndarray

    @classmethod
    def count(cls, reference: np.ndarray, mapped: np.ndarray, groups: np.ndarray) -> _Pairs:
        """Pairs of pixels; ids below 256, 0 where the map has no data, groups below 2^31, references below 2^24."""
        key = (groups.astype(np.int64) << 32) | (reference.astype(np.int64) << 8) | mapped.astype(np.int64)
        pairs, counts = np.unique(key, return_counts=True)
        return cls(pairs >> 8 & 0xFFFFFF, pairs & 0xFF, pairs >> 32, counts)

    @classmethod
    def join(cls, parts: Sequence[_Pairs]) -> _Pairs:
        """Those of several parts of the map; a pair may occur more than once."""
        columns = zip(*((p.reference, p.mapped, p.groups, p.counts) for p in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def select(self, which: np.ndarray) -> _Pairs:
        """Some of the pairs."""
        return _Pairs(self.reference[which], self.mapped[which], self.groups[which], self.counts[which])


def assess_accuracy(job: AssessAccuracy, progress: Progress, token: str) -> dict[str, Any]:
    """Compare, and write the HTML report with its JSON twin."""
    if os.path.realpath(job.map) == os.path.realpath(job.reference):
        raise EngineError(
            f"The reference {job.reference} is the map itself; choose polygons, points or a label raster of what is "
            "really there."
        )
    with Scene.open(job.map, job.map_crs) as land_cover, Outputs([*land_cover.files, job.reference], token) as outputs:
        outputs.check(*report_files(job.report))
        with progress.stage(0.0, 0.5, f"Reading the map {job.map}."):
            areas = _areas(land_cover, progress)
        classes = _map_classes(land_cover, areas, dict(zip(job.map_values, job.map_names, strict=True)))
        with progress.stage(0.5, 0.9, f"Reading the reference {job.reference_title or job.reference}."):
            if job.reference.lower().endswith(GEOJSON):
                pairs = _compare_features(job, land_cover, classes, progress)
                unit = "groups" if job.group_field else "polygons"
            else:
                pairs = _compare_raster(job, land_cover, classes, progress)
                unit = "blocks"
        everything = _drop_unmapped(pairs, progress)
        pairs = everything.select(everything.reference > 0)
        names = [c.name for c in classes]
        position = np.zeros(256, np.int64)
        position[[c.id for c in classes]] = np.arange(1, len(classes) + 1)
        reference, mapped = position[pairs.reference], position[pairs.mapped]
        accuracy = assess(reference, mapped, names, pairs.groups, pairs.counts)
        if left_out := int(everything.counts.sum()) - accuracy.samples:
            total = accuracy.samples + left_out
            progress.warning(
                f"{left_out} of {total} reference pixels are of classes that the map does not have; counted as errors "
                f"they would make the overall accuracy {accuracy.overall.value * accuracy.samples / total:.1f} %."
            )
        if accuracy.is_chance:
            progress.warning(CHANCE)
        area = adjust_for_area(accuracy.matrix, areas[[c.id for c in classes]], names)
        pictures = {
            "confusion": confusion_picture(accuracy.matrix, names),
            "map": map_picture(land_cover.overview(land_cover.bands[0], PICTURE), classes),
        }
        figures = {
            "accuracy": accuracy, "area": area, "warnings": progress.warnings,
            "settings": {"map": job.map, "reference": job.reference_title or job.reference},
        }  # fmt: skip
        write_report(outputs, job.report, "accuracy.html", f"Accuracy of {Path(job.map).name}", figures,
                     {"colours": [c.colour for c in classes], "unit": unit}, pictures)  # fmt: skip
    progress.info(
        f"With 95 % intervals: overall accuracy {accuracy.overall}, average accuracy {accuracy.average}, kappa "
        f"{accuracy.kappa}, from {accuracy.samples} pixels."
    )
    return {
        "overall_accuracy": accuracy.overall.value,
        "average_accuracy": accuracy.average.value,
        "kappa": known(accuracy.kappa.value),
    }


def _areas(land_cover: Scene, progress: Progress) -> np.ndarray:
    """The area of each value 0..255 of the map, in pixels or, of a map in degrees, in pixels at the equator."""
    if len(land_cover.bands) != 1:
        raise EngineError(
            f"{land_cover.path} has {len(land_cover.bands)} bands and is no land-cover map; choose a raster with "
            "one band of class numbers."
        )
    areas = np.zeros(256)
    size = _pixel_sizes(land_cover)
    for window in bounded_windows(land_cover, VALUES_PER_PIXEL, progress):
        values, valid = land_cover.read(window, land_cover.bands)
        values = values[0][valid]
        if len(values) and (values.min() < 0 or values.max() > 255 or np.any(values != np.floor(values))):
            raise EngineError(
                f"{land_cover.path} holds values that are not class numbers from 0 to 255; choose a land-cover map."
            )
        sizes = np.repeat(size[window.row_off : window.row_off + len(valid)], valid.sum(1))
        areas += np.bincount(values.astype(np.int64), sizes, minlength=256)
    areas[0] = 0
    if not areas.any():
        raise EngineError(f"The map {land_cover.path} holds no class; every pixel is 0 or nodata.")
    return areas


def _pixel_sizes(land_cover: Scene) -> np.ndarray:
    """The area of a pixel in each row; in degrees it shrinks towards the poles."""
    place = land_cover.transform
    latitudes = place.d * land_cover.width / 2 + place.e * (np.arange(land_cover.height) + 0.5) + place.f
    if not land_cover.crs.is_geographic or np.abs(latitudes).max() > 90:
        return np.ones(land_cover.height)
    return np.cos(np.radians(latitudes))


def _map_classes(land_cover: Scene, areas: np.ndarray, names: dict[str, str]) -> list[LandCoverClass]:
    """Classes that the map names, or those that occur in it, by names or numbers."""
    named = classes_from_tag(land_cover.tag(TAG), land_cover.path)
    known = {c.id for c in named}
    others = [i for i in np.flatnonzero(areas).tolist() if i not in known]
    titles = [names.get(str(i), str(i)) for i in others]
    if len(set(titles)) < len(titles):
        titles = [str(i) for i in others]
    colours = default_colours(titles, [c.colour for c in named])
    return named + [LandCoverClass(*c) for c in zip(others, titles, colours, strict=True)]


def _compare_features(
    job: AssessAccuracy, land_cover: Scene, classes: list[LandCoverClass], progress: Progress
) -> _Pairs:
    features = read_features(job.reference, job.class_field, progress, job.group_field)
    names = {feature.name for feature in features}
    ids = _match_classes(names, classes, job, progress)
    # Classes that the map does not have are told apart, too, by numbers that no class of a map has.
    present = [LandCoverClass(ids.get(name, 256 + index), name, "") for index, name in enumerate(sorted(names))]
    parts = to_parts(features, present, land_cover.transform, job.reference_crs or "EPSG:4326", land_cover.crs)
    counted = []
    for strip in label_strips(parts, present, land_cover.height, land_cover.width, progress):
        labels = join_groups(strip, parts)
        mapped, _ = read_pixels(land_cover, land_cover.bands, labels.rows, labels.columns, Progress())
        known_ids = np.where(labels.class_ids > 255, 0, labels.class_ids)
        counted.append(_Pairs.count(known_ids, mapped[:, 0], labels.polygons))
        progress.set(labels.rows.max(initial=0) / land_cover.height)
    return _Pairs.join(counted)


def _compare_raster(
    job: AssessAccuracy, land_cover: Scene, classes: list[LandCoverClass], progress: Progress
) -> _Pairs:
    pairs, values, told = _count_values(job, land_cover, progress)
    names = dict(zip(job.reference_values, job.reference_names, strict=True)) | told
    by_number = [class_name(value) for value in values]
    by_name = [names.get(number, number) for number in by_number]
    known = {c.name.casefold() for c in classes} | _names_in_style(job, classes).keys()
    texts = by_name if any(name.casefold() in known for name in by_name) else by_number
    ids = _match_classes(set(texts), classes, job, progress)
    found = np.array([ids.get(t, 0) for t in texts])
    return replace(pairs, reference=found[pairs.reference])


def _count_values(
    job: AssessAccuracy, land_cover: Scene, progress: Progress
) -> tuple[_Pairs, list[float], dict[str, str]]:
    """Pairs with a label raster, brought to the map's grid by nearest neighbour; 0 is unlabelled.

    Returns:
        Pairs whose reference is a position among the values, these values, and names of values that the raster tells.
    """
    path = job.reference
    codes: dict[float, int] = {}
    counted = []
    try:
        with (
            unplaced_allowed(),
            rasterio.open(path) as source,
            WarpedVRT(source, src_crs=_crs_of(source, job.reference_crs), src_transform=transform_of(source),
                      crs=land_cover.crs, transform=land_cover.transform, width=land_cover.width,
                      height=land_cover.height, resampling=Resampling.nearest) as labels,
        ):  # fmt: skip
            bands = sum(meaning != ColorInterp.alpha for meaning in source.colorinterp)
            if bands > 1 or source.dtypes[0].startswith("complex"):
                held = f"{bands} bands" if bands > 1 else "complex numbers"
                raise EngineError(
                    f"The reference {path} has {held} and is no label raster; choose polygons, points or a raster with "
                    "one band of class numbers."
                )
            nodata = source.nodata
            names = _names_of(source)
            for window in bounded_windows(land_cover, VALUES_PER_PIXEL, progress):
                values = labels.read(1, window=window)
                labelled = np.isfinite(values) & (values != 0)
                if nodata is not None:
                    labelled &= values != nodata
                y, x = np.nonzero(labelled)
                mapped, _ = land_cover.read(window, land_cover.bands)
                here, inverse = np.unique(values[y, x], return_inverse=True)
                numbers = [codes.setdefault(value, len(codes)) for value in here.tolist()]
                if len(codes) > MOST_VALUES:
                    raise EngineError(
                        f"The reference {path} holds more than {MOST_VALUES} different values and is no label raster; "
                        "choose a raster with a class number in each pixel."
                    )
                row, column = (y + window.row_off) // BLOCK, (x + window.col_off) // BLOCK
                block = row * (land_cover.width // BLOCK + 1) + column
                # Counted at once, since every pixel may be labelled.
                counted.append(_Pairs.count(np.array(numbers, np.int64)[inverse], mapped[0, y, x], block))
    except (RasterioError, CRSError) as error:
        raise EngineError(
            f"The reference {path} cannot be read ({told_by_gdal(error)}); choose polygons, points or a label raster."
        ) from error
    except CPLE_BaseError as error:
        raise EngineError(
            f"The reference {path} cannot be brought into the coordinate system of the map ({reason(error)}); set "
            "the one in which either lies."
        ) from error
    if not codes:
        raise EngineError(f"The reference {path} labels no pixel of the map; check that both show the same area.")
    return _Pairs.join(counted), [float(value) for value in codes], names


def _names_of(labels: rasterio.DatasetReader) -> dict[str, str]:
    """Names of classes by number, where our maps or ENVI's classifications say them."""
    found = {str(c.id): c.name for c in classes_from_tag(labels.tags().get(TAG), labels.name)}
    names = labels.tags(ns="ENVI").get("class_names", "").strip("{} ").split(",")
    return {str(i): name.strip() for i, name in enumerate(names) if name.strip()} | found


def _crs_of(reference: rasterio.DatasetReader, given: str) -> CRS:
    crs = CRS.from_user_input(given) if given else reference.crs
    if not crs:
        raise EngineError(f"The reference {reference.name} has no coordinate reference system; assign one.")
    return crs


def _names_in_style(job: AssessAccuracy, classes: Sequence[LandCoverClass]) -> dict[str, LandCoverClass]:
    """Classes of the map by what the user calls them, case folded; names that several share are left out."""
    by_id = {str(c.id): c for c in classes}
    folded = [name.casefold() for name in job.map_names]
    pairs = zip(job.map_values, folded, strict=True)
    return {name: by_id[value] for value, name in pairs if folded.count(name) == 1 and value in by_id}


def _match_classes(
    names: set[str], classes: Sequence[LandCoverClass], job: AssessAccuracy, progress: Progress
) -> dict[str, int]:
    """The map's class id for each reference class that it has: by name or, where no name is on the map, by number."""
    by_name = {c.name: c.id for c in classes}
    by_folded = {c.name.casefold(): c.id for c in classes}
    by_id = {str(c.id): c.id for c in classes}
    found = {n: i for n in names if (i := by_name.get(n) or by_folded.get(n.casefold()))}
    styled = _names_in_style(job, classes)
    renamed = {n: styled[n.casefold()] for n in sorted(names) if n not in found and n.casefold() in styled}
    found |= {n: c.id for n, c in renamed.items()}
    if renamed:
        called = ", ".join(f"{n} is {c.name}" for n, c in renamed.items())
        progress.info(f"Reference classes are matched by names in the style of the map: {called}.")
    numbered = {} if found else {n: by_id[n] for n in names if n in by_id}
    found |= numbered
    unknown = sorted((n for n in names if n not in found), key=class_order)
    if not found:
        raise EngineError(
            f"No class of the reference ({', '.join(unknown[:8])}) is a class of the map {job.map} "
            f"({', '.join(c.name for c in classes[:8])}); choose the field that holds the same names."
        )
    if numbered:
        name_of = {c.id: c.name for c in classes}
        matched = ", ".join(f"{n} is {name_of[found[n]]}" for n in sorted(numbered, key=class_order))
        tell = progress.warning if any(n != name_of[i] for n, i in numbered.items()) else progress.info
        tell(f"Reference classes are matched by the map's numbers: {matched}; check that they mean the same.")
    if unknown:
        more = f" and {len(unknown) - MOST_NAMES} more" if len(unknown) > MOST_NAMES else ""
        named = ", ".join(unknown[:MOST_NAMES]) + more
        progress.warning(f"The map has no class {named}; reference pixels of it are left out.")
    return found


def _drop_unmapped(pairs: _Pairs, progress: Progress) -> _Pairs:
    mapped = pairs.mapped > 0
    if not (mapped & (pairs.reference > 0)).any():
        raise EngineError("No reference pixel lies where the map has a class; check that both show the same area.")
    if not mapped.all():
        left_out = pairs.counts[~mapped].sum()
        progress.warning(f"{left_out} reference pixel(s) lie where the map has no data and are left out.")
    return pairs.select(mapped)
