"""A product of a mission, made as one (`made_products`), becomes a layer that every other step takes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from in_qgis import engine_python
from qgis.core import (
    QgsMultiBandColorRenderer,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProject,
    QgsRasterLayer,
)

MADE_PRODUCTS = Path(__file__).parents[1] / "helpers" / "made_products.py"


def test_a_prisma_file_becomes_a_scene_in_natural_colours(run, provider, feedback, tmp_path):
    product, scene = tmp_path / "PRS_L2D_STD.he5", str(tmp_path / "scene.tif")
    subprocess.run([engine_python(), MADE_PRODUCTS, product], check=True)
    context = QgsProcessingContext()
    context.addLayerToLoadOnCompletion(scene, QgsProcessingContext.LayerDetails("", QgsProject.instance(), "OUTPUT"))
    algorithm = provider.algorithm("importscene").create()
    assert algorithm.run({"INPUT": str(product), "OUTPUT": scene}, context, feedback)[1]
    assert "is PRISMA L2D: 30 x 20 pixels, 6 bands (475 to 2200 nm)" in "".join(feedback.infos)
    layer = QgsRasterLayer(scene)
    assert layer.crs().authid() == "EPSG:32633"
    assert layer.extent().xMinimum() == 400000
    context.layerToLoadOnCompletionDetails(scene).postProcessor().postProcessLayer(layer, context, feedback)
    shown = layer.renderer()
    assert isinstance(shown, QgsMultiBandColorRenderer)
    assert (shown.redBand(), shown.greenBand(), shown.blueBand()) == (3, 2, 1)
    assert shown.redContrastEnhancement().maximumValue() > shown.redContrastEnhancement().minimumValue()
    run("selectbands", {"INPUT": scene, "METHOD": 0, "OUTPUT": str(tmp_path / "rgb.tif")})
    assert "Red, green and blue show 3 (655 nm), 2 (555 nm), 1 (475 nm)." in feedback.infos


def test_what_is_no_product_is_told(run, tmp_path):
    text = tmp_path / "readme.he5"
    text.write_text("no product")
    with pytest.raises(QgsProcessingException, match="is no product that can be imported; those are PRISMA L2D"):
        run("importscene", {"INPUT": str(text), "OUTPUT": str(tmp_path / "scene.tif")})
    assert not (tmp_path / "scene.tif").exists()
