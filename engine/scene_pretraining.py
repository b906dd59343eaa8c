"""Pretraining of a spectral backbone on a scene, without labels.

Source: DiffSpectralNet (arXiv 2312.12441) and the code of SpectralDiff; DiffCRN (arXiv 2502.19699). Chosen here: so
that a CPU is done in minutes, neighbouring bands are averaged, cubes have 32 x 32 pixels instead of 64 x 64 and are
turned and mirrored, networks are narrower, a fast cosine schedule with batches of 8 instead of 20 takes the place of
very many epochs, and the weights that denoise held-out blocks best are kept. The averages are stretched to -1..1
between two percentiles instead of minimum and maximum.
Features are taken from patches of 64 x 64, whose edges matter less. What is learned is in `pretraining_losses`.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from torch import nn

from .composites import Composites, band_averages
from .device import Device
from .errors import EngineError
from .methods import METHODS
from .patches import MirroredRows, SceneImages, fill_invalid
from .pretraining_losses import AbsoluteError, ContrastiveError
from .progress import Progress
from .scene import Scene
from .scene_backbone import DENOISERS, Denoiser, SceneBackbone, device_of, noise_schedule
from .staged_denoiser import StagedDenoiser
from .survey import Survey
from .timestep_choice import choose_timesteps, spectral_angles

CUBE = 32
PATCH = BLOCK = 64
BATCH = 8
WARMUP = 20
# The first step is slower; so many after it tell how long all take.
TIMED_STEPS = 4
PATIENCE = 8
HELD_OUT_SHARE = 0.1
HELD_OUT_CUBES = 32
LEAST_VALID = 0.5
# Values of all blocks together; as 16-bit floats 400 MB.
MOST_VALUES = 200_000_000


@dataclass(frozen=True)
class _Scheme:
    """How a method's denoiser is pretrained where nothing else is said."""

    cubes: int
    positions: int
    width: int
    learning_rate: float
    steps_between_checks: int


# A U-Net sees fewer cubes in the same time.
SCHEMES = {"diffspectralnet": _Scheme(1600, 32, 8, 5e-3, 25), "diffcrn": _Scheme(12_000, 64, 64, 2e-3, 100)}


@dataclass(frozen=True)
class Recipe:
    """What is pretrained, and for how long; a number of 0 stands for the default of the method.

    Attributes:
        method: the key of the method whose denoiser it is.
        cubes: how many cubes are seen at most.
        positions: length of the spectral axis, to which bands are averaged; a multiple of 8.
        width: channels of the denoiser, of a U-Net before its first level.
        seed: of everything random.
    """

    method: str
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
        angles: mean angle in degrees between spectra of clean and of denoised held-out cubes by timestep, where
            they decide on the timesteps of features.
        example: (positions, 32, 32) cube of a held-out block.
    """

    backbone: SceneBackbone
    losses: dict[int, float]
    chance: float
    angles: dict[int, float]
    example: np.ndarray


def pretrain(scene: Scene, survey: Survey, recipe: Recipe, device: Device, progress: Progress) -> Pretrained:
    """A spectral backbone of a scene.

    Raises:
        EngineError: the scene has hardly a valid pixel, or there is no such denoiser.
    """
    if recipe.method not in DENOISERS:
        raise EngineError(f"No backbone is pretrained for '{recipe.method}'; choose one of: {', '.join(DENOISERS)}.")
    scheme = SCHEMES[recipe.method]
    rng = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    try:
        composites = band_averages(survey, recipe.positions or scheme.positions)
        denoiser = DENOISERS[recipe.method](composites.channels, recipe.width or scheme.width, PATCH)
    except ValueError as error:
        raise EngineError(
            f"A spectral backbone cannot have {error}; choose a multiple of 8 positions and at least one channel, for "
            "DiffCRN a multiple of 4."
        ) from error
    with progress.stage(0.0, 0.1, f"Reading blocks of {scene.path}."):
        blocks = _read_blocks(scene, survey, composites, rng, progress)
    apart = max(round(HELD_OUT_SHARE * len(blocks)), 1)
    held_out, training = blocks[:apart], _away_from(blocks[:apart], blocks[apart:])
    if 2 * sum(len(block.corners) for block in training) < sum(len(block.corners) for block in blocks):
        progress.warning("The scene is too small to hold part of it out; the loss is that of what was trained on.")
        held_out = training = blocks
    device = device_of(denoiser, device)
    run = _Run(denoiser.to(device.target), device, scheme, rng)
    # The same cubes at every check.
    checked = _crops(held_out, np.random.default_rng(0), HELD_OUT_CUBES)
    with progress.stage(0.1, 1.0, f"Pretraining on {len(training)} block(s) of {BLOCK} x {BLOCK} pixels."):
        losses = run.train(training, checked, recipe.cubes or scheme.cubes, progress)
    chance = float((checked - checked.mean((0, 2, 3), keepdim=True)).abs().mean())
    best = min(reversed(losses), key=lambda seen: losses[seen])  # of equals the last, whose weights are kept
    progress.info(
        f"Best after {best} cubes: error of denoised held-out cubes {losses[best]:.3f}, of their mean spectrum "
        f"{chance:.3f}."
    )
    if losses[best] >= chance:
        progress.warning(
            "The backbone denoises no better than the mean spectrum, so it has learned nothing of use; let it see more "
            "training cubes, or try another seed."
        )
    best_denoiser = run.best.cpu().eval()
    angles: dict[int, float] = {}
    timesteps: tuple[int, ...] = ()
    # Where nothing was learned, angles hardly change with the noise, and features would be taken of noise alone.
    if isinstance(best_denoiser, StagedDenoiser) and losses[best] < chance:
        angles = spectral_angles(best_denoiser, composites, checked, noise_schedule())
        timesteps = choose_timesteps(angles)
        progress.info(f"Timesteps for features, by spectral angles of denoised held-out cubes: {list(timesteps)}.")
    card = {
        "method": METHODS[recipe.method].title, "scene": scene.path, "terms": "those of the scene",
        "seed": recipe.seed, "cubes": best, "held_out_loss": losses[best],
    }  # fmt: skip
    backbone = SceneBackbone(best_denoiser, composites, card, timesteps)
    return Pretrained(backbone, losses, chance, angles, checked[0].numpy())


@dataclass(frozen=True)
class _Block:
    """Part of a scene.

    Attributes:
        place: row and column in the scene of its upper left pixel.
        values: (positions, 64, 64) float16.
        corners: (n, 2) upper left pixels of the cubes of which half is valid.
    """

    place: np.ndarray
    values: np.ndarray
    corners: np.ndarray

    @classmethod
    def of(cls, place: np.ndarray, rows: MirroredRows) -> _Block:
        half = CUBE // 2
        share = uniform_filter(rows.valid.astype(np.float32), CUBE)[half : BLOCK - half + 1, half : BLOCK - half + 1]
        values = fill_invalid(rows.images[0], rows.valid).astype(np.float16)
        return cls(place, values, np.argwhere(share >= LEAST_VALID))

    def away_from(self, other: _Block) -> _Block:
        """Without the cubes that share pixels with another block."""
        offset = self.place + self.corners - other.place
        apart = ((offset <= -CUBE) | (offset >= BLOCK)).any(1)
        return replace(self, corners=self.corners[apart])

    def crop(self, rng: np.random.Generator) -> np.ndarray:
        """A random cube (positions, 32, 32), turned and mirrored."""
        row, column = self.corners[rng.integers(len(self.corners))]
        crop = np.rot90(self.values[:, row : row + CUBE, column : column + CUBE], int(rng.integers(4)), (1, 2))
        return crop if rng.random() < 0.5 else crop[:, :, ::-1]


def _away_from(held_out: list[_Block], blocks: list[_Block]) -> list[_Block]:
    """Blocks without the cubes that reach into one that is held out: those at the far edges overlap others."""
    for other in held_out:
        blocks = [block.away_from(other) for block in blocks]
    return [block for block in blocks if len(block.corners)]


def _read_blocks(
    scene: Scene, survey: Survey, composites: Composites, rng: np.random.Generator, progress: Progress
) -> list[_Block]:
    """Blocks from all over the scene, in random order."""
    images = SceneImages(scene, survey.bands, composites)
    corners = [(row, column) for row in range(0, scene.height, BLOCK) for column in range(0, scene.width, BLOCK)]
    wanted = max(MOST_VALUES // (composites.channels * BLOCK**2), 1)
    blocks: list[_Block] = []
    for index in progress.track(rng.permutation(len(corners))):
        # Blocks at the far edges are moved inwards; small scenes are mirrored.
        row, column = corners[index]
        row, column = max(min(row, scene.height - BLOCK), 0), max(min(column, scene.width - BLOCK), 0)
        block = _Block.of(np.array([row, column]), images.read(row, column, BLOCK, BLOCK))
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

    def __init__(self, denoiser: Denoiser, device: Device, scheme: _Scheme, rng: np.random.Generator) -> None:
        self._denoiser, self._device, self._scheme, self._rng = denoiser, device, scheme, rng
        self._schedule = noise_schedule()
        self._half = device.dtype is torch.bfloat16
        self._error = AbsoluteError()
        self._loss: AbsoluteError | ContrastiveError = self._error
        if isinstance(denoiser, StagedDenoiser):
            self._loss = ContrastiveError(denoiser.config["width"]).to(device.target)
        elif denoiser.config["in_channels"] <= 16 or (device.target.type == "cpu" and torch.get_num_threads() == 1):
            # Gradients of bfloat16 are wrong on a CPU where a spectral axis of 2 is convolved (torch 2.13), as it is
            # deep within U-Nets of 8 and of 16 positions. On a single thread, one of 4 is enough.
            self._half = False
        self._optimizer = torch.optim.Adam([*denoiser.parameters(), *self._loss.parameters()])
        self.best = denoiser

    def train(self, training: list[_Block], checked: torch.Tensor, cubes: int, progress: Progress) -> dict[int, float]:
        """Train until so many cubes were seen or the losses of `checked` cubes stop falling: these by cubes seen."""
        noise = torch.randn(checked.shape, generator=torch.Generator().manual_seed(0))
        timesteps = torch.arange(len(checked)) * len(self._schedule) // len(checked)
        scheme, steps = self._scheme, max(-(-cubes // BATCH), 1)
        losses: dict[int, float] = {}
        waited, now = 0, 0.0
        for step in range(1, steps + 1):
            rate = scheme.learning_rate * min(1.0, step / WARMUP) * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._denoiser.train()
            self._optimizer.zero_grad(set_to_none=True)
            clean = _crops(training, self._rng, BATCH).repeat(self._loss.views, 1, 1, 1)
            drawn = torch.randn_like(clean), torch.randint(len(self._schedule), (len(clean),))
            loss = self._measure(self._loss, clean, *drawn)
            loss.backward()
            self._optimizer.step()
            if step in (1, 1 + TIMED_STEPS):
                loss.item()  # waits for a GPU
                earlier, now = now, time.monotonic()
                if 1 < step < steps:
                    minutes = math.ceil((now - earlier) / TIMED_STEPS * (steps - step) / 60)
                    progress.info(
                        f"At this speed it takes up to {minutes} minute(s) more. Cancelling keeps nothing: a later run "
                        "starts anew."
                    )
            if step % scheme.steps_between_checks == 0 or step == steps:
                self._denoiser.eval()
                with torch.no_grad():
                    found = float(self._measure(self._error, checked, noise, timesteps))
                if not math.isfinite(found):
                    raise EngineError("Pretraining failed (its error is not a finite number); try another seed.")
                losses[step * BATCH] = found
                progress.info(f"{step * BATCH} cubes: error of denoised held-out cubes {found:.3f}.")
                if found <= min(losses.values()):
                    self.best = copy.deepcopy(self._denoiser)
                    waited = 0
                elif (waited := waited + 1) == PATIENCE:
                    break
            progress.set(step / steps)
        return losses

    def _measure(
        self, loss: nn.Module, clean: torch.Tensor, noise: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """A loss of cubes (n, positions, 32, 32), noised to timesteps (n,)."""
        schedule, target = self._schedule, self._device.target
        signal, deviation = (x[timesteps][:, None, None, None] for x in (schedule.signal, schedule.noise))
        noised = (signal * clean + deviation * noise).to(target)
        with torch.autocast(target.type, torch.bfloat16, enabled=self._half):
            return loss(self._denoiser, noised, schedule.told[timesteps], clean.to(target))


def _crops(blocks: list[_Block], rng: np.random.Generator, count: int) -> torch.Tensor:
    """Random cubes (count, positions, 32, 32)."""
    crops = [blocks[rng.integers(len(blocks))].crop(rng) for _ in range(count)]
    return torch.from_numpy(np.stack(crops).astype(np.float32))
