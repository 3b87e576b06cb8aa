"""The journal of a search: the same questions after a stop, and trials of dead processes."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from kdrun.errors import DataError
from kdrun.experiments.tune import study as journal
from kdrun.experiments.tune.plan import SearchPlan
from kdrun.experiments.tune.sampling import _at
from kdrun.experiments.tune.study import Study, is_default, overrides_of
from kdrun.storage import claims

MakePlan = Callable[..., SearchPlan]


def open_study(plan: SearchPlan) -> Study:
    plan.folder.mkdir(parents=True, exist_ok=True)
    return Study(plan.folder, plan.space, plan.seed, plan.prune)


def score(trial: optuna.Trial) -> float:
    values = {"method.temperature": 2.0, "optim.lr": 1e-3, **trial.params}
    return 1 - abs(values["method.temperature"] - 3) / 8 - abs(values["optim.lr"] - 1e-3)


def work(study: Study, trials: int, limit: int = 100) -> list[list[str]]:
    """Ask for trials and end them; returns their overrides."""
    asked = []
    for _ in range(trials):
        trial = study.next_trial(limit)
        assert trial is not None
        asked.append(overrides_of(study.space, trial))
        study.tell(trial, TrialState.COMPLETE, score(trial))
    return asked


def test_a_resumed_search_asks_the_same_as_an_unbroken_one(make_plan: MakePlan) -> None:
    unbroken = work(open_study(make_plan(name="unbroken")), 16)
    plan = make_plan(name="broken")
    parts = [work(open_study(plan), 5), work(open_study(plan), 8), work(open_study(plan), 3)]
    assert [asked for part in parts for asked in part] == unbroken
    assert work(open_study(make_plan(name="other", seed=2)), 3) != unbroken[:3]
    assert len({tuple(asked) for asked in unbroken}) > 12


def claim_file(plan: SearchPlan, trial: optuna.Trial) -> Path:
    (path,) = (plan.folder / f".trial-{trial.number + 1}.lock").glob("*.held.lock")
    return path


@pytest.mark.parametrize(
    ("change", "is_alive"),
    [
        ({}, True),
        ({"pid": 2**22 + 7}, False),
        ({"process_started": 1.0}, False),
        ({"boot": "other", "host": "elsewhere", "pid": 2**22 + 7}, True),
    ],
)
def test_the_trial_of_a_dead_process_is_taken_over_with_its_values(
    make_plan: MakePlan, change: dict[str, object], is_alive: bool
) -> None:
    plan = make_plan()
    first = open_study(plan)
    work(first, 2)
    lost = first.next_trial(10)
    assert lost is not None
    path = claim_file(plan, lost)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    second = open_study(plan)
    assert second.is_owned(second.trials()[2]) is is_alive
    taken = second.next_trial(10)
    assert taken is not None
    assert (taken.number == 3) is is_alive
    assert (taken.params == lost.params) is not is_alive


def test_a_silent_process_of_another_machine_is_dead(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "INTERVAL", 0.01)
    plan = make_plan()
    study = open_study(plan)
    lost = study.next_trial(10)
    assert lost is not None
    path = claim_file(plan, lost)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "elsewhere"}))
    os.utime(path, (1e9, 1e9))
    taken = open_study(plan).next_trial(10)
    assert taken is not None
    assert taken.number == lost.number


def test_a_released_trial_is_taken_over_and_an_ended_one_is_not(make_plan: MakePlan) -> None:
    plan = make_plan()
    study = open_study(plan)
    first = study.next_trial(10)
    assert first is not None
    study.release(first.number)
    taken = open_study(plan).next_trial(10)
    assert taken is not None
    assert taken.number == first.number == 0
    assert not list(plan.folder.glob(".trial-2.lock"))


def test_a_trial_without_values_gets_them_from_the_next_process(make_plan: MakePlan) -> None:
    study = open_study(make_plan())
    work(study, 1)
    study._study.ask()  # killed before it drew the values
    trial = study.next_trial(10)
    assert trial is not None
    assert trial.number == 1
    assert set(trial.params) == set(study.space.ranges)


def test_the_first_trial_has_the_default_values(make_plan: MakePlan) -> None:
    study = open_study(make_plan())
    assert work(study, 1) == [[]]
    assert is_default(study.trials()[0])
    assert all(work(study, 3))
    assert not any(is_default(trial) for trial in study.trials()[1:])


def test_the_first_draws_cover_each_range_evenly(make_plan: MakePlan) -> None:
    study = open_study(make_plan())
    work(study, 8)
    drawn = [trial.params for trial in study.trials()[1:]]
    eighths = {int(math.log10(params["optim.lr"] / 1e-4) / 2 * 8) for params in drawn}
    assert len(eighths) == 7
    assert len({int((params["method.temperature"] - 1) / 7 * 8) for params in drawn}) == 7
    assert sorted(params["optim.batch_size"] for params in drawn) in (["4"] * 3 + ["8"] * 4, ["4"] * 4 + ["8"] * 3)


def test_even_shares_of_a_range_reach_its_ends() -> None:
    integers = IntDistribution(1, 10, log=True)
    assert {_at(integers, share / 1000) for share in range(1000)} == set(range(1, 11))
    assert [_at(FloatDistribution(1e-4, 1.0, log=True), share) for share in (0.0, 0.5, 1.0)] == pytest.approx(
        [1e-4, 1e-2, 1.0]
    )


def test_the_limit_counts_all_trials(make_plan: MakePlan) -> None:
    study = open_study(make_plan())
    work(study, 3)
    assert study.next_trial(3) is None
    assert study.next_trial(4) is not None


def test_the_line_of_a_killed_process_is_cut_off(make_plan: MakePlan) -> None:
    plan = make_plan()
    work(open_study(plan), 2)
    with (plan.folder / journal.JOURNAL).open("a") as file:
        file.write('{"op_code":4,"worker_id":"x","tri')
    study = open_study(plan)
    work(study, 1)
    assert [trial.state for trial in study.trials()] == [TrialState.COMPLETE] * 3


def test_a_foreign_journal_and_a_link_are_refused(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan()
    plan.folder.mkdir(parents=True)
    path = plan.folder / journal.JOURNAL
    path.write_text('{"op_code": 0}\n{"op_code": "x"}\n')
    with pytest.raises(DataError, match=r"journal\.jsonl"):
        open_study(plan)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"journal\.jsonl"):
        open_study(plan)


def test_the_earliest_of_the_best_trials_is_the_best(make_plan: MakePlan) -> None:
    study = open_study(make_plan())
    assert study.best() is None
    for value in (0.3, 0.5, 0.5):
        trial = study.next_trial(10)
        assert trial is not None
        study.tell(trial, TrialState.COMPLETE, value)
    best = study.best()
    assert best is not None
    assert best.number == 1


def test_importances_need_trials_that_differ(make_plan: MakePlan) -> None:
    study = open_study(make_plan())
    work(study, 4)
    shares, reason = study.importances()
    assert shares is None
    assert "3" in reason
    work(study, 12)
    shares, _ = study.importances()
    assert shares is not None
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda key: shares[key]) == "method.temperature"
