"""Fixtures for model tests: a private cache and a build context."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from kdrun.data.corpus.corpora import Corpus
from kdrun.models.bundle import BuildContext
from tests.helpers.tiny_models import build_context, tiny_corpus


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A private cache and one thread."""
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def corpus() -> Corpus:
    return tiny_corpus()


@pytest.fixture
def context() -> Callable[..., BuildContext]:
    return build_context
