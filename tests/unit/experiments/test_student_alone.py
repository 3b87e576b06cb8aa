"""The same student without a teacher, next to the distilled one."""

from typing import Any

import pytest

from kdrun.config import compose
from kdrun.console import QuietConsole
from kdrun.experiments import reuse, student_alone
from kdrun.experiments.compare.arms import Arm


@pytest.mark.parametrize(
    ("scores", "ending"),
    [
        ((0.8, 0.9, 1.0), "closes 50 % of the gap"),
        ((0.8, 0.8, 0.9), "closes 0 % of the gap"),
        ((0.8, 0.7, 0.9), "worse"),
        ((0.9, 0.95, 0.9), "no gain"),
        ((None, 0.9, 1.0), "teacher 100.0 %"),
    ],
)
def test_the_sentence_says_what_distillation_adds(scores: tuple[float | None, float, float], ending: str) -> None:
    sentence = student_alone.gain_sentence(*scores)
    assert sentence.endswith(ending)
    assert "distilled" in sentence


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["method=kd"], True),
        (["method=mate_kd"], True),
        (["method=finetune"], False),
        (["method=kd_ood"], False),
        (["method=kd", "sweep=s"], False),
        (["method=kd", "dry_run=true"], False),
        (["method=kd", "student_alone=false"], False),
        (["method=kd", "preset=smoke"], False),
    ],
)
def test_only_runs_with_a_teacher_on_labeled_rows_are_compared(overrides: list[str], expected: bool) -> None:
    assert student_alone.applies(compose.load_config(["task=sst2", *overrides])) is expected


def test_the_student_alone_has_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    arms: list[Arm] = []
    monkeypatch.setattr(student_alone, "run_missing", lambda found, seeds, console: arms.extend(found))
    monkeypatch.setattr(reuse, "run_key", lambda config: ("config", "code", "data"))
    overrides = ["method=kd", "task=sst2", "method.temperature=4", "seed=3", "run_dir=x", "optim.lr=2e-3", "loss=kl"]
    config = compose.load_config(overrides)
    result: Any = {}
    student_alone.train_and_print(config, overrides, result, QuietConsole())
    alone = arms[0].config(config.seed)
    assert alone.method.name == "finetune"
    assert alone.run_dir is None
    assert (alone.seed, alone.optim, alone.student, alone.data) == (3, config.optim, config.student, config.data)
