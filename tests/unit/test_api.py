"""Runs from Python: the overrides of a command line, its checks and its result."""

from typing import Any

import pytest

from kdrun import api
from kdrun.config.schema import RunConfig
from kdrun.errors import ConfigError
from kdrun.runs import runner


def test_a_run_gets_the_composed_config_and_its_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[Any] = []

    def run(config: RunConfig, **options: Any) -> dict[str, str]:
        received.extend([config, options])
        return {"status": "done"}

    monkeypatch.setattr(runner, "run", run)
    overrides = ("method=finetune", "task=rte", "preset=smoke", "seed=7")
    assert api.run(overrides) == {"status": "done"}
    config, options = received
    assert (config.method.name, config.task.name, config.preset, config.seed) == ("finetune", "rte", "smoke", 7)
    assert options == {"overrides": overrides}  # recorded as the command of the run


def test_every_problem_is_raised_before_a_run_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "run", lambda *_, **__: pytest.fail("started"))
    with pytest.raises(ConfigError) as caught:
        api.run(["task=sst3", "optim.lr=-1", "seed=x"])
    assert [problem.key for problem in caught.value.problems] == ["task", "seed", "optim.lr"]
