"""Bad input, through QGIS: one clear sentence, a failed run, nothing written."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import processing
import pytest
from in_qgis import POLYGONS, ROOT, SCENE, write_raster
from qgis.core import (
    QgsFeature,
    QgsGeometry,
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsVectorLayer,
)

BANDS = np.random.default_rng(0).random((6, 40, 40)).astype(np.float32)


@pytest.fixture
def fails(provider, feedback, tmp_path):
    """Run an algorithm that must fail; returns its sentence after checking that nothing was written."""
    out = tmp_path / "out"
    out.mkdir()

    def run(name, parameters):
        suffixes = {"OUTPUT": "tif", "MODEL": "safetensors", "REPORT": "html"}
        wanted = {"selectbands": ["OUTPUT"], "extractfeatures": ["OUTPUT"], "trainfilm": ["MODEL", "REPORT"],
                  "predictmap": ["OUTPUT"], "assessaccuracy": ["REPORT"]}[name]  # fmt: skip
        outputs = {key: str(out / f"{key}.{suffixes[key]}") for key in wanted}
        with pytest.raises(QgsProcessingException) as caught:
            processing.run(f"spectrafilm:{name}", {**outputs, **parameters}, feedback=feedback)
        assert not list(out.iterdir())
        sentence = str(caught.value)
        assert "Traceback" not in sentence
        return sentence

    return run


def train(scene=SCENE, polygons=POLYGONS, field="class", **others):
    return {"INPUT": scene, "POLYGONS": polygons, "CLASS_FIELD": field, **others}


def layer_of(features, crs="EPSG:32633"):
    layer = QgsVectorLayer(f"Polygon?crs={crs}&field=class:string", "labels", "memory")
    for value, (x, y, size) in features:
        feature = QgsFeature(layer.fields())
        feature.setAttribute(0, value)
        ring = f"{x} {y}, {x + size} {y}, {x + size} {y + size}, {x} {y + size}, {x} {y}"
        feature.setGeometry(QgsGeometry.fromWkt(f"Polygon(({ring}))"))
        layer.dataProvider().addFeature(feature)
    return layer


def test_a_missing_scene(fails, tmp_path):
    missing = str(tmp_path / "none.tif")
    for name, parameters in (("selectbands", {"INPUT": missing}), ("trainfilm", train(missing)),
                             ("extractfeatures", {"INPUT": missing})):  # fmt: skip
        assert "none.tif" in fails(name, parameters)


def test_not_a_raster(fails, tmp_path):
    text = tmp_path / "text.tif"
    text.write_text("no raster")
    for name, parameters in (("selectbands", {"INPUT": str(text)}), ("trainfilm", train(str(text)))):
        assert "text.tif cannot be opened as a raster; use 'Import scene' for a product" in fails(name, parameters)


@pytest.mark.parametrize(
    ("values", "options", "sentence"),
    [
        (BANDS[:2], {}, "at least three are needed"),
        (np.full_like(BANDS, -1), {"nodata": -1}, "no valid pixel"),
        (np.full_like(BANDS, np.nan), {}, "no valid pixel"),
        (np.full_like(BANDS, np.inf), {}, "no valid pixel"),
        (BANDS, {"epsg": None}, "no coordinate reference system"),
    ],
)
def test_unusable_scenes(fails, tmp_path, values, options, sentence):
    path = write_raster(tmp_path / "scene.tif", values, **options)
    assert sentence in fails("selectbands", {"INPUT": path, "METHOD": 3})
    assert sentence in fails("trainfilm", train(path))


def test_true_colour_without_wavelengths(fails, tmp_path):
    path = write_raster(tmp_path / "scene.tif", BANDS)
    assert "add them to its metadata, or choose what does without" in fails("selectbands", {"INPUT": path})


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"METHOD": 2, "BANDS": "1,2"}, "Three band numbers are needed"),
        ({"METHOD": 2, "BANDS": "red"}, "whole numbers separated by commas"),
        ({"METHOD": 2, "BANDS": "1,2,99"}, "Band 99 does not exist"),
        ({"METHOD": 2, "BANDS": "1,2,52"}, "holds no usable data"),
        ({"STRETCH_LOW": 98, "STRETCH_HIGH": 2}, "stretch must begin below its end"),
    ],
)
def test_impossible_bands(fails, parameters, sentence):
    assert sentence in fails("selectbands", {"INPUT": SCENE, **parameters})


def test_labels_without_a_system(fails):
    from qgis.core import QgsCoordinateReferenceSystem

    layer = layer_of([("a", (365000, 5765000, 100)), ("b", (365000, 5765000, 100))])
    layer.setCrs(QgsCoordinateReferenceSystem())
    assert "no coordinate reference system" in fails("trainfilm", train(polygons=layer))


def test_labels_elsewhere(fails):
    layer = layer_of([("a", (500000, 1000000, 100)), ("b", (500500, 1000000, 100))])
    assert "None of the 2 polygons lies on the scene" in fails("trainfilm", train(polygons=layer))


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        (("a", "b"), "klass", "no field 'klass'"),
        ((None, None), "class", "empty (NULL) in every feature"),
        (("a", "a"), "class", "At least two land-cover classes"),
    ],
)
def test_labels_without_classes(fails, values, field, sentence):
    box = QgsVectorLayer(POLYGONS, "x", "ogr").extent().center()
    layer = layer_of([(v, (box.x() + 50 * i, box.y(), 40)) for i, v in enumerate(values)])
    assert sentence in fails("trainfilm", train(polygons=layer, field=field))


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"LAYERS": "5,x"}, "whole numbers separated by commas"),
        ({"LAYERS": [7, 12]}, "no decoder layer 12; it has the layers 0 (deepest) to 11"),
        ({"LAYERS": "12"}, "no decoder layer 12; it has the layers 0 (deepest) to 11"),
        ({"TIMESTEPS": "5000"}, "no timestep 5000"),
        ({"BACKBONE": "/nowhere"}, "is no backbone"),
        ({"BACKBONE": str(ROOT / "resources")}, "is no backbone"),
        ({"BACKBONE": str(ROOT / "resources" / "backbones" / "landscapes64" / "config.json"), "LAYERS": "99"},
         "landscapes64 has no decoder layer 99"),
        ({"BACKBONE": str(ROOT / "resources" / "backbones" / "landscapes64"), "LAYERS": "99"},
         "landscapes64 has no decoder layer 99"),
        ({"FEATURES": SCENE}, "is not a features raster"),
        # QGIS makes 0 of a number that is too large for it; the layer would end the run, too.
        ({"SEED": 2**31, "LAYERS": "99"}, "Incorrect parameter value for SEED"),
    ],
)
def test_impossible_settings(fails, parameters, sentence):
    assert sentence in fails("trainfilm", train(**parameters))


def test_a_model_that_is_none(fails, tmp_path):
    model = tmp_path / "model.safetensors"
    assert "does not exist" in fails("predictmap", {"INPUT": SCENE, "MODEL": str(model)})
    model.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    assert "not a SpectraFiLM model" in fails("predictmap", {"INPUT": SCENE, "MODEL": str(model)})


def test_a_map_that_is_none(fails):
    parameters = {"MAP": SCENE, "REFERENCE": POLYGONS, "CLASS_FIELD": "class"}
    assert "is no land-cover map" in fails("assessaccuracy", parameters)


def test_a_reference_without_a_field_or_common_class(fails, tmp_path):
    land_cover = write_raster(tmp_path / "map.tif", np.ones((1, 160, 160), np.uint8))
    assert "Choose the field" in fails("assessaccuracy", {"MAP": land_cover, "REFERENCE": POLYGONS, "CLASS_FIELD": ""})
    parameters = {"MAP": land_cover, "REFERENCE": POLYGONS, "CLASS_FIELD": "class"}
    assert "No class of the reference" in fails("assessaccuracy", parameters)


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_an_output_folder_that_is_none(provider, feedback, tmp_path, folder):
    (tmp_path / "file").write_text("x")
    target = str(tmp_path / folder / "deeper" / "rgb.tif")
    with pytest.raises(QgsProcessingException) as caught:
        processing.run("spectrafilm:selectbands", {"INPUT": SCENE, "OUTPUT": target}, feedback=feedback)
    assert folder in str(caught.value)


def test_an_output_that_would_replace_its_input(provider, feedback, tmp_path):
    scene = write_raster(tmp_path / "scene.tif", BANDS, wavelengths=[480, 560, 660, 800, 1600, 2200])
    before = (tmp_path / "scene.tif").read_bytes()
    with pytest.raises(QgsProcessingException, match="also an input"):
        processing.run("spectrafilm:selectbands", {"INPUT": scene, "OUTPUT": scene}, feedback=feedback)
    assert (tmp_path / "scene.tif").read_bytes() == before


def test_no_environment_or_a_broken_one(fails, monkeypatch):
    monkeypatch.setenv("SPECTRAFILM_PYTHON", sys.executable)
    assert "Clear the variable SPECTRAFILM_PYTHON" in fails("trainfilm", train())
    monkeypatch.setenv("SPECTRAFILM_PYTHON", "/nowhere/python")
    assert "/nowhere/python" in fails("trainfilm", train())
    monkeypatch.delenv("SPECTRAFILM_PYTHON")
    assert "no compute environment yet" in fails("trainfilm", train())


@pytest.mark.parametrize(
    ("name", "parameters", "output"),
    [
        ("trainfilm", {"INPUT": SCENE, "CLASS_FIELD": "class"}, "MODEL"),
        ("suggestsamples", {"INPUT": SCENE, "MODEL": SCENE}, "OUTPUT"),
    ],
)
def test_the_polygons_are_never_overwritten(provider, tmp_path, name, parameters, output):
    polygons = tmp_path / "drawn.gpkg"
    shutil.copy(POLYGONS, polygons)
    for given in (str(polygons), QgsProcessingFeatureSourceDefinition(str(polygons), False)):
        with pytest.raises(QgsProcessingException, match="also an input of this run"):
            processing.run(f"spectrafilm:{name}", {**parameters, "POLYGONS": given, output: str(polygons)})
    drawn, original = (QgsVectorLayer(path, "", "ogr").featureCount() for path in (str(polygons), POLYGONS))
    assert drawn == original


def test_the_reference_is_never_overwritten(provider, tmp_path):
    reference = tmp_path / "reference.html"
    shutil.copy(POLYGONS, reference)
    with pytest.raises(QgsProcessingException, match="also an input of this run"):
        processing.run("spectrafilm:assessaccuracy", {"MAP": SCENE, "REFERENCE": str(reference), "CLASS_FIELD": "class",
                                                      "REPORT": str(reference)})  # fmt: skip


@pytest.mark.parametrize(
    ("output", "sentence"),
    [("labels.gpkg", "choose a name that ends with .tif"), ("none/rgb.tif", "none does not exist; create it")],
)
def test_outputs_that_cannot_be_are_known_before_the_run(provider, tmp_path, output, sentence):
    shutil.copy(POLYGONS, tmp_path / "labels.gpkg")
    before = (tmp_path / "labels.gpkg").read_bytes()
    with pytest.raises(QgsProcessingException, match=sentence):
        processing.run("spectrafilm:selectbands", {"INPUT": SCENE, "OUTPUT": str(tmp_path / output)})
    assert (tmp_path / "labels.gpkg").read_bytes() == before
