"""Classes without colours get those that maps usually have, and never the same twice."""

from __future__ import annotations

import pytest

from spectrafilm.engine.class_colours import CUSTOMARY, PALETTE, default_colours
from spectrafilm.engine.polygons import COLOUR, make_classes

BLUE, GREEN, GREY = "#1f78b4", "#1b7837", "#737373"


@pytest.mark.parametrize(
    ("name", "colour"),
    [("Water", BLUE), ("lakes", BLUE), ("deciduous trees", GREEN), ("Forest road", GREEN), ("road_1", GREY)],
)
def test_a_name_tells_the_colour(name, colour):
    assert default_colours([name, "x"]) == [colour, PALETTE[0]]


def test_a_word_inside_another_tells_nothing():
    assert default_colours(["underwater", "Iceland", "Wasser"]) == list(PALETTE[:3])


def test_no_two_classes_look_alike():
    names = ["lake", "river", "a", "b", "c", "d", "e", "f", "wheat"]
    colours = default_colours(names, [PALETTE[0].upper()])
    assert len(set(colours)) == len(names)
    assert PALETTE[0] not in colours
    assert colours[0] == BLUE
    assert colours[-1] == "#e6ab02"


def test_no_two_of_255_classes_have_the_same_colour():
    colours = default_colours([str(i) for i in range(255)])
    assert len(set(colours)) == 255
    assert all(COLOUR.fullmatch(colour) for colour in colours)


def test_every_customary_word_stands_for_one_colour():
    words = [word for group in CUSTOMARY.values() for word in group]
    assert len(words) == len(set(words))


def test_a_layer_keeps_its_own_colours():
    classes = make_classes(["water", "forest", "other"], ["#ff0000", "", BLUE])
    assert [c.colour for c in classes] == ["#ff0000", GREEN, BLUE]
