"""The journal of a search: its trials, their owners and their scores."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from kdrun.errors import DataError
from kdrun.experiments.tune.sampling import NumberedSampler, median_pruner
from kdrun.experiments.tune.space import Space
from kdrun.formatting import plural
from kdrun.storage.claims import claimed
from kdrun.storage.files import truncate_to_complete_lines
from kdrun.storage.links import refuse_link
from kdrun.storage.processes import is_alive, process_facts

JOURNAL, LOCK = "journal.jsonl", ".journal.lock"
OWNER, CELL, ERROR, PRUNED, SECONDS, FOLDER, REPEATS, DATA = (
    "owner", "cell", "error", "pruned", "seconds", "run_dir", "repeats", "data",
)  # fmt: skip
"""Attributes of a trial in the journal."""
FEWEST_FOR_IMPORTANCE = 10
"""Finished trials that an estimate of importances needs."""


class Study:
    """The trials of a search, shared by all processes that work on it.

    A trial belongs to the process that asked for it, as long as this process exists. Optuna's journal has no
    heartbeat: the trial of a killed process stays RUNNING there, and its owner says that it is dead.

    Args:
        folder: folder of the search.
        space: keys and ranges.
        seed: of the sampler.
        prune: whether trials may be pruned.

    Raises:
        DataError: the journal cannot be read.
    """

    def __init__(self, folder: Path, space: Space, seed: int, prune: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        path = folder / JOURNAL
        refuse_link(path)
        self._lock = folder / LOCK
        self._owner = {"worker": uuid.uuid4().hex, "host": platform.node(), **process_facts()}
        pruner = median_pruner() if prune else optuna.pruners.NopPruner()
        with claimed(self._lock):
            _remove_incomplete_line(path)
            try:
                storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
                self._study = optuna.create_study(
                    storage=storage,
                    sampler=NumberedSampler(seed),
                    pruner=pruner,
                    study_name=folder.name,
                    direction="maximize",
                    load_if_exists=True,
                )
            except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
                raise DataError(
                    f"{path} was not written by a search ({error}); start a new one with sweep=NAME"
                ) from None

    def trials(self) -> list[FrozenTrial]:
        """All trials, oldest first."""
        return self._study.get_trials(deepcopy=False)

    def next_trial(self, limit: int) -> optuna.Trial | None:
        """Take over the trial of a dead process, or ask for a new one; None if the search has `limit` trials."""
        with claimed(self._lock):
            trials = self.trials()
            for trial in trials:
                if trial.state is TrialState.RUNNING and not self.is_owned(trial):
                    return self._own(optuna.Trial(self._study, trial._trial_id))
            return None if len(trials) >= limit else self._own(self._study.ask())

    def _own(self, trial: optuna.Trial) -> optuna.Trial:
        trial.set_user_attr(OWNER, self._owner)
        self.space.suggest(trial)  # recorded at once, so that another process can take over the trial
        return trial

    def is_owned(self, trial: FrozenTrial) -> bool:
        """Whether a live process works on a trial that has not ended.

        A process of another machine counts as alive: nothing here can tell otherwise.
        """
        owner = trial.user_attrs.get(OWNER)
        if owner is None:
            return False
        if owner["host"] != self._owner["host"]:
            return True
        if owner["pid"] == self._owner["pid"] and is_alive(owner):
            return owner["worker"] == self._owner["worker"]
        return is_alive(owner)

    def running(self) -> list[FrozenTrial]:
        """Trials that live processes work on."""
        return [trial for trial in self.trials() if trial.state is TrialState.RUNNING and self.is_owned(trial)]

    def earlier(self, number: int, cell: str) -> FrozenTrial | None:
        """An earlier trial with the same cell; None if there is none."""
        trials = (trial for trial in self.trials() if trial.number < number)
        return next((trial for trial in trials if trial.user_attrs.get(CELL) == cell), None)

    def tell(
        self, trial: optuna.Trial, state: TrialState, value: float | None = None, facts: dict[str, Any] | None = None
    ) -> None:
        """End a trial, with further facts about it."""
        for name, fact in (facts or {}).items():
            trial.set_user_attr(name, fact)
        with claimed(self._lock):
            self._study.tell(trial, value if state is TrialState.COMPLETE else None, state)

    def best(self) -> FrozenTrial | None:
        """The trial with the best score, the earliest of several; None if none has finished."""
        finished = [trial for trial in self.trials() if trial.state is TrialState.COMPLETE]
        return max(finished, key=lambda trial: (trial.value, -trial.number), default=None)

    def importances(self) -> tuple[dict[str, float] | None, str]:
        """Share of each key in the variance of the scores, by fANOVA; None with the reason if there is none.

        fANOVA fits a random forest of scikit-learn to the finished trials.
        """
        finished = [trial for trial in self.trials() if trial.state is TrialState.COMPLETE]
        if len(finished) < FEWEST_FOR_IMPORTANCE:
            return None, f"only {plural(len(finished), 'finished trial')} of at least {FEWEST_FOR_IMPORTANCE}"
        if len({trial.value for trial in finished}) < 2:
            return None, "all finished trials have one score"
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator), ""


def overrides_of(space: Space, trial: FrozenTrial | optuna.Trial) -> list[str]:
    """The overrides of a trial whose values were drawn."""
    return space.suggest(_Drawn(trial.params))


class _Drawn:
    """A trial that repeats the values that were drawn."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self._values[name]

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        return self._values[name]

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        return self._values[name]


def _remove_incomplete_line(path: Path) -> None:
    """Cut off the line that a killed process left unfinished: the journal could not be read after the next one."""
    if path.is_file():
        lock = JournalFileSymlinkLock(str(path))
        lock.acquire()
        try:
            truncate_to_complete_lines(path)
        finally:
            lock.release()
