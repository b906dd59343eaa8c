"""The land-cover classes of the sample scene: ids 1..n, names and colours."""

from __future__ import annotations

from typing import NamedTuple


class LandCover(NamedTuple):
    """A class: id from 1, name, colour as red, green, blue (0..255)."""

    id: int
    name: str
    colour: tuple[int, int, int]


WATER = LandCover(1, "Water", (56, 120, 190))
ASPHALT = LandCover(2, "Asphalt", (130, 130, 138))
FLAT_ROOF = LandCover(3, "Flat roof", (92, 70, 120))
TILE_ROOF = LandCover(4, "Tile roof", (205, 70, 50))
BARE_SOIL = LandCover(5, "Bare soil", (166, 120, 80))
STUBBLE = LandCover(6, "Stubble", (232, 212, 130))
CROP = LandCover(7, "Crop", (190, 214, 40))
GRASSLAND = LandCover(8, "Grassland", (120, 190, 90))
BROADLEAVED = LandCover(9, "Broadleaved trees", (50, 140, 50))
CONIFERS = LandCover(10, "Conifers", (10, 80, 60))

CLASSES = (WATER, ASPHALT, FLAT_ROOF, TILE_ROOF, BARE_SOIL, STUBBLE, CROP, GRASSLAND, BROADLEAVED, CONIFERS)
