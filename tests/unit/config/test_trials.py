"""Overrides tried on a composed config."""

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun.config.schema import RunConfig
from kdrun.config.trials import Trial, valid_values
from kdrun.errors import Problem


@pytest.fixture
def trial() -> Trial:
    """A config without sections of several choices."""
    base: Any = OmegaConf.structured(RunConfig)
    OmegaConf.set_struct(base, True)
    base.method = {"name": "kd"}
    return Trial(base)


def tried(trial: Trial, key: str, *values: str) -> tuple[list[str], list[Problem]]:
    problems: list[Problem] = []
    override = OverridesParser.create().parse_override(f"{key}={values[0]}")
    return valid_values(trial, override, list(values), problems), problems


def test_values_that_fit_stay_in_order(trial: Trial) -> None:
    assert tried(trial, "seed", "3", "1") == (["seed=3", "seed=1"], [])
    assert trial.base.seed == RunConfig().seed, "the base is not changed"


def test_a_value_of_another_type_is_a_problem_and_the_others_stay(trial: Trial) -> None:
    valid, (problem,) = tried(trial, "optim.lr", "0.1", "fast", "0.2")
    assert valid == ["optim.lr=0.1", "optim.lr=0.2"]
    assert (problem.key, problem.value) == ("optim.lr", "fast")


def test_an_unknown_key_is_a_problem_once(trial: Trial) -> None:
    valid, (problem,) = tried(trial, "optim.lrr", "1", "2")
    assert valid == []
    assert (problem.key, problem.value) == ("optim.lrr", "1")
    assert "optim.lr" in problem


def test_names_of_choices_and_added_keys_are_problems(trial: Trial) -> None:
    for key in ("method.name", "+optim.more"):
        valid, (problem,) = tried(trial, key, "x")
        assert valid == []
        assert problem.key == key.lstrip("+")


def test_a_failed_trial_leaves_no_trace(trial: Trial) -> None:
    override = OverridesParser.create().parse_override("optim={lr:3,nope:1}")
    with pytest.raises(OmegaConfBaseException):
        trial.update(override, "{lr:3,nope:1}")
    trial.update(OverridesParser.create().parse_override("seed=2"), "2")
    assert trial._copy is not None
    assert trial._copy.optim.lr != 3
