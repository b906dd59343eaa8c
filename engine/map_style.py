"""Class names and colours of a map, in every form that GIS software looks for.

The colour table and the names stand in the GeoTIFF itself (the names as a tag of ours); GDAL keeps
category names of a GeoTIFF in the `.aux.xml` beside it; QGIS takes its style from a `.qml`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from rasterio.io import DatasetWriter

from .errors import EngineError, reason
from .json_text import parse_json
from .outputs import STYLE_MARK, Outputs
from .polygons import COLOUR, LandCoverClass

TAG = "SPECTRAFILM_CLASSES"


def style_map(dataset: DatasetWriter, classes: Sequence[LandCoverClass]) -> None:
    """Put colour table and class names into an open map."""
    table = {0: (0, 0, 0, 0)}
    for c in classes:
        red, green, blue = (int(c.colour[i : i + 2], 16) for i in (1, 3, 5))
        table[c.id] = (red, green, blue, 255)
    dataset.write_colormap(1, table)
    dataset.update_tags(**{TAG: json.dumps([[c.id, c.name, c.colour] for c in classes])})
    dataset.set_band_description(1, "land cover")


def write_style_files(outputs: Outputs, destination: str, classes: Sequence[LandCoverClass]) -> None:
    """Write category names for GDAL and a style for QGIS beside a map."""
    for path, root in zip(style_files(destination), (_categories(classes), _qgis_style(classes)), strict=True):
        _write_xml(root, outputs.reserve(path))


def style_files(destination: str) -> list[str]:
    """What `write_style_files` writes."""
    return [destination + ".aux.xml", str(Path(destination).with_suffix(".qml"))]


def classes_from_tag(text: str | None, path: str) -> list[LandCoverClass]:
    """The classes that a map's tag names; empty for a map that has none.

    Raises:
        EngineError: the tag is damaged.
    """
    if text is None:
        return []
    try:
        classes = [LandCoverClass(int(i), str(name), str(colour)) for i, name, colour in parse_json(text)]
        if not all(1 <= c.id <= 255 and COLOUR.fullmatch(c.colour) for c in classes):
            raise ValueError("a number is not from 1 to 255, or a colour not as in #1b7837")
        if len({c.id for c in classes}) < len(classes):
            raise ValueError("a number stands for two classes")
        return classes
    except (ValueError, TypeError, OverflowError) as error:
        raise EngineError(f"The class names in {path} are damaged ({reason(error)}).") from error


def _categories(classes: Sequence[LandCoverClass]) -> ElementTree.Element:
    root = ElementTree.Element("PAMDataset")
    names = ElementTree.SubElement(ElementTree.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
    by_id = {c.id: c.name for c in classes}
    for number in range(max(by_id) + 1):
        ElementTree.SubElement(names, "Category").text = _plain(by_id.get(number, "no data" if number == 0 else ""))
    return root


def _qgis_style(classes: Sequence[LandCoverClass]) -> ElementTree.Element:
    root = ElementTree.Element("qgis", {"version": "3.22.0", "styleCategories": "AllStyleCategories", **STYLE_MARK})
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(pipe, "rasterrenderer", type="paletted", band="1", opacity="1",
                                      alphaBand="-1", nodataColor="")  # fmt: skip
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for c in classes:
        ElementTree.SubElement(palette, "paletteEntry", value=str(c.id), label=_plain(c.name), color=c.colour,
                               alpha="255")  # fmt: skip
    return root


def _plain(name: str) -> str:
    """A name without the control characters that XML cannot hold."""
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", name)


def _write_xml(root: ElementTree.Element, path: Path) -> None:
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=False)
