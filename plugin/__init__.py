"""The QGIS half: lifecycle, provider, settings, compute environment, and the border to the engine."""
