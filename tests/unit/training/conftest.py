"""Fixture of pretraining tests."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A private cache, one thread and all log messages."""
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    caplog.set_level(logging.INFO, "kdrun")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
