"""Fixtures for model tests: a small corpus, a private cache, a build context."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kdrun.config.task import TaskConfig
from kdrun.data.corpus.corpora import Corpus
from kdrun.models.bundle import BuildContext
from tests.helpers.tiny_models import MNLI, corpus_lines


@pytest.fixture
def corpus() -> Corpus:
    return Corpus("nouns", True, corpus_lines, lambda: "f" * 64)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own, no hub, one thread."""
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def context(corpus: Corpus) -> Callable[..., BuildContext]:
    def make(role: str = "student", task: TaskConfig = MNLI, **more: Any) -> BuildContext:
        return BuildContext(role, task, more.pop("corpus", lambda: corpus), more.pop("seed", 1), **more)

    return make
