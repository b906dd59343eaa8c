"""OpenAI's U-Net written out from its papers, with random weights under the names of its checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch.nn import functional as F


@dataclass
class ReferenceUnet:
    """Computes with plain functions; weights come into being the first time that they are needed."""

    channels: tuple[int, ...] = (32, 64)
    blocks: int = 2
    attention: tuple[bool, ...] = (False, True)
    residual_resampling: bool = True
    scale_shift: bool = True
    classes: int | None = None
    heads: int = 2
    new_order: bool = True
    weights: dict[str, torch.Tensor] = field(default_factory=dict)

    def __call__(
        self, image: torch.Tensor, timestep: torch.Tensor, label: torch.Tensor | None = None
    ) -> list[torch.Tensor]:
        """Activations of every decoder block, then the output."""
        half = self.channels[0] // 2
        angle = timestep[:, None] * torch.exp(-math.log(10000) * torch.arange(half) / half)
        width = 4 * self.channels[0]
        embedding = self._linear("time_embed.0", torch.cat([angle.cos(), angle.sin()], 1), width)
        embedding = self._linear("time_embed.2", F.silu(embedding), width)
        if self.classes is not None:
            embedding = embedding + self._weight("label_emb.weight", self.classes, width)[label]
        h = self._convolve("input_blocks.0.0", image, self.channels[0])
        stack, index = [h], 1
        for level, (wide, attends) in enumerate(zip(self.channels, self.attention, strict=True)):
            for _ in range(self.blocks):
                h = self._block(f"input_blocks.{index}", h, embedding, wide, attends)
                stack.append(h)
                index += 1
            if level < len(self.channels) - 1:
                name = f"input_blocks.{index}.0"
                h = (self._resnet(name, h, embedding, wide, lambda x: F.avg_pool2d(x, 2)) if self.residual_resampling
                     else self._convolve(f"{name}.op", h, wide, stride=2))  # fmt: skip
                stack.append(h)
                index += 1
        h = self._resnet("middle_block.0", h, embedding, self.channels[-1])
        h = self._attend("middle_block.1", h)
        h = self._resnet("middle_block.2", h, embedding, self.channels[-1])
        outputs, index = [], 0
        for level in reversed(range(len(self.channels))):
            for block in range(self.blocks + 1):
                name, attends = f"output_blocks.{index}", self.attention[level]
                h = self._block(name, torch.cat([h, stack.pop()], 1), embedding, self.channels[level], attends)
                if level and block == self.blocks:
                    h = self._enlarge(f"{name}.{2 if attends else 1}", h, embedding)
                outputs.append(h)
                index += 1
        return [*outputs, self._convolve("out.2", F.silu(self._norm("out.0", h)), 6)]

    def _enlarge(self, name: str, h: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        if self.residual_resampling:
            return self._resnet(name, h, embedding, h.shape[1], lambda x: F.interpolate(x, scale_factor=2.0))
        return self._convolve(f"{name}.conv", F.interpolate(h, scale_factor=2.0), h.shape[1])

    def _block(self, name, h, embedding, wide, attends):
        h = self._resnet(f"{name}.0", h, embedding, wide)
        return self._attend(f"{name}.1", h) if attends else h

    def _resnet(self, name, h, embedding, wide, resample=lambda x: x):
        inner = resample(F.silu(self._norm(f"{name}.in_layers.0", h)))
        inner = self._convolve(f"{name}.in_layers.2", inner, wide)
        said = self._linear(f"{name}.emb_layers.1", F.silu(embedding), wide * (2 if self.scale_shift else 1))
        if self.scale_shift:
            scale, shift = said[..., None, None].chunk(2, 1)
            inner = self._norm(f"{name}.out_layers.0", inner) * (1 + scale) + shift
        else:
            inner = self._norm(f"{name}.out_layers.0", inner + said[..., None, None])
        inner = self._convolve(f"{name}.out_layers.3", F.silu(inner), wide)
        h = resample(h)
        if h.shape[1] != wide:
            h = self._convolve(f"{name}.skip_connection", h, wide, size=1)
        return h + inner

    def _attend(self, name, h):
        count, wide, *_ = h.shape
        flat = self._norm(f"{name}.norm", h).flatten(2)
        qkv = F.conv1d(flat, self._weight(f"{name}.qkv.weight", 3 * wide, wide, 1),
                       self._weight(f"{name}.qkv.bias", 3 * wide))  # fmt: skip
        shape = (count, 3, self.heads, -1, flat.shape[-1]) if self.new_order else (count, self.heads, 3, -1,
                                                                                  flat.shape[-1])  # fmt: skip
        q, k, v = qkv.reshape(shape).unbind(1 if self.new_order else 2)
        agreement = torch.einsum("nhct,nhcs->nhts", q, k) / math.sqrt(q.shape[2])
        mixed = torch.einsum("nhts,nhcs->nhct", agreement.softmax(-1), v).reshape(flat.shape)
        out = F.conv1d(mixed, self._weight(f"{name}.proj_out.weight", wide, wide, 1),
                       self._weight(f"{name}.proj_out.bias", wide))  # fmt: skip
        return h + out.reshape(h.shape)

    def _convolve(self, name, h, wide, size=3, stride=1):
        kernel = self._weight(f"{name}.weight", wide, h.shape[1], size, size)
        return F.conv2d(h, kernel, self._weight(f"{name}.bias", wide), stride, size // 2)

    def _linear(self, name, values, wide):
        return F.linear(values, self._weight(f"{name}.weight", wide, values.shape[1]),
                        self._weight(f"{name}.bias", wide))  # fmt: skip

    def _norm(self, name, h):
        wide = h.shape[1]
        return F.group_norm(h, 32, self._weight(f"{name}.weight", wide), self._weight(f"{name}.bias", wide))

    def _weight(self, name, *shape):
        if name not in self.weights:
            spread = 1 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.5
            self.weights[name] = torch.randn(shape) * spread
        return self.weights[name]
