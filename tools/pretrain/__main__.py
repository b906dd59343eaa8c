"""Pretrain a bundled backbone: python -m spectrafilm.tools.pretrain RUN_FOLDER [--photographs FOLDER]."""

from __future__ import annotations

import argparse
import logging
from dataclasses import fields
from pathlib import Path

import torch

from spectrafilm.engine.device import CHOICES, choose_device
from spectrafilm.engine.progress import Progress

from .run import Run, Settings


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="pretrain", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the run; an interrupted run is resumed")
    parser.add_argument("--photographs", default=Settings.photographs, help="folder of images; landscapes without")
    parser.add_argument("--start", default=Settings.start, help="folder of weights to begin with; random ones without")
    parser.add_argument("--crops", type=int, default=100_000, help="crops to see in this run")
    parser.add_argument("--prediction", default=Settings.prediction,
                        choices=["epsilon", "v_prediction", "sample"])
    parser.add_argument("--timestep-power", type=float, default=Settings.timestep_power,
                        help="timestep = 1000 u^power; above 1 small timesteps are seen more often")
    parser.add_argument("--channel-mix", type=float, default=Settings.channel_mix)
    parser.add_argument("--batch", type=int, default=Settings.batch)
    parser.add_argument("--learning-rate", type=float, default=Settings.learning_rate)
    parser.add_argument("--warmup", type=int, default=Settings.warmup, help="steps until the learning rate is reached")
    parser.add_argument("--ema", type=float, default=Settings.ema, help="decay of the moving average")
    parser.add_argument("--decay-crops", type=int, default=Settings.decay_crops,
                        help="the learning rate falls to zero over so many crops, along half a cosine; 0: it stays")
    parser.add_argument("--episodes", type=float, default=Settings.episodes, metavar="WEIGHT",
                        help="of the loss of telling materials apart with few labels; 0: none")
    parser.add_argument("--episode-layers", type=int, nargs="+", default=Settings.episode_layers,
                        help="decoder layers that it looks at")
    parser.add_argument("--last-level-only", action="store_true", help="leave all but the last level of the decoder")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--device", default="auto", choices=CHOICES)
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--workers", type=int, default=0,
                        help="processes that draw crops meanwhile; a GPU waits for crops without")
    parser.add_argument("--compile", action="store_true", help="torch.compile; needs a C++ compiler")
    parser.add_argument("--checkpoint-minutes", type=float, default=20.0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    given = {field.name: getattr(arguments, field.name) for field in fields(Settings) if field.name in arguments}
    run = Run(arguments.run, Settings(**given), choose_device(arguments.device, Progress()), arguments.compile)
    run.train(arguments.crops, arguments.checkpoint_minutes, arguments.workers)


if __name__ == "__main__":
    main()
