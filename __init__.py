"""SpectraFiLM: land-cover maps from hyperspectral scenes and a few polygons, in QGIS."""

from typing import Any


def classFactory(iface: Any) -> Any:  # noqa: N802  (QGIS calls it by this name)
    """Give QGIS the plugin; `iface` is None in qgis_process."""
    from .plugin.plugin import SpectraFilmPlugin

    return SpectraFilmPlugin(iface)
