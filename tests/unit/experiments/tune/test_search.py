"""Searches over a formula: failures, pruning, repeated values, records."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from kdrun.console import QuietConsole
from kdrun.errors import ConfigError
from kdrun.experiments.tune import search, standing
from kdrun.experiments.tune import study as journal
from kdrun.experiments.tune import trial as trials
from kdrun.experiments.tune.plan import SearchPlan, plan_search
from kdrun.experiments.tune.study import Study
from kdrun.experiments.tune.trial import Outcome
from kdrun.reporting.html import search_page
from kdrun.reporting.html.render import render
from kdrun.storage.search_record import SEARCH, read_search
from tests.unit.experiments.tune.conftest import SPACE

MakePlan = Callable[..., SearchPlan]


def formula(plan: SearchPlan, study: Study, trial: optuna.Trial, console: object) -> Outcome:
    """The end of a trial: every third fails, low temperatures are pruned, others score by their temperature."""
    temperature = trial.params.get("method.temperature", 3.5)
    if trial.number % 3 == 2:
        return trials.failure(f"TrainingError: step {trial.number}")
    trial.report(temperature / 8, 50)
    if temperature < 3:
        return Outcome(TrialState.PRUNED, facts={journal.ERROR: "pruned at 50 %"})
    facts = {journal.SECONDS: 2.0, journal.DATA: {"name": "sst2 (synthetic)", "synthetic": True}}
    return Outcome(TrialState.COMPLETE, temperature / 8, facts)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run a search whose trials are scored by a function."""

    def go(plan: SearchPlan, run_trial: Callable[..., Outcome] = formula) -> Any:
        monkeypatch.setattr(search, "run_trial", run_trial)
        return search.run_search(plan, QuietConsole())

    return go


def test_a_search_goes_on_after_failures_and_records_every_trial(run: Callable[..., Any], make_plan: MakePlan) -> None:
    plan = make_plan(12)
    record = run(plan)
    assert standing.has_ended(record)
    assert record == read_search(plan.folder) == json.loads((plan.folder / SEARCH).read_text())
    states = [trial["state"] for trial in record["trials"]]
    assert states.count("failed") == 4
    assert states[2] == "failed"
    assert "step 2" in record["trials"][2]["error"]
    finished = [trial for trial in record["trials"] if trial["score"] is not None]
    best = max(finished, key=lambda trial: trial["score"])
    assert record["best"] == best["number"]
    assert standing.best_overrides(record) == [f"{key}={value}" for key, value in best["values"].items()]
    assert [trial["number"] for trial in record["trials"] if trial.get("default")] == [1]
    assert record["trials"][0]["values"] == plan.space.defaults
    record["best"] = 1
    assert standing.best_overrides(record) == []
    assert record["data_name"] == "sst2 (synthetic)"


def test_a_repeated_command_goes_on_with_more_trials(run: Callable[..., Any], make_plan: MakePlan) -> None:
    before = run(make_plan(4))
    after = run(make_plan(7))
    assert after["trials"][:4] == before["trials"]
    assert len(after["trials"]) == 7
    assert run(make_plan(7))["trials"] == after["trials"]


def test_a_stopped_trial_is_resumed_with_its_values(run: Callable[..., Any], make_plan: MakePlan) -> None:
    unbroken = run(make_plan(6, "unbroken"))

    def stop_at_third(plan: SearchPlan, study: Study, trial: optuna.Trial, console: object) -> Outcome:
        if trial.number == 3:
            raise KeyboardInterrupt
        return formula(plan, study, trial, console)

    with pytest.raises(KeyboardInterrupt):
        run(make_plan(6), stop_at_third)
    record = run(make_plan(6))
    values = [[trial["values"] for trial in entry["trials"]] for entry in (record, unbroken)]
    assert values[0] == values[1]


def test_a_search_without_a_finished_trial_has_no_best(run: Callable[..., Any], make_plan: MakePlan) -> None:
    record = run(make_plan(3), lambda plan, study, trial, console: trials.failure(f"E: {trial.number}"))
    assert record["best"] is None
    assert standing.best_overrides(record) is None
    assert [trial["error"] for trial in record["trials"]] == ["E: 0", "E: 1", "E: 2"]


def test_other_settings_under_the_same_name_are_refused(run: Callable[..., Any], make_plan: MakePlan) -> None:
    plan = make_plan(2)
    run(plan)
    with pytest.raises(ConfigError, match=r"(?s)mine.*space was.*seed was 1, now it is 5.*prune"):
        plan_search(plan.overrides, "{optim.lr: [0.1, 0.2]}", trials=2, seed=5, prune=False, name="mine")
    assert plan_search(plan.overrides, SPACE, trials=9, name="mine").trials == 9


def test_keys_that_a_search_sets_are_refused(tmp_path: Path) -> None:
    overrides = ["method=kd", "task=sst2", "run_dir=x", "dry_run=true", "optim.lr=1e-3,1e-4"]
    with pytest.raises(ConfigError) as error:
        plan_search(overrides, "{optim.batch_size: [4, 8]}", trials=2, name="a/b")
    assert [problem.key for problem in error.value.problems] == ["run_dir", "dry_run", "optim.lr", "sweep"]


def test_trials_do_not_score_extra_splits(tmp_path: Path) -> None:
    overrides = ["method=kd", "task=mnli", "evaluation.extra=[hans]", f"output_dir={tmp_path}"]
    plan = plan_search(overrides, None, trials=2)
    assert plan.trial_overrides == ["method=kd", "task=mnli", f"output_dir={tmp_path}", "evaluation.extra=[]", "seed=1"]
    assert "evaluation.extra=[hans]" in plan.overrides


def test_a_trial_with_the_values_of_an_earlier_one_takes_its_score(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(4, space="{optim.batch_size: choice[4, 8]}")
    runs: list[int] = []

    def finish(plan: SearchPlan, study: Study, trial: optuna.Trial, run: object, console: object) -> Outcome:
        runs.append(trial.number)
        trial.report(0.25, 50)
        return Outcome(TrialState.COMPLETE, 0.5 + trial.number / 100, {journal.FOLDER: "somewhere"})

    monkeypatch.setattr(trials, "_run", finish)
    monkeypatch.setattr(trials.reuse, "run_key", lambda config: ("config", "code", "data"))
    record = search.run_search(plan, QuietConsole())
    repeated = [trial for trial in record["trials"] if trial["repeats"] is not None]
    assert len(runs) == 2
    assert len(repeated) == 2
    for trial in repeated:
        first = record["trials"][(trial["repeats"] or 0) - 1]
        assert trial["values"] == first["values"]
        assert (trial["score"], trial["evaluations"]) == (first["score"], [[50.0, 0.25]])


def test_a_trial_far_below_the_median_is_pruned(make_plan: MakePlan) -> None:
    plan = make_plan(20)
    plan.folder.mkdir(parents=True)
    study = Study(plan.folder, plan.space, plan.seed, prune=True)
    for score in (0.7, 0.8, 0.9, 0.8, 0.7):
        trial = study.next_trial(20)
        assert trial is not None
        observe = trials.make_observer(plan, trial)
        assert observe(0.4, score) is None
        study.tell(trial, TrialState.COMPLETE, score)
    trial = study.next_trial(20)
    assert trial is not None
    observe = trials.make_observer(plan, trial)
    assert observe(0.25, 0.1) is None  # too early
    assert observe(0.4, None) is None  # undefined
    reason = observe(0.4001, 0.1)
    assert reason is not None
    assert "40 %" in reason
    assert trial.storage.get_trial(trial._trial_id).user_attrs[journal.PRUNED] == reason
    # killed before the search learned of it: the process that takes over the trial reads the reason
    assert trials.run_trial(plan, study, trial, QuietConsole()).state is TrialState.PRUNED
    trial = study.next_trial(20)
    assert trial is not None
    assert trials.make_observer(plan, trial)(1.0, 0.1) is None  # the training has ended


def test_a_config_that_the_checks_refuse_fails_the_trial(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(1)
    plan.folder.mkdir(parents=True)
    study = Study(plan.folder, plan.space, plan.seed, prune=True)
    trial = study.next_trial(1)
    assert trial is not None
    monkeypatch.setattr(trials, "compose", SimpleNamespace(validate_overrides=lambda *a, **k: ["optim.lr=0 is wrong"]))
    outcome = trials.run_trial(plan, study, trial, QuietConsole())
    assert (outcome.state, outcome.facts[journal.ERROR]) == (TrialState.FAIL, "optim.lr=0 is wrong")


def test_the_page_shows_every_trial(run: Callable[..., Any], make_plan: MakePlan) -> None:
    plan = make_plan(16)
    run(plan)
    record = search.finish_record(plan, None)
    html = render(search_page.search_page(plan.folder))
    assert "synthetic" in html
    assert html.count("<svg") >= 4
    for trial in record["trials"]:
        assert trial["values"]["optim.lr"] in html
    assert "not compared" in html


def test_the_page_of_a_search_without_scores(run: Callable[..., Any], make_plan: MakePlan) -> None:
    plan = make_plan(2)
    run(plan, lambda plan, study, trial, console: trials.failure("E: <b>"))
    html = render(search_page.search_page(plan.folder))
    assert "no trial finished" in html
    assert "<b>" not in html
