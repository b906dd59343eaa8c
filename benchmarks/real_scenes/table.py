"""From predictions to a table and pictures in docs/."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from spectrafilm.engine.accuracy import Accuracy, assess
from spectrafilm.engine.labels import Labels, count_by_class

from .scenes import LabelledScene

OURS = "SpectraFiLM"
HEAD = Path(__file__).with_name("head.md")


@dataclass
class Measured:
    """Predictions on one scene.

    Attributes:
        results: for every row and seed, test pixels and predicted class ids of every fold.
        training: labels of every fold and seed.
    """

    labelled: LabelledScene
    results: dict[str, list[list[tuple[Labels, np.ndarray]]]]
    training: list[Labels]

    def accuracies(self, row: str) -> list[Accuracy]:
        """One figure a seed, over the test pixels of all folds."""
        names = [c.name for c in self.labelled.classes]
        figures = []
        for folds in self.results[row]:
            reference = np.concatenate([pixels.class_ids for pixels, _ in folds])
            groups = np.concatenate([pixels.polygons for pixels, _ in folds])
            figures.append(assess(reference, np.concatenate([p for _, p in folds]), names, groups))
        return figures


def write_page(measured: list[Measured], docs: Path) -> None:
    """Write real_scenes.md and its plot."""
    images = docs / "images"
    images.mkdir(parents=True, exist_ok=True)
    draw_bars(measured, images / "real_scenes.png")
    text = HEAD.read_text(encoding="utf-8") + "\n".join(section(m) for m in measured)
    (docs / "real_scenes.md").write_text(text, encoding="utf-8")


def section(measured: Measured) -> str:
    """Heading, labels and table of one scene."""
    labelled = measured.labelled
    seeds = len(measured.results[OURS])
    tested = measured.accuracies(OURS)[0]
    counts = [count_by_class(labels, labelled.classes) for labels in measured.training]
    per_class = ", ".join(
        f"{c.name} {np.mean([n[c.id][0] for n in counts]):.0f} ({np.mean([n[c.id][1] for n in counts]):.0f})"
        for c in labelled.classes
    )
    lines = [
        f"## {labelled.real.title}",
        "",
        f"![Scene, map and confidence](images/{labelled.real.name}.png)",
        "",
        f"{labelled.real.protocol}, {seeds} seed(s) of folds and training. Labelled training pixels (polygons) per "
        f"class, mean of the folds: {per_class}. Tested on {tested.samples} pixels of {tested.groups} polygons. The "
        "interval is that of the first seed, from resampling whole polygons.",
        "",
        f"| row | seeds | OA % | 95 % interval | AA % | kappa % | OA against {OURS} |",
        "|---|---|---|---|---|---|---|",
    ]
    ours = np.array([a.overall.value for a in measured.accuracies(OURS)])
    for row in measured.results:
        figures = measured.accuracies(row)
        overall = np.array([a.overall.value for a in figures])
        first = figures[0].overall
        difference = overall - ours[: len(overall)]
        lines.append(
            f"| {row} | {len(figures)} | {spread(overall)} | {first.low:.1f} to {first.high:.1f} "
            f"| {spread(np.array([a.average.value for a in figures]))} "
            f"| {spread(np.array([a.kappa.value for a in figures]))} "
            f"| {'' if row == OURS else f'{difference.mean():+.1f}'} |"
        )
    return "\n".join(lines) + "\n"


def spread(values: np.ndarray) -> str:
    """Mean, with the standard deviation where there are several."""
    return f"{values.mean():.1f}" + (f" ± {values.std(ddof=1):.1f}" if len(values) > 1 else "")


def draw_bars(measured: list[Measured], path: Path) -> None:
    """Overall and average accuracy of every row, one panel a scene."""
    figure, axes = plt.subplots(1, len(measured), figsize=(4.2 * len(measured), 3.6), layout="constrained",
                                sharey=True, squeeze=False)  # fmt: skip
    for axis, m in zip(axes[0], measured, strict=True):
        rows = list(m.results)
        for offset, figure_name, colour in ((-0.2, "overall", "#1f5a7a"), (0.2, "average", "#e0a030")):
            values = [np.mean([getattr(a, figure_name).value for a in m.accuracies(row)]) for row in rows]
            axis.barh(np.arange(len(rows)) + offset, values, 0.38, color=colour, label=f"{figure_name} accuracy")
        axis.set_yticks(range(len(rows)), rows)
        axis.set_xlim(0, 100)
        axis.set_xlabel("per cent")
        axis.set_title(m.labelled.real.title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].invert_yaxis()  # the panels share it
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncol=2, frameon=False)
    figure.savefig(path, dpi=110)
