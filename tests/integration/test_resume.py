"""Resume after a kill at a random optimizer step, against an undisturbed run."""

import json
import random
import resource
import shutil
import signal
from pathlib import Path

import pytest

from benchmarks.stress import killable_runs
from kdrun import registry
from kdrun.storage import checkpoint_files
from tests.helpers.ledgers import read_ledger

METHODS = [m for m, entry in registry.entries("method").items() if entry.target.__module__.startswith("kdrun.")]
SOME = ("mate_kd",)
"""Two roles in turns, with samples; the others are slow tests. `test_trainer_resume.py` has every kind of phase."""


def annealed_kd(folder: Path) -> list[str]:
    """A run of kd whose loss depends on the number of the step."""
    return [*killable_runs.overrides("kd", folder), "method.temperature=4", "method.temperature_end=1"]


@pytest.fixture(scope="module")
def whole_kd(server: killable_runs.Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What an undisturbed run of kd leaves."""
    folder = tmp_path_factory.mktemp("kd")
    return undisturbed(server, annealed_kd(folder), folder / "whole")


def undisturbed(server: killable_runs.Server, words: list[str], folder: Path) -> dict[str, object]:
    assert server.run(*words, f"run_dir={folder}") == 0, server.output
    return killable_runs.outputs(folder)


def all_steps(folder: Path) -> int:
    return sum(json.loads((folder / "result.json").read_text())["steps"].values())


@pytest.mark.parametrize("method", [pytest.param(m, marks=() if m in SOME else pytest.mark.slow) for m in METHODS])
def test_a_run_killed_at_any_step_resumes_with_equal_results(
    method: str, server: killable_runs.Server, tmp_path: Path
) -> None:
    words = killable_runs.overrides(method, tmp_path)
    expected = undisturbed(server, words, tmp_path / "whole")
    at = random.SystemRandom().randint(1, all_steps(tmp_path / "whole"))
    killed = [*words, f"run_dir={tmp_path}/killed"]
    assert server.run(*killed, at=at) == -signal.SIGKILL
    assert not (tmp_path / "killed" / "result.json").exists()
    # by its folder, or by the same command
    again = [f"resume={tmp_path}/killed"] if at % 2 else killed
    assert server.run(*again) == 0, (at, server.output)
    assert killable_runs.differences(killable_runs.outputs(tmp_path / "killed"), expected) == [], at
    runs = read_ledger(tmp_path)
    assert [run["status"] for run in runs] == ["done", "done"]
    assert {p.name for p in (tmp_path / "killed" / "checkpoints").iterdir()} == {"best", "last"}
    assert server.run(*again) == 0
    assert f"{tmp_path}/killed already holds the finished result" in server.output


def test_sigterm_saves_and_leaves_with_its_code_and_a_damaged_checkpoint_is_skipped(
    server: killable_runs.Server, tmp_path: Path, whole_kd: dict[str, object]
) -> None:
    words, stopped = annealed_kd(tmp_path), tmp_path / "stopped"
    # no checkpoint is due
    code = server.run(*words, f"run_dir={stopped}", "checkpoint.every_seconds=1e9", at=3, with_signal=signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert f"kdrun resume={stopped}" in server.output
    last = stopped / "checkpoints" / "last"
    assert checkpoint_files.read_checkpoint(last).state["step"] == 3
    (run,) = [run for run in read_ledger(tmp_path) if run["run_dir"] == str(stopped)]
    assert (run["status"], run["error"]) == ("interrupted", "stopped by SIGTERM")
    assert server.run(f"resume={stopped}", at=2, with_signal=signal.SIGUSR1) == 128 + signal.SIGUSR1
    assert [
        checkpoint_files.read_checkpoint(folder).state["step"] for folder in checkpoint_files.list_checkpoints(last)
    ] == [5, 3]
    raw = (last / "optimizer.student.safetensors").read_bytes()
    (last / "optimizer.student.safetensors").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert server.run(f"resume={stopped}", "optim.lr=0.5") == 2
    assert "optim.lr was 0.0005, now 0.5" in server.output
    assert server.run(f"resume={stopped}") == 0, server.output
    assert "optimizer.student.safetensors does not match its checksum" in server.output
    assert killable_runs.differences(killable_runs.outputs(stopped), whole_kd) == []


def test_a_full_disk_is_reported_and_loses_nothing(
    server: killable_runs.Server, tmp_path: Path, whole_kd: dict[str, object]
) -> None:
    """A limit on file sizes imitates a full disk: only the logs can be written."""
    run = [*annealed_kd(tmp_path), f"run_dir={tmp_path}/full"]
    assert server.run(*run, at=4) == -signal.SIGKILL
    size = (tmp_path / "full" / "checkpoints" / "last" / "model.safetensors").stat().st_size
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size - 1, before[1]))
    try:
        assert server.run(f"resume={tmp_path}/full") == 1
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
    assert "could not be written" in server.output
    assert "the last checkpoint is from phase 'train', step 3" in server.output
    assert f"kdrun resume={tmp_path}/full" in server.output
    assert "Traceback" not in server.output
    assert server.run(f"resume={tmp_path}/full") == 0, server.output
    assert killable_runs.differences(killable_runs.outputs(tmp_path / "full"), whole_kd) == []


@pytest.mark.slow
def test_teacher_training_resumes_to_the_same_teacher(tmp_path: Path, shared_cache: Path) -> None:
    results = {}
    for name, at in (("whole", 0), ("killed", random.SystemRandom().randint(1, 4))):
        cache = tmp_path / f"cache-{name}"
        shutil.copytree(shared_cache, cache, ignore=shutil.ignore_patterns("teachers", "logits"))
        with killable_runs.server(tmp_path, cache) as server:
            words = [*killable_runs.overrides("kd", tmp_path), f"run_dir={tmp_path}/{name}"]
            if at:
                assert server.run(*words, at=at) == -signal.SIGKILL
            assert server.run(*words) == 0, server.output
        (teacher,) = (cache / "teachers").glob("*/model.safetensors")
        results[name] = teacher.read_bytes(), killable_runs.outputs(tmp_path / name)
        assert {p.name for p in (tmp_path / name / "checkpoints").iterdir()} == {"best", "last"}
    assert results["whole"][0] == results["killed"][0]
    assert killable_runs.differences(results["whole"][1], results["killed"][1]) == []


@pytest.mark.slow
def test_a_run_of_all_domains_resumes_in_the_killed_domain(server: killable_runs.Server, tmp_path: Path) -> None:
    words = ["task=amazon", "method.domain=all", "teacher.domain_strategy=mixed"]
    words = [*(w for w in killable_runs.overrides("tinybert_kd", tmp_path) if w != "task=sst2"), *words]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert server.run(*words, f"run_dir={whole}") == 0, server.output
    assert server.run(*words, f"run_dir={killed}", at=8) == -signal.SIGKILL  # 6 steps a domain
    assert server.run(f"resume={killed}") == 0, server.output
    assert "books, reused, " in server.output
    assert (whole / "predictions.jsonl").read_text() == (killed / "predictions.jsonl").read_text()
    for domain in ("books", "dvd", "electronics", "kitchen"):
        parts = [killable_runs.outputs(folder / "domains" / domain) for folder in (whole, killed)]
        assert killable_runs.differences(*parts) == [], domain
    assert [run["status"] for run in read_ledger(tmp_path)] == ["done", "done"]
