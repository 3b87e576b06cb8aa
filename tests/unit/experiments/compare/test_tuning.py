"""Tuning of arms by stubbed trials: plans, reuse, refusals, facts in the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from kdrun.console import QuietConsole
from kdrun.errors import ConfigError
from kdrun.experiments.compare import run_times, tuning
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.options import CompareOptions
from kdrun.experiments.compare.tuning import ArmSearch
from kdrun.experiments.tune import search
from kdrun.experiments.tune import study as journal
from kdrun.experiments.tune import trial as trials
from kdrun.experiments.tune.plan import SearchPlan
from kdrun.experiments.tune.study import Study, is_default
from kdrun.experiments.tune.trial import Outcome
from kdrun.reporting.tables import comparisons, searches
from kdrun.storage.json_reader import parse_object
from kdrun.storage.ledger_shapes import TUNING
from kdrun.storage.search_record import read_search
from kdrun.storage.serialization import to_plain

TASK = ["task=mnli", "task.reported=dev_mismatched", "preset=smoke"]
Tune = Callable[..., list[ArmSearch]]


def make_arm(method: str, *overrides: str) -> Arm:
    return Arm(method, method, [f"method={method}", *TASK, "report=false", *overrides])


class Lines(QuietConsole):
    """A console that keeps the printed lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def print(self, text: str = "") -> None:
        self.lines.append(text)

    def key_values(self, title: str, rows: Any) -> None:
        self.lines += [title, *(f"{key}: {value}" for key, value in rows)]

    def table(self, title: str, columns: Any, rows: Any) -> None:
        self.lines += [title, *(" | ".join(row) for row in rows)]

    def note(self, text: str) -> None:
        self.lines.append(text)

    def warning(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def ran() -> list[tuple[str, int]]:
    """Method and number of each trial that ran."""
    return []


@pytest.fixture
def tune(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ran: list[tuple[str, int]]) -> Tune:
    """Tune arms with trials that score 0.5 by default; of the drawn ones the third is the best, the second fails."""
    monkeypatch.chdir(tmp_path)  # the same overrides in all tests, so that they are composed once
    scores = {0: 0.5, 1: 0.4, 3: 0.7}

    def run_trial(plan: SearchPlan, study: Study, trial: optuna.Trial, console: object) -> Outcome:
        ran.append((plan.config.method.name, trial.number))
        if trial.number == 2:
            return trials.failure("TrainingError: the loss is nan")
        facts = {journal.SECONDS: 2.0, journal.DATA: {"name": "mnli (synthetic)", "synthetic": True}}
        return Outcome(TrialState.COMPLETE, scores.get(trial.number, 0.6), facts)

    monkeypatch.setattr(search, "run_trial", run_trial)

    def go(arms: list[Arm], num_trials: int = 4, console: Any = None, **keys: Any) -> list[ArmSearch]:
        options = CompareOptions(tune=num_trials)
        return tuning.tune_arms(arms, options, "kdrun compare tune=4", keys.pop("launcher", []), console or Lines())

    return go


def test_each_arm_has_the_same_number_of_trials_and_takes_its_best_values(
    tune: Tune, ran: list[tuple[str, int]]
) -> None:
    arms = [make_arm("finetune"), make_arm("kd", "optim.lr=1e-3")]
    before = [list(arm.overrides) for arm in arms]
    found = tune(arms)
    assert ran == [(method, number) for method in ("finetune", "kd") for number in range(4)]
    for arm, overrides, arm_search in zip(arms, before, found, strict=True):
        assert arm_search.record is not None
        best = arm_search.record["trials"][3]
        assert arm_search.record["best"] == 4
        assert arm.overrides == [*overrides, *(f"{key}={value}" for key, value in best["values"].items())]
        assert not any(is_default(trial) for trial in open_study(arm_search).trials()[1:])
        assert arm_search.record["seed"] == 0 not in range(1, 4)
    assert set(found[0].record["trials"][3]["values"]) == {"optim.lr", "optim.warmup_ratio", "optim.weight_decay"}  # pyright: ignore[reportOptionalSubscript]
    assert set(found[1].record["trials"][3]["values"]) == {"method.temperature", "method.soft_weight"}  # pyright: ignore[reportOptionalSubscript]


def open_study(arm_search: ArmSearch) -> Study:
    assert arm_search.plan is not None
    return Study(arm_search.plan.folder, arm_search.plan.space, arm_search.plan.seed, arm_search.plan.prune)


def test_default_values_that_nothing_beats_add_no_override(tune: Tune) -> None:
    arm = make_arm("kd")
    before = list(arm.overrides)
    (found,) = tune([arm], 2)
    assert arm.overrides == before
    facts = tuning.arm_facts(found)
    assert facts is not None
    assert (facts["chosen"], facts["trial"], facts["default"], facts["best"]) == ({}, 1, 0.5, 0.5)


def test_a_repeated_command_and_an_equal_arm_run_no_trial_again(tune: Tune, ran: list[tuple[str, int]]) -> None:
    first, equal = make_arm("kd"), make_arm("kd", "retry=true")
    equal.name = "kd again"
    tune([first, equal])
    assert len(ran) == 4
    assert first.overrides == [override for override in equal.overrides if override != "retry=true"]
    again, console = make_arm("kd"), Lines()
    tune([again], console=console)
    assert len(ran) == 4
    assert again.overrides == first.overrides
    assert any("reused: 3 finished, 1 failed" in line for line in console.lines)
    assert "time of the tuning: none, all trials have ended" in console.lines
    other_rows = make_arm("kd")
    other_rows.data_hash = "other rows"
    tune([other_rows])
    assert len(ran) == 8


def test_fewer_trials_than_a_longer_search_choose_among_the_first(tune: Tune, ran: list[tuple[str, int]]) -> None:
    long, short = make_arm("kd"), make_arm("kd")
    tune([long], 4)
    (found,) = tune([short], 2)
    assert len(ran) == 4
    assert len(short.overrides) < len(long.overrides)
    assert found.plan is not None
    assert len(read_search(found.plan.folder)["trials"]) == 4


def test_a_search_without_a_finished_trial_keeps_the_default_values(
    tune: Tune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "run_trial", lambda plan, study, trial, console: trials.failure(f"E: {trial.number}"))
    arm, console = make_arm("kd"), Lines()
    before = list(arm.overrides)
    (found,) = tune([arm], 2, console)
    assert arm.overrides == before
    assert any("no trial" in line and "E: 0" in line for line in console.lines)
    facts = tuning.arm_facts(found)
    assert facts is not None
    assert (facts["chosen"], facts["trial"], facts["best"], facts["states"]) == ({}, None, None, "2 failed")


def test_the_plan_names_the_keys_those_of_the_command_and_the_launcher(tune: Tune) -> None:
    arms = [make_arm("kd_ood", "optim.lr=1e-3", "method.temperature=2"), make_arm("kd")]
    console = Lines()
    found = tune(arms, 2, console, launcher=["hydra/launcher=slurm_cpu"])
    text = "\n".join(console.lines)
    assert "tuning: 2 trials per arm by dev accuracy, the default values first, seed 0" in text
    assert "kd_ood: nothing to tune; set by the command: optim.lr=1e-3 method.temperature=2" in text
    assert "kd: optim.lr, method.temperature and method.soft_weight" in text
    assert "the tuning runs in this process" in text
    assert (found[0].plan, tuning.arm_facts(found[0])) == (None, None)


def test_a_stopped_tuning_resumes_with_the_missing_trials(
    tune: Tune, ran: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = search.run_trial

    def stop(plan: SearchPlan, study: Study, trial: optuna.Trial, console: Any) -> Outcome:
        if trial.number == 1:
            raise KeyboardInterrupt
        return finish(plan, study, trial, console)

    monkeypatch.setattr(search, "run_trial", stop)
    with pytest.raises(KeyboardInterrupt):
        tune([make_arm("kd")])
    assert ran == [("kd", 0)]
    monkeypatch.setattr(search, "run_trial", finish)
    tune([make_arm("kd")])
    assert [number for _, number in ran] == [0, 1, 2, 3]


def test_rows_that_choose_must_not_be_reported() -> None:
    overrides = ["method=kd", "task=mnli", "preset=smoke"]
    for more, match in (
        ([], r"tune=8.*dev.*evaluation\.held_out.*data\.test"),
        (["evaluation.held_out=100", "evaluation.report=pooled"], r"evaluation\.held_out"),
    ):
        arm = Arm("kd", "kd", [*overrides, *more])
        with pytest.raises(ConfigError, match=match):
            tuning.check_tuning([arm], arm.config(1), 8)
    for arm in (make_arm("kd"), Arm("kd", "kd", [*overrides, "evaluation.held_out=100"])):
        tuning.check_tuning([arm], arm.config(1), 8)


def test_ends_of_a_space_that_a_config_refuses_name_the_arm_and_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "remaining_space", lambda method, overrides: ("{optim.warmup_ratio: [0.1, 2]}", []))
    arm = make_arm("kd")
    with pytest.raises(ConfigError, match=r"kd: space: .*optim\.warmup_ratio.*command line"):
        tuning.check_tuning([arm], arm.config(1), 2)


def test_the_record_names_trials_values_and_scores(tune: Tune) -> None:
    arms = [make_arm("kd"), make_arm("kd_ood", "optim.lr=1e-3", "method.temperature=2")]
    found = tune(arms)
    record: dict[str, Any] = {
        "comparison_id": "a", "split": "dev_mismatched", "preset": "smoke", "command": "kdrun compare method=kd tune=4",
        "arms": [{"name": arm.name, "words": arm.overrides} for arm in arms],
    }  # fmt: skip
    untuned = dict(record)
    tuning.add_facts(untuned, [], 0)
    assert (untuned["tuned"], untuned["comparison_id"]) == (0, "a")
    assert searches.tuning_text(untuned) == searches.tuning_text(record) == "untuned"
    assert searches.search_notes(untuned) == []
    tuning.add_facts(record, found, 4)
    assert record["comparison_id"] != "a"
    facts = record["arms"][0]["tuning"]
    assert parse_object(to_bytes(facts), TUNING) == facts
    assert (facts["trials"], facts["trial"], facts["default"], facts["best"]) == (4, 4, 0.5, 0.7)
    assert (facts["split"], facts["metric"], facts["seed"]) == ("dev", "accuracy", 0)
    assert [f"{key}={value}" for key, value in facts["chosen"].items()] == arms[0].overrides[-3:]
    assert record["arms"][1]["tuning"] is None
    assert comparisons.settings_of(record) == "preset=smoke, tuned, 4 trials each"
    first, kd, kd_ood = searches.search_notes(record)
    assert "dev accuracy with seed 0; the reported dev_mismatched rows" in first
    assert "trial 4; dev 70.0 %, default 50.0 %; 3 finished, 1 failed" in kd
    assert kd_ood == "kd_ood: nothing to tune"


def to_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_the_time_is_that_of_runs_that_differ_in_seed_and_tuned_keys_only() -> None:
    config = make_arm("kd").config(1)

    def run(seconds: float, *overrides: str, status: str = "done") -> dict[str, Any]:
        other = make_arm("kd", *overrides).config(7)
        return {"status": status, "method": "kd", "seconds": seconds, "config": to_plain(other)}

    runs = [run(4, "optim.lr=1e-2"), run(8), run(100, "optim.batch_size=2"), run(1, status="failed")]
    assert run_times.mean_seconds(runs, config, ["optim.lr"]) == 6
    assert run_times.mean_seconds(runs, config) == 8
    assert run_times.mean_seconds(runs[2:], config) is None
