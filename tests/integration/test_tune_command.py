"""Searches of tiny real runs: resume, pruned and failed trials, the comparison with the default."""

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from kdrun.cli import main
from kdrun.cli.commands import tune
from kdrun.errors import TrainingError
from kdrun.experiments.tune import study
from kdrun.reporting.html.run_reader import read_comparison
from kdrun.runs import runner
from kdrun.storage.ledger import read_runs
from kdrun.storage.search_record import SearchRecord, read_search

RUN = ["method=kd", "task=sst2", "preset=smoke", "teacher.allow_weak=true", "sweep=mine", "report=false"]
SPACE = "space={optim.lr: log[1e-4, 1e-2]}"

Tune = Callable[..., tuple[int, SearchRecord]]


@pytest.fixture
def search(tmp_path: Path, run_env: None) -> Tune:
    """Run a search below tmp_path; return the exit code and its record."""

    def go(*args: str) -> tuple[int, SearchRecord]:
        code = tune.main([*RUN, SPACE, f"output_dir={tmp_path}", *args])
        return code, read_search(tmp_path / "sweeps" / "mine")

    return go


def test_a_search_compares_its_best_values_over_fresh_seeds_and_resumes(
    search: Tune, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, record = search("trials=1", "seeds=1", "seed=4")
    assert (code, record["comparison"]) == (0, None)
    assert [trial.get("default") for trial in record["trials"]] == [True]
    assert "the default values have the best dev accuracy: nothing to compare" in capsys.readouterr().out

    def last(self: study.Study) -> object:
        return next((trial for trial in reversed(self.trials()) if trial.state.name == "COMPLETE"), None)

    monkeypatch.setattr(study.Study, "best", last)
    code, record = search("trials=2", "seeds=1", "seed=4")
    assert code == 0
    assert [trial["state"] for trial in record["trials"]] == ["finished", "finished"]
    assert record["trials"][0]["evaluations"][-1][0] == 100
    assert record["synthetic"]
    output = capsys.readouterr().out
    assert "tuned (2 trials)" in output
    assert "the best of 2 trials (2 finished) by dev accuracy with seed 4" in output
    assert "the search chose by the same dev rows" in output
    assert record["comparison"] is not None
    comparison = read_comparison(Path(record["comparison"]))
    assert comparison["seeds"] == [5]
    assert [arm["name"] for arm in comparison["arms"]] == ["default", "tuned (2 trials)"]
    assert f"optim.lr={record['trials'][1]['values']['optim.lr']}" in comparison["arms"][1]["words"]
    before = len(read_runs(tmp_path / "ledger.jsonl"))
    code, record = search("trials=2", "seeds=1", "seed=4")
    assert code == 0
    assert len(read_runs(tmp_path / "ledger.jsonl")) == before == 4
    cells = json.loads((tmp_path / "sweeps" / "mine" / "sweep.json").read_text())["cells"]
    assert [cell["id"] for cell in cells] == [trial["cell"] for trial in record["trials"]]
    assert main.run(["report", str(tmp_path / "sweeps" / "mine")]) == 0
    assert "default" in (tmp_path / "sweeps" / "mine" / "report.html").read_text()


def test_a_pruned_run_resumes_and_a_failed_one_ends_no_search(
    search: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "median_pruner", lambda: optuna.pruners.ThresholdPruner(lower=2.0))
    run, calls = runner.run, []

    def fail_first(*args: object, **kwargs: object) -> object:
        calls.append(args)
        if len(calls) == 1:
            raise TrainingError("the loss is not finite")
        return run(*args, **kwargs)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(runner, "run", fail_first)
    code, record = search("trials=2", "runtime.eval_every=2", "optim.steps=4")
    assert code == 1
    assert [trial["state"] for trial in record["trials"]] == ["failed", "pruned"]
    assert record["trials"][1]["evaluations"] == [[50.0, pytest.approx(0.5, abs=0.5)]]
    assert "no trial finished; the first error: TrainingError: the loss is not finite" in capsys.readouterr().out
    (pruned,) = read_runs(tmp_path / "ledger.jsonl")
    assert (pruned["status"], "pruned at 50 %" in pruned["error"]) == ("interrupted", True)
    assert main.run(["resume", pruned["run_dir"]]) == 0
    result = json.loads((Path(pruned["run_dir"]) / "result.json").read_text())
    assert result["steps"] == {"student": 4}
