"""The cache: one build per entry, complete entries, verification on every read."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kdrun.errors import CacheError, PathError
from kdrun.storage import cache, hashing, manifest
from kdrun.storage.manifest import MANIFEST
from tests.helpers.paths import ROOT

KEY = {"rows": [1, 2], "lr": 0.1, "name": "é"}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "store"))
    return tmp_path / "store"


class Builder:
    """Writes two files and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        assert list(folder.iterdir()) == []
        (folder / "data.txt").write_text("hello")
        (folder / "deep").mkdir()
        (folder / "deep" / "more.bin").write_bytes(bytes(range(256)))


def entries(root: Path) -> list[str]:
    return sorted(p.name for p in (root / "toy").iterdir() if p.is_dir() and p.suffix != ".lock")


def test_built_once_then_a_hit() -> None:
    build = Builder()
    folder, hit = cache.fetch("toy", KEY, build, Path)
    again, second = cache.fetch("toy", dict(reversed(KEY.items())), build, Path)
    assert (hit, second, build.calls) == (False, True, 1)
    assert folder == again
    assert (folder / "data.txt").read_text() == "hello"


def test_an_entry_is_in_its_namespace_with_its_key(root: Path) -> None:
    folder, _ = cache.fetch("toy", KEY, Builder(), Path)
    assert folder.parent == root / "toy"
    manifest = json.loads((folder / MANIFEST).read_text())
    assert (manifest["kind"], manifest["key"]) == ("toy", KEY)
    assert {name: one["bytes"] for name, one in manifest["files"].items()} == {"data.txt": 5, "deep/more.bin": 256}
    assert entries(root) == [folder.name]


def test_another_key_or_kind_is_another_entry() -> None:
    build = Builder()
    folders = {cache.fetch(kind, key, build, Path)[0] for kind in ("toy", "other") for key in (KEY, {**KEY, "lr": 0.2})}
    assert len(folders) == build.calls == 4


def test_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache.cache_root() == tmp_path / "store"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for unset in (lambda: monkeypatch.setenv("KDRUN_CACHE", ""), lambda: monkeypatch.delenv("KDRUN_CACHE")):
        unset()
        assert cache.cache_root() == tmp_path / "home" / ".cache" / "kdrun"


def test_failing_build_leaves_nothing(root: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "data.txt").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cache.fetch("toy", KEY, fail, Path)
    assert entries(root) == []
    build = Builder()
    assert cache.fetch("toy", KEY, build, Path)[1] is False
    assert build.calls == 1


def truncate(folder: Path) -> None:
    os.truncate(folder / "deep" / "more.bin", 100)


def flip(folder: Path) -> None:
    path = folder / "deep" / "more.bin"
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)


def delete_file(folder: Path) -> None:
    (folder / "data.txt").unlink()


def delete_manifest(folder: Path) -> None:
    (folder / manifest.MANIFEST).unlink()


def cut_manifest(folder: Path) -> None:
    path = folder / manifest.MANIFEST
    path.write_text(path.read_text()[:40])


def foreign_manifest(folder: Path) -> None:
    (folder / manifest.MANIFEST).write_text("[1, 2]")


def key_of_another(folder: Path) -> None:
    path = folder / manifest.MANIFEST
    path.write_text(path.read_text().replace("0.1", "0.2"))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (truncate, "more.bin has 100 bytes, expected 256"),
        (flip, "more.bin does not match its checksum"),
        (delete_file, "data.txt is missing"),
        (delete_manifest, "manifest cannot be read"),
        (cut_manifest, "manifest cannot be read"),
        (foreign_manifest, "manifest cannot be read"),
        (key_of_another, "manifest has another key"),
    ],
)
def test_damage_is_seen_and_built_again(
    harm: Callable[[Path], None], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    build = Builder()
    folder, _ = cache.fetch("toy", KEY, build, Path)
    assert manifest.verify(folder) is None
    harm(folder)
    with caplog.at_level(logging.WARNING):
        again, hit = cache.fetch("toy", KEY, build, Path)
    assert (again, hit, build.calls) == (folder, False, 2)
    assert words in caplog.text
    assert "building it again" in caplog.text
    assert manifest.verify(folder) is None
    assert cache.fetch("toy", KEY, build, Path)[1] is True


def test_bytes_that_did_not_change_are_hashed_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = cache.fetch("toy", KEY, Builder(), Path)
    hashed: list[str] = []
    real = hashing.file_digest
    monkeypatch.setattr(manifest, "file_digest", lambda path: hashed.append(path.name) or real(path))
    for _ in range(3):
        cache.fetch("toy", KEY, Builder(), Path)
    assert hashed == ["data.txt", "more.bin"]
    flip(folder)
    assert cache.fetch("toy", KEY, Builder(), Path)[1] is False


def test_an_entry_that_goes_while_it_is_read_is_built_again() -> None:
    build = Builder()
    cache.fetch("toy", KEY, build, Path)
    removed_entries: list[Path] = []

    def read_entry(folder: Path) -> str:
        if not removed_entries:
            removed_entries.append(folder)
            shutil.rmtree(folder)
        return (folder / "data.txt").read_text()

    assert cache.fetch("toy", KEY, build, read_entry) == ("hello", False)
    assert build.calls == 2


def test_an_error_of_the_reader_is_raised_unchanged() -> None:
    def failing_reader(folder: Path) -> str:
        raise ValueError("no such table")

    with pytest.raises(ValueError, match="no such table"):
        cache.fetch("toy", KEY, Builder(), failing_reader)


def removed(folder: Path) -> None:
    shutil.rmtree(folder.parent)
    (folder / "data.txt").write_text("hello")


def removed_and_made_anew(folder: Path) -> None:
    (folder / "data.txt").write_text("hello")
    shutil.rmtree(folder.parent)
    (folder / "deep").mkdir(parents=True)  # as writers do that make their folder


@pytest.mark.parametrize("build", [removed, removed_and_made_anew])
def test_a_cache_removed_during_a_build_keeps_no_partial_entry(build: Callable[[Path], None], root: Path) -> None:
    with pytest.raises(CacheError, match="was deleted while it was built; run the same command again"):
        cache.fetch("toy", KEY, build, Path)
    assert not (root / "toy").exists() or entries(root) == []
    assert cache.fetch("toy", KEY, Builder(), Path)[1] is False


def test_a_build_that_lacks_a_file_names_the_file(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "data.txt").write_text((tmp_path / "corpus.txt").read_text())

    with pytest.raises(FileNotFoundError, match=r"corpus\.txt"):
        cache.fetch("toy", KEY, build, Path)


def test_an_entry_just_built_and_gone_is_not_built_twice() -> None:
    build = Builder()
    with pytest.raises(CacheError, match="was deleted while it was built"):
        cache.fetch("toy", KEY, build, lambda folder: shutil.rmtree(folder) or (folder / "data.txt").read_text())
    assert build.calls == 1  # it may train a model in place


def test_an_unusable_cache_path_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "file"))
    with pytest.raises(PathError, match="cannot be used; set KDRUN_CACHE"):
        cache.fetch("toy", KEY, Builder(), Path)


CHILD = """
import json, os, sys, time
from pathlib import Path
from kdrun.storage import cache

def build(folder):
    with open(sys.argv[1], "a") as file:
        file.write("built\\n")
    (folder / "data.txt").write_text("half")
    if sys.argv[2] == "die":
        os._exit(9)
    time.sleep(0.5)  # long enough that the other process arrives while this one builds
    (folder / "data.txt").write_text("whole")

folder, hit = cache.fetch("toy", {"n": 1}, build, Path)
print(json.dumps([(folder / "data.txt").read_text(), hit]))
"""


def start(marker: Path, what: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CHILD, str(marker), what]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


def test_processes_at_once_build_once(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    children = [start(marker, "build") for _ in range(3)]
    results = [json.loads(child.communicate(timeout=60)[0]) for child in children]
    assert marker.read_text() == "built\n"
    assert sorted(results) == [["whole", False], ["whole", True], ["whole", True]]


def test_a_process_that_dies_while_building_leaves_no_entry(tmp_path: Path, root: Path) -> None:
    dead = start(tmp_path / "marker", "die")
    dead.communicate(timeout=60)
    assert dead.returncode == 9
    (entry,) = entries(root)
    assert ".tmp-" in entry

    folder, hit = cache.fetch("toy", {"n": 1}, Builder(), Path)
    assert hit is False
    assert (folder / "data.txt").read_text() == "hello"
    assert cache.fetch("toy", {"n": 1}, Builder(), Path)[1] is True


def test_a_stale_temporary_folder_of_the_same_process_number_is_cleared(root: Path) -> None:
    stale = root / "toy" / f"{hashing.digest(KEY)[:24]}.tmp-{os.getpid()}"
    stale.mkdir(parents=True)
    (stale / "junk").write_text("old")
    folder, _ = cache.fetch("toy", KEY, Builder(), Path)
    assert not (folder / "junk").exists()
    assert entries(root) == [folder.name]


def test_digest_ignores_order_of_names_but_not_of_lists() -> None:
    assert hashing.digest({"a": 1, "b": {"c": 2, "d": 3}}) == hashing.digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert hashing.digest([1, 2]) != hashing.digest([2, 1])
    assert hashing.digest({"a": None}) != hashing.digest({})
    assert hashing.digest("1") != hashing.digest(1)


def test_digest_is_the_same_everywhere() -> None:
    # sha256 of {"a":[1,2.5,"\u00e9"]}
    expected = "a6ad892c597d17bff6efa1820950f43009d46c011c0d22e482f13f3f80997e4c"
    assert hashing.digest({"a": [1, 2.5, "é"]}) == expected


def test_digest_refuses_what_is_not_plain_data() -> None:
    with pytest.raises(TypeError):
        hashing.digest({"path": Path("x")})


def test_file_digest(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert hashing.file_digest(tmp_path / "empty") == expected


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), Exception("No such file or directory (os error 2)")])
def test_a_cache_that_is_deleted_during_a_build_is_a_sentence(error: Exception) -> None:
    def build(folder: Path) -> None:
        shutil.rmtree(cache.cache_root())
        raise error

    with pytest.raises(CacheError, match="was deleted while it was built"):
        cache.fetch("test", {"a": 1}, build, lambda folder: None)
