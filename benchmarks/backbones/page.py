"""From probed backbones to docs/backbones.md, its JSON and its picture."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from spectrafilm.benchmarks.accuracy.pool import PROTOCOLS
from spectrafilm.benchmarks.command_line import head_of
from spectrafilm.engine.methods import DEFAULT

from .probe import Entry

FOLDER = Path(__file__).parent
COLUMNS = ("", "spectra alone", "backbone", "default setting", "− untrained", "best setting", "− untrained", "which")
INPUTS = {"alone": "features alone", "with_spectra": "with spectra"}
Setting = tuple[tuple[int, ...], int]
# Overall accuracies of all seeds, by setting.
Grid = dict[Setting, np.ndarray]


def grid_of(entries: list[Entry], backbone: str, protocol: str, inputs: str) -> Grid:
    """Overall accuracies (seeds,) of the weights that were measured last under a name."""
    ours = [e for e in entries if e.backbone == backbone]
    found: dict[Setting, dict[int, float]] = defaultdict(dict)
    for e in ours:
        if e.weights == ours[-1].weights and e.protocol == protocol:
            found[e.layers, e.timestep][e.seed] = getattr(e, inputs)[0]
    return {setting: np.array([by_seed[s] for s in sorted(by_seed)]) for setting, by_seed in found.items()}


def best_by_other_seeds(grid: Grid) -> tuple[np.ndarray, Setting]:
    """Accuracies (seeds,), each with the setting that is best on the other seeds; and the setting best on all.

    The best of several dozen settings is partly luck, which this leaves out.
    """
    settings, table = list(grid), np.stack(list(grid.values()))
    others = table.sum(1, keepdims=True) - table
    return table[others.argmax(0), np.arange(table.shape[1])], settings[int(table.mean(1).argmax())]


def write_page(
    scenes: list[tuple[str, list[Entry]]], backbones: list[str], untrained: str, docs: Path, own: bool = False
) -> None:
    """Write backbones.md, backbones.json and images/backbones.png.

    Args:
        scenes: title and figures of each scene.
        backbones: pretrained ones, the bundled one first.
        untrained: name of the twin they are compared with.
    """
    (docs / "images").mkdir(parents=True, exist_ok=True)
    text = head_of(FOLDER, own)
    summary = []
    for inputs, described in INPUTS.items():
        for protocol in PROTOCOLS:
            lines = [f"\n## OA {described}, {protocol}\n", f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
            for title, entries in scenes:
                twin = grid_of(entries, untrained, protocol, inputs)
                spectra = next(iter(grid_of(entries, "", protocol, "with_spectra").values()))
                twin_best, _ = best_by_other_seeds(twin)
                for name in (untrained, *backbones):
                    grid = grid_of(entries, name, protocol, inputs)
                    default = grid[DEFAULT.layers, DEFAULT.timesteps[0]]
                    best, setting = best_by_other_seeds(grid)
                    gains = (default - twin[DEFAULT.layers, DEFAULT.timesteps[0]], best - twin_best)
                    cells = [_with_gain(a, None if name == untrained else g)
                             for a, g in zip((default, best), gains, strict=True)]  # fmt: skip
                    first = (title, f"{spectra.mean():.1f}") if name == untrained else ("", "")
                    lines.append(f"| {' | '.join((*first, name, *cells))} | {_describe(setting)} |")
                    summary.append({
                        "scene": title, "protocol": protocol, "inputs": described, "backbone": name,
                        "seeds": len(best), "default": round(default.mean(), 2), "best": round(best.mean(), 2),
                        "default_gain": round(gains[0].mean(), 2), "best_gain": round(gains[1].mean(), 2),
                        "layers": setting[0], "timestep": setting[1],
                    })  # fmt: skip
            text += "\n".join(lines) + "\n"
    (docs / "backbones.md").write_text(text, encoding="utf-8")
    (docs / "backbones.json").write_text(
        "[\n" + ",\n".join(json.dumps(record) for record in summary) + "\n]\n", encoding="utf-8"
    )
    draw_gains(scenes, backbones[0], untrained, docs / "images" / "backbones.png")


def _with_gain(accuracies: np.ndarray, gain: np.ndarray | None) -> str:
    described = "" if gain is None else f"{gain.mean():+.1f} ± {gain.std(ddof=1) / np.sqrt(len(gain)):.1f}"
    return f"{accuracies.mean():.1f} | {described}"


def _describe(setting: Setting) -> str:
    layers, timestep = setting
    return f"{'+'.join(map(str, layers))} at {timestep}"


def draw_gains(scenes: list[tuple[str, list[Entry]]], backbone: str, untrained: str, path: Path) -> None:
    """Points of OA that pretraining adds, by layer and timestep; a row of panels for each scene."""
    panels = [(inputs, protocol) for inputs in INPUTS for protocol in PROTOCOLS]
    figure, rows = plt.subplots(len(scenes), len(panels), figsize=(11, 2.1 * len(scenes)), squeeze=False)
    for (title, entries), row in zip(scenes, rows, strict=True):
        for (inputs, protocol), axes in zip(panels, row, strict=True):
            ours, twin = (grid_of(entries, name, protocol, inputs) for name in (backbone, untrained))
            layers = sorted({chosen for chosen, _ in ours if len(chosen) == 1})
            timesteps = sorted({t for _, t in ours})
            gains = np.array([[(ours[i, t] - twin[i, t]).mean() for i in layers] for t in timesteps])
            axes.imshow(gains, cmap="RdBu", vmin=-20, vmax=20, aspect="auto")
            for (y, x), gain in np.ndenumerate(gains):
                axes.text(x, y, f"{gain:.0f}", ha="center", va="center", fontsize=6.5,
                          color="white" if abs(gain) > 12 else "black")  # fmt: skip
            axes.set_xticks(range(len(layers)), [str(i[0]) for i in layers], fontsize=7)
            axes.set_yticks(range(len(timesteps)), [str(t) for t in timesteps], fontsize=7)
            axes.spines[:].set_visible(False)
            if axes is row[0]:
                axes.set_ylabel(title.split(" (")[0] + "\ntimestep", fontsize=8)
    for (inputs, protocol), axes in zip(panels, rows[0], strict=True):
        axes.set_title(f"{INPUTS[inputs]}, {protocol}", fontsize=9)
    for axes in rows[-1]:
        axes.set_xlabel("decoder layer", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
