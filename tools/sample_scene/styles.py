"""QGIS layer styles (.qml) as XML, so that classes have their colours and the scene opens in true colour."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from .bands import BandTable
from .classes import CLASSES

QGIS_VERSION = "3.22.0"
"""The oldest version that must read the styles; newer ones do."""

FILL = {"style": "solid", "outline_color": "20,20,20,255", "outline_style": "solid", "outline_width": "0.3"}
MARKER = {"name": "circle", "size": "1.8", "outline_color": "255,255,255,255", "outline_width": "0.2"}

# Wavelength (nm), reflectance shown black, reflectance shown white.
TRUE_COLOUR = {"red": (640.0, 0.005, 0.26), "green": (550.0, 0.015, 0.22), "blue": (460.0, 0.01, 0.18)}


def write_class_style(path: Path, field: str, geometry: str) -> None:
    """Categorized style on a text field; geometry is "fill" or "marker"."""
    root = _document()
    attributes = {"type": "categorizedSymbol", "attr": field, "symbollevels": "0"}
    renderer = ET.SubElement(root, "renderer-v2", attributes)
    categories = ET.SubElement(renderer, "categories")
    symbols = ET.SubElement(renderer, "symbols")
    properties = FILL if geometry == "fill" else MARKER
    kind = "SimpleFill" if geometry == "fill" else "SimpleMarker"
    for number, cover in enumerate(CLASSES):
        name = str(number)
        entry = {"render": "true", "value": cover.name, "type": "string", "symbol": name, "label": cover.name}
        ET.SubElement(categories, "category", entry)
        symbol = ET.SubElement(symbols, "symbol", {"type": geometry, "name": name, "alpha": "1"})
        layer = ET.SubElement(symbol, "layer", {"class": kind, "enabled": "1", "locked": "0", "pass": "0"})
        _options(layer, {"color": "{},{},{},255".format(*cover.colour), **properties})
    _save(root, path)


def write_scene_style(path: Path, table: BandTable) -> None:
    """True colour with fixed limits, which keeps grey things grey; percentiles of so green a scene do not."""
    root = _document()
    pipe = ET.SubElement(root, "pipe")
    bands = {colour: table.nearest(values[0]) + 1 for colour, values in TRUE_COLOUR.items()}
    attributes = {f"{colour}Band": str(band) for colour, band in bands.items()}
    renderer = ET.SubElement(
        pipe, "rasterrenderer", {"type": "multibandcolor", "opacity": "1", "alphaBand": "-1", **attributes}
    )
    for colour, (_, black, white) in TRUE_COLOUR.items():
        contrast = ET.SubElement(renderer, f"{colour}ContrastEnhancement")
        ET.SubElement(contrast, "minValue").text = str(black)
        ET.SubElement(contrast, "maxValue").text = str(white)
        ET.SubElement(contrast, "algorithm").text = "StretchToMinimumMaximum"
    ET.SubElement(pipe, "brightnesscontrast", {"brightness": "0", "contrast": "0", "gamma": "1.18"})
    _save(root, path)


def _document() -> ET.Element:
    return ET.Element("qgis", {"version": QGIS_VERSION, "styleCategories": "Symbology"})


def _options(parent: ET.Element, values: Mapping[str, str]) -> None:
    """Write symbol properties as `Option` elements and, for QGIS before 3.26, as `prop` elements."""
    group = ET.SubElement(parent, "Option", {"type": "Map"})
    for name, value in values.items():
        ET.SubElement(group, "Option", {"type": "QString", "name": name, "value": value})
    for name, value in values.items():
        ET.SubElement(parent, "prop", {"k": name, "v": value})


def _save(root: ET.Element, path: Path) -> None:
    ET.indent(root, " ")
    text = ET.tostring(root, encoding="unicode")
    path.write_text(f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}\n", encoding="utf-8")
