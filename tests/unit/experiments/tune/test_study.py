"""The journal of a search: the same questions after a stop, and trials of dead processes."""

import os
import platform
from collections.abc import Callable
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from kdrun.errors import DataError
from kdrun.experiments.tune import study as journal
from kdrun.experiments.tune.plan import SearchPlan
from kdrun.experiments.tune.study import Study, overrides_of
from kdrun.storage import processes

MakePlan = Callable[..., SearchPlan]


def open_study(plan: SearchPlan) -> Study:
    plan.folder.mkdir(parents=True, exist_ok=True)
    return Study(plan.folder, plan.space, plan.seed, plan.prune)


def score(trial: optuna.Trial) -> float:
    return 1 - abs(trial.params["method.temperature"] - 3) / 8 - abs(trial.params["optim.lr"] - 1e-3)


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


def test_the_trial_of_a_dead_process_is_taken_over_with_its_values(make_plan: MakePlan) -> None:
    plan = make_plan()
    first = open_study(plan)
    work(first, 2)
    lost = first.next_trial(10)
    assert lost is not None
    second = open_study(plan)  # another worker; the first one is not at work in this process any more
    taken = second.next_trial(10)
    assert taken is not None
    assert (taken.number, taken.params) == (lost.number, lost.params)
    assert [trial.number for trial in second.running()] == [2]
    assert not first.running()


def live_owner(host: str) -> dict[str, object]:
    """The owner of a trial of another live process: the parent of this one."""
    facts = processes.process_facts()
    started = round(processes._since_boot(psutil.Process(os.getppid())), 2)
    return {"worker": "other", "host": host, **facts, "pid": os.getppid(), "process_started": started}


@pytest.mark.parametrize(
    ("change", "alive"),
    [({}, True), ({"pid": 2**22 + 7}, False), ({"process_started": 1.0}, False), ({"boot": "other"}, False)],
)
def test_a_trial_is_owned_while_its_process_exists(make_plan: MakePlan, change: dict[str, object], alive: bool) -> None:
    study = open_study(make_plan())
    trial = study.next_trial(10)
    assert trial is not None
    trial.set_user_attr(journal.OWNER, live_owner(platform.node()) | change)
    following = study.next_trial(10)
    assert following is not None
    assert (following.number == 1) is alive


def test_a_process_of_another_machine_counts_as_alive(make_plan: MakePlan) -> None:
    study = open_study(make_plan())
    trial = study.next_trial(10)
    assert trial is not None
    trial.set_user_attr(journal.OWNER, live_owner("elsewhere") | {"pid": 2**22 + 7, "boot": "other"})
    assert study.next_trial(1) is None
    assert len(study.running()) == 1


def test_a_trial_without_owner_waits_for_a_process(make_plan: MakePlan) -> None:
    study = open_study(make_plan())
    study._study.ask()  # killed before it wrote its name
    trial = study.next_trial(10)
    assert trial is not None
    assert trial.number == 0
    assert set(trial.params) == set(study.space.ranges)


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
    work(study, 3)
    shares, reason = study.importances()
    assert shares is None
    assert "3" in reason
    work(study, 12)
    shares, _ = study.importances()
    assert shares is not None
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda key: shares[key]) == "method.temperature"
