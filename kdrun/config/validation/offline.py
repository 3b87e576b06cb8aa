"""Rules for runs without network access."""

from __future__ import annotations

from collections.abc import Iterator

from kdrun.config.runtime import Tracker
from kdrun.config.schema import RunConfig
from kdrun.errors import Problem


def offline_problems(config: RunConfig) -> Iterator[Problem]:
    """Settings that need a network."""
    if config.offline and config.tracker not in (Tracker.none, Tracker.tensorboard):
        name = config.tracker.value
        text = f"tracker={name} talks to a server, and offline=true opens no socket; tracker=tensorboard writes files"
        yield Problem("tracker", name, text)
