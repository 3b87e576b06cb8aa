"""The journal of a search: its trials and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from kdrun.errors import BusyError, DataError
from kdrun.experiments.tune.sampling import NumberedSampler, median_pruner
from kdrun.experiments.tune.space import Space
from kdrun.formatting import plural
from kdrun.storage import claims
from kdrun.storage.claims import Claim, HeldError
from kdrun.storage.files import truncate_to_complete_lines
from kdrun.storage.links import refuse_link

JOURNAL, LOCK = "journal.jsonl", ".journal.lock"
CELL, ERROR, PRUNED, SECONDS, FOLDER, REPEATS, DATA, DEFAULT = (
    "cell", "error", "pruned", "seconds", "run_dir", "repeats", "data", "default",
)  # fmt: skip
"""Attributes of a trial in the journal."""
FEWEST_FOR_IMPORTANCE = 10
"""Finished trials that an estimate of importances needs."""


class Study:
    """The trials of a search, shared by all processes that work on it.

    A trial belongs to the process that holds its claim. Optuna's journal has no heartbeat: the trial of a killed
    process stays RUNNING there. Its claim tells that the process is dead, also on another machine.

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
        self._folder = folder
        self._claims: dict[int, Claim] = {}
        pruner = median_pruner() if prune else optuna.pruners.NopPruner()
        with claims.claimed(folder / LOCK):
            _remove_incomplete_line(path)
            try:
                storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
                self._study = optuna.create_study(
                    storage=storage,
                    sampler=NumberedSampler(seed, list(space.ranges)),
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
        for trial in self.trials():
            if trial.state is TrialState.RUNNING and self._claim(trial.number):
                if self.trials()[trial.number].state is TrialState.RUNNING:  # its process has not ended it by now
                    return self._with_values(optuna.Trial(self._study, trial._trial_id))
                self.release(trial.number)
        with claims.claimed(self._folder / LOCK):
            number = len(self.trials())
            if number >= limit:
                return None
            if not self._claim(number):  # before anybody sees the trial
                raise BusyError([f"another process holds trial {number + 1} of {self._folder}; repeat the command"])
            return self._with_values(self._study.ask())

    def _claim_folder(self, number: int) -> Path:
        return self._folder / f".trial-{number + 1}.lock"

    def _claim(self, number: int) -> bool:
        """Claim a trial, unless a living process holds it."""
        claim = Claim(self._claim_folder(number))
        try:
            claim.acquire(timeout=0)
        except HeldError:
            return False
        self._claims[number] = claim
        return True

    def release(self, number: int, *, forever: bool = False) -> None:
        """Give up a trial, which other processes may then take over; `forever` once it has ended."""
        claim = self._claims.pop(number, None)
        if claim is not None:
            claim.release(forever)

    def _with_values(self, trial: optuna.Trial) -> optuna.Trial:
        if trial.number == 0 and not trial.params:
            trial.set_user_attr(DEFAULT, True)
        else:
            self.space.suggest(trial)  # recorded at once, so that another process can take over the trial
        return trial

    def is_owned(self, trial: FrozenTrial) -> bool:
        """Whether a living process works on a trial that has not ended."""
        return claims.is_held(self._claim_folder(trial.number))

    def earlier(self, number: int, cell: str) -> FrozenTrial | None:
        """An earlier trial with the same cell; None if there is none."""
        trials = (trial for trial in self.trials() if trial.number < number)
        return next((trial for trial in trials if trial.user_attrs.get(CELL) == cell), None)

    def tell(
        self, trial: optuna.Trial, state: TrialState, value: float | None = None, facts: dict[str, Any] | None = None
    ) -> None:
        """End a trial, with further facts about it.

        Raises:
            ClaimLostError: another process took over the trial.
        """
        if trial.number in self._claims:
            self._claims[trial.number].check()
        for name, fact in (facts or {}).items():
            trial.set_user_attr(name, fact)
        self._study.tell(trial, value if state is TrialState.COMPLETE else None, state)
        self.release(trial.number, forever=True)

    def best(self) -> FrozenTrial | None:
        """The trial with the best score, the earliest of several; None if none has finished."""
        finished = [trial for trial in self.trials() if trial.state is TrialState.COMPLETE]
        return max(finished, key=lambda trial: (trial.value, -trial.number), default=None)

    def importances(self) -> tuple[dict[str, float] | None, str]:
        """Share of each key in the variance of the scores, by fANOVA; None with the reason if there is none.

        fANOVA fits a random forest of scikit-learn to the finished trials.
        """
        finished = [t for t in self.trials() if t.state is TrialState.COMPLETE and not is_default(t)]
        if len(finished) < FEWEST_FOR_IMPORTANCE:
            return None, f"only {plural(len(finished), 'finished trial')} of at least {FEWEST_FOR_IMPORTANCE}"
        if len({trial.value for trial in finished}) < 2:
            return None, "all finished trials have one score"
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        # names of keys leave out the default values, which were not drawn
        keys = list(self.space.ranges)
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator, params=keys), ""


def is_default(trial: FrozenTrial | optuna.Trial) -> bool:
    """Whether a trial has the default values: the first one of a search, unless an older version started it."""
    return bool(trial.user_attrs.get(DEFAULT))


def overrides_of(space: Space, trial: FrozenTrial | optuna.Trial) -> list[str]:
    """The overrides of a trial whose values were drawn; none for the default values."""
    return [] if is_default(trial) else space.suggest(_Drawn(trial.params))


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
