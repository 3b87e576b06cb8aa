"""Rules for runs without network access."""

from __future__ import annotations

from collections.abc import Iterator

from kdrun.config.runtime import Tracker
from kdrun.config.schema import RunConfig


def offline_problems(config: RunConfig) -> Iterator[str]:
    """What a config asks for that takes a network by its nature."""
    if config.offline and config.tracker not in (Tracker.none, Tracker.tensorboard):
        name = config.tracker.value
        yield f"tracker={name} talks to a server, and offline=true opens no socket; tracker=tensorboard writes files"
