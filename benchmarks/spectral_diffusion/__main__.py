"""Scene-pretrained backbones against their untrained twins: measure and write docs/spectral_diffusion.md.

Run by `make benchmark-spectral-diffusion`; interrupted, it goes on where it was.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from spectrafilm.benchmarks.accuracy.measure import measure
from spectrafilm.benchmarks.accuracy.pool import PROTOCOLS, SHIPPED, Pool, feature_source, kept_features, make_pool
from spectrafilm.benchmarks.accuracy.rows import ROWS, Row, network_row, svm_row
from spectrafilm.benchmarks.accuracy.scenes import few_label_parser, find_scenes, label_scene, results_folder
from spectrafilm.benchmarks.json_lines import read_lines
from spectrafilm.engine.jobs import PretrainScene
from spectrafilm.engine.methods import METHODS
from spectrafilm.engine.patches import SceneImages
from spectrafilm.engine.pictures import denoising_picture
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.projection import fit_spatial
from spectrafilm.engine.runner import run_job
from spectrafilm.engine.scene import Scene
from spectrafilm.engine.scene_backbone import DENOISERS, SceneBackbone
from spectrafilm.engine.staged_denoiser import SPATIAL_STAGES, SPECTRAL_STAGES
from spectrafilm.engine.survey import survey_scene
from spectrafilm.engine.tasks.pretrain_scene import SHOWN_TIMESTEPS
from spectrafilm.engine.timestep_choice import COUNT

from .page import OTHERS, PRETRAINED, UNTRAINED, Record, names_of, write_page

LABELS = 10
MEASURED = ("sample", "hymap_berlin", "enmap_berlin")
# Numbers of timesteps and of stages whose features DiffCRN takes.
SECTIONS = (COUNT, SPATIAL_STAGES + SPECTRAL_STAGES)


def scene_backbones(method: str, scene_path: str, folder: Path) -> dict[str, Path]:
    """The backbone of a scene by a method, pretrained once, and its twin with random weights."""
    paths = {name: folder / f"{method}-{name}.safetensors" for name in (PRETRAINED, UNTRAINED)}
    if not paths[PRETRAINED].exists():
        run_job(PretrainScene(scene_path, str(paths[PRETRAINED]), method=method, device="cpu"), Progress())
    if not paths[UNTRAINED].exists():
        trained = SceneBackbone.load(paths[PRETRAINED])
        shape = trained.denoiser.config
        torch.manual_seed(0)
        twin = DENOISERS[method](shape["in_channels"], shape["width"], shape["sample_size"])
        SceneBackbone(twin, trained.composites, {}, trained.timesteps).save(paths[UNTRAINED])
    return paths


def pool_on_scene(pool: Pool, method: str, scene_path: str, folder: Path) -> Pool:
    """The pool with features of the scene's own backbone and of its twin, by method and their names."""
    features, means = {}, 0
    with Scene.open(scene_path) as scene:
        survey = survey_scene(scene)
        for name, path in scene_backbones(method, scene_path, folder).items():
            for key in (method, SHIPPED):
                source = feature_source(scene, survey, METHODS[key], path)
                features[key, name] = kept_features(source, pool.labels, folder)
                means = source.settings.means
    return replace(pool, features=features, neighbourhood_means=means)


def rows_of(method: str, backbone: str) -> dict[str, Row]:
    """The rows of one of a scene's backbones."""

    def spatial(pool: Pool) -> np.ndarray:
        features = pool.features[method, backbone]
        return fit_spatial(features).apply(features)

    sections = SECTIONS if method == "diffcrn" else (1, 1)
    made = (
        svm_row(spatial), network_row(METHODS[method], backbone, sections=sections),
        network_row(METHODS[SHIPPED], backbone),
    )  # fmt: skip
    return {f"{name}, {backbone}": row for name, row in zip(names_of(METHODS[method].title), made, strict=True)}


def draw_denoising(method: str, scene_path: str, folder: Path, images: Path) -> None:
    """Write denoising_METHOD.png: what a scene's pretrained backbone makes of the noised middle of the scene."""
    backbone = SceneBackbone.load(scene_backbones(method, scene_path, folder)[PRETRAINED])
    size = backbone.denoiser.config["sample_size"]
    with Scene.open(scene_path) as scene:
        bands = survey_scene(scene).bands
        corner = (scene.height - size) // 2, (scene.width - size) // 2
        clean = SceneImages(scene, bands, backbone.composites.on(bands)).read(*corner, size, size).images[0]
    denoised = {t: backbone.denoise(clean, t) for t in SHOWN_TIMESTEPS}
    images.mkdir(parents=True, exist_ok=True)
    (images / f"denoising_{method}.png").write_bytes(denoising_picture(clean, denoised))


def main() -> None:
    """Run every row on every scene with every seed, and write the page."""
    parser = few_label_parser(__doc__, MEASURED)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    others = {row: ROWS[row] for row in OTHERS}
    kept: list[tuple[str, list[Record]]] = []
    for scene in find_scenes(arguments):
        labelled = label_scene(scene, arguments)
        folder = results_folder(scene, arguments)
        results = folder / "spectral_diffusion.jsonl"
        pool = make_pool(labelled)
        on_scene = {method: pool_on_scene(pool, method, labelled.path, folder) for method in DENOISERS}
        for seed in range(arguments.seeds):
            for protocol in PROTOCOLS:
                measure(pool, protocol, LABELS, seed, others, results)
                for method, backbone in product(DENOISERS, (PRETRAINED, UNTRAINED)):
                    measure(on_scene[method], protocol, LABELS, seed, rows_of(method, backbone), results)
        if not kept:
            for method in DENOISERS:
                draw_denoising(method, labelled.path, folder, arguments.docs / "images")
        figures = [r for r in read_lines(results) if r["seed"] < arguments.seeds]
        kept.append((scene.title, figures))
    write_page(kept, arguments.docs, own=bool(arguments.own))


if __name__ == "__main__":
    main()
