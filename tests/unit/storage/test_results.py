"""Ledger, identity and atomic writes."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from kdrun.config import compose, identity
from kdrun.config.schema import RunConfig
from kdrun.errors import DataError
from kdrun.runs import provenance
from kdrun.runs.run_dir import RunDirectory
from kdrun.storage import files, ledger, serialization
from kdrun.storage.ledger import read_comparisons, read_runs


def config(tmp_path: Path, *words: str) -> RunConfig:
    return compose.load_config([f"output_dir={tmp_path}/out", *words])


def test_ledger_filters_by_sweep(tmp_path: Path) -> None:
    for sweep in ("a", "b"):
        RunDirectory(config(tmp_path, f"sweep={sweep}")).open("kdrun")
    assert [run["sweep"] for run in ledger.read_ledger(tmp_path / "out", "b")] == ["b"]
    assert ledger.read_ledger(tmp_path / "elsewhere") == []


def test_lines_from_processes_side_by_side_stay_whole(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from kdrun.storage.files import append_jsonl as append_line\n"
        "for i in range(50): append_line(Path(sys.argv[1]), {'who': sys.argv[2], 'i': i, 'pad': 'x' * 5000})"
    )
    path = tmp_path / "ledger.jsonl"
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [child.wait() for child in children] == [0, 0]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((line["who"], line["i"]) for line in lines) == [(w, i) for w in "ab" for i in range(50)]


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    files.write_atomic(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_jsonl_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1, "text": "a\u2028b"}\n\n{"id": 2}', encoding="utf-8")
    assert files.read_jsonl(path, ["id"]) == [{"id": 1, "text": "a\u2028b"}, {"id": 2}]
    for line, problem in (("{", "not JSON"), ("[3]", r"\[3\]"), ('{"text": ""}', "lacks id"), ("\udcff", "not JSON")):
        path.write_text(f'{{"id": 1}}\n{line}\n', encoding="utf-8", errors="surrogateescape")
        with pytest.raises(DataError, match=rf"rows\.jsonl, line 2.*{problem}"):
            files.read_jsonl(path, ["id"])


def test_config_hash_ignores_where_and_sees_what(tmp_path: Path) -> None:
    base = identity.config_hash(config(tmp_path))
    assert base == identity.config_hash(compose.load_config([f"output_dir={tmp_path}/other", "debug=true"]))
    assert base != identity.config_hash(config(tmp_path, "seed=2"))
    assert base != identity.config_hash(config(tmp_path, "method.temperature=3"))


def test_provenance_names_versions_and_code(tmp_path: Path) -> None:
    made = provenance.provenance(config(tmp_path), "abc", "kdrun task=rte")
    assert set(made) == {
        "code", "git", "dirty", "python", "torch", "transformers", "config_hash", "data_hash", "command",
    }  # fmt: skip
    assert made["data_hash"] == "abc"


def test_code_digest_ignores_words_and_sees_code() -> None:
    plain_code = "def f(x):\n    return x + 1\n"
    told = '"""A module."""\n\n\ndef f(x):\n    """Adds one."""\n    # so it is\n    return x + 1\n'
    assert provenance._bare_code(plain_code) == provenance._bare_code(told)
    assert provenance._bare_code(plain_code) != provenance._bare_code(plain_code.replace("+ 1", "+ 2"))


def test_non_computing_names_are_rooms_or_modules() -> None:
    for name in provenance.NON_COMPUTING:
        path = provenance.PACKAGE / name
        assert path.is_file() if name.endswith(".py") else path.is_dir(), name


def test_comparisons_are_read_apart_from_runs_and_the_last_of_a_repeated_one_counts(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    for mean in (1, 2):
        files.append_jsonl(ledger, {"event": "comparison", "comparison_id": "a", "mean": mean})
    files.append_jsonl(ledger, {"event": "start", "run_id": "r"})
    assert [run["run_id"] for run in read_runs(ledger)] == ["r"]
    assert [(c["comparison_id"], c["mean"]) for c in read_comparisons(ledger)] == [("a", 2)]


def test_flatten_joins_keys_with_dots() -> None:
    nested = {"a": {"b": 1, "c": None}, "d": [1, 2], "e": {}}
    assert serialization.flatten(nested) == {"a.b": 1, "a.c": None, "d": [1, 2]}
    assert serialization.flatten(nested, keep_empty=True) == {"a.b": 1, "a.c": None, "d": [1, 2], "e": {}}


def test_a_line_that_nobody_finished_is_cut_off(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    files.append_jsonl(ledger, {"event": "start", "run_id": "a", "pad": "x" * 100_000})
    with ledger.open("a") as file:
        file.write('{"event": "start", "run_id": "b", "pad": "' + "x" * 100_000)
    files.append_jsonl(ledger, {"event": "start", "run_id": "c"})
    assert [run["run_id"] for run in read_runs(ledger)] == ["a", "c"]


def test_a_line_that_the_disk_has_no_room_for_leaves_nothing(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    files.append_jsonl(ledger, {"event": "start", "run_id": "a"})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.stat().st_size + 10, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            files.append_jsonl(ledger, {"event": "start", "run_id": "b"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [run["run_id"] for run in read_runs(ledger)] == ["a"]
