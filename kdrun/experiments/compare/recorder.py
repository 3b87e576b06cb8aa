"""Record of a comparison, after each look and at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdrun.config.schema import RunConfig
from kdrun.console import Console
from kdrun.experiments.compare import save, tuning
from kdrun.experiments.compare.arms import Arm
from kdrun.experiments.compare.options import Until
from kdrun.experiments.compare.record import build_record
from kdrun.experiments.compare.scores import Scores
from kdrun.progress import track

if TYPE_CHECKING:
    from kdrun.data.dataset import TaskDataset
    from kdrun.experiments.compare.options import CompareOptions


@dataclass(frozen=True)
class Recorder:
    """Builds and saves the record of a comparison.

    Attributes:
        arms: its arms, which receive the results.
        settings: options of the comparison.
        config: of any of its runs.
        data: rows of the runs.
        command: command line of the comparison.
        searches: searches of its arms; empty without tuning.
        started: `time.perf_counter()` at its start.
    """

    arms: list[Arm]
    settings: CompareOptions
    config: RunConfig
    data: TaskDataset
    command: str
    searches: Sequence[tuning.ArmSearch]
    started: float

    def save(self, scores: Scores | None, console: Console) -> dict[str, Any]:
        """Save and print the finished comparison.

        Args:
            scores: of the last look; None if there were no looks.
            console: where to print.

        Returns:
            The record.
        """
        record = self._record(scores, finished=True)
        save.save_comparison(record, self.config, console)
        return record

    def save_look(self, scores: Scores, console: Console) -> None:
        """Save the verdicts so far, for tables and in case that the comparison is interrupted.

        Args:
            scores: of the ended runs.
            console: where to print the path.
        """
        save.save_look(self._record(scores, finished=False), self.config, console)

    def _record(self, scores: Scores | None, *, finished: bool) -> dict[str, Any]:
        seeds = list(range(1, self.settings.seeds + 1))
        if self.settings.until is Until.decided:
            seeds = sorted({seed for arm in self.arms for seed in (*arm.results, *arm.failed)})
        with track("computing the verdicts"):
            record = build_record(
                self.arms, seeds, self.settings, self.config, self.data, self.command, scores, finished=finished
            )
            tuning.add_facts(record, self.searches, self.settings.tune)
        return record | {"seconds": round(time.perf_counter() - self.started, 2)}
