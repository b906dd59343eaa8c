"""A device that does not compute is replaced by the CPU, and the user is told why."""

from __future__ import annotations

import pytest
import torch

from spectrafilm.engine.device import choose_device


@pytest.mark.parametrize(
    ("error", "reason"),
    [(RuntimeError("no kernel\nCompile with"), "no kernel"), (NotImplementedError(), "NotImplementedError")],
)
def test_a_device_that_fails_is_replaced_whatever_it_says(monkeypatch, progress, error, reason):
    def fail(*_shape, device=None):
        raise error

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", fail)
    assert choose_device("cuda", progress).target.type == "cpu"
    assert progress.warnings == [f"The CUDA device does not compute ({reason}); the CPU is used instead."]
