"""From figures to docs/spectral_diffusion.md and its JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from spectrafilm.benchmarks.accuracy.pool import PROTOCOLS
from spectrafilm.benchmarks.accuracy.table import FIGURES, paired
from spectrafilm.benchmarks.command_line import head_of

FOLDER = Path(__file__).parent
PRETRAINED, UNTRAINED = "pretrained", "untrained"
OTHERS = ("SVM", "Random forest", "Spectral only", "SpectraFiLM", "SpectraFiLM, untrained")
METHODS = ("DiffSpectralNet", "DiffCRN")
Record = dict[str, Any]


def names_of(method: str) -> tuple[str, str, str]:
    """Names of the rows on a method's backbone."""
    return f"SVM, features of {method}", method, f"SpectraFiLM on {method}"


ON_SCENE = tuple(name for method in METHODS for name in names_of(method))


def by_seed(records: list[Record], protocol: str, row: str, figure: str = "overall_accuracy") -> dict[int, float]:
    """One figure of a row."""
    return {r["seed"]: r[figure] for r in records if r["protocol"] == protocol and r["row"] == row}


def write_page(scenes: list[tuple[str, list[Record]]], docs: Path, own: bool = False) -> None:
    """Write spectral_diffusion.md and its JSON from the figures of each scene."""
    lines = [head_of(FOLDER, own)]
    seeds = min(len(by_seed(records, PROTOCOLS[0], "SVM")) for _, records in scenes)
    lines.append(f"{seeds} seeds; per cent, means over seeds; differences with their standard error.\n")
    for protocol in PROTOCOLS:
        lines += [f"## {protocol.capitalize()}\n", "| OA / AA | " + " | ".join(title for title, _ in scenes) + " |",
                  "|---" * (len(scenes) + 1) + "|"]  # fmt: skip
        for row in (*OTHERS, *(f"{name}, {twin}" for name in ON_SCENE for twin in (PRETRAINED, UNTRAINED))):
            cells = [
                " / ".join(f"{np.mean([*by_seed(records, protocol, row, figure).values()]):.1f}" for figure in FIGURES)
                for _, records in scenes
            ]
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
        lines.append("| **OA, pretrained minus untrained** |" + " |" * len(scenes))
        for name in ON_SCENE:
            twins = [f"{name}, {twin}" for twin in (PRETRAINED, UNTRAINED)]
            gains = [paired(*(by_seed(records, protocol, row) for row in twins)) for _, records in scenes]
            lines.append(f"| {name} | " + " | ".join(f"{g[0]:+.1f} ± {g[1]:.1f}" if g else "–" for g in gains) + " |")
        lines.append("")
    lines += [
        "## What they make of noise\n",
        f"The middle of the scene {scenes[0][0]}, noised (above) and denoised in one step (below).\n",
    ]
    for method in METHODS:
        lines += [f"![Denoised by {method}](images/denoising_{method.lower()}.png)\n", f"*{method}*\n"]
    (docs / "spectral_diffusion.md").write_text("\n".join(lines), encoding="utf-8")
    (docs / "spectral_diffusion.json").write_text(json.dumps(dict(scenes), indent=1) + "\n", encoding="utf-8")
