"""Valid overrides of the benchmarks of whole runs."""

import importlib
import sys
from pathlib import Path

import pytest

from benchmarks import budget, method_costs, own_rows, peer_runs
from benchmarks.blocks import block
from kdrun import registry
from kdrun.cli.explain import method_card
from kdrun.config import compose
from tests.helpers.paths import ROOT


@pytest.mark.parametrize("name", ["sweeps", "stream"])
def test_the_measured_runs_compose(name: str, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("A sentence. Another one.\n")
    module = importlib.import_module(f"benchmarks.{name}")
    overrides = [*module.RUN, *([f"corpus.dir={tmp_path}"] if name == "stream" else [])]
    assert compose.load_config(overrides).method.name in overrides[0]


def test_the_runs_of_budget_and_peers_compose(tmp_path: Path) -> None:
    shared = {"rows": "SST-2", "teacher": "t", "student": "s", "steps": 8, "eval_every": 4, "batch_size": 32}
    shared |= {"lr": 1e-3, "temperature": 2.0, "max_length": 128, "threads": 1, "pads_to_maximum": False}
    command = peer_runs.command_of(peer_runs.Settings(library="kdrun", **shared), tmp_path)
    for overrides in (command[3:], *budget.RUNS.values()):
        assert compose.load_config(overrides).method.name == "kd"


def test_times_of_peers_are_multiples_of_kdruns() -> None:
    ours = peer_runs.Finished([(2.0, 60.0), (4.0, 80.0)], wall=5.0, cpu=4.0, peak=500.0)
    theirs = peer_runs.Finished([(3.0, 50.0), (12.0, 70.0)], wall=15.0, cpu=12.0, peak=400.0)
    table = peer_runs.as_table([{"kdrun": ours, "other": theirs}])
    assert "time to 70.0 %" in table
    assert "| other | 70.0 % | 3.00x | 3.00x | 3.00x | 400 |" in table  # 12 s against 4 s, when kdrun had 80 %


def test_a_program_of_the_peers_prints_scores_and_reports_its_failure() -> None:
    line = "print('  teacher, train step 3: dev accuracy 90.0 %\\n  student, train step 4: dev accuracy 51.2 %  x')"
    finished = peer_runs.execute([sys.executable, "-c", line], {})
    assert [score for _, score in finished.scores] == [51.2]
    with pytest.raises(SystemExit, match="no such rows"):
        peer_runs.execute([sys.executable, "-c", "raise SystemExit('no such rows')"], {})


def test_both_sides_read_the_same_own_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    own_rows.write_rows(tmp_path / "train.csv", 25)
    (tmp_path / "dev.csv").write_text(own_rows.DEV)
    assert own_rows.read_with_kdrun(tmp_path / "train.csv") == 25
    assert own_rows.read_with_datasets(tmp_path / "train.csv") == 25


@pytest.mark.parametrize("name", registry.entries("method"))
def test_a_method_has_a_row_and_runs_that_compose(name: str) -> None:
    needs = method_costs.requirements(name)
    task = method_card.example(needs)
    assert not compose.validate_overrides([f"method={name}", *task.split()], multirun=False)
    assert compose.load_config(method_costs.overrides(name, task)).method.name == name
    assert (needs.domains, needs.only_text) == ("amazon" in task, "conll2003" in task)
    assert f"[`{name}`](reference/methods.md#{name})" in block(ROOT / "docs" / "methods.md", "methods")


def test_each_method_has_a_paper_or_none() -> None:
    cited = method_costs.papers()
    assert method_costs.CONTROL not in cited
    assert cited["crd"] == "Tian et al. 2020, arXiv 1910.10699"
    assert set(cited) <= set(registry.entries("method"))
    row = method_costs.row("gkd", [1.0, 3.0, 2.0], cited)
    assert row[1:] == [
        "Generalized knowledge distillation.", "Agarwal et al. 2024, arXiv 2306.13649",
        "teacher, labels, answers in text", "2.0 (1.0 … 3.0)",
    ]  # fmt: skip
