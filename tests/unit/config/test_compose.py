"""Unfit combinations are refused by name before anything loads."""

from pathlib import Path
from typing import Any

import pytest

from kdrun import registry
from kdrun.config import compose
from kdrun.config.requirements import Requirements
from kdrun.errors import ConfigError
from kdrun.methods.base import Method


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch) -> None:
    """The method kd, as if it needed classes and a generator."""

    class Picky(Method):
        requires = Requirements(regression=False, generator=True)

    known = registry.entries("method")
    changed = {**known, "kd": registry.Entry(Picky, known["kd"].config)}
    monkeypatch.setitem(registry._entries, "method", changed)


@pytest.mark.usefixtures("picky")
def test_a_task_a_method_cannot_do_is_refused_by_name() -> None:
    problems = compose.validate_overrides(["task=stsb", "method=kd"], multirun=False)
    assert any("method=kd needs classes, and task=stsb predicts a score" in problem for problem in problems)


@pytest.mark.usefixtures("picky")
def test_a_missing_generator_is_named() -> None:
    problems = compose.validate_overrides(["method=kd", "generator=none"], multirun=False)
    assert any("method=kd needs a generator: set generator=" in problem for problem in problems)
    assert not compose.validate_overrides(["method=kd", "generator=tiny"], multirun=False)


def test_every_cell_of_a_sweep_is_checked() -> None:
    problems = compose.validate_overrides(["task=sst2,stsb", "loss=soft_ce", "seed=1,-1"], multirun=True)
    assert len(problems) == 2


def test_a_good_command_line_has_no_problems_and_composes_to_dataclasses() -> None:
    words = ["method=kd", "task=mnli", "method.temperature=4", "student.sizes.hidden_size=32"]
    assert compose.validate_overrides(words, multirun=False) == []
    config = compose.load_config(words)
    assert config.method.temperature == 4.0
    assert config.student.sizes["hidden_size"] == 32


def test_a_path_may_hold_any_word(tmp_path: Path) -> None:
    """Code is named by a key; `_target_` within a path is a word like others."""
    assert compose.load_config([f"output_dir={tmp_path}/of_the_target_domain"]).output_dir.endswith(
        "of_the_target_domain"
    )


def test_what_does_not_fit_a_methods_own_settings_is_refused_before_anything_loads() -> None:
    with pytest.raises(ConfigError, match=r"method\.mode=decode writes single texts, and task=rte has pairs"):
        compose.load_config(["method=dfkd_t3", "task=rte", "method.mode=decode"])
    with pytest.raises(ConfigError, match="has its text written by a text-to-text model, and the generator is an enc"):
        compose.load_config(["method=dfkd_t3", "task=rte", "generator=tiny"])


def test_words_are_composed_once_and_each_who_asks_has_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    real = compose.hydra_compose

    def counted(name: str, *, overrides: list[str]) -> Any:
        asked.append(overrides)
        return real(name, overrides=overrides)

    monkeypatch.setattr(compose, "hydra_compose", counted)
    words = ["preset=smoke", "method=kd", "seed=1234"]
    first = compose.load_config(words)
    assert words in asked
    compose.compose(words).seed = 4321
    assert compose.load_config(words) == first
    assert len(asked) <= 2
