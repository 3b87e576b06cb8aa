"""Processes of ledger records."""

import os
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

from kdrun.storage import processes
from kdrun.storage.processes import is_alive, process_facts


def record(**changes: Any) -> dict[str, Any]:
    return {"started": time.time()} | process_facts() | changes


def test_this_process_is_alive() -> None:
    assert is_alive(record())


@pytest.mark.parametrize("shift", [-1e7, -60.0, 60.0, 1e7])
def test_a_clock_that_is_set_during_a_run_does_not_matter(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    run = record(started=time.time() + shift)
    assert is_alive(run)
    created, booted = psutil.Process.create_time, psutil.boot_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + shift)
    monkeypatch.setattr(psutil, "boot_time", lambda: booted + shift)
    assert is_alive(run)


def test_another_process_with_the_same_id_is_another() -> None:
    run = record()
    assert not is_alive(run | {"process_started": run["process_started"] - 5.0})
    assert not is_alive(run | {"boot": "another"} if run["boot"] else {"pid": None})


def test_records_of_older_versions_are_compared_by_the_clock() -> None:
    assert is_alive({"pid": os.getpid(), "started": time.time()})
    assert not is_alive({"pid": os.getpid(), "started": 1.0})
    assert is_alive({"pid": os.getpid(), "started": 1.0, "resumed": time.time()})


@pytest.mark.parametrize("pid", [None, 0, processes.MAX_PID - 1])
def test_no_process(pid: int | None) -> None:
    assert not is_alive({"pid": pid, "started": time.time()})


def test_a_process_that_ended_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = {"pid": child.pid, "started": time.time() + 1}
    assert is_alive(run)
    child.communicate(b"\n")
    assert not is_alive(run)
