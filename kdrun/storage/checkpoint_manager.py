"""Decide when to save a checkpoint, and find the latest valid one."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, Protocol

from kdrun import ranks
from kdrun.errors import CheckpointError
from kdrun.storage import checkpoint_files
from kdrun.storage.checkpoint_files import CheckpointData
from kdrun.storage.json_reader import Rule, Shape

MAX_COUNT = 2**53
COUNT = Rule("a number of at least 0", lambda value: type(value) is int and 0 <= value < MAX_COUNT)
JOURNAL: dict[str, Shape] = {"logs?": {"*": COUNT}, "seconds?": float, "tracked?": (list, None)}
STATE: dict[str, Shape] = {
    "phase": str,
    "step": COUNT,
    "number?": COUNT,
    "taken?": {"*": COUNT},
    "is_pending?": bool,
    "still_zero?": {"*": [str]},
    "tallies?": {"*": {"count": COUNT, "seconds": float, "last": dict}},
    "optimizers?": {"*": dict},
    "method?": dict,
    "outcome?": dict,
    "journal": JOURNAL,
}
"""Shape of a training's state; the folder may come from a stranger."""
log = logging.getLogger(__name__)


class Resumable(Protocol):
    """State outside the trainer that is saved with checkpoints and restored when a run resumes."""

    def state(self) -> dict[str, Any]:
        """The state, as plain data."""
        ...

    def missing_since(self, state: dict[str, Any]) -> str | None:
        """The reason why the state cannot be restored; None if it can."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore a state; start over for an empty one."""
        ...


class CheckpointManager:
    """Saves and loads the checkpoints of one training.

    Args:
        place: folder of the newest checkpoint, e.g. `checkpoints/last`; older ones are next to it.
        every_seconds: minimum time between two checkpoints, in seconds.
        keep_last: number of checkpoints to keep.
        journal: state outside the trainer, saved with each checkpoint.
        settings: transformers config of the model, saved with its weights.
        save_final: whether to save the state at the end of the training too.
    """

    def __init__(
        self,
        place: Path,
        every_seconds: float,
        keep_last: int,
        journal: Resumable | None = None,
        settings: Any = None,
        save_final: bool = True,
    ) -> None:
        self.place, self.every_seconds, self.keep_last = place, every_seconds, keep_last
        self.journal, self.settings, self.save_final = journal, settings, save_final
        self._last: str | None = None
        self._last_time = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the interval since the last checkpoint has passed."""
        return time.monotonic() - self._last_time >= self.every_seconds

    def save(self, content: CheckpointData) -> None:
        """Save a checkpoint whose state contains `phase` and `step`.

        Raises:
            CheckpointError: it cannot be written.
        """
        state = {**content.state, "journal": self.journal.state() if self.journal else {}}
        saved = CheckpointData(content.tensors, state, self.settings)
        ranks.by_first(lambda: checkpoint_files.write_checkpoint(self.place, saved, self.keep_last))
        self._record(self.place, state)

    def load_latest(self) -> CheckpointData | None:
        """The latest valid checkpoint, after restoring the journal; None to start from the beginning.

        Every process of a run reads the one that the first process chose.
        """
        folder, content = self._latest() if ranks.is_first() else (None, None)
        folder = ranks.from_first(folder)
        if folder is not None and content is None:
            content = checkpoint_files.read_checkpoint(folder, STATE)
        if folder is not None and content is not None:
            self._record(folder, content.state)
        if self.journal is not None:
            self.journal.load_state(content.state["journal"] if content else {})
        return content

    def _latest(self) -> tuple[Path | None, CheckpointData | None]:
        for folder in checkpoint_files.list_checkpoints(self.place):
            content = self._load_valid(folder)
            if content is not None:
                return folder, content
        return None, None

    @property
    def last(self) -> str:
        """Phrase for the end of an error message: the last checkpoint, or that there is none."""
        return f"the last checkpoint is from {self._last}" if self._last else "no checkpoint was saved before"

    def _load_valid(self, folder: Path) -> CheckpointData | None:
        try:
            content = checkpoint_files.read_checkpoint(folder, STATE)
        except CheckpointError as error:
            log.warning("%s; using the previous checkpoint, if there is one", error)
            return None
        problem = self.journal.missing_since(content.state["journal"]) if self.journal else None
        if problem is not None:
            log.warning("%s does not match the run's other files: %s; using the previous checkpoint", folder, problem)
            return None
        return content

    def _record(self, folder: Path, state: dict[str, Any]) -> None:
        self._last = f"phase {state['phase']!r}, step {state['step']} ({folder})"
        self._last_time = time.monotonic()
