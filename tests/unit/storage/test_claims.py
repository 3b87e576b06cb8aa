"""Claims: one holder, dead holders, machines that share a disk."""

import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from kdrun.errors import ClaimLostError, DataError
from kdrun.storage import claim_files, claims, processes
from kdrun.storage.claims import Claim, HeldError, claimed, is_held
from kdrun.storage.files import append_jsonl, read_jsonl

ELSEWHERE = {"pid": 1, "process_started": 1.0, "host": "elsewhere", "boot": "other", "namespace": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "thing.lock"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leave(folder: Path, number: int = 1, silent: bool = True, **facts: Any) -> Path:
    """The file of a holder that another process left."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{number}.held.lock"
    path.write_text(json.dumps(ELSEWHERE | facts))
    if silent:
        then = time.time() - claims.INTERVAL * claims.DEAD_AFTER - 1
        os.utime(path, (then, then))
    return path


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "INTERVAL", 0.05)


def test_a_claim_has_one_holder_and_numbers_rise(folder: Path) -> None:
    first, second = Claim(folder), Claim(folder)
    first.acquire()
    with pytest.raises(HeldError):
        second.acquire(timeout=0)
    assert is_held(folder)
    first.release()
    assert not is_held(folder)
    second.acquire(timeout=0)
    assert names(folder) == ["2.held.lock"]
    second.release(forever=True)
    assert not folder.exists()


def test_a_dead_process_of_this_machine_is_succeeded_at_once(folder: Path) -> None:
    here = processes.process_facts() | processes.machine_facts()
    leave(folder, silent=False, **here | {"process_started": here["process_started"] - 100})
    assert not is_held(folder)
    Claim(folder).acquire(timeout=0)
    assert names(folder) == ["2.held.lock"]


def test_a_process_in_another_container_is_not_looked_up_by_its_id(folder: Path) -> None:
    here = processes.process_facts() | processes.machine_facts() | {"pid": 2**22 - 1, "namespace": "pid:[1]"}
    leave(folder, silent=False, **here)
    assert is_held(folder)
    with pytest.raises(HeldError):
        Claim(folder).acquire(timeout=0)


@pytest.mark.usefixtures("short")
def test_a_silent_machine_is_succeeded_after_two_more_intervals(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    leave(folder)
    assert not is_held(folder)
    started = time.monotonic()
    Claim(folder).acquire(timeout=0)
    assert time.monotonic() - started >= 2 * claims.INTERVAL
    assert names(folder) == ["2.held.lock"]
    assert "elsewhere" in caplog.text


@pytest.mark.usefixtures("short")
def test_a_machine_that_gives_a_sign_again_keeps_its_claim(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = leave(folder)
    monkeypatch.setattr(time, "sleep", lambda seconds: os.utime(path))
    with pytest.raises(HeldError):
        Claim(folder).acquire(timeout=0)
    assert names(folder) == ["1.held.lock"]


@pytest.mark.usefixtures("short")
def test_a_process_that_is_second_at_a_dead_holder_does_not_wait(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(folder)
    here = processes.process_facts() | processes.machine_facts()
    monkeypatch.setattr(time, "sleep", lambda seconds: leave(folder, 2, silent=False, **here))
    with pytest.raises(HeldError):
        Claim(folder).acquire(timeout=0)


def test_the_clock_of_the_disk_decides(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(folder, silent=False)
    monkeypatch.setattr(time, "time", lambda: 4e9)  # the clock of this machine is wrong
    assert is_held(folder)


def test_a_late_judgment_by_an_old_number_takes_nothing(folder: Path) -> None:
    """A process judged number 1 dead; before it creates number 2, others have taken 2 and 3."""
    late, holder = Claim(folder), Claim(folder)
    leave(folder, 3, silent=False)
    assert not late._create(folder / "2.held.lock")
    assert names(folder) == ["3.held.lock"]
    leave(folder, 3, silent=False, **processes.process_facts() | processes.machine_facts())
    with pytest.raises(HeldError):
        holder.acquire(timeout=0)


def test_a_holder_notices_that_it_was_succeeded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = Claim(folder)
    claim.acquire()
    claim.check()
    leave(folder, 2)
    claim.check()  # its last sign of life is recent, so the disk is not asked
    now = claims._seconds()
    monkeypatch.setattr(claims, "_seconds", lambda: now + claims.INTERVAL * claims.DEAD_AFTER)
    with pytest.raises(ClaimLostError, match=folder.parent.name):
        claim.check()
    claim.release()
    assert "2.held.lock" in names(folder)


@pytest.mark.usefixtures("short")
def test_signs_of_life_renew_the_time_of_the_file(folder: Path) -> None:
    claim = Claim(folder)
    claim.acquire()
    (path,) = folder.iterdir()
    os.utime(path, (1.0, 1.0))
    claim.beat()
    assert path.stat().st_mtime > 1.0
    claim.release()


def test_a_lock_file_of_an_older_version_is_replaced(folder: Path) -> None:
    folder.touch()
    assert not is_held(folder)
    with claimed(folder):
        assert is_held(folder)
    assert names(folder) == ["1.free.lock"]


def test_a_linked_lock_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is a link"), claimed(folder):
        pass


def test_a_full_disk_leaves_no_holder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OSError, match="No space"):
        Claim(folder).acquire()
    assert names(folder) == []


def append(path: Path, process: int) -> None:
    for line in range(20):
        append_jsonl(path, {"process": process, "line": line, "text": "x" * 2000})


def test_lines_of_several_processes_stay_whole_without_file_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=append, args=(path, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    rows = read_jsonl(path, {"process": int, "line": int})
    assert [row["line"] for row in rows if row["process"] == 1] == list(range(20))
    assert len(rows) == 60


def test_a_file_system_without_working_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert claim_files.find_problems(tmp_path) == []
    monkeypatch.setattr(claim_files.fcntl, "flock", lambda *_: None)
    (problem,) = claim_files.find_problems(tmp_path)
    assert "flock" in problem
    assert str(tmp_path) in problem
    assert list(tmp_path.iterdir()) == []
