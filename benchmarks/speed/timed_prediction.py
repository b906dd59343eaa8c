"""Map a scene in this process and print which share of the time (0..1) the U-Net took, and the device."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from unittest import mock

import torch
from torch import Tensor

from spectrafilm.engine.backbone import Backbone
from spectrafilm.engine.jobs import PredictMap
from spectrafilm.engine.progress import Progress
from spectrafilm.engine.runner import run_job


def main() -> None:
    """Arguments: scene, model, output."""
    inside = 0.0
    original = Backbone.activations
    device = ""

    def timed(self: Backbone, images: Tensor, timestep: int, layers: Sequence[int]) -> list[Tensor]:
        nonlocal inside, device
        started = time.monotonic()
        activations = original(self, images, timestep, layers)
        if self.device.target.type == "cuda":  # which computes while Python goes on
            torch.cuda.synchronize()
        inside += time.monotonic() - started
        device = self.device.target.type
        return activations

    with mock.patch.object(Backbone, "activations", timed):
        started = time.monotonic()
        run_job(PredictMap(*sys.argv[1:4]), Progress())
        print(inside / (time.monotonic() - started), device)


if __name__ == "__main__":
    main()
