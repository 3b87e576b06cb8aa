"""Atomic writes, appended lines and JSONL files."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kdrun.errors import DataError
from kdrun.storage import files, ledger
from tests.helpers.ledgers import start_line


def test_concurrent_appends_never_mix_lines(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from kdrun.storage.files import append_jsonl\n"
        "for i in range(50): append_jsonl(Path(sys.argv[1]), {'process': sys.argv[2], 'i': i, 'pad': 'x' * 5000})"
    )
    path = tmp_path / "ledger.jsonl"
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [child.wait() for child in children] == [0, 0]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((line["process"], line["i"]) for line in lines) == [(name, i) for name in "ab" for i in range(50)]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    files.write_atomic(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_an_unfinished_last_line_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    files.append_jsonl(path, start_line("a", pad="x" * 100_000))
    with path.open("a") as file:
        file.write('{"event": "start", "run_id": "b", "pad": "' + "x" * 100_000)
    files.append_jsonl(path, start_line("c"))
    assert [run["run_id"] for run in ledger.read_runs(path)] == ["a", "c"]


def test_a_line_that_does_not_fit_on_disk_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    files.append_jsonl(path, start_line("a"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            files.append_jsonl(path, {"event": "start", "run_id": "b"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [run["run_id"] for run in ledger.read_runs(path)] == ["a"]


def test_jsonl_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1, "text": "a\u2028b"}\n\n{"id": 2}', encoding="utf-8")
    assert files.read_jsonl(path, {"id": int}) == [{"id": 1, "text": "a\u2028b"}, {"id": 2}]
    for line, problem in (
        ("{", "not JSON"),
        ("[3]", r"\[3\]"),
        ('{"text": ""}', "id is missing"),
        ("\udcff", "not JSON"),
    ):
        path.write_text(f'{{"id": 1}}\n{line}\n', encoding="utf-8", errors="surrogateescape")
        with pytest.raises(DataError, match=rf"rows\.jsonl, line 2.*{problem}"):
            files.read_jsonl(path, {"id": int})
