"""Write the ready-made models in resources/models; run with a QGIS Python and the plugin on its path.

Models are kept as files so that users can open, change and save them in the graphical modeler; this
script is where their content is decided.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsApplication,
    QgsProcessing,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
)
from qgis.PyQt.QtCore import QPointF

MODELS = Path(__file__).resolve().parent.parent / "resources" / "models"
COLUMN, ROW = 260.0, 110.0


class ModelBuilder:
    """A model in the making, laid out on a grid of columns and rows."""

    def __init__(self, name: str, text: str) -> None:
        self.model = QgsProcessingModelAlgorithm(name, "Ready-made models")
        self._help = {"ALG_DESC": text, "ALG_CREATOR": "SpectraFiLM"}
        self._inputs: list[str] = []

    def input(self, definition: QgsProcessingParameterDefinition, row: int, text: str) -> None:
        """Add an input to the first column, with its help."""
        self._help[definition.name()] = text
        self._inputs.append(definition.name())
        component = QgsProcessingModelParameter(definition.name())
        component.setPosition(QPointF(COLUMN / 2, ROW * (row + 1)))
        self.model.addModelParameter(definition, component)

    def step(self, name: str, algorithm: str, column: int, row: int, sources: dict[str, Any]) -> None:
        """Add an algorithm. Sources: "@INPUT" is an input of the model, ("step", "OUTPUT") an output of a step."""
        child = QgsProcessingModelChildAlgorithm(algorithm)
        child.setChildId(name)
        child.setDescription(child.algorithm().displayName())
        child.setPosition(QPointF(COLUMN * (column + 0.5), ROW * (row + 1)))
        # What is not wired keeps its default, written out as the graphical modeler does.
        defaults = {d.name(): d.defaultValue() for d in child.algorithm().parameterDefinitions()
                    if not d.isDestination() and d.defaultValue() is not None}  # fmt: skip
        for key, source in {**defaults, **sources}.items():
            child.addParameterSources(key, [_source(source)])
        self.model.addChildAlgorithm(child)

    def output(self, step: str, key: str, text: str, row: int) -> None:
        """Make an output of a step one of the model, under the same key."""
        child = self.model.childAlgorithm(step)
        output = QgsProcessingModelOutput(key, text)
        output.setChildId(step)
        output.setChildOutputName(key)
        output.setPosition(QPointF(child.position().x() + COLUMN, ROW * (row + 1)))
        outputs = child.modelOutputs()
        outputs[key] = output
        child.setModelOutputs(outputs)
        self.model.setChildAlgorithm(child)

    def save(self) -> None:
        """Write the model's file.

        Raises:
            SystemExit: the model does not hold together.
        """
        self.model.setHelpContent(self._help)
        self.model.setParameterOrder(self._inputs)
        ok, problems = self.model.validate()
        self.model.updateDestinationParameters()
        path = MODELS / f"{self.model.name()}.model3"
        if not ok or not self.model.toFile(str(path)):
            raise SystemExit(f"{path}: {problems}")
        print(path)


def _source(source: Any) -> QgsProcessingModelChildParameterSource:
    if isinstance(source, str) and source.startswith("@"):
        return QgsProcessingModelChildParameterSource.fromModelParameter(source[1:])
    if isinstance(source, tuple):
        return QgsProcessingModelChildParameterSource.fromChildOutput(*source)
    return QgsProcessingModelChildParameterSource.fromStaticValue(source)


def _label_inputs(builder: ModelBuilder) -> None:
    builder.input(QgsProcessingParameterRasterLayer("INPUT", "Scene"), 0, "The scene that the labels show.")
    builder.input(
        QgsProcessingParameterFeatureSource(
            "POLYGONS", "Training polygons or points",
            [QgsProcessing.SourceType.TypeVectorPolygon, QgsProcessing.SourceType.TypeVectorPoint],
        ),
        1,
        "Polygons or points of known land cover, in any coordinate reference system.",
    )
    builder.input(
        QgsProcessingParameterField("CLASS_FIELD", "Class field", "class", "POLYGONS"),
        2,
        "The field that says which class a polygon or point shows, as text or number.",
    )


def map_from_polygons() -> None:
    """Train, map, report."""
    builder = ModelBuilder(
        "map_from_polygons",
        "From a scene and a few polygons to a land-cover map with confidence, and a report on how accurate it is.",
    )
    _label_inputs(builder)
    builder.step("train", "spectrafilm:trainfilm", 1, 0,
                 {"INPUT": "@INPUT", "POLYGONS": "@POLYGONS", "CLASS_FIELD": "@CLASS_FIELD"})  # fmt: skip
    builder.step("map", "spectrafilm:predictmap", 2, 1, {"INPUT": "@INPUT", "MODEL": ("train", "MODEL")})
    builder.output("train", "REPORT", "Report", 0)
    builder.output("train", "MODEL", "Model", 2)
    builder.output("map", "OUTPUT", "Land-cover map", 1)
    builder.output("map", "CONFIDENCE", "Confidence", 3)
    builder.save()


def all_single_steps() -> None:
    """Bands, features, train, map, assess."""
    builder = ModelBuilder(
        "all_single_steps",
        "Every step on its own: a pseudo-RGB image, its spatial features, a model, the map, and its accuracy "
        "against a reference. A place to start models of your own from, not the best map: its features see one "
        "true-colour image only, which needs wavelengths. 'Map from polygons' is more accurate.",
    )
    _label_inputs(builder)
    builder.input(
        QgsProcessingParameterMapLayer("REFERENCE", "Reference"),
        3,
        "Polygons, points or a label raster that were not used for training.",
    )
    builder.input(
        QgsProcessingParameterString("REFERENCE_FIELD", "Class field of the reference", "class", optional=True),
        4,
        "The name of the field of the reference that says which class it shows; not needed for a raster.",
    )
    builder.step("bands", "spectrafilm:selectbands", 1, 0, {"INPUT": "@INPUT"})
    builder.step("features", "spectrafilm:extractfeatures", 2, 0, {"INPUT": ("bands", "OUTPUT")})
    builder.step("train", "spectrafilm:trainfilm", 3, 1,
                 {"INPUT": "@INPUT", "POLYGONS": "@POLYGONS", "CLASS_FIELD": "@CLASS_FIELD",
                  "FEATURES": ("features", "OUTPUT")})  # fmt: skip
    builder.step("map", "spectrafilm:predictmap", 4, 1,
                 {"INPUT": "@INPUT", "MODEL": ("train", "MODEL"), "FEATURES": ("features", "OUTPUT")})  # fmt: skip
    builder.step("assess", "spectrafilm:assessaccuracy", 5, 2,
                 {"MAP": ("map", "OUTPUT"), "REFERENCE": "@REFERENCE", "CLASS_FIELD": "@REFERENCE_FIELD"})  # fmt: skip
    builder.output("bands", "OUTPUT", "Pseudo-RGB", 1)
    builder.output("train", "MODEL", "Model", 2)
    builder.output("train", "REPORT", "Training report", 3)
    builder.output("map", "OUTPUT", "Land-cover map", 1)
    builder.output("assess", "REPORT", "Accuracy report", 2)
    builder.save()


def main() -> None:
    """Start QGIS without a window, load the plugin's algorithms, write both models."""
    application = QgsApplication([], False)
    application.initQgis()
    sys.path.append(str(Path(QgsApplication.pkgDataPath()) / "python" / "plugins"))
    from processing.core.Processing import Processing

    Processing.initialize()
    from spectrafilm.plugin.plugin import SpectraFilmPlugin

    plugin = SpectraFilmPlugin(None)
    plugin.initProcessing()
    MODELS.mkdir(exist_ok=True)
    map_from_polygons()
    all_single_steps()
    plugin.unload()
    application.exitQgis()


if __name__ == "__main__":
    main()
