"""Keeps a training: when a checkpoint is due, what it holds of the run beside the models, which is the newest whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from kdrun import checkpoint
from kdrun.checkpoint import Content
from kdrun.config import CheckpointConfig
from kdrun.errors import CheckpointError


class Journal(Protocol):
    """What a run writes while it trains: it goes back to where it was when a checkpoint was saved."""

    def state(self) -> dict[str, Any]:
        """Where it stands, as plain data."""
        ...

    def lacks(self, state: dict[str, Any]) -> str | None:
        """What is missing of what it had written then, or None."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to where it stood; to the beginning, for an empty state."""
        ...


class Keeper:
    """The checkpoints of one training.

    Args:
        place: folder of the newest, e.g. `checkpoints/last`.
        config: how often, how many.
        tell: is given a sentence about a checkpoint that cannot be used.
        journal: what is written beside it, if anything is.
        settings: config of the student's model, for whoever reads its weights out of the checkpoint.
        at_end: whether there is to be one of the training's end.
    """

    def __init__(
        self,
        place: Path,
        config: CheckpointConfig,
        tell: Callable[[str], None],
        journal: Journal | None = None,
        settings: Any = None,
        at_end: bool = True,
    ) -> None:
        self.place, self.config, self.tell = place, config, tell
        self.journal, self.settings, self.at_end = journal, settings, at_end
        self.kept: str | None = None
        self._since = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether the last one is old enough."""
        return time.monotonic() - self._since >= self.config.every

    def save(self, content: Content) -> None:
        """Save one, of a position that its state says as `phase` and `step`.

        Raises:
            CheckpointError: it cannot be written.
        """
        state = {**content.state, "journal": self.journal.state() if self.journal else {}}
        checkpoint.write(self.place, Content(content.tensors, state, self.settings), self.config.keep)
        self._note(self.place, state)

    def newest(self) -> Content | None:
        """The newest that is whole, after the journal went back to it; None where the training starts anew."""
        content = None
        for folder in checkpoint.all_of(self.place):
            content = self._read(folder)
            if content is not None:
                self._note(folder, content.state)
                break
        if self.journal is not None:
            self.journal.load_state(content.state["journal"] if content else {})
        return content

    @property
    def last(self) -> str:
        """Which checkpoint is there, for whoever has to stop, as part of a sentence."""
        return f"the last checkpoint is of {self.kept}" if self.kept else "no checkpoint was saved before"

    def _read(self, folder: Path) -> Content | None:
        try:
            content = checkpoint.read(folder)
        except CheckpointError as error:
            self.tell(f"{error}; the one before it is taken, if there is one")
            return None
        lacks = self.journal.lacks(content.state["journal"]) if self.journal else None
        if lacks is not None:
            self.tell(f"{folder} does not fit the run's other files: {lacks}; the one before it is taken")
            return None
        return content

    def _note(self, folder: Path, state: dict[str, Any]) -> None:
        self.kept, self._since = f"phase {state['phase']!r}, step {state['step']} ({folder})", time.monotonic()
