"""From measured figures to docs/accuracy.md, its JSON and its plot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from .pool import ALL, PROTOCOLS
from .rows import CLASSICAL, ROWS, SPECTRAFILM, UNTRAINED
from .summary import COUNTS, SUMMARY, VALIDATED, Results, write_summary

HEAD, TERMS, FINDINGS, TRIED = (
    Path(__file__).with_name(f"{name}.md") for name in ("head", "terms", "findings", "tried")
)
OWN_HEAD = "# Accuracy with few labels\n"
LEGEND_INCHES = 0.8
DRAWN = {"SVM": "#9e9e9e", "SVM, noise-adjusted components": "#fb8c00", "SVM, 5 x 5 means": "#616161",
         "SVM, morphological profiles": "#212121", "Spectral only": "#1e88e5", "SVM, spectra and features": "#43a047",
         SPECTRAFILM: "#d81b60"}  # fmt: skip
FIGURES = ("overall_accuracy", "average_accuracy")


def _best_classical(values: dict[str, dict[int, float]]) -> str:
    """The classical row with the highest mean: known only afterwards, so a strong rival."""
    return max((r for r in CLASSICAL if r in values), key=lambda r: np.mean(list(values[r].values())), default="")


# Names of rows to compare with, given a figure by row and seed.
RIVALS: dict[str, Callable[[dict[str, dict[int, float]]], str]] = {
    "best classical row": _best_classical,
    "spectral only": lambda _: "Spectral only",
    "SVM on the same features": lambda _: "SVM, spectra and features",
    "untrained backbone": lambda _: SPECTRAFILM + UNTRAINED,
    "concatenation": lambda _: "Concatenation",
    "sum": lambda _: "Sum",
}


def write_page(
    scenes: list[tuple[str, Results]], groups: dict[str, list[str]], docs: Path, own: bool = False
) -> None:
    """Write accuracy.md, accuracy.json and images/accuracy.png.

    Args:
        scenes: title and figures of each scene.
        groups: titles of scenes to average over, by the name of the group.
        own: whether they are a user's, of which our findings do not speak.
    """
    (docs / "images").mkdir(parents=True, exist_ok=True)
    head, terms, findings, tried = (part.read_text(encoding="utf-8") for part in (HEAD, TERMS, FINDINGS, TRIED))
    text = f"{OWN_HEAD}\n{terms}" if own else f"{head}\n{terms}\n{findings}"
    text += overview(scenes, groups)
    for title, results in scenes:
        for protocol in PROTOCOLS:
            text += section(title, protocol, results)
    if not own:
        text += tried
    (docs / "accuracy.md").write_text(text, encoding="utf-8")
    write_summary(scenes, docs / SUMMARY)
    draw_curves(scenes, docs / "images" / "accuracy.png")


def by_row(results: Results, protocol: str, labels: int, figure: str) -> dict[str, dict[int, float]]:
    """A figure by row and seed."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    for r in results:
        if r["protocol"] == protocol and r["labels"] == labels and r[figure] is not None:
            values[r["row"]][r["seed"]] = r[figure]
    return values


def paired(ours: dict[int, float], theirs: dict[int, float]) -> tuple[float, float] | None:
    """Mean difference over common seeds, and its standard error (NaN of a single one); None without one."""
    common = sorted(ours.keys() & theirs.keys())
    if not common:
        return None
    differences = np.array([ours[seed] - theirs[seed] for seed in common])
    error = differences.std(ddof=1) / np.sqrt(len(common)) if len(common) > 1 else np.nan
    return float(differences.mean()), float(error)


def overview(scenes: list[tuple[str, Results]], groups: dict[str, list[str]]) -> str:
    """A table for each rival: how many points SpectraFiLM is above it, by scene, protocol and number of labels."""
    counts = sorted({r["labels"] for _, results in scenes for r in results})
    text = ""
    for name, choose in RIVALS.items():
        lines = []
        for protocol in PROTOCOLS:
            gains = {title: [_gains(results, protocol, n, choose) for n in counts] for title, results in scenes}
            for title, by_count in gains.items():
                if any(any(gain) for gain in by_count):
                    lines.append(f"| {title}, {protocol} | " + " | ".join(map(_cell, by_count)) + " |")
            for group, members in groups.items():
                means = [_means([gains[title][k] for title in members]) for k in range(len(counts))]
                if len(members) > 1 and any(any(mean) for mean in means):
                    cells = " | ".join(_cell(mean, spread=True) for mean in means)
                    lines.append(f"| **mean of {group}**, {protocol} | {cells} |")
        if lines:
            columns = "| | " + " | ".join(map(_asked, counts)) + " |\n" + "|---" * (len(counts) + 1) + "|"
            text += "\n".join([f"\n## SpectraFiLM − {name}\n", columns, *lines]) + "\n"
    if text:
        text += "\nPoints of OA / AA, paired over seeds; means with their standard error over draws.\n"
    return "\n![Overall accuracy over labels per class](images/accuracy.png)\n" + text


# Points of OA and of AA with their standard errors, None where there are none.
Gains = list[tuple[float, float] | None]


def _gains(results: Results, protocol: str, labels: int, choose: Callable[[dict[str, dict[int, float]]], str]) -> Gains:
    gains = []
    for figure in FIGURES:
        values = by_row(results, protocol, labels, figure)
        gains.append(paired(values.get(SPECTRAFILM, {}), values.get(choose(values), {})))
    return gains


def _means(gains: Sequence[Gains]) -> Gains:
    """Over scenes; draws of different scenes are independent."""
    means: Gains = []
    for of_scenes in zip(*gains, strict=True):
        known = [gain for gain in of_scenes if gain is not None]
        if len(known) < len(of_scenes):
            means.append(None)
            continue
        values, errors = np.transpose(known)
        means.append((float(values.mean()), float(np.sqrt(np.square(errors).sum()) / len(known))))
    return means


def _cell(gains: Gains, spread: bool = False) -> str:
    # Of a single draw there is no error (NaN).
    return " / ".join(
        "–" if gain is None else f"{gain[0]:+.1f}" + (f" ± {gain[1]:.1f}" if spread and gain[1] >= 0 else "")
        for gain in gains
    )


def _asked(labels: int) -> str:
    return "all" if labels >= ALL else f"{labels} a class"


def section(title: str, protocol: str, results: Results) -> str:
    """A table: rows are methods, columns numbers of labels; below it the differences that matter."""
    counts = sorted({r["labels"] for r in results if r["protocol"] == protocol})
    if not counts:
        return ""
    lines = [f"\n## {title}, {protocol}\n", "| | " + " | ".join(map(_asked, counts)) + " |",
             "|---" * (len(counts) + 1) + "|"]  # fmt: skip
    figures = {n: [by_row(results, protocol, n, f) for f in FIGURES] for n in counts}
    seeds = max(len(by_seed) for values, _ in figures.values() for by_seed in values.values())
    for row in (row for row in ROWS if any(row in values for values, _ in figures.values())):
        cells = []
        for n in counts:
            hits, recalls = (list(values.get(row, {}).values()) for values in figures[n])
            spread = f" ± {np.std(hits, ddof=1):.1f}" if len(hits) > 1 else ""
            fewer = f" ({_seeds(len(hits))})" if len(hits) < seeds else ""
            cells.append(f"{np.mean(hits):.1f}{spread} / {np.mean(recalls):.1f}{fewer}" if hits else "–")
        name = f"**{row}**" if row == SPECTRAFILM else row
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, choose in RIVALS.items():
        cells = []
        for n in counts:
            overall = figures[n][0]
            rival = choose(overall)
            gain = paired(overall.get(SPECTRAFILM, {}), overall.get(rival, {}))
            cells.append((f"{gain[0]:+.1f}" + ("" if np.isnan(gain[1]) else f" ± {gain[1]:.1f}")) if gain else "–")
        if any(cell != "–" for cell in cells):
            lines.append(f"| *SpectraFiLM − {name}* | " + " | ".join(cells) + " |")
    errors = [by_row(results, protocol, n, "calibration_error").get(SPECTRAFILM, {}).values() for n in counts]
    if any(errors):
        means = " | ".join(f"{np.mean(list(e)):.1f}" if e else "–" for e in errors)
        lines.append(f"| *expected calibration error of SpectraFiLM* | {means} |")
    gaps = [_gap_of_validation(results, protocol, n) for n in counts]
    if any(gaps):
        lines.append("| *cross-validated − tested OA* | " + " | ".join(gap or "–" for gap in gaps) + " |")
    sizes = [_pixel_counts(results, protocol, n) for n in counts]
    if any(sizes):
        lines.append("| *training / test pixels* | " + " | ".join(size or "–" for size in sizes) + " |")
    lines.append(
        f"\n{_seeds(seeds)}; OA ± standard deviation / AA, per cent; differences of OA are paired, ± standard error."
    )
    return "\n".join(lines) + "\n"


def _pixel_counts(results: Results, protocol: str, labels: int) -> str:
    """How many pixels are trained and tested, by draw from the fewest to the most; empty where nobody wrote it down."""
    draws = [r for r in results if r["protocol"] == protocol and r["labels"] == labels and COUNTS[0] in r]
    ranges = [sorted({r[count] for r in draws}) for count in COUNTS]
    return " / ".join("–".join(str(n) for n in dict.fromkeys([some[0], some[-1]])) for some in ranges if some)


def _gap_of_validation(results: Results, protocol: str, labels: int) -> str:
    """How far cross-validation is above the test, on average, and in how many draws its interval holds what was found.

    Empty where it was not written down.
    """
    draws = [r for r in results if r["row"] == SPECTRAFILM and r["protocol"] == protocol and r["labels"] == labels]
    draws = [r for r in draws if VALIDATED[0] in r]
    if not draws:
        return ""
    value, low, high, found = np.array([[r.get(n) for n in (*VALIDATED, FIGURES[0])] for r in draws], float).T
    held = (low <= found) & (found <= high)  # Without an interval they are NaN.
    return f"{np.mean(value - found):+.1f} ({held.sum()} of {len(draws)})"


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"


def draw_curves(scenes: list[tuple[str, Results]], path: Path) -> None:
    """OA over labels per class: one panel a scene and protocol."""
    protocols = [p for p in PROTOCOLS if any(r["protocol"] == p for _, results in scenes for r in results)]
    ticks = sorted({r["labels"] for _, results in scenes for r in results})
    size = (9, 2.6 * len(scenes) + LEGEND_INCHES)
    figure, grid = plt.subplots(len(scenes), len(protocols), figsize=size, squeeze=False, sharex=True)
    for (title, results), panels in zip(scenes, grid, strict=True):
        for protocol, axes in zip(protocols, panels, strict=True):
            counts = sorted({r["labels"] for r in results if r["protocol"] == protocol})
            axes.set_visible(bool(counts))
            axes.tick_params(labelbottom=True)
            for row, colour in DRAWN.items():
                values = [list(by_row(results, protocol, n, "overall_accuracy").get(row, {}).values()) for n in counts]
                points = [(n, np.mean(v)) for n, v in zip(counts, values, strict=True) if v]
                if points:
                    width = 2 if row == SPECTRAFILM else 1.2
                    axes.plot(*zip(*points, strict=True), color=colour, marker="o", ms=3, lw=width, label=row)
            axes.set_xscale("log")
            axes.set_xticks(ticks, ["all" if n >= ALL else n for n in ticks])
            axes.minorticks_off()
            axes.set_title(f"{title}, {protocol}", fontsize=9)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="y", color="#e0e0e0", lw=0.6)
    # A scene with a division of its own has one panel only.
    for panels in grid:
        next(axes for axes in panels if axes.get_visible()).set_ylabel("overall accuracy (%)")
    for panels in grid.T:
        next(axes for axes in panels[::-1] if axes.get_visible()).set_xlabel("labels per class")
    shown = {name: line for axes in grid.flat for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(shown.values(), shown.keys(), loc="lower center", ncol=3, frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, LEGEND_INCHES / figure.get_figheight(), 1, 1))
    figure.savefig(path, dpi=110)
    plt.close(figure)
