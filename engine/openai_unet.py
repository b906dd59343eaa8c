"""OpenAI's published U-Nets as diffusers models: guided-diffusion (ADM) and improved-diffusion checkpoints.

The paper's backbone, `64x64_diffusion.pt`, is one of them. Their architecture is that of diffusers'
`UNet2DModel` under other names, so weights are renamed and diffusers does the computing.

Sources: Dhariwal & Nichol (2021), Diffusion models beat GANs; Nichol & Dhariwal (2021), Improved
denoising diffusion probabilistic models, and the flags in the README of either repository.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.models.attention_processor import Attention
from safetensors.torch import load_file

from .conditioning import MOST_TIMESTEPS, Conditioning
from .errors import EngineError, reason
from .json_text import parse_json

SUFFIXES = (".pt", ".pth", ".safetensors")
RESNET = {
    "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
    "out_layers.3": "conv2", "skip_connection": "conv_shortcut",
}  # fmt: skip
ENDS = {
    "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2", "label_emb":
    "class_embedding", "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out",
}  # fmt: skip


@dataclass(frozen=True)
class Flags:
    """What the weights do not tell, under the names that the repositories give it.

    A JSON file beside the checkpoint (`64x64_diffusion.json`) may override any of it.

    Attributes:
        image_size: side of the images in pixels.
        diffusion_steps: number of timesteps.
        noise_schedule: "cosine" or "linear".
        num_heads: attention heads; -1 where `num_head_channels` decides.
        num_head_channels: channels of a head.
        use_new_attention_order: whether queries, keys and values are split before the heads.
        rescale_timesteps: whether the network is told timesteps as if there were 1000.
    """

    image_size: int = 64
    diffusion_steps: int = 1000
    noise_schedule: str = "cosine"
    num_heads: int = -1
    num_head_channels: int = 64
    use_new_attention_order: bool = True
    rescale_timesteps: bool = False


GUIDED = Flags()
IMPROVED = Flags(diffusion_steps=4000, num_heads=4, num_head_channels=-1, use_new_attention_order=False,
                 rescale_timesteps=True)  # fmt: skip
SCHEDULES = {"cosine": "squaredcos_cap_v2", "linear": "linear"}


@dataclass(frozen=True)
class Architecture:
    """What the shapes of the weights tell.

    Attributes:
        channels: of each level, the full resolution first.
        blocks: residual blocks of a level of the encoder; the decoder has one more.
        attention: which levels have attention.
        residual_resampling: whether residual blocks change the resolution (guided-diffusion).
        out_channels: 6 where a variance is predicted, too.
        classes: number of class labels; None for an unconditional model.
        scale_shift: whether the timestep scales and shifts, rather than being added.
    """

    channels: tuple[int, ...]
    blocks: int
    attention: tuple[bool, ...]
    residual_resampling: bool
    out_channels: int
    classes: int | None
    scale_shift: bool

    @classmethod
    def of(cls, weights: dict[str, torch.Tensor]) -> Architecture:
        """Read it off the weights.

        Raises:
            KeyError, ValueError: they are not those of such a U-Net.
        """
        count = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("output_blocks."))
        if count > len(weights):
            raise ValueError(f"a block {count - 1}")
        resampled = [k for k in range(count) if _resampler(weights, f"output_blocks.{k}")]
        per_level = resampled[0] + 1 if resampled else count
        levels = count // per_level
        ends = [per_level * (levels - level) - 1 for level in range(levels)]
        first = weights["output_blocks.0.0.in_layers.2.weight"]
        channels = tuple(weights[f"output_blocks.{k}.0.out_layers.3.weight"].shape[0] for k in ends)
        embedded = weights["output_blocks.0.0.emb_layers.1.weight"].shape[0]
        return cls(
            channels,
            per_level - 1,
            tuple(f"output_blocks.{k}.1.qkv.weight" in weights for k in ends),
            any(_resampler(weights, f"output_blocks.{k}").endswith("in_layers") for k in resampled),
            weights["out.2.weight"].shape[0],
            weights["label_emb.weight"].shape[0] if "label_emb.weight" in weights else None,
            embedded == 2 * first.shape[0],
        )


def read_openai_unet(path: Path) -> tuple[UNet2DModel, Conditioning]:
    """A checkpoint as a diffusers model, and how images are noised for it.

    Args:
        path: `.pt` (read with `weights_only`, which runs no code) or `.safetensors`.

    Raises:
        EngineError: the file is damaged or holds something else.
    """
    weights = _read_weights(path)
    try:
        architecture = Architecture.of(weights)
    except (KeyError, ValueError, IndexError) as error:
        raise EngineError(
            f"{path} holds no U-Net of guided-diffusion or improved-diffusion; choose such a file, a folder in "
            "diffusers format, or an output of 'Pretrain on scene' (a model from 'Train model' is no backbone)."
        ) from error
    # The class-conditional one of improved-diffusion was trained without rescaling.
    improved = replace(IMPROVED, rescale_timesteps=architecture.classes is None)
    flags = _read_flags(path, GUIDED if architecture.residual_resampling else improved)
    try:
        unet = convert(weights, architecture, flags)
    except (LookupError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"The weights in {path} do not form a whole U-Net ({reason(error)}); flags that differ from those of "
            f"the published networks belong in {path.with_suffix('.json').name} beside it."
        ) from error
    # Linear variances end where those of 1000 steps do (`get_named_beta_schedule` of either repository).
    ends = {"beta_start": 0.1 / flags.diffusion_steps, "beta_end": 20 / flags.diffusion_steps}
    scheduler = DDPMScheduler(flags.diffusion_steps, beta_schedule=SCHEDULES[flags.noise_schedule], **ends)
    return unet, Conditioning.of_schedule(scheduler, 1000 if flags.rescale_timesteps else flags.diffusion_steps)


def deciding_files(path: Path) -> list[Path]:
    """The files that decide what a checkpoint computes: itself, and its flags where there are any."""
    return [file for file in (path.with_suffix(".json"), path) if file.is_file()]


def convert(weights: dict[str, torch.Tensor], architecture: Architecture, flags: Flags) -> UNet2DModel:
    """Build the diffusers model and give it the weights."""
    with torch.device("meta"):
        unet = _build(architecture, flags)
    renamed: dict[str, torch.Tensor] = {}
    for source, target in _names(architecture):
        for kind in ("weight", "bias"):
            if f"{source}.{kind}" not in weights:
                continue
            tensor = weights[f"{source}.{kind}"].float()
            if source.endswith(".qkv"):
                heads = _heads(tensor.shape[0] // 3, flags)
                for letter, part in zip("qkv", _split_qkv(tensor, heads, flags), strict=True):
                    renamed[f"{target}.to_{letter}.{kind}"] = part
            else:
                linear = source.endswith(".proj_out") and kind == "weight"
                renamed[f"{target}.{kind}"] = tensor[..., 0] if linear else tensor
    unet.load_state_dict(renamed, assign=True)
    for module in unet.modules():
        if isinstance(module, Attention):
            width = module.to_q.out_features
            module.heads = _heads(width, flags)
            module.scale = (width // module.heads) ** -0.5
    return unet.eval()


def _build(architecture: Architecture, flags: Flags) -> UNet2DModel:
    plain = ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if architecture.residual_resampling else (
        "DownBlock2D", "UpBlock2D")  # fmt: skip
    resampling = "resnet" if architecture.residual_resampling else "conv"
    down = tuple("AttnDownBlock2D" if a else plain[0] for a in architecture.attention)
    up = tuple("AttnUpBlock2D" if a else plain[1] for a in reversed(architecture.attention))
    if flags.image_size % 2 ** (len(architecture.channels) - 1):
        raise ValueError(f"images of {flags.image_size} pixels cannot be halved at each level")
    return UNet2DModel(
        sample_size=flags.image_size,
        out_channels=architecture.out_channels,
        layers_per_block=architecture.blocks,
        block_out_channels=architecture.channels,
        down_block_types=down,
        up_block_types=up,
        downsample_type=resampling,
        upsample_type=resampling,
        resnet_time_scale_shift="scale_shift" if architecture.scale_shift else "default",
        # Divides every width; the true number of heads is set afterwards.
        attention_head_dim=math.gcd(*architecture.channels),
        attn_norm_num_groups=32,
        num_class_embeds=architecture.classes,
    )


def _names(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """Pairs of OpenAI's and diffusers' name of every module that has weights."""
    yield from ENDS.items()
    per_level, levels = architecture.blocks + 1, len(architecture.channels)
    for level in range(levels):
        for block in range(architecture.blocks):
            source = f"input_blocks.{1 + level * per_level + block}"
            yield from _block(source, f"down_blocks.{level}", block)
        if level < levels - 1:
            target = f"down_blocks.{level}.downsamplers.0"
            source = f"input_blocks.{(level + 1) * per_level}.0"
            yield from _resampling(source, "op", target, architecture)
        for block in range(per_level):
            source = f"output_blocks.{level * per_level + block}"
            yield from _block(source, f"up_blocks.{level}", block)
        if level < levels - 1:
            # The upsampler follows the residual block and its attention, where there is one.
            position = 2 if architecture.attention[levels - 1 - level] else 1
            yield from _resampling(f"{source}.{position}", "conv", f"up_blocks.{level}.upsamplers.0", architecture)
    yield from _resnet("middle_block.0", "mid_block.resnets.0")
    yield from _attention("middle_block.1", "mid_block.attentions.0")
    yield from _resnet("middle_block.2", "mid_block.resnets.1")


def _block(source: str, target: str, index: int) -> Iterator[tuple[str, str]]:
    yield from _resnet(f"{source}.0", f"{target}.resnets.{index}")
    yield from _attention(f"{source}.1", f"{target}.attentions.{index}")


def _resampling(source: str, convolution: str, target: str, architecture: Architecture) -> Iterator[tuple[str, str]]:
    if architecture.residual_resampling:
        yield from _resnet(source, target)
    else:
        yield f"{source}.{convolution}", f"{target}.conv"


def _resnet(source: str, target: str) -> Iterator[tuple[str, str]]:
    return ((f"{source}.{ours}", f"{target}.{theirs}") for ours, theirs in RESNET.items())


def _attention(source: str, target: str) -> Iterator[tuple[str, str]]:
    yield f"{source}.norm", f"{target}.group_norm"
    yield f"{source}.qkv", target
    yield f"{source}.proj_out", f"{target}.to_out.0"


def _heads(width: int, flags: Flags) -> int:
    heads = flags.num_heads if flags.num_head_channels < 1 else width // flags.num_head_channels
    if heads < 1 or width % heads:
        raise ValueError(f"attention of {width} channels cannot have {heads} heads")
    return heads


def _split_qkv(tensor: torch.Tensor, heads: int, flags: Flags) -> list[torch.Tensor]:
    """Queries, keys and values of a joint projection (3 * width, width, 1) or (3 * width,)."""
    flat = tensor[..., 0] if tensor.ndim == 3 else tensor
    if flags.use_new_attention_order:
        return list(flat.chunk(3))
    # The old order has the queries, keys and values of the first head, then those of the second, ...
    by_head = flat.unflatten(0, (heads, 3, -1))
    return [by_head[:, i].flatten(0, 1) for i in range(3)]


def _resampler(weights: dict[str, torch.Tensor], block: str) -> str:
    """The upsampling module of a decoder block: the name of its first part, or nothing."""
    for position in (1, 2):
        for part in ("in_layers", "conv"):
            if any(name.startswith(f"{block}.{position}.{part}.") for name in weights):
                return f"{block}.{position}.{part}"
    return ""


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    foreign = f"{path} holds something else than the weights of a network; choose another file."
    try:
        weights = (
            load_file(path) if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )  # fmt: skip
    except Exception as error:  # torch passes on errors of the archive, of the unpickler and of its own
        if type(error).__name__ == "UnpicklingError":
            # Torch's text is a page on how to run what the file holds.
            raise EngineError(foreign) from error
        raise EngineError(f"The weights {path} cannot be read ({reason(error)}); copy the file again.") from error
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) and _is_plain(tensor)
        for name, tensor in weights.items()
    ):
        raise EngineError(foreign)
    if broken := [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]:
        raise EngineError(f"The weights {path} hold numbers that are not finite ({broken[0]}); copy the file again.")
    return weights


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether all numbers of a tensor stand in its file, once."""
    return (
        tensor.layout is torch.strided and not tensor.is_meta and not tensor.is_quantized
        and tensor.untyped_storage().nbytes() >= tensor.numel() * tensor.element_size()
    )  # fmt: skip


def _read_flags(path: Path, defaults: Flags) -> Flags:
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return defaults
    known = {field.name: type(getattr(defaults, field.name)) for field in fields(Flags)}
    try:
        given = {k: v for k, v in parse_json(beside.read_text(encoding="utf-8")).items() if k in known}
        for name, value in given.items():
            if not isinstance(value, known[name]):
                raise ValueError(f"{name} {value!r}")
        flags = replace(defaults, **given)
        if flags.noise_schedule not in SCHEDULES:
            raise ValueError(f"noise_schedule {flags.noise_schedule!r}")
        if flags.image_size < 1 or not 1 <= flags.diffusion_steps <= MOST_TIMESTEPS:
            raise ValueError(f"image_size {flags.image_size}, diffusion_steps {flags.diffusion_steps}")
    except (ValueError, TypeError, AttributeError) as error:
        raise EngineError(f"{beside} does not hold the flags of {path.name} ({reason(error)}).") from error
    return flags
