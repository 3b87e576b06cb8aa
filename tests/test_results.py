"""Run folder, ledger and atomic writes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kdrun import compose, results
from kdrun.config import Config
from kdrun.errors import ConfigError


def config(tmp_path: Path, *words: str) -> Config:
    return compose.load([f"output_dir={tmp_path}/out", *words])


def result(score: float) -> dict[str, Any]:
    keys = dict.fromkeys(("headline", "teacher", "student", "retention", "time", "steps", "checkpoint", "provenance"))
    return {**keys, "retention": score, "kdrun": "x", "data": {"name": "sst2 (synthetic)", "synthetic": True}}


def test_a_run_leaves_config_result_and_two_ledger_lines(tmp_path: Path) -> None:
    folder = results.RunFolder(config(tmp_path))
    folder.open("kdrun")
    runs = results.read_ledger(tmp_path / "out")
    assert [run["status"] for run in runs] == ["running"]
    folder.log({"step": 1, "loss": float("nan")})
    folder.close("done", result(0.9))
    assert folder.path.parent == tmp_path / "out" / "kd" / "sst2"
    assert compose.to_config  # the config below is what the run was given
    assert "name: kd" in (folder.path / "config.yaml").read_text()
    assert json.loads((folder.path / "result.json").read_text())["retention"] == 0.9
    assert json.loads((folder.path / "metrics.jsonl").read_text()) == {"step": 1, "loss": None}
    (run,) = results.read_ledger(tmp_path / "out")
    assert (run["status"], run["method"], run["retention"], run["synthetic"]) == ("done", "kd", 0.9, True)
    assert len((tmp_path / "out" / "ledger.jsonl").read_text().splitlines()) == 2


def test_run_dir_must_be_empty(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear")
    with pytest.raises(ConfigError, match=r"mine is not an empty folder"):
        results.RunFolder(config(tmp_path, f"run_dir={tmp_path}/mine"))


def test_ledger_filters_by_sweep(tmp_path: Path) -> None:
    for sweep in ("a", "b"):
        results.RunFolder(config(tmp_path, f"sweep={sweep}")).open("kdrun")
    assert [run["sweep"] for run in results.read_ledger(tmp_path / "out", "b")] == ["b"]
    assert results.read_ledger(tmp_path / "elsewhere") == []


def test_lines_from_processes_side_by_side_stay_whole(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from kdrun.results import append_line\n"
        "for i in range(50): append_line(Path(sys.argv[1]), {'who': sys.argv[2], 'i': i, 'pad': 'x' * 5000})"
    )
    path = tmp_path / "ledger.jsonl"
    children = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "ab"]
    assert [child.wait() for child in children] == [0, 0]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((line["who"], line["i"]) for line in lines) == [(w, i) for w in "ab" for i in range(50)]


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    results.write_atomic(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        results.write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_config_hash_ignores_where_and_sees_what(tmp_path: Path) -> None:
    base = results.config_hash(config(tmp_path))
    assert base == results.config_hash(compose.load([f"output_dir={tmp_path}/other", "debug=true"]))
    assert base != results.config_hash(config(tmp_path, "seed=2"))
    assert base != results.config_hash(config(tmp_path, "method.temperature=3"))


def test_provenance_names_versions_and_code(tmp_path: Path) -> None:
    made = results.provenance(config(tmp_path), "abc", "kdrun task=rte")
    assert set(made) == {
        "code", "git", "dirty", "python", "torch", "transformers", "config_hash", "data_hash", "command",
    }  # fmt: skip
    assert made["data_hash"] == "abc"


def test_code_digest_ignores_words_and_sees_code() -> None:
    plain_code = "def f(x):\n    return x + 1\n"
    told = '"""A module."""\n\n\ndef f(x):\n    """Adds one."""\n    # so it is\n    return x + 1\n'
    assert results._bare_code(plain_code) == results._bare_code(told)
    assert results._bare_code(plain_code) != results._bare_code(plain_code.replace("+ 1", "+ 2"))


def test_readers_are_modules_and_nothing_that_computes_needs_them() -> None:
    """Only the entrypoint (to report, check, track), assembly (trackers) and those that print may import one."""
    here = Path(results.__file__).parent
    for name in results.READERS:
        assert (here / f"{name}.py").exists() or (here / name).is_dir(), name
    talkers = {"train.py", "assembly.py", "domain_runs.py", "schooling.py", "summary.py", "__main__.py"}
    for path in here.rglob("*.py"):
        own = path.relative_to(here)
        if own.parts[0].removesuffix(".py") in results.READERS or own.as_posix() in talkers:
            continue
        found = set(re.findall(r"from kdrun(?:\.| import )(\w+)", path.read_text())) & set(results.READERS)
        assert not found, f"{own} imports {found}"


def test_comparisons_are_read_apart_from_runs_and_the_last_of_a_repeated_one_counts(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    for mean in (1, 2):
        results.append_line(ledger, {"event": "comparison", "comparison_id": "a", "mean": mean})
    results.append_line(ledger, {"event": "start", "run_id": "r"})
    assert [run["run_id"] for run in results.read_runs(ledger)] == ["r"]
    assert [(c["comparison_id"], c["mean"]) for c in results.read_comparisons(ledger)] == [("a", 2)]
