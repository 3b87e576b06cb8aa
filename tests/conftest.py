"""Settings of the test session: one private cache, no hub."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

NEW_MODULES = 50
"""Modules that a test may import before what lives is frozen again."""
frozen_modules = [0]
"""Modules of Python that were imported at the last freeze."""


def freeze() -> None:
    """Take what lives, mostly code of libraries, out of the collections at the end of every run."""
    gc.collect()
    gc.freeze()
    frozen_modules[0] = len(sys.modules)


@pytest.fixture(scope="module", autouse=True)
def fast_garbage_collection() -> None:
    """Leave what lives before a module out of collections."""
    freeze()


@pytest.fixture(autouse=True)
def fast_garbage_collection_after_imports() -> Iterator[None]:
    """Leave libraries that the first test of a module has imported out of collections in the others."""
    yield
    if len(sys.modules) > frozen_modules[0] + NEW_MODULES:
        freeze()


@pytest.fixture(autouse=True)
def fresh_accelerator_state() -> Iterator[None]:
    """Accelerate keeps device and precision per process: what one test set must not reach the next."""
    yield
    state = sys.modules.get("accelerate.state")
    if state is not None:
        for shared in (state.AcceleratorState, state.GradientState, state.PartialState):
            shared._reset_state()


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the runs of a session, so that vocabularies and tiny teachers are made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_the_user(shared_cache: Path) -> Iterator[None]:
    """The session's cache where a test chooses none: the hash of the code is cached too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(shared_cache))
        yield


@pytest.fixture
def run_env(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session's cache, one thread, no hub."""
    monkeypatch.setenv("KDRUN_CACHE", str(shared_cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of tests/integration, so that `-m integration` and `-m 'not integration'` choose by kind."""
    for item in items:
        if "integration" in item.path.relative_to(Path(__file__).parent).parts:
            item.add_marker("integration")
