"""From measured variants to docs/ablations.md, its JSON and its picture."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from spectrafilm.benchmarks.accuracy.pool import PROTOCOLS
from spectrafilm.benchmarks.command_line import head_of

from .measure import Entry
from .variants import DEFAULT, GROUPS

FOLDER = Path(__file__).parent
COLOURS = ("#1e88e5", "#d81b60")


@dataclass(frozen=True)
class Gain:
    """A variant minus the default, in points, mean over common draws.

    Attributes:
        overall, error: of OA, and its standard error.
        average: of AA.
        calibration: of the expected calibration error.
        seeds: number of draws.
    """

    overall: float
    error: float
    average: float
    calibration: float
    seeds: int


def gain_of(entries: list[Entry], variant: str, protocol: str) -> Gain | None:
    """How a variant differs from the default; None with fewer than two draws."""
    ours, default = (
        {e.seed: e for e in entries if e.variant == name and e.protocol == protocol} for name in (variant, DEFAULT)
    )
    common = sorted(ours.keys() & default.keys())
    if len(common) < 2:
        return None
    overall, average, calibration = (
        np.array([getattr(ours[s], key) - getattr(default[s], key) for s in common])
        for key in ("overall_accuracy", "average_accuracy", "calibration_error")
    )
    error = overall.std(ddof=1) / np.sqrt(len(common))
    return Gain(
        float(overall.mean()), float(error), float(average.mean()), float(calibration.mean()), len(common)
    )  # fmt: skip


def write_page(scenes: list[tuple[str, list[Entry]]], labels: int, seeds: int, docs: Path, own: bool = False) -> None:
    """Write ablations.md, ablations.json and images/ablations.png.

    Args:
        scenes: title and figures of each scene.
        labels: per class.
        seeds: the first so many are counted.
    """
    (docs / "images").mkdir(parents=True, exist_ok=True)
    scenes = [(title, [e for e in entries if e.labels == labels and e.seed < seeds]) for title, entries in scenes]
    text = head_of(FOLDER, own)
    for protocol in PROTOCOLS:
        text += _table(scenes, protocol)
    text += f"\n{labels} labels a class, {seeds} seeds.\n"
    (docs / "ablations.md").write_text(text, encoding="utf-8")
    records = []
    for title, entries in scenes:
        for protocol in PROTOCOLS:
            about = {"scene": title, "protocol": protocol, "labels": labels}
            overall, average = _default_accuracy(entries, protocol)
            accuracy = {"overall_accuracy": round(overall, 2), "average_accuracy": round(average, 2)}
            records.append(about | {"variant": DEFAULT} | accuracy)
            for variant in (name for group in GROUPS.values() for name in group):
                gain = gain_of(entries, variant, protocol)
                if gain:
                    gains = {key: round(value, 2) for key, value in vars(gain).items()}
                    records.append(about | {"variant": variant, "minus_default": gains})
    lines = ",\n".join(json.dumps(record) for record in records)
    (docs / "ablations.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    draw_gains(scenes, docs / "images" / "ablations.png")


def _table(scenes: list[tuple[str, list[Entry]]], protocol: str) -> str:
    titles = [title.split(" (")[0] for title, _ in scenes]
    lines = [f"\n## {protocol.capitalize()}\n", f"| | {' | '.join(titles)} | mean |", "|---" * (len(titles) + 2) + "|"]
    cells = []
    for _, entries in scenes:
        overall, average = _default_accuracy(entries, protocol)
        cells.append(f"{overall:.1f} / {average:.1f}")
    lines.append(f"| **default**, OA / AA | {' | '.join(cells)} | |")
    for title, group in GROUPS.items():
        lines.append(f"| **{title}** |" + " |" * (len(titles) + 1))
        for variant in group:
            gains = [gain_of(entries, variant, protocol) for _, entries in scenes]
            known = [g for g in gains if g]
            # What changes confidences alone is judged by them.
            of_confidence = title == "Confidence"
            cells = [_cell(gain, of_confidence) if gain else "–" for gain in gains]
            if not known:
                mean = "–"
            elif of_confidence:
                mean = f"{np.mean([g.calibration for g in known]):+.1f}"
            else:
                mean = f"{np.mean([g.overall for g in known]):+.1f} / {np.mean([g.average for g in known]):+.1f}"
            lines.append(f"| {variant} | {' | '.join(cells)} | {mean} |")
    return "\n".join(lines) + "\n"


def _default_accuracy(entries: list[Entry], protocol: str) -> tuple[float, float]:
    """OA and AA of the default, means over draws."""
    ours = [e for e in entries if e.variant == DEFAULT and e.protocol == protocol]
    return float(np.mean([e.overall_accuracy for e in ours])), float(np.mean([e.average_accuracy for e in ours]))


def _cell(gain: Gain, of_confidence: bool) -> str:
    if of_confidence:
        return f"ECE {gain.calibration:+.1f}"
    return f"{gain.overall:+.1f} ± {gain.error:.1f} / {gain.average:+.1f}"


def draw_gains(scenes: list[tuple[str, list[Entry]]], path: Path) -> None:
    """Points of OA by variant: a small dot for each scene, a large one for their mean."""
    named = [(title, variant) for title, group in GROUPS.items() if title != "Confidence" for variant in group]
    figure, axes = plt.subplots(figsize=(8, 0.27 * len(named) + 1))
    for offset, protocol, colour in zip((-0.14, 0.14), PROTOCOLS, COLOURS, strict=True):
        axes.plot([], [], "D", ms=6, color=colour, label=protocol)
        for y, (_, variant) in enumerate(named):
            gains = [g.overall for _, entries in scenes if (g := gain_of(entries, variant, protocol))]
            axes.plot(gains, [y + offset] * len(gains), "o", ms=3, color=colour, alpha=0.45)
            if gains:
                axes.plot(np.mean(gains), y + offset, "D", ms=6, color=colour)
    axes.axvline(0, color="#424242", lw=0.8)
    axes.set_yticks(range(len(named)), [variant for _, variant in named], fontsize=8)
    axes.invert_yaxis()
    for y in range(1, len(named)):
        if named[y][0] != named[y - 1][0]:
            axes.axhline(y - 0.5, color="#bdbdbd", lw=0.6)
    axes.set_xlabel("points of overall accuracy over the default")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#e0e0e0", lw=0.6)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
