"""SpectraFiLM: land-cover maps from hyperspectral scenes and a few polygons, in QGIS."""


def classFactory(iface):  # noqa: N802, ANN001, ANN201  (QGIS calls it by this name)
    """Give QGIS the plugin; `iface` is None in qgis_process."""
    from .plugin.plugin import SpectraFilmPlugin

    return SpectraFilmPlugin(iface)
