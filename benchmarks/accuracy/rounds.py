"""Does labelling what `suggestsamples` suggests beat labelling at random? Simulated rounds, and docs/suggestions.md.

Run by `make benchmark-suggestions`; interrupted, it goes on where it was.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from spectrafilm.engine.accuracy import Figures
from spectrafilm.engine.calibration import mixture
from spectrafilm.engine.ensemble import FilmEnsemble
from spectrafilm.engine.methods import DEFAULT
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.projection import fit_spatial
from spectrafilm.engine.sample_choice import Candidates, choose_samples, hesitation
from spectrafilm.engine.training import Samples, fit, predict_logits
from spectrafilm.engine.validation import mix_beforehand

from .pool import Pool, make_pool
from .scenes import SAMPLE, few_label_parser, find_scenes, label_scene, results_folder
from .table import paired

SIMULATED = (SAMPLE, "hymap_berlin", "aerial_berlin", "enmap_potsdam")
START = 3
ROUNDS = 10
PER_ROUND = 10
STRATEGIES = ("random", "suggested")
FIGURES = ("overall_accuracy", "average_accuracy")
HEAD = Path(__file__).with_name("rounds_head.md")
# Accuracy after every round, by labels.
Curve = list[dict[str, float]]


def simulate(pool: Pool, strategy: str, seed: int) -> Curve:
    """Accuracy on one half of the labelled pixels while labels are added from the other half.

    It starts with three random pixels a class; every round adds ten.
    """
    rng = np.random.default_rng(seed)
    present, targets = np.unique(pool.labels.class_ids, return_inverse=True)
    offered = rng.permutation(len(targets)) < len(targets) // 2
    spectra = pool.fit_spectral().apply(pool.spectra)
    features = pool.features[DEFAULT.key, "bundled"]
    features = fit_spatial(features, pool.neighbourhood_means).apply(features)
    labelled = np.concatenate([
        rng.permutation(np.flatnonzero(offered & (targets == c)))[:START] for c in range(len(present))
    ])  # fmt: skip
    labels = pool.labels
    cover = labels.cover and labels.cover.of_classes(present)
    everything = Samples(spectra, features, targets, len(present), pool.neighbourhood_means)
    curve = []
    for _ in range(ROUNDS + 1):
        samples = replace(
            everything, spectra=spectra[labelled], features=features[labelled], targets=targets[labelled],
            polygons=labels.polygons[labelled], cover=cover and cover.select(labelled),
        )  # fmt: skip
        network = fit(DEFAULT, samples, [np.ones(len(labelled), bool)], seed, Progress())[0].network
        assert isinstance(network, FilmEnsemble)  # noqa: S101
        # As the plugin trains without validation; neighbours are not asked then.
        mix_beforehand(network, pool.autocorrelation)
        probabilities = mixture(predict_logits(network, everything), 1.0)
        figures = Figures.of(targets[~offered] + 1, probabilities[~offered].argmax(1) + 1, len(present))
        curve.append({"labels": len(labelled), **{key: getattr(figures, key) for key in FIGURES}})
        free = np.setdiff1d(np.flatnonzero(offered), labelled)
        if strategy == "random":
            chosen = rng.permutation(free)[:PER_ROUND]
        else:
            # Labelled pixels lie here and there, so that there are no surroundings to take a mean of.
            pixels = Candidates(
                pool.labels.rows, pool.labels.columns, spectra, probabilities, hesitation(probabilities)
            )  # fmt: skip
            chosen = free[choose_samples(pixels.select(free), pixels.select(labelled), PER_ROUND, Progress())]
        labelled = np.concatenate([labelled, chosen])
    return curve


def labels_needed(curve: Curve, figure: str, wanted: float) -> float | None:
    """How many labels first reach a figure, by linear interpolation; None where the curve stays below."""
    best = -np.inf
    previous = None
    for point in curve:
        if point[figure] >= wanted:
            if previous is None:
                return point["labels"]
            share = (wanted - best) / (point[figure] - best)
            return previous["labels"] + share * (point["labels"] - previous["labels"])
        if point[figure] > best:
            best, previous = point[figure], point
    return None


def mean_of_rounds(curves: list[Curve], figure: str) -> dict[int, float]:
    """A figure's mean over the rounds in which labels were added, by seed."""
    return {seed: float(np.mean([point[figure] for point in curve[1:]])) for seed, curve in enumerate(curves)}


def mean_curve(curves: list[Curve]) -> Curve:
    """The mean over seeds, round by round."""
    return [{key: float(np.mean([c[i][key] for c in curves])) for key in curves[0][i]} for i in range(len(curves[0]))]


def write_page(measured: dict[str, dict[str, list[Curve]]], docs: Path) -> None:
    """Write suggestions.md and its plot from the curves by scene and strategy."""
    (docs / "images").mkdir(parents=True, exist_ok=True)
    lines = [
        HEAD.read_text(encoding="utf-8"),
        "| scene | random, last round | suggested, last round | suggested − random, all rounds "
        "| labels that reach random's last OA | fewer | labels that reach random's last AA | fewer |",
        "|" + "---|" * 8,
    ]
    figure, grid = plt.subplots(1, len(measured), figsize=(3.1 * len(measured), 2.9), squeeze=False)
    for axes, (title, by_strategy) in zip(grid[0], measured.items(), strict=True):
        curves = {strategy: mean_curve(by_strategy[strategy]) for strategy in STRATEGIES}
        last, ours = curves["random"][-1], curves["suggested"][-1]
        gains = (paired(*(mean_of_rounds(by_strategy[s], key) for s in ("suggested", "random"))) for key in FIGURES)
        cells = [" / ".join(f"{gain[0]:+.1f} ± {gain[1]:.1f}" if gain else "–" for gain in gains)]
        for key in FIGURES:
            needed = labels_needed(curves["suggested"], key, last[key])
            if needed is None:
                cells += ["not reached", "–"]
            else:
                cells += [f"{needed:.0f} of {last['labels']:.0f}", f"{1 - needed / last['labels']:.0%}"]
        lines.append(
            f"| {title} | {last['overall_accuracy']:.1f} / {last['average_accuracy']:.1f} | "
            f"{ours['overall_accuracy']:.1f} / {ours['average_accuracy']:.1f} | " + " | ".join(cells) + " |"
        )
        for strategy, colour in zip(STRATEGIES, ("#757575", "#d81b60"), strict=True):
            axes.plot([p["labels"] for p in curves[strategy]], [p["overall_accuracy"] for p in curves[strategy]],
                      color=colour, marker="o", ms=3, label=strategy)  # fmt: skip
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("labelled pixels")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e0e0e0", lw=0.6)
    grid[0, 0].set_ylabel("overall accuracy (%)")
    grid[0, 0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(docs / "images" / "suggestions.png", dpi=110)
    seeds = min(len(curves) for by_strategy in measured.values() for curves in by_strategy.values())
    lines.append(f"\n{seeds} seeds; OA / AA in per cent, means over seeds.\n")
    lines.append("![Accuracy over labels](images/suggestions.png)\n")
    (docs / "suggestions.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Simulate on every scene and write the page."""
    parser = few_label_parser(__doc__, SIMULATED)
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    measured: dict[str, dict[str, list[Curve]]] = {}
    for scene in find_scenes(arguments):
        pool = make_pool(label_scene(scene, arguments))
        measured[scene.title] = {strategy: [] for strategy in STRATEGIES}
        for seed in range(arguments.seeds):
            for strategy in STRATEGIES:
                kept = results_folder(scene, arguments) / "rounds" / f"{strategy}-{seed}.json"
                kept.parent.mkdir(exist_ok=True)
                if not kept.exists():
                    kept.write_text(json.dumps(simulate(pool, strategy, seed)), encoding="utf-8")
                    print(f"{scene.name}: {strategy}, seed {seed}", flush=True)
                measured[scene.title][strategy].append(json.loads(kept.read_text(encoding="utf-8")))
    write_page(measured, arguments.docs)


if __name__ == "__main__":
    main()
