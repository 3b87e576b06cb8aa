"""Families without a masked-language-model head as generators and in pretraining."""

from __future__ import annotations

import pytest

from kdrun.config import compose
from kdrun.config.validation import rules


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["method=mate_kd", "generator.architecture=llama"], ("generator.architecture", "llama")),
        (["method=kd", "student.architecture=gpt2", "student.pretrain.steps=3"], ("student.pretrain.steps", 3)),
        (["method=finetune", "teacher.architecture=gpt2", "teacher.pretrain.steps=3"], None),
        (["method=kd", "generator=tiny", "generator.architecture=qwen3"], None),
        (["method=kd", "student.architecture=gpt2", "student.pretrain.steps=0"], None),
        (["method=kd", "student.architecture=electra", "student.pretrain.steps=3"], None),
    ],
)
def test_only_models_that_are_trained_as_language_models_need_the_head(
    overrides: list[str], problem: tuple[str, object] | None
) -> None:
    config = compose.to_config(compose.compose(["task=sst2", *overrides]))
    found = [(one.key, one.value) for one in rules.validate(config)]
    assert found == ([problem] if problem else [])
