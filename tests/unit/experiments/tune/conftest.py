"""A search whose trials are scored by a formula."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from kdrun.experiments.tune.plan import SearchPlan, plan_search

SPACE = "{optim.lr: log[1e-4, 1e-2], method.temperature: [1, 8], optim.batch_size: choice[4, 8]}"


@cache
def _plan(space: str) -> SearchPlan:
    return plan_search(["method=kd", "task=sst2", "preset=smoke"], space, trials=1)


@pytest.fixture
def make_plan(tmp_path: Path) -> Callable[..., SearchPlan]:
    """Plan a search below tmp_path."""

    def make(trials: int = 12, name: str = "mine", *, seed: int = 1, space: str = SPACE) -> SearchPlan:
        plan = _plan(space)
        config = replace(plan.config, output_dir=str(tmp_path))
        overrides = [*plan.overrides, f"output_dir={tmp_path}"]
        folder = tmp_path / "sweeps" / name
        return replace(plan, name=name, folder=folder, overrides=overrides, config=config, trials=trials, seed=seed)

    return make
