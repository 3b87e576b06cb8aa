"""The folder of a run: files, and runs that resume in it."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from kdrun import processor
from kdrun.config import compose, precision
from kdrun.config.schema import RunConfig
from kdrun.errors import ConfigError
from kdrun.runs import resume, run_dir
from kdrun.runs.run_dir import RunDirectory
from kdrun.storage import files
from kdrun.storage.ledger import Status, status_of
from tests.helpers.ledgers import read_ledger


def config(tmp_path: Path, *words: str) -> RunConfig:
    return compose.load_config([f"output_dir={tmp_path}/out", *words])


def result(score: float) -> Any:
    keys: dict[str, Any] = dict.fromkeys(("teacher", "time", "steps", "checkpoint", "provenance"))
    keys["headline"] = {"metric": "accuracy", "split": "dev"}
    keys["student"] = {"name": "small", "params": 9, "metrics": {"dev": {"accuracy": score}}}
    data = {"name": "sst2 (synthetic)", "synthetic": True}
    return {**keys, "method": "kd", "task": "sst2", "retention": score, "kdrun": "x", "data": data}


def begun(tmp_path: Path, *words: str) -> RunDirectory:
    """A run that was stopped."""
    folder = RunDirectory(config(tmp_path, f"run_dir={tmp_path}/mine", *words))
    folder.open(shlex.join(["kdrun", f"output_dir={tmp_path}/out", *words]))
    folder.record_environment({"data": "abc", "torch": "2"})
    folder.close("interrupted", error="stopped by SIGTERM")
    folder.release()
    return folder


def test_a_run_leaves_config_result_and_two_ledger_lines(tmp_path: Path) -> None:
    folder = RunDirectory(config(tmp_path))
    folder.open("kdrun")
    runs = read_ledger(tmp_path / "out")
    assert [run["status"] for run in runs] == ["running"]
    folder.log({"step": 1, "loss": float("nan")})
    folder.close("done", result(0.9))
    assert folder.path.parent == tmp_path / "out" / "kd" / "sst2"
    assert compose.to_config  # the config below is what the run was given
    assert "name: kd" in (folder.path / "config.yaml").read_text()
    assert json.loads((folder.path / "result.json").read_text())["retention"] == 0.9
    assert json.loads((folder.path / "metrics.jsonl").read_text()) == {"step": 1, "loss": None}
    (run,) = read_ledger(tmp_path / "out")
    assert (run["status"], run["method"], run["retention"], run["synthetic"]) == ("done", "kd", 0.9, True)
    assert len((tmp_path / "out" / "ledger.jsonl").read_text().splitlines()) == 2


def test_run_dir_must_be_empty(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("draft")
    with pytest.raises(ConfigError, match=r"mine is not an empty folder"):
        RunDirectory(config(tmp_path, f"run_dir={tmp_path}/mine"))


def test_a_stopped_run_resumes_as_one_run(tmp_path: Path) -> None:
    first = begun(tmp_path)
    again = RunDirectory(config(tmp_path, f"run_dir={tmp_path}/mine", "report=false", "checkpoint.every_seconds=1"))
    again.open("kdrun something else")
    assert (again.run_id, again.command) == (first.run_id, first.command)
    again.record_environment({"data": "abc", "torch": "2"})
    (run,) = read_ledger(tmp_path / "out")
    assert (run["status"], run["error"]) == ("running", None)
    assert status_of(run) is Status.running  # though this process is younger than the run
    again.close("done", result(0.9))
    again.release()
    (run,) = read_ledger(tmp_path / "out")
    assert (run["status"], run["retention"], run["command"]) == ("done", 0.9, first.command)
    assert not (tmp_path / "mine" / ".lock").exists()


def test_a_finished_run_returns_its_result_and_repairs_the_ledger(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    assert folder.result() is None
    files.write_atomic(folder.path / "result.json", json.dumps(result(0.8)))  # and died
    again = RunDirectory(config(tmp_path, f"run_dir={folder.path}"))
    stored = again.result()
    assert stored is not None
    assert stored["retention"] == 0.8
    (run,) = read_ledger(tmp_path / "out")
    assert run["status"] == "done"


def test_a_run_missing_from_the_ledger_is_added(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.ledger.unlink()
    again = RunDirectory(config(tmp_path, f"run_dir={folder.path}"))
    again.open("kdrun")
    again.release()
    (run,) = read_ledger(tmp_path / "out")
    assert (run["run_id"], run["method"], run["status"]) == (folder.run_id, "kd", "running")


def test_a_changed_config_is_an_error_with_the_difference(tmp_path: Path) -> None:
    begun(tmp_path)
    with pytest.raises(ConfigError) as error:
        RunDirectory(config(tmp_path, f"run_dir={tmp_path}/mine", "optim.lr=0.25", "seed=2"))
    assert error.value.problems[1:] == ["optim.lr was 0.001, now 0.25", "seed was 1, now 2"]
    with pytest.raises(ConfigError) as error:
        RunDirectory(config(tmp_path, f"run_dir={tmp_path}/mine", "method=mate_kd"))
    assert "method.name was kd, now mate_kd" in error.value.problems
    assert error.value.problems[-1].startswith("… and ")


def test_auto_on_a_machine_with_another_precision_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "GPU_NODES", ())
    monkeypatch.setattr(processor, "bf16_instructions", lambda: "amx_bf16")
    begun(tmp_path, "runtime.precision=auto")
    monkeypatch.setattr(processor, "bf16_instructions", lambda: None)
    with pytest.raises(ConfigError) as error:
        RunDirectory(config(tmp_path, f"run_dir={tmp_path}/mine", "runtime.precision=auto"))
    assert "(runtime.precision=bf16)" in error.value.problems[0]
    assert error.value.problems[1:] == ["runtime.precision was bf16, now fp32"]


def test_changed_code_or_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = begun(tmp_path)
    again = RunDirectory(config(tmp_path, f"run_dir={folder.path}"))
    with pytest.raises(ConfigError, match=r"data was abc, now def"):
        again.record_environment({"data": "def", "torch": "2"})
    monkeypatch.setattr(run_dir, "code_digest", lambda: "0123")
    with pytest.raises(ConfigError, match=r"code .*now 0123"):
        RunDirectory(config(tmp_path, f"run_dir={folder.path}"))


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    one, two = (RunDirectory(config(tmp_path, f"run_dir={folder.path}")) for _ in range(2))
    one.open("kdrun")
    with pytest.raises(ConfigError, match=f"another process .*{folder.path.name}"):
        two.open("kdrun")
    one.release()
    two.open("kdrun")
    two.release()


def test_a_folder_whose_run_died_before_it_began_is_free(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in (".lock", ".run.json.tmp-12"):
        (tmp_path / "mine" / name).write_text("")
    assert not RunDirectory(config(tmp_path, f"run_dir={tmp_path}/mine")).resuming


def test_logs_are_cut_back_to_where_they_stood(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    assert folder.log_sizes() == {}
    folder.log({"step": 1})
    folder.samples([{"step": 1, "text": "ä"}])
    then = folder.log_sizes()
    folder.log({"step": 2})
    folder.samples([{"step": 2, "text": "b"}, {"step": 2, "text": "c"}])
    assert [row["text"] for row in folder.last_samples()] == ["b", "c"]
    assert folder.missing_log_bytes(then) is None
    folder.truncate_logs(then)
    assert folder.log_sizes() == then
    assert [row["text"] for row in folder.last_samples()] == ["ä"]
    assert folder.missing_log_bytes({"metrics.jsonl": 99}) == f"metrics.jsonl has {then['metrics.jsonl']} bytes of 99"
    folder.truncate_logs({})
    assert folder.log_sizes() == {}
    assert folder.last_samples() == []


def test_a_resumed_run_uses_its_stored_overrides(tmp_path: Path) -> None:
    folder = begun(tmp_path, "optim.lr=0.01", f"run_dir={tmp_path}/elsewhere")
    overrides = [f"output_dir={tmp_path}/out", "optim.lr=0.01"]
    assert resume.expand_resume(["method=kd"]) == ["method=kd"]
    assert resume.expand_resume([f"resume={folder.path}"]) == [*overrides, f"run_dir='{folder.path}'"]
    changed = resume.expand_resume(["optim.lr=1", f"resume={folder.path}"])
    assert changed == [overrides[0], "optim.lr=1", f"run_dir='{folder.path}'"]
    assert compose.load_config(resume.expand_resume([f"resume={folder.path}"])).run_dir == str(folder.path)


def test_resume_needs_the_folder_of_one_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"resume=.*: .*run\.json"):
        resume.expand_resume([f"resume={tmp_path}"])
    folder = begun(tmp_path)
    with pytest.raises(ConfigError, match="name one folder"):
        resume.expand_resume([f"resume={folder.path}", f"resume={tmp_path}"])
