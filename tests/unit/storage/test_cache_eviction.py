"""Eviction order of a full cache, and entries that always stay."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdrun.errors import ConfigError
from kdrun.storage import cache, cache_eviction, hashing
from tests.helpers.paths import ROOT


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "store"))
    monkeypatch.setenv(cache_eviction.LIMIT, "100KB")
    yield tmp_path / "store"
    cache_eviction.release_all()


def fetch(number: int, size: int = 30_000) -> bool:
    """Look an entry up; whether it was there."""
    return cache.fetch("toy", {"n": number}, lambda work: write(work, size), Path)[1]


def write(work: Path, size: int) -> None:
    (work / "data.bin").write_bytes(bytes(size))


def present(root: Path) -> set[int]:
    """Numbers of the entries that are there."""
    names = {hashing.digest({"n": number})[:24]: number for number in range(10)}
    return {names[entry.folder.name] for entry in cache_eviction.entries(root)}


def age(root: Path, number: int, seconds: float) -> None:
    mark = root / "toy" / f"{hashing.digest({'n': number})[:24]}.used"
    then = mark.stat().st_mtime - seconds
    os.utime(mark, (then, then))


def test_what_was_not_used_for_longest_goes_first(root: Path) -> None:
    for number in (1, 2, 3):
        fetch(number)
        age(root, number, 100 - number)
    assert fetch(1)  # the oldest, and now the last that was used
    cache_eviction.release_all()
    assert not fetch(4)
    assert present(root) == {1, 3, 4}
    assert not fetch(2), "it is made again"


def test_what_is_in_use_stays_even_above_the_limit(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2, 3, 4):
        fetch(number)
    assert present(root) == {1, 2, 3, 4}
    assert "holds 0.1 MB, more than KDRUN_CACHE_LIMIT=100KB" in caplog.text
    cache_eviction.release_all()
    fetch(5)
    assert present(root) == {3, 4, 5}


def test_what_another_process_has_in_use_stays_until_it_ends(root: Path) -> None:
    code = "from tests.unit.storage.test_cache_eviction import fetch; fetch(1); print('has it', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "has it\n"
        age(root, 1, 100)
        for number in (2, 3, 4):
            fetch(number)
            cache_eviction.release_all()
        assert present(root) == {1, 3, 4}
        other.kill()
    fetch(5)
    assert present(root) == {3, 4, 5}


def test_one_entry_larger_than_the_limit_is_used_all_the_same(root: Path) -> None:
    fetch(1)
    cache_eviction.release_all()
    fetch(2, size=200_000)
    assert present(root) == {2}
    assert fetch(2, size=200_000)


def test_without_a_limit_nothing_goes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache_eviction.LIMIT)
    for number in range(6):
        fetch(number)
        cache_eviction.release_all()
    assert present(root) == set(range(6))
    assert cache_eviction.evict(root) == []


@pytest.mark.parametrize(
    ("text", "size"), [("", None), ("500", 500), ("20GB", 20 * 10**9), ("1.5 mb", 1_500_000), ("2TB", 2 * 10**12)]
)
def test_a_limit_is_a_size(monkeypatch: pytest.MonkeyPatch, text: str, size: int | None) -> None:
    monkeypatch.setenv(cache_eviction.LIMIT, text)
    assert cache_eviction.cache_limit() == size


@pytest.mark.parametrize("text", ["much", "-1", "20 G", "GB"])
def test_an_invalid_size_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(cache_eviction.LIMIT, text)
    with pytest.raises(ConfigError, match=f"{cache_eviction.LIMIT}={text} is not a size"):
        cache_eviction.cache_limit()
