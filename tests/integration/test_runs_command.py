"""`kdrun runs`: listed runs, and the status of runs that never ended."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kdrun.cli import main
from kdrun.cli.commands import runs
from kdrun.errors import ConfigError, DataError
from kdrun.reporting import ledger_query
from kdrun.reporting.ledger_query import RunFilters
from kdrun.storage.ledger import Status, status_of
from tests.helpers import forked

NOW = time.time()


def start(number: int, method: str = "kd", task: str = "sst2", *, age: float = 0.0, **keys: Any) -> dict[str, Any]:
    event = {
        "event": "start", "run_id": f"r{number}", "run_dir": f"out/r{number}", "method": method, "task": task,
        "preset": "smoke", "seed": number, "command": "kdrun", "started": NOW - age, "pid": os.getpid(),
    }  # fmt: skip
    return event | keys


def end(number: int, status: str = "done", **keys: Any) -> dict[str, Any]:
    event = {"event": "end", "run_id": f"r{number}", "status": status, "error": None, "seconds": 61.4}
    if status == "done":
        event |= {
            "data_name": "SST-2", "synthetic": False, "headline": {"metric": "accuracy", "split": "dev"},
            "teacher": None, "student": {"name": "s", "metrics": {"dev": {"accuracy": 0.81234}}}, "retention": 0.9087,
        }  # fmt: skip
    return event | keys


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    failed = end(2, "failed", error="DataError: no rows\nat line 3")
    return write(
        tmp_path / "outputs" / "ledger.jsonl",
        start(1, age=9000.0), end(1), start(2, "finetune", "rte", age=5000.0), failed,
        start(3, age=100.0, config={"experiment": "mini"}), end(3),
    )  # fmt: skip


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main.run(["runs", "format=json", *words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("ledger")
def test_the_list_shows_runs_and_reasons_of_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["runs"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "runs: 2 done, 1 failed"
    assert lines[1].split() == [
        "when",
        "method",
        "task",
        "preset",
        "seed",
        "status",
        "score",
        "retention",
        "time",
        "(s)",
        "run",
        "folder",
    ]
    first, second = lines[3].split(), lines[4].split()
    assert first[2:] == [
        "kd",
        "SST-2",
        "smoke",
        "1",
        "done",
        "81.2",
        "%",
        "dev",
        "accuracy",
        "90.9",
        "%",
        "61",
        "out/r1",
    ]
    assert second[2:] == ["finetune", "rte", "smoke", "2", "failed", "n/a", "n/a", "61", "out/r2"]
    assert lines[-1] == "r2 failed: DataError: no rows"


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["r1", "r2", "r3"]),
        (["status=done,failed", "method=kd"], ["r1", "r3"]),
        (["status=failed"], ["r2"]),
        (["task=rte,sst2", "seed=2,3"], ["r2", "r3"]),
        (["preset=paper"], []),
        (["experiment=mini"], ["r3"]),
        (["since=2h"], ["r2", "r3"]),
        (["since=30m"], ["r3"]),
        (["last=1"], ["r3"]),
        (["last=0"], ["r1", "r2", "r3"]),
    ],
)
def test_filters(capsys: pytest.CaptureFixture[str], words: list[str], expected: list[str]) -> None:
    assert [run["run_id"] for run in listed(capsys, *words)] == expected


@pytest.mark.usefixtures("ledger")
def test_what_is_left_out_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["runs", "last=1"]) == 0
    assert "2 older runs are not shown; last=0 shows all" in capsys.readouterr().out


@pytest.mark.usefixtures("ledger")
def test_nothing_that_fits_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["runs", "task=sst"]) == 0
    out = capsys.readouterr().out
    assert "none of the 3 runs in outputs/ledger.jsonl matches" in out
    assert "task=sst: no run has it; did you mean 'sst2'? (recorded: rte, sst2)" in out


def test_an_empty_ledger_names_the_command_that_makes_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["runs", f"output_dir={tmp_path}"]) == 0
    assert "no runs yet in" in (out := capsys.readouterr().out)
    assert "`kdrun method=kd task=sst2`" in out


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("status=dune", "expected one of .running, done, failed, interrupted, crashed"),
        ("since=yesterday", "since=yesterday"),
        ("ledger=nowhere.jsonl", "ledger=nowhere.jsonl"),
        ("last=-1", "last must be >= 0"),
        ("methods=kd", "did you mean 'method'"),
    ],
)
def test_invalid_arguments_are_an_error(word: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        runs.main([word])


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"event": "st')
    with pytest.raises(DataError, match=r"a\.jsonl is not a ledger"):
        ledger_query.ledger_runs(RunFilters(ledger=[str(tmp_path / "a.jsonl")]))


def test_ledgers_add_up_and_a_run_in_both_counts_once(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.jsonl", start(1), end(1))
    part = write(tmp_path / "b.jsonl", start(1, pid=None), start(2, age=5.0, pid=None))
    for names in ([whole, part], [part, whole]):
        runs = ledger_query.ledger_runs(RunFilters(ledger=[str(name) for name in names]))
        assert [(run["run_id"], run["status"]) for run in ledger_query.whole_records(runs)] == [
            ("r2", "crashed"),
            ("r1", "done"),
        ]


def test_a_run_without_an_end_is_running_while_its_process_is() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run = {"status": "running", "pid": child.pid, "started": time.time() + 1}
    assert status_of(run) is Status.running
    child.kill()
    child.communicate()
    assert status_of(run) is Status.crashed


def test_a_process_that_began_after_the_run_is_another() -> None:
    assert status_of({"status": "running", "pid": os.getpid(), "started": NOW - 1e6}) is Status.crashed
    assert status_of({"status": "failed", "pid": os.getpid(), "started": NOW}) is Status.failed


def test_nothing_here_imports_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from kdrun.cli import main\n"
        f"assert main.run(['runs', 'output_dir={tmp_path}']) == 0\n"
        f"assert main.run(['table', 'output_dir={tmp_path}']) == 1\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy'} & set(sys.modules); assert not heavy, heavy"
    )
    done = forked.without_torch().run(code)
    assert done.returncode == 0, done.stderr
