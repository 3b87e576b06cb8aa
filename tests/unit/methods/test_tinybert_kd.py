"""TinyBERT's task distillation: the loss of each phase."""

from typing import Any

import pytest
import torch

from kdrun.methods.phases import Turn
from kdrun.methods.tinybert_kd import TinyBertKD, TinyBertKDConfig
from tests.helpers.tiny_encoders import CLASSES, SCORE, batch, method

pytestmark = pytest.mark.usefixtures("run_env")


@pytest.mark.parametrize("task", [CLASSES, SCORE])
def test_the_loss_of_each_phase(task: Any) -> None:
    base = method(task)
    made, given = TinyBertKD(TinyBertKDConfig(), base.context), batch([5, 3, 4], 5)
    given.phase = "intermediate"
    found, out = made.layer_losses(given), made.step(given, Turn("student"))
    torch.testing.assert_close(out.loss, (found["hidden"] + found["attention"]).sum())
    assert (out.count, set(out.loss_terms)) == (3, {"hidden", "attention"})
    torch.testing.assert_close(out.loss_terms["hidden"], found["hidden"].sum().detach())
    given.phase, given.teacher_logits = "logits", torch.randn(3, task.num_outputs)
    out = made.step(given, Turn("student"))
    torch.testing.assert_close(out.loss, made.logit_loss(given).sum())
    assert set(out.loss_terms) == {"soft"}
