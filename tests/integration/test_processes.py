"""Runs in several processes: equal to one process, shared sweeps, faults."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from safetensors.torch import load_file

from kdrun.cli import main
from kdrun.runs.launch import MEMBER
from kdrun.storage.files import read_jsonl
from tests.helpers import forked
from tests.helpers.paths import ROOT

ACCUMULATED = ["optim.batch_size=4", "optim.gradient_accumulation_steps=3", "optim.steps=3"]
SMALL = ["preset=smoke", "report=false", "student_alone=false", "teacher.allow_weak=true", *ACCUMULATED]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
METHODS = {
    "finetune": [],
    "kd": [],
    "kd_augment": ["method.reuse=2", "method.min_confidence=0.51"],
    "kd_freelb": [],
    "kd_ood": [],
    "mate_kd": ["method.generator_steps_per_cycle=1", "method.student_steps_per_cycle=1"],
    "zskd": ["method.generator_steps_per_cycle=1", "method.student_steps_per_cycle=1"],
    "dfkd_t3": ["method.generator_steps_per_cycle=1", "method.student_steps_per_cycle=1", "method.gradient=score"],
    "tinybert_kd": [],
    "minilm": [],
    "pkd": ["student.sizes.num_hidden_layers=2"],
    "crd": [],
    "sungen": [],
    "gkd": ["task=conll2003", "teacher=t5_smoke", "student=t5_smoke", "task.answer_tokens=6"],
}

DIFFERENCES = {"sungen": 1e-4}
"""Largest difference of weights where it is not 1e-6: differences of losses have fewer digits than gradients."""

WITH_TEXT = {"zskd", "dfkd_t3"}
"""Methods whose runs export generated text by default."""


def command(*args: str, torchrun: bool = False) -> list[str]:
    return [sys.executable, *(TORCHRUN if torchrun else []), "-m", "kdrun", *args]


def environment(cache: Path) -> dict[str, str]:
    return os.environ | {"KDRUN_CACHE": str(cache), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


def kdrun(cache: Path, *args: str, torchrun: bool = False) -> str:
    env = environment(cache)
    if torchrun:
        line = command(*args, torchrun=True)
        done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    else:  # processes that this one starts are new ones
        done = forked.with_libraries().run(forked.KDRUN, *args, env=env, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def largest_difference(one: Path, other: Path) -> float:
    a, b = (load_file(folder / "student" / "model.safetensors") for folder in (one, other))
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_two_processes_compute_the_run_of_one(
    tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(shared_cache))
    words = ["method=kd", "task=sst2", *SMALL, f"output_dir={tmp_path}"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert main.run([*words, f"run_dir={one}"]) == 0
    kdrun(shared_cache, *words, f"run_dir={two}", "runtime.devices=2")
    assert largest_difference(one, two) < 1e-6
    assert result(one)["steps"] == result(two)["steps"]
    assert result(one)["data"] == result(two)["data"]
    assert [result(folder)["provenance"]["processes"] for folder in (one, two)] == [1, 2]
    names = {path.relative_to(two).as_posix() for path in two.rglob("*")}
    assert names == {path.relative_to(one).as_posix() for path in one.rglob("*")}
    events = [(line["event"], line.get("status")) for line in read_jsonl(tmp_path / "ledger.jsonl", {"event": str})]
    assert events == [("start", None), ("end", "done")] * 2


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_in_processes_of_torchrun(tmp_path: Path, cache: Path, method: str) -> None:
    words = [f"method={method}", "task=sst2", *METHODS[method], *SMALL, f"output_dir={tmp_path}"]
    one, two = tmp_path / "one", tmp_path / "two"
    kdrun(cache, *words, f"run_dir={one}")
    kdrun(cache, *words, f"run_dir={two}", torchrun=True)
    assert largest_difference(one, two) < DIFFERENCES.get(method, 1e-6)
    files = [folder / "generated" / "train.jsonl" for folder in (one, two)]
    assert [file.exists() for file in files] == [method in WITH_TEXT] * 2
    if files[0].exists():
        texts, others = ([row["text"] for row in read_jsonl(file, {"text": str})] for file in files)
        assert texts == others


@pytest.mark.slow
def test_a_sweep_and_all_domains_in_processes_of_torchrun(tmp_path: Path, cache: Path) -> None:
    words = [*SMALL, f"output_dir={tmp_path}"]
    kdrun(cache, "-m", "method=finetune,kd", "task=sst2", "seed=1,2", *words, torchrun=True)
    kdrun(cache, "method=meta_kd", "task=amazon", "method.domain=all", "runtime.devices=2", *words)
    lines = read_jsonl(tmp_path / "ledger.jsonl", {"event": str})
    ends = [line["status"] for line in lines if line["event"] == "end"]
    assert ends == ["done"] * (4 + 4 + 1)


@pytest.mark.slow
def test_text_answers_in_two_processes(tmp_path: Path, cache: Path) -> None:
    words = ["method=kd", "task=conll2003", "teacher=t5_smoke", "student=t5_smoke", *SMALL, f"output_dir={tmp_path}"]
    one, two = tmp_path / "one", tmp_path / "two"
    kdrun(cache, *words, f"run_dir={one}")
    kdrun(cache, *words, f"run_dir={two}", "runtime.devices=2")
    assert largest_difference(one, two) < 1e-6
    assert (one / "predictions.jsonl").read_text() == (two / "predictions.jsonl").read_text()


def members(process: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    found = {}
    for child in psutil.Process(process.pid).children():
        if MEMBER in child.cmdline():
            found[child.environ().get("RANK", "")] = child
    return found


def started_run(folder: Path, cache: Path, *args: str, is_early: bool = False) -> subprocess.Popen[str]:
    """A long run in two processes that has saved a checkpoint, or whose processes have only just started."""
    words = [*SMALL, "optim.steps=100000", "checkpoint.every_seconds=0.5", "runtime.eval_every=50000", *args]
    process = subprocess.Popen(
        command("method=kd", "task=sst2", *words, f"output_dir={folder}", f"run_dir={folder / 'run'}"),
        cwd=ROOT,
        env=environment(cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    checkpoint, limit = folder / "run" / "checkpoints" / "last", time.monotonic() + 200
    while process.poll() is None and time.monotonic() < limit:
        if len(members(process)) == 2 if is_early else checkpoint.exists():
            break
        time.sleep(0.1)
    return process


@pytest.mark.slow
def test_a_killed_process_is_named_and_the_run_resumes_in_one(tmp_path: Path, cache: Path) -> None:
    process = started_run(tmp_path, cache, "runtime.devices=2")
    members(process)["1"].kill()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert "process 1 of 2 was killed by SIGKILL" in output
    ends = [line for line in read_jsonl(tmp_path / "ledger.jsonl", {"event": str}) if line["event"] == "end"]
    assert [end["status"] for end in ends] == ["failed"]
    assert "process 1 of 2" in ends[0]["error"]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["launcher", "0", "1"])
def test_a_signal_to_any_process_stops_all_at_one_step(tmp_path: Path, cache: Path, target: str) -> None:
    process = started_run(tmp_path, cache, "runtime.devices=2")
    (process if target == "launcher" else members(process)[target]).send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, output
    lines = read_jsonl(tmp_path / "ledger.jsonl", {"event": str})
    assert [line["status"] for line in lines if line["event"] == "end"] == ["interrupted"]
    state = json.loads((tmp_path / "run" / "checkpoints" / "last" / "state.json").read_text())
    assert state["step"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 2.0, 3.0, 4.0, 5.0])
def test_a_signal_to_the_first_process_while_it_starts_ends_the_run(
    tmp_path: Path, cache: Path, seconds: float
) -> None:
    process = started_run(tmp_path, cache, "runtime.devices=2", is_early=True)
    time.sleep(seconds)
    members(process)["0"].send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0, output


@pytest.mark.slow
def test_no_process_outlives_a_killed_launcher(tmp_path: Path, cache: Path) -> None:
    process = started_run(tmp_path, cache, "runtime.devices=2")
    others = list(members(process).values())
    process.kill()
    process.communicate(timeout=60)  # the pipe closes with the last process
    assert len(others) == 2
    gone, alive = psutil.wait_procs(others, timeout=20)
    assert len(gone) == 2, alive
