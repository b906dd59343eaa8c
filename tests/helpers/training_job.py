"""The training that tests of the tasks begin with."""

from __future__ import annotations

from synthetic import CRS

from spectrafilm.engine.jobs import TrainFilm

NAMES = ("field", "roof", "tree", "water")
COLOURS = ("#aabb11", "#cc2222", "#005500", "#2255dd")


def training(scene, polygons, backbone, folder, **changes):
    """A job on the synthetic scene that writes m.safetensors and r.html into `folder`."""
    options = {
        "scene": str(scene), "polygons": str(polygons), "polygons_crs": CRS, "model": str(folder / "m.safetensors"),
        "report": str(folder / "r.html"), "backbone": str(backbone), "class_names": NAMES, "class_colours": COLOURS,
        **changes,
    }  # fmt: skip
    return TrainFilm(**options)
