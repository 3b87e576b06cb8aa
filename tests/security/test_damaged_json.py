"""Damaged or crafted JSON in output folders: skipped and named, or an error of one sentence; never a traceback."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdrun.cli import main
from kdrun.errors import KdrunError
from kdrun.experiments import sweeps
from kdrun.reporting.html import report
from kdrun.storage.checkpoint_manager import STATE
from kdrun.storage.json_reader import parse_object
from kdrun.storage.ledger import read_comparisons, read_runs
from kdrun.storage.run_record import read_record
from tests.helpers.finished_runs import metrics, predictions, result, samples
from tests.helpers.ledgers import comparison_line, end_line, start_line

START, END, COMPARISON = start_line("r1"), end_line("r1"), comparison_line("c1")
ODD = [None, True, -1, 0, 10**400, 1e999, float("nan"), "", "\x1b[2J", "a\u2028b", [], [[]], {}, {"a": {"b": 1}}]
VALUES = st.sampled_from(ODD) | st.integers() | st.floats() | st.text(max_size=9)
SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def paths(value: Any) -> list[tuple[Any, ...]]:
    """The places of all values inside a value."""
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(key, *rest) for key, item in keys for rest in [(), *paths(item)]]


@st.composite
def changed(draw: st.DrawFn, valid: dict[str, Any]) -> bytes:
    """A valid object of which one value is missing or replaced, as JSON; or a part of the JSON."""
    value = copy.deepcopy(valid)
    *parents, key = draw(st.sampled_from(paths(value)))
    place: Any = value
    for parent in parents:
        place = place[parent]
    if draw(st.booleans()):
        place[key] = draw(VALUES)
    else:
        del place[key]
    content = json.dumps(value).encode()
    return content[: draw(st.integers(1, len(content)))] if draw(st.integers(0, 9)) == 0 else content


def error_of(call: Callable[[], object], default: str) -> str:
    """The error of a call that the user can fix; the default without one."""
    try:
        call()
    except KdrunError as error:
        return str(error)
    return default


def ends_well(*args: str) -> None:
    assert main.run(list(args)) in (0, 1, 2)


@SETTINGS
@given(line=changed(START) | changed(END) | changed(COMPARISON))
def test_a_changed_ledger_line(line: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ledger.jsonl"
    lines = [START | {"run_id": "first"}, END | {"run_id": "first"}, comparison_line("first"), START]
    path.write_bytes(b"".join(json.dumps(record).encode() + b"\n" for record in lines) + line + b"\n")
    assert "first" in {run["run_id"] for run in read_runs(path)}
    assert "first" in {record["comparison_id"] for record in read_comparisons(path)}
    for args in (["runs"], ["runs", "last=0", "format=json"], ["runs", "status=running,crashed"], ["table"]):
        ends_well(*args, f"ledger={path}")
    for of in ("verdicts", "arms", "domains", "text"):
        ends_well("table", f"of={of}", "format=latex", f"ledger={path}")
    ends_well("table", f"export={tmp_path / 'public.jsonl'}", f"ledger={path}")
    (tmp_path / "public.jsonl").unlink(missing_ok=True)
    output = "".join(capsys.readouterr())
    assert "\x1b" not in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("[1]", "object"),
        ("[" * 100_000, "nested too deeply"),
        ('{"event": "end", "run_id": "r0", "status": "done", "error": "\\ud800"}', "half of a character"),
        ('{"event": "end", "run_id": "gone", "status": "done"}', "run gone has no start line"),
        ('{"event": "party", "run_id": "r1"}', "event is 'party'"),
        (json.dumps(START | {"pid": -1}), "pid must be a process id, got -1"),
        (json.dumps(START | {"status": "fine"}), "status must be one of running, done"),
        (json.dumps(START | {"command": "kdrun 'method=kd"}), "closed quotes"),
        (json.dumps(START | {"started": 1e300}), "started must be a time"),
        (json.dumps({"event": "start", "run_id": "r1"}), "started is missing"),
        (json.dumps(END | {"run_id": "r0", "student": {"name": "s", "metrics": {}}}), "no accuracy on dev"),
    ],
)
def test_a_bad_line_is_skipped_and_named(
    line: str, problem: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ledger.jsonl"
    good = START | {"run_id": "good"}
    path.write_text(f"{json.dumps(good)}\n{json.dumps(good | {'run_id': 'r0'})}\n{line}\n")
    assert main.run(["runs", f"ledger={path}", "format=json"]) == 0
    assert {run["run_id"] for run in json.loads(capsys.readouterr().out)} == {"good", "r0"}
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{path}: 1 line skipped: line 3: ")
    assert problem in message


def test_a_run_with_a_damaged_end_line_is_listed_without_a_result(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(f"{json.dumps(START)}\n{json.dumps(END | {'student': None})}\n")
    assert [(run["run_id"], run["status"]) for run in read_runs(path)] == [("r1", "running")]


RECORD = START | {"run_id": "20260101-000000-abcdef"}
CELL = {"id": "0" * 16, "label": "seed=1", "words": ["seed=1"], "identity": {"method": {"name": "kd"}}, "problems": []}


@SETTINGS
@given(run=changed(RECORD), sweep=changed({"code": "c", "cells": [CELL, CELL]}))
def test_changed_records_of_runs_and_sweeps(run: bytes, sweep: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(run)
    (tmp_path / "sweep.json").write_bytes(sweep)
    for read in (read_record, sweeps.load):
        assert str(tmp_path) in error_of(lambda read=read: read(tmp_path), str(tmp_path))


@settings(SETTINGS, max_examples=12)
@given(
    content=changed(result()),
    metric=changed(metrics()[0]),
    prediction=changed(predictions(1)[0]),
    sample=changed(samples(1)[0]),
    takes=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_a_changed_run_folder_has_a_page_or_an_error(
    content: bytes, metric: bytes, prediction: bytes, sample: bytes, takes: list[bool], tmp_path: Path
) -> None:
    (tmp_path / "result.json").write_bytes(content if takes[0] else json.dumps(result()).encode())
    files = {"metrics": (metric, metrics()), "predictions": (prediction, predictions()), "samples": (sample, samples())}
    for (name, (line, rows)), taken in zip(files.items(), takes[1:], strict=True):
        text = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_bytes(text + (line + b"\n" if taken else b""))
    assert "result.json" in error_of(lambda: report.write_run_report(tmp_path), "result.json")


STATE_OF_A_TRAINING = {
    "phase": "train", "step": 3, "number": 0, "taken": {"student": 3}, "is_pending": False, "still_zero": {"s": ["a"]},
    "tallies": {"student": {"count": 1, "seconds": 0.5, "last": {}}}, "optimizers": {"student": {}}, "method": {},
    "outcome": {}, "journal": {"logs": {"metrics.jsonl": 9}, "seconds": 1.0, "tracked": None},
}  # fmt: skip


@SETTINGS
@given(changed(STATE_OF_A_TRAINING))
def test_a_changed_state_of_a_checkpoint(content: bytes) -> None:
    try:
        state = parse_object(content, STATE)
    except ValueError:
        return
    assert isinstance(state["phase"], str)
    assert all(size >= 0 for size in state["journal"].get("logs", {}).values())
