"""pretrainscene: a spectral backbone that has seen nothing but the scene."""

from __future__ import annotations

from typing import Any

from ..device import choose_device
from ..jobs import PretrainScene
from ..outputs import Outputs
from ..pictures import angles_picture, denoising_picture, pretraining_picture
from ..progress import Progress
from ..report import report_files, write_report
from ..scene import Scene
from ..scene_pretraining import Pretrained, Recipe, pretrain
from ..survey import survey_scene

SHOWN_TIMESTEPS = (5, 50, 100, 200, 400)


def pretrain_scene(job: PretrainScene, progress: Progress, token: str) -> dict[str, Any]:
    """Pretrain without labels, and write the denoiser that does best on held-out parts of the scene."""
    with Scene.open(job.scene, job.scene_crs) as scene, Outputs(scene.files, token) as outputs:
        outputs.check(job.output, *report_files(job.report))
        device = choose_device(job.device, progress)
        with progress.stage(0.0, 0.04, f"Surveying {job.scene}."):
            survey = survey_scene(scene, job.seed)
        survey.log(progress)
        recipe = Recipe(job.method, job.cubes, job.positions, job.width, job.seed)
        with progress.stage(0.04, 1.0):
            pretrained = pretrain(scene, survey, recipe, device, progress)
        pretrained.backbone.save(outputs.reserve(job.output))
        if job.report:
            _write_report(job, pretrained, outputs, progress)
    return {"held_out_loss": pretrained.backbone.card["held_out_loss"]}


def _write_report(job: PretrainScene, pretrained: Pretrained, outputs: Outputs, progress: Progress) -> None:
    backbone = pretrained.backbone
    figures = {
        **backbone.card,
        "positions": backbone.composites.channels,
        "width": backbone.denoiser.config["width"],
        "held_out_losses": pretrained.losses,
        "chance": pretrained.chance,
        "timesteps": backbone.timesteps,
        "spectral_angles": pretrained.angles,
        "warnings": progress.warnings,
    }
    denoised = {t: backbone.denoise(pretrained.example, t) for t in SHOWN_TIMESTEPS}
    pictures = {
        "loss": pretraining_picture(pretrained.losses, pretrained.chance),
        "denoising": denoising_picture(pretrained.example, denoised),
        "angles": angles_picture(pretrained.angles, backbone.timesteps) if pretrained.angles else b"",
    }
    write_report(outputs, job.report, "pretraining.html", "Pretraining on a scene", figures, {}, pictures)
