"""Colours of classes that bring none: by what the name says, so that water is blue, else from a palette."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterator, Sequence

# Twelve colours that are told apart on a map.
PALETTE = (
    "#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02",
    "#a6761d", "#1f78b4", "#b2df8a", "#fb9a99", "#666666", "#6a3d9a",
)  # fmt: skip

# The first words of a name decide: "bare soil" is soil, "forest road" forest.
CUSTOMARY = {
    "#1f78b4": ("water", "lake", "river", "sea", "ocean", "pond", "stream", "canal", "reservoir"),
    "#5ab4ac": ("wetland", "marsh", "swamp", "bog", "mangrove", "reed"),
    "#1b7837": ("forest", "tree", "wood", "conifer", "coniferous", "deciduous", "orchard"),
    "#a6d96a": ("grass", "grassland", "lawn", "meadow", "pasture", "vegetation"),
    "#7fa63a": ("shrub", "shrubland", "bush", "heath", "scrub"),
    "#e6ab02": ("crop", "cropland", "field", "agriculture", "agricultural", "farmland", "wheat", "corn", "maize",
                "barley", "rapeseed", "soybean"),
    "#c49a6c": ("soil", "bare", "sand", "fallow", "beach", "gravel"),
    "#737373": ("road", "asphalt", "street", "pavement", "paved", "parking", "runway", "highway", "railway"),
    "#d7301f": ("roof", "building", "built", "urban", "residential", "house", "settlement", "impervious"),
    "#a6cee3": ("snow", "ice", "glacier"),
    "#252525": ("shadow", "shade"),
}  # fmt: skip


def default_colours(names: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """A colour "#rrggbb" for each class name, all different.

    Args:
        names: of the classes.
        taken: colours of other classes.
    """
    used = {colour.lower() for colour in taken}
    colours = []
    for name in names:
        customary = _customary(name)
        colours.append("" if customary in used else customary)
        used.add(customary)
    rest = (colour for colour in _palette() if colour not in used)
    return [colour or next(rest) for colour in colours]


def _palette() -> Iterator[str]:
    """Colours without end, none twice; after those of `PALETTE` hues turn by the golden angle, which spreads them."""
    yield from PALETTE
    seen = set(PALETTE)
    number = 0
    while True:
        number += 1
        hue, lightness = number * 0.618034 % 1, (0.35, 0.6, 0.8)[number % 3]
        red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, lightness, 0.7))
        if (colour := f"#{red:02x}{green:02x}{blue:02x}") not in seen:
            seen.add(colour)
            yield colour


def _customary(name: str) -> str:
    for word in re.findall(r"[a-z]+", name.lower()):
        for colour, words in CUSTOMARY.items():
            if word in words or word.removesuffix("s") in words:
                return colour
    return ""
