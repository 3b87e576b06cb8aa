"""Composition, and problems of a command line with their keys and values."""

from pathlib import Path

import pytest
from omegaconf import DictConfig

from kdrun import registry
from kdrun.config import compose
from kdrun.config.requirements import Requirements
from kdrun.errors import ConfigError
from kdrun.methods.base import Method


def keys_and_values(overrides: list[str], *, multirun: bool = False) -> list[tuple[str | None, object]]:
    problems = compose.validate_overrides(overrides, multirun=multirun)
    return [(problem.key, problem.value) for problem in problems]


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch) -> None:
    """The method kd, as if it needed classes and a generator."""

    class Picky(Method):
        requires = Requirements(regression=False, generator=True)

    entries = registry.entries("method")
    changed = {**entries, "kd": registry.Entry(Picky, entries["kd"].config)}
    monkeypatch.setitem(registry._entries, "method", changed)


@pytest.mark.usefixtures("picky")
def test_an_unsupported_task_is_a_problem_with_its_name() -> None:
    assert ("method", "kd") in keys_and_values(["task=stsb", "method=kd"])


@pytest.mark.usefixtures("picky")
def test_a_missing_generator_is_named() -> None:
    assert keys_and_values(["method=kd", "generator=none"]) == [("generator", "none")]
    assert not compose.validate_overrides(["method=kd", "generator=tiny"], multirun=False)


def test_every_cell_of_a_sweep_is_checked() -> None:
    overrides = ["task=sst2,stsb", "loss=soft_ce", "seed=1,-1"]
    assert keys_and_values(overrides, multirun=True) == [("loss", "soft_ce"), ("seed", -1)]
    assert ("seed", "1,-1") in keys_and_values(overrides)


def test_a_good_command_line_has_no_problems_and_composes_to_dataclasses() -> None:
    words = ["method=kd", "task=mnli", "method.temperature=4", "student.sizes.hidden_size=32"]
    assert compose.validate_overrides(words, multirun=False) == []
    config = compose.load_config(words)
    assert config.method.temperature == 4.0
    assert config.student.sizes["hidden_size"] == 32


def test_a_path_may_contain_any_text(tmp_path: Path) -> None:
    """Code is named by a key; `_target_` within a path is a word like others."""
    assert compose.load_config([f"output_dir={tmp_path}/of_the_target_domain"]).output_dir.endswith(
        "of_the_target_domain"
    )


def test_conflicts_with_method_settings_fail_before_anything_loads() -> None:
    with pytest.raises(ConfigError, match=r"method\.mode=decode.*task=rte"):
        compose.load_config(["method=dfkd_t3", "task=rte", "method.mode=decode"])
    with pytest.raises(ConfigError) as error:
        compose.load_config(["method=dfkd_t3", "task=rte", "generator=tiny"])
    assert [(problem.key, problem.value) for problem in error.value.problems] == [("generator", "scratch")]


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("optim.lrr=3", "optim.lrr", "3"),
        ("optim.lr=-1", "optim.lr", -1.0),
        ("optim.lr=fast", "optim.lr", "fast"),
        ("task=rtee", "task", "rtee"),
        ("method.name=zskd", "method.name", "zskd"),
        ("teacher.layers=[1]", "teacher.layers", "[1]"),
        ("+seed.more=1", "seed.more", "1"),
        ("~seed", "seed", ""),
        ("task@here=rte", "task", "rte"),
        ("seed=${oc.env:HOME}", "seed", "${oc.env:HOME}"),
        ("hydra.run.dir=x", "hydra.run.dir", "x"),
        ("seed=[1", "seed", "[1"),
        ("run_dir=''", "run_dir", ""),
        ("data=folder", "data.dir", None),
        ("loss.name=kll", "loss.name", "kll"),
    ],
)
def test_a_problem_has_the_key_and_the_value_it_is_about(override: str, key: str, value: object) -> None:
    assert (key, value) in keys_and_values([override])


def test_a_tracker_that_needs_a_network_is_refused_offline() -> None:
    assert keys_and_values(["offline=true", "tracker=wandb"]) == [("tracker", "wandb")]
    assert keys_and_values(["offline=true", "tracker=tensorboard"]) == []


def test_choices_are_composed_once_and_each_caller_gets_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[str, ...]] = []
    real = compose.compose_tree

    def counted(overrides: tuple[str, ...], fingerprint: str) -> DictConfig:
        requests.append(overrides)
        return real(overrides, fingerprint)

    monkeypatch.setattr(compose, "compose_tree", counted)
    compose._composed.cache_clear()
    words = ["preset=smoke", "seed=1234", "method=kd"]
    first = compose.load_config(words)
    compose.compose(words).seed = 4321
    assert compose.load_config(words) == first
    assert compose.load_config([*words, "optim.lr=0.5"]).optim.lr == 0.5
    assert requests == [("preset=smoke", "method=kd")]
