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
    method_instance, examples = TinyBertKD(TinyBertKDConfig(), base.context), batch([5, 3, 4], 5)
    examples.phase = "intermediate"
    layer_terms, out = method_instance.layer_losses(examples), method_instance.step(examples, Turn("student"))
    torch.testing.assert_close(out.loss, (layer_terms["hidden"] + layer_terms["attention"]).sum())
    assert (out.count, set(out.loss_terms)) == (3, {"hidden", "attention"})
    torch.testing.assert_close(out.loss_terms["hidden"], layer_terms["hidden"].sum().detach())
    examples.phase, examples.teacher_logits = "logits", torch.randn(3, task.num_outputs)
    out = method_instance.step(examples, Turn("student"))
    torch.testing.assert_close(out.loss, method_instance.logit_loss(examples).sum())
    assert set(out.loss_terms) == {"soft"}
