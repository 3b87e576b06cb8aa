"""A server of killable runs for the tests of resuming and of sweeps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.stress import killable_runs


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[killable_runs.Server]:
    """Forks a process per run; imports kdrun once per session."""
    with killable_runs.server(tmp_path_factory.mktemp("server"), shared_cache) as running:
        yield running
