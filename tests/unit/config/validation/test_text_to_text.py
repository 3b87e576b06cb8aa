"""Text-to-text models where they do not fit, rejected from config or family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdrun.config import compose
from kdrun.console import QuietConsole
from kdrun.errors import ConfigError
from kdrun.runs import runner

T5 = ("teacher=t5_tiny", "student=t5_tiny")


def problems(*words: str) -> list[tuple[str | None, object]]:
    report = compose.validate_overrides(["task=sst2", *words], multirun=False)
    return [(problem.key, problem.value) for problem in report]


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("method=tinybert_kd", *T5), "teacher", "scratch"),
        (("method=tinybert_kd", "student=t5_tiny"), "student", "scratch"),
        (("method=kd", "teacher=t5_tiny", "loss=logit_mse"), "loss", "logit_mse"),
        (("method=zskd", *T5, "generator=t5_tiny"), "generator", "scratch"),
        (("method=kd", *T5, "task.label_words=[]"), "task", "sst2"),
    ],
)
def test_unsupported_uses_of_text_to_text_models_are_a_problem(words: tuple[str, ...], key: str, value: str) -> None:
    assert (key, value) in problems(*words)


@pytest.mark.parametrize("method", ["mate_kd", "zskd", "kd_augment"])
@pytest.mark.parametrize("lone", ["teacher=t5_tiny", "student=t5_tiny"])
def test_a_text_to_text_model_and_an_encoder_may_read_one_text(method: str, lone: str) -> None:
    assert not problems(f"method={method}", lone)


def test_a_teacher_of_several_domains_is_an_encoder() -> None:
    words = ("task=amazon", "method=kd", "method.domain=books", "teacher=t5_tiny", "teacher.domain_strategy=multi_task")
    assert ("teacher.domain_strategy", "multi_task") in problems(*words)


def test_a_folder_determines_the_model_family(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    assert ("student", "scratch") in problems("method=tinybert_kd", f"student.path={tmp_path}")
    (tmp_path / "config.json").write_text("not JSON")
    assert not problems("method=kd", f"student.path={tmp_path}")


@pytest.mark.usefixtures("run_env")
def test_unfit_families_of_model_folders_fail_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kdrun.config.validation.text_to_text.known_text_to_text_roles", lambda *_: {})
    config = compose.load_config(["method=zskd", "task=sst2", "preset=smoke", "generator=t5_smoke"])
    with pytest.raises(ConfigError, match="fills masked tokens"):
        runner.prepare(config, QuietConsole())
