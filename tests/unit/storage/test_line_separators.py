"""Readers of JSON lines end a line at a line feed alone; texts may contain every other line separator."""

import json
from pathlib import Path

import pytest

from kdrun.config.task import TaskConfig
from kdrun.data.sources import generated_text
from kdrun.reporting.html.run_reader import FinishedRun
from kdrun.reporting.tables import publish
from kdrun.runs.run_dir import RunDirectory
from kdrun.storage import files
from kdrun.storage.ledger import read_comparisons, read_runs
from tests.helpers.finished_runs import predictions, result, samples
from tests.helpers.ledgers import comparison_line, end_line, start_line

SEPARATORS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029\r"
TEXT = f"a{'b'.join(SEPARATORS)}c"


def write(path: Path, *rows: object) -> Path:
    """JSON lines; JSON may contain the separators above U+001F as they are."""
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8", newline="")
    return path


def test_plain_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"text": TEXT}, {"text": "b"})
    assert files.read_jsonl(path, {"text": str}) == [{"text": TEXT}, {"text": "b"}]
    assert files.read_valid_jsonl(path, {"text": str}) == [{"text": TEXT}, {"text": "b"}]
    for separator in SEPARATORS.encode("utf-8").decode("latin1"):
        assert separator.encode("latin1") != b"\n"


def test_ledgers(tmp_path: Path) -> None:
    lines = [start_line("r", task=TEXT), end_line("r", "failed", error=TEXT), comparison_line("c", student=TEXT)]
    path = write(tmp_path / "ledger.jsonl", *lines)
    assert [(run["task"], run["error"]) for run in read_runs(path)] == [(TEXT, TEXT)]
    assert [record["student"] for record in read_comparisons(path)] == [TEXT]
    public = write(tmp_path / "public.jsonl", {"event": "run", "run_id": "old", "note": TEXT})
    assert publish.merge_into(public, [comparison_line("c", student="s")]) == (0, 1)


def test_files_of_a_run(tmp_path: Path) -> None:
    run = FinishedRun(tmp_path, result())  # pyright: ignore[reportArgumentType]
    write(tmp_path / "predictions.jsonl", *predictions(3, text=TEXT))
    sample = {**samples(1)[0], "original": TEXT}
    write(tmp_path / "samples.jsonl", sample)
    write(tmp_path / "metrics.jsonl", {"step": 1, "note": TEXT})
    assert [row["text"] for row in run.predictions] == [TEXT] * 3
    assert [row["original"] for row in run.samples] == [TEXT]
    assert [row["note"] for row in run.metrics] == [TEXT]


def test_samples_of_a_resumed_run(tmp_path: Path) -> None:
    from kdrun.config import compose

    folder = RunDirectory(compose.load_config([f"output_dir={tmp_path}", f"run_dir={tmp_path}/mine"]))
    folder.open("kdrun")
    folder.samples([{"step": 1, "text": "old"}, {"step": 2, "text": TEXT}])
    assert [row["text"] for row in folder.last_samples()] == [TEXT]
    folder.release()


@pytest.mark.parametrize("separator", list(SEPARATORS))
def test_generated_rows(separator: str, tmp_path: Path) -> None:
    task = TaskConfig(name="toy", text=["sentence"], labels=["no", "yes"])
    row = {"text": f"a{separator}b", "teacher": {"no": 0.25, "yes": 0.75}}
    path = write(tmp_path / "train.jsonl", row, row)
    split = generated_text.read_generated(str(path), task)
    assert split.table.column("text").to_pylist() == [f"a{separator}b"] * 2
