"""The driver and the comparisons of scripts/gpu_check, without its parts."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.cases import base
from benchmarks.gpu import check, correctness, findings, waits
from benchmarks.gpu.check import Part
from benchmarks.gpu.correctness import Steps
from benchmarks.gpu.findings import Finding, Findings
from kdrun.data import transfer
from tests.helpers.paths import ROOT

PASSED, FAILED, FACT = Finding("a", "1", "1", ok=True), Finding("b", "2", "1", ok=False), Finding("c", "3 | 4")
FACTS = {"device": "cpu", "gpus": [], "cuda": None, "python": "3.12.3", "packages": {"torch": "2", "transformers": "5"}}


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([Part("x", 1.0, "finished", [PASSED, FACT])], 0),
        ([Part("x", 1.0, "finished", [FAILED]), Part("y", 1.0, "finished", [PASSED])], 1),
        ([Part("x", 1.0, "stopped after 1 s", [PASSED]), Part("y", 1.0, "finished", [FAILED])], 2),
        ([Part("x", 1.0, "exit code 1: no such module")], 2),
    ],
)
def test_the_exit_code_names_the_worst_part(parts: list[Part], code: int) -> None:
    assert check.exit_code(parts) == code


def test_results_hold_every_part_and_finding(tmp_path: Path) -> None:
    check.write(tmp_path, FACTS, [Part("x", 1.5, "finished", [PASSED, FACT]), Part("y", 2.0, "stopped after 2 s")])
    content = json.loads((tmp_path / "results.json").read_text())
    assert [part["end"] for part in content["parts"]] == ["finished", "stopped after 2 s"]
    assert content["parts"][0]["found"][0] == {"name": "a", "value": "1", "target": "1", "ok": True}
    text = (tmp_path / "results.md").read_text()
    assert "| a | 1 | 1 | passed |" in text
    assert "3 \\| 4" in text
    assert "no GPU" in text


def test_a_part_that_is_stopped_keeps_its_findings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from benchmarks.gpu.findings import Findings; "
        "Findings(Path(sys.argv[-1])).add('a', '1', '1', True); time.sleep(60)"
    )
    popen = subprocess.Popen

    def start(command: list[str], **options: object) -> object:
        return popen([sys.executable, "-c", script, *command[3:]], **options)  # type: ignore[call-overload]

    monkeypatch.setattr(check.subprocess, "Popen", start)
    part = check.run("correctness", [], limit=3.0)
    assert (part.end, part.found) == ("stopped after 3 s", [PASSED])


def test_versions_below_the_bounds_are_marked() -> None:
    assert check._version("torch", ">=99,<100") == f"{torch.__version__} (pyproject.toml demands >=99,<100)"
    assert check._version("torch", ">=2,<3") == torch.__version__
    assert "scripts/gpu_wheels" in check._version("no-such-package", ">=1")


def test_differences_are_relative_to_the_reference() -> None:
    reference = Steps({"s": {"loss": 2.0, "gap": 0.0}}, {"s": torch.tensor([3.0, 4.0])})
    other = Steps({"s": {"loss": 2.1, "gap": 0.02}}, {"s": torch.tensor([3.0, 4.5])})
    assert correctness.differences(reference, other) == (pytest.approx(0.05), pytest.approx(0.1), "s")
    broken = Steps({"s": {"loss": float("nan"), "gap": 0.0}}, {"s": torch.tensor([3.0, 4.0])})
    assert correctness.differences(reference, broken)[0] == float("inf")
    assert correctness.differences(reference, Steps({}, {}))[:2] == (float("inf"), float("inf"))


def test_dropout_is_switched_off_everywhere() -> None:
    model = nn.TransformerEncoderLayer(4, 1, dropout=0.5).train()
    setattr(model, name := "attention_dropout", 0.3)
    correctness.without_dropout([model])
    x = torch.ones(2, 3, 4)
    assert torch.equal(model.dropout1(x), x)
    assert getattr(model, name) == 0.0


def test_operations_that_would_wait_for_a_gpu_are_counted() -> None:
    x = torch.arange(4.0)
    with waits.counted_waits("cpu") as places:
        float(x.sum())
        x[x > 1]
        x[torch.tensor([0, 1])]
        x.add(1)
    assert Counter(place.split()[-1] for place in places.elements()) == {"_local_scalar_dense": 1, "index": 1}


def test_a_kd_step_would_wait_nowhere_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = base.sizes(1, 16, 2)
    for name, value in {"vocab": 1200, "batch": 4, "rows": 64, "small": shape}.items():
        monkeypatch.setattr(base.SCALE, name, value)
    for is_gpu in (False, True):
        monkeypatch.setattr(transfer, "reads_wait", lambda device, is_gpu=is_gpu: is_gpu)
        side = waits.CASES["kd"]()
        side.run(2)
        with waits.counted_waits("cpu") as places:
            side.run(waits.STEPS)
        steady = {place for place, count in places.items() if count >= waits.STEPS}
        assert bool(steady) is not is_gpu, steady


@pytest.mark.parametrize(("rate", "ok"), [(1, False), (0.25, True)])
def test_only_places_that_wait_in_every_step_fail(rate: float, ok: bool, tmp_path: Path) -> None:
    waits.report(
        "kd", Counter({"kdrun/a.py:1 waits": int(rate * waits.STEPS)}), Findings(tmp_path / "f"), is_bound=True
    )
    assert [finding.ok for finding in findings.read(tmp_path / "f")] == [ok]


def test_the_parts_fit_into_eight_minutes() -> None:
    assert sum(check.PARTS.values()) <= 460
    assert all((ROOT / "benchmarks" / "gpu" / f"{name}.py").exists() for name in check.PARTS)


@pytest.mark.slow
def test_the_rehearsal_passes(tmp_path: Path) -> None:
    command = [ROOT / "scripts" / "gpu_check", "--device", "cpu", "--tiny", "--output", tmp_path]
    assert subprocess.run(command, check=False).returncode == 0
