"""The bundled sample scene: a small synthetic hyperspectral image with polygons and reference points.

The modules below `write` need numpy only; `write` and the command line need GDAL's Python bindings, so that
the scene can be made with the Python of any QGIS installation.
"""
