"""SpectraFiLM's engine: everything the plugin computes, as a plain library without QGIS."""
