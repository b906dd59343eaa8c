"""Pretraining of a spectral backbone on a scene, without labels.

Source: DiffSpectralNet (arXiv 2312.12441), section on unsupervised pretraining, and the code of SpectralDiff: L1 loss,
Adam. Chosen here: the U-Net predicts the clean cube instead of the noise, since the last layers of one that predicts
noise hold noise (in a trial, they told classes of the sample scene apart far worse than untrained ones do). So that
a CPU is done in minutes, neighbouring bands are averaged, cubes have 32 x 32 pixels instead of 64 x 64, a fast cosine
schedule takes the place of very many epochs, and the weights that denoise held-out blocks best are kept. Features are
taken from patches of 64 x 64, whose edges matter less.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import uniform_filter

from .composites import Composites, band_averages
from .conditioning import Conditioning
from .device import Device, for_volumes
from .errors import EngineError
from .features import MirroredRows, fill_invalid
from .progress import Progress
from .scene import Scene
from .scene_backbone import SceneBackbone, noise_schedule
from .spectral_unet import SpectralUNet
from .survey import Survey

CUBE = 32
PATCH = BLOCK = 64
BATCH = 8
LEARNING_RATE = 5e-3
WARMUP = 20
STEPS_BETWEEN_CHECKS = 25
PATIENCE = 8
HELD_OUT_SHARE = 0.1
HELD_OUT_CUBES = 32
LEAST_VALID = 0.5
# Values of all blocks together; as 16-bit floats 400 MB.
MOST_VALUES = 200_000_000


@dataclass(frozen=True)
class Recipe:
    """What is pretrained, and for how long.

    Attributes:
        cubes: how many cubes are seen at most.
        positions: length of the spectral axis, to which bands are averaged; a multiple of 8.
        width: channels of the U-Net before its first level.
        seed: of everything random.
    """

    cubes: int
    positions: int
    width: int
    seed: int


@dataclass(frozen=True)
class Pretrained:
    """What came out.

    Attributes:
        backbone: with the weights that denoise what was held out best.
        losses: mean absolute error of denoised held-out cubes (values -1 to 1), by cubes seen.
        chance: the error of their mean spectrum.
        example: (positions, 32, 32) cube of a held-out block.
    """

    backbone: SceneBackbone
    losses: dict[int, float]
    chance: float
    example: np.ndarray


def pretrain(scene: Scene, survey: Survey, recipe: Recipe, device: Device, progress: Progress) -> Pretrained:
    """A spectral backbone of a scene.

    Raises:
        EngineError: the scene has hardly a valid pixel, or the recipe describes no U-Net.
    """
    rng = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    composites = band_averages(survey, recipe.positions)
    try:
        unet = SpectralUNet(composites.channels, recipe.width, PATCH)
    except ValueError as error:
        raise EngineError(
            f"A spectral backbone cannot have {error}; choose a multiple of 8 positions and at least one channel."
        ) from error
    with progress.stage(0.0, 0.1, f"Reading blocks of {scene.path}."):
        blocks = _read_blocks(scene, survey, composites, rng, progress)
    apart = round(HELD_OUT_SHARE * len(blocks)) or int(len(blocks) > 3)
    if not apart:
        progress.warning("The scene is too small to hold part of it out; the loss is that of what was trained on.")
    held_out, training = blocks[:apart] if apart else blocks, blocks[apart:]
    device = for_volumes(device)
    run = _Run(unet.to(device.target), device, noise_schedule(), rng)
    with progress.stage(0.1, 1.0, f"Pretraining on {len(training)} blocks of {BLOCK} x {BLOCK} pixels."):
        # The same cubes at every check.
        checked = _crops(held_out, np.random.default_rng(0), HELD_OUT_CUBES)
        losses = run.train(training, checked, recipe.cubes, progress)
    chance = float((checked - checked.mean((0, 2, 3), keepdim=True)).abs().mean())
    best = min(losses, key=lambda seen: losses[seen])
    progress.info(
        f"Best after {best} cubes: error of denoised held-out cubes {losses[best]:.3f}, of their mean spectrum "
        f"{chance:.3f}."
    )
    card = {
        "method": "DiffSpectralNet", "scene": scene.path, "terms": "those of the scene", "seed": recipe.seed,
        "cubes": best, "held_out_loss": losses[best],
    }  # fmt: skip
    return Pretrained(SceneBackbone(run.best.cpu(), composites, card), losses, chance, checked[0].numpy())


@dataclass(frozen=True)
class _Block:
    """Part of a scene.

    Attributes:
        values: (positions, 64, 64) float16.
        corners: (n, 2) upper left pixels of the cubes of which half is valid.
    """

    values: np.ndarray
    corners: np.ndarray

    @classmethod
    def of(cls, rows: MirroredRows) -> _Block:
        half = CUBE // 2
        share = uniform_filter(rows.valid.astype(np.float32), CUBE)[half : BLOCK - half + 1, half : BLOCK - half + 1]
        return cls(fill_invalid(rows.images[0], rows.valid).astype(np.float16), np.argwhere(share >= LEAST_VALID))

    def crop(self, rng: np.random.Generator) -> np.ndarray:
        """A random cube (positions, 32, 32), turned and mirrored."""
        row, column = self.corners[rng.integers(len(self.corners))]
        crop = np.rot90(self.values[:, row : row + CUBE, column : column + CUBE], int(rng.integers(4)), (1, 2))
        return crop if rng.random() < 0.5 else crop[:, :, ::-1]


def _read_blocks(
    scene: Scene, survey: Survey, composites: Composites, rng: np.random.Generator, progress: Progress
) -> list[_Block]:
    """Blocks from all over the scene, in random order."""
    corners = [(row, column) for row in range(0, scene.height, BLOCK) for column in range(0, scene.width, BLOCK)]
    wanted = max(MOST_VALUES // (composites.channels * BLOCK**2), 1)
    blocks: list[_Block] = []
    for index in progress.track(rng.permutation(len(corners))):
        # Blocks at the far edges are moved inwards; small scenes are mirrored.
        row, column = corners[index]
        row, column = max(min(row, scene.height - BLOCK), 0), max(min(column, scene.width - BLOCK), 0)
        rows = MirroredRows.read(scene, survey.bands, composites, row, column, BLOCK, BLOCK)
        block = _Block.of(rows)
        if len(block.corners):
            blocks.append(block)
        if len(blocks) == wanted:
            break
    if not blocks:
        raise EngineError(
            f"{scene.path} holds no part of {CUBE} x {CUBE} pixels of which half is valid; check its nodata value."
        )
    return blocks


class _Run:
    """Training steps, and checks on held-out blocks that decide which weights are `best`."""

    def __init__(
        self, unet: SpectralUNet, device: Device, schedule: Conditioning, rng: np.random.Generator
    ) -> None:
        self._unet, self._device, self._schedule, self._rng = unet, device, schedule, rng
        # Gradients of float16 would need scaling. Those of bfloat16 are wrong on a CPU where a spectral axis of 2 is
        # convolved (torch 2.13), as it is deep within U-Nets of 8 and of 16 positions.
        self._half = device.dtype is torch.bfloat16 and unet.config["in_channels"] > 16
        self._optimizer = torch.optim.Adam(unet.parameters(), LEARNING_RATE)
        self.best = unet

    def train(self, training: list[_Block], checked: torch.Tensor, cubes: int, progress: Progress) -> dict[int, float]:
        """Train until so many cubes were seen or the losses of `checked` cubes stop falling: these by cubes seen."""
        noise = torch.randn(checked.shape, generator=torch.Generator().manual_seed(0))
        timesteps = torch.arange(len(checked)) * len(self._schedule) // len(checked)
        steps = max(-(-cubes // BATCH), 1)
        losses: dict[int, float] = {}
        waited = 0
        for step in range(1, steps + 1):
            rate = LEARNING_RATE * min(1.0, step / WARMUP) * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._unet.train()
            self._optimizer.zero_grad(set_to_none=True)
            clean = _crops(training, self._rng, BATCH)
            loss = self._loss(clean, torch.randn_like(clean), torch.randint(len(self._schedule), (BATCH,)))
            loss.backward()
            self._optimizer.step()
            if step % STEPS_BETWEEN_CHECKS == 0 or step == steps:
                self._unet.eval()
                with torch.no_grad():
                    found = float(self._loss(checked, noise, timesteps))
                if not math.isfinite(found):
                    raise EngineError("Pretraining failed (its error is not a finite number); try another seed.")
                losses[step * BATCH] = found
                progress.info(f"{step * BATCH} cubes: error of denoised held-out cubes {found:.3f}.")
                if found <= min(losses.values()):
                    self.best = copy.deepcopy(self._unet)
                    waited = 0
                elif (waited := waited + 1) == PATIENCE:
                    break
            progress.set(step / steps)
        return losses

    def _loss(self, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """Mean absolute error of denoised cubes (n, positions, 32, 32)."""
        schedule, target = self._schedule, self._device.target
        signal, deviation = (x[timesteps][:, None, None, None] for x in (schedule.signal, schedule.noise))
        noised = (signal * clean + deviation * noise).to(target)
        with torch.autocast(target.type, torch.bfloat16, enabled=self._half):
            predicted = self._unet(noised, schedule.told[timesteps])
        return (predicted.float() - clean.to(target)).abs().mean()


def _crops(blocks: list[_Block], rng: np.random.Generator, count: int) -> torch.Tensor:
    """Random cubes (count, positions, 32, 32)."""
    crops = [blocks[rng.integers(len(blocks))].crop(rng) for _ in range(count)]
    return torch.from_numpy(np.stack(crops).astype(np.float32))
