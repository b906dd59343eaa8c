from qgis_fixtures import feedback, provider  # noqa: F401
