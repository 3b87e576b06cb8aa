"""Arms of one budget, on the same rows; the line of each run that ends."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console as RichConsole

from kdrun.console import Console, QuietConsole
from kdrun.errors import ConfigError
from kdrun.experiments.compare import arms as arms_module
from kdrun.experiments.compare import plan
from kdrun.experiments.compare.arms import Arm, equalize_budgets, load_rows, run_missing
from kdrun.methods.phases import num_steps

SMALL = ["task=amazon", "preset=smoke", "optim.steps=null"]
ROWS = {"books": 20, "dvd": 16, "electronics": 12, "kitchen": 12}


def test_students_of_single_domains_take_the_steps_of_one_of_all() -> None:
    arms = plan.plan_arms(["finetune", "tinybert_kd"], [*SMALL, "method.domain=all", "optim.epochs=1"])
    equalize_budgets(arms, 60, ROWS)
    # 8 rows a step: 8 steps on all rows; 2 on each domain's 12 to 16, 3 on 20; so 9, or 3 a domain
    assert [arm.overrides[-1] for arm in arms] == ["optim.steps=12", "optim.steps=3"]
    assert arms[0].config(1).checkpoint_selection is None
    one, each = (num_steps(arm.config(1).optim, 999) for arm in arms)
    assert one == each * len(ROWS)


def test_a_share_of_a_domains_rows_is_what_its_student_passes_over() -> None:
    words = [*SMALL, "method.domain=all", "data.train_fraction=0.5", "optim.epochs=1"]
    arms = plan.plan_arms(["finetune", "tinybert_kd"], words)
    equalize_budgets(arms, 16, ROWS)
    assert [arm.overrides[-1] for arm in arms] == ["optim.steps=8", "optim.steps=2"]  # 10, 8, 6, 6 rows: 2 + 1 + 1 + 1


def test_arms_of_single_domains_keep_their_overrides() -> None:
    arms = plan.plan_arms(["tinybert_kd", "meta_kd"], [*SMALL, "method.domain=all"])
    before = [list(arm.overrides) for arm in arms]
    equalize_budgets(arms, 60, ROWS)
    assert [arm.overrides for arm in arms] == before


def test_budgets_cannot_both_differ_and_be_made_even() -> None:
    arms = plan.plan_arms(
        ["finetune", "tinybert_kd"], ["task=amazon", "preset=smoke", "method.domain=all", "optim.steps=4,8"]
    )
    with pytest.raises(ConfigError, match=r"optim\.steps=4, optim\.steps=8"):
        equalize_budgets(arms, 60, ROWS)


@pytest.mark.usefixtures("run_env")
def test_arms_that_report_on_different_rows_are_refused() -> None:
    arms = plan.plan_arms(["finetune", "tinybert_kd"], ["task=amazon", "preset=smoke", "method.domain=books"])
    with pytest.raises(ConfigError, match=r"finetune: 800 rows of amazon .*; tinybert_kd: 200 rows of amazon/books"):
        load_rows(arms)


@pytest.mark.usefixtures("run_env")
def test_rows_that_arms_share_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from kdrun.data import run_data

    real, loads = run_data.load_run_data, []
    monkeypatch.setattr(run_data, "load_run_data", lambda config: loads.append(config) or real(config))
    arms = plan.plan_arms(["finetune", "tinybert_kd"], ["task=amazon", "preset=smoke", "method.domain=all"])
    data = load_rows(arms)
    assert len(loads) == 1
    assert {arm.data_hash for arm in arms} == {data.fingerprint}


def test_each_run_that_ends_is_printed_with_its_score_its_time_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0

    def run(arm: Arm, seed: int, quiet: QuietConsole, console: Console) -> bool:
        """The first arm is reused, the second takes 30 s or 90 s, the third fails after 60 s."""
        nonlocal now
        now += {"finetune": 0, "kd": 30 if seed == 1 else 90, "mate_kd": 60}[arm.name]
        if arm.name == "mate_kd":
            arm.failed[seed] = "broken"
        else:
            result: Any = {"headline": {"split": "dev", "metric": "accuracy"}}
            arm.results[seed] = result | {"student": {"metrics": {"dev": {"accuracy": 0.8 + seed / 10}}}}
            arm.folders[seed] = Path()
        return arm.name == "finetune"

    monkeypatch.setattr(arms_module, "_run_or_reuse", run)
    text = io.StringIO()
    arms = [Arm(name, name, []) for name in ("finetune", "kd", "mate_kd")]
    run_missing(arms, [1, 2], Console(RichConsole(file=text, width=120)), lambda: now)
    assert text.getvalue().splitlines() == [
        "finetune, seed 1: dev accuracy 90.0 %, reused; 1 of 6 runs ended",
        "kd, seed 1: dev accuracy 90.0 %, 30 s; 2 of 6 runs ended, about 2 min 0 s left",
        "mate_kd, seed 1: failed, 60 s; 3 of 6 runs ended, about 2 min 15 s left",
        "finetune, seed 2: dev accuracy 100.0 %, reused; 4 of 6 runs ended, about 90 s left",
        "kd, seed 2: dev accuracy 100.0 %, 90 s; 5 of 6 runs ended, about 60 s left",
        "mate_kd, seed 2: failed, 60 s; 6 of 6 runs ended",
    ]
