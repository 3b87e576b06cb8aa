"""Comparisons of tiny real runs: fair arms, reuse, interruption, failure, output."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console as RichConsole

from kdrun.cli import subcommands
from kdrun.cli.commands import compare
from kdrun.console import Console
from kdrun.errors import ConfigError, TrainingError
from kdrun.experiments.compare import arms, claims, display, plan, record
from kdrun.runs import runner
from kdrun.storage.ledger import read_comparisons, read_runs

WORDS = ["task=sst2", "preset=smoke", "teacher.allow_weak=true", "report=false", "runtime.log_every=1"]


Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(tmp_path: Path, run_env: None) -> Run:
    """Run a comparison below tmp_path; return the exit code and its record."""

    def go(*words: str) -> tuple[int, dict[str, Any]]:
        code = compare.main([*WORDS, f"output_dir={tmp_path}", *words])
        return code, read_comparisons(tmp_path / "ledger.jsonl")[-1]

    return go


def lasting(record: dict[str, Any]) -> dict[str, Any]:
    """What a repeated comparison must say again: all but times and places."""
    keys = ("comparison_id", "pairs", "teacher", "seeds", "uneven_steps")
    arms = [{key: arm[key] for key in ("name", "scores", "mean", "sd", "kept", "steps")} for arm in record["arms"]]
    return {key: record[key] for key in keys} | {"arms": arms}


def test_arms_start_alike_see_the_same_batches_and_take_the_same_steps(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    code, record = run("seeds=2")
    assert code == 0
    assert [arm["name"] for arm in record["arms"]] == ["finetune", "kd"]
    assert record["uneven_steps"] == []
    for seed in ("1", "2"):
        first = []
        for arm in record["arms"]:
            lines = Path(arm["folders"][seed], "metrics.jsonl").read_text().splitlines()
            first.append(next(r["hard"] for r in map(json.loads, lines) if "hard" in r))
        # the same student on the same rows with the same dropout: the first loss on the labels is one number
        assert first[0] == first[1]
    (pair,) = record["pairs"]
    assert (pair["a"], pair["b"], pair["word"], pair["seeds"]) == ("kd", "finetune", "INCONCLUSIVE", 2)
    output = capsys.readouterr().out
    assert "kd - finetune" in output
    assert "synthetic" in output
    assert "dev chose the checkpoint and is the split reported" in output
    saved = json.loads(next(Path(record["arms"][0]["folders"]["1"]).parents[2].rglob("comparison.json")).read_text())
    assert saved["comparison_id"] == record["comparison_id"]
    assert [arm["made_text"] for arm in record["arms"]] == [None, None]
    assert "exported text" not in output
    keys = ("confidence", "evenness", "distinct_1", "source_distinct_1", "distinct_2", "source_distinct_2", "copied_1")
    figures = dict.fromkeys(keys, 0.25) | {"agreement": None, "rows": 30.0, "words": 9.0, "source_words": 8.0}
    record["arms"][1]["made_text"] = figures
    text = io.StringIO()
    display.print_comparison(record, Console(RichConsole(file=text, width=200)))
    output = text.getvalue()
    assert "exported text, means over seeds" in output
    assert "0.250 (0.250)" in output


def test_until_decided_adds_seeds_to_finished_ones(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("seeds=2")
    code, record = run("seeds=3", "until=decided", "max_seeds=3", "claims=[kd>finetune]")
    output = capsys.readouterr().out
    assert "cost: 2 runs for the first 3 seeds of 2 arms, at most 2 runs for 3 seeds; about" in output
    assert "after 3 seeds, kd > finetune: " in output
    assert len(read_runs(tmp_path / "ledger.jsonl")) == 6
    assert record["sequential"]["seeds"] == {"finetune": 3, "kd": 3}
    (claim,) = record["claims"]
    assert code == ({"supported": 0} | claims.EXIT_CODES)[claim["outcome"]]
    assert claim["text"] in output
    _, repeated = run("seeds=3", "until=decided", "max_seeds=3", "claims=[kd>finetune]")
    assert lasting(repeated) == lasting(record)
    assert len(read_runs(tmp_path / "ledger.jsonl")) == 6


def test_statistics_of_generated_text_are_means_over_seeds() -> None:
    none: Any = {"generated": None}
    one: Any = {"generated": {"quality": {"rows": 10, "confidence": 0.5, "agreement": None, "classes": {"a": 1.0}}}}
    two: Any = {"generated": {"quality": {"rows": 20, "confidence": 0.75, "agreement": 0.5, "classes": {"a": 0.5}}}}
    assert record._generated_text([none]) is None
    statistics = record._generated_text([one, two])
    assert statistics is not None
    # the order too: it is that of the columns of a CSV
    assert list(statistics.items()) == [("rows", 15.0), ("confidence", 0.625), ("agreement", None)]


def test_an_interrupted_comparison_resumes_and_ends_with_the_same_table(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = runner.run, []

    def stops(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(runner, "run", stops)
    with pytest.raises(KeyboardInterrupt):
        run("seeds=1")
    assert len(read_runs(tmp_path / "ledger.jsonl")) == 1
    _, resumed = run("seeds=1")
    assert len(calls) == 3  # one done, one stopped, one left
    _, repeated = run("seeds=1")
    assert len(calls) == 3
    assert lasting(repeated) == lasting(resumed)
    monkeypatch.setattr(arms, "code_digest", lambda: "other code")
    with pytest.raises(KeyError):  # the made-up code is not what the runs record, so they are not found again
        run("seeds=1")
    assert len(calls) == 4


def test_a_failed_arm_does_not_stop_the_others(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = runner.run

    def fails(config: Any, *args: Any) -> Any:
        if config.method.name == "kd" and config.seed == 1:
            raise TrainingError("the loss is nan")
        return real(config, *args)

    monkeypatch.setattr(runner, "run", fails)
    code, record = run("seeds=1")
    assert code == 1
    finetune, kd = record["arms"]
    assert kd["failed"] == {"1": "TrainingError: the loss is nan"}
    assert list(finetune["scores"]) == ["1"]
    assert record["pairs"][0]["reason"] == "no seed was finished by both"
    assert "seed 1 failed" in capsys.readouterr().out


def test_every_problem_in_one_report() -> None:
    with pytest.raises(ConfigError) as error:
        plan.plan_arms(["finetune", "kdd"], ["seed=3", "task=sst2,cola", "method.temprature=2", "optim.lrr=1"])
    report = str(error.value)
    for part in ("did you mean 'kd'", "seeds=N", "a comparison has one task", "temprature", "optim.lrr"):
        assert part in report


def test_a_methods_own_keys_go_to_the_arms_that_have_them() -> None:
    finetune, kd = plan.plan_arms(["finetune", "kd"], ["method.temperature=4", "task=rte"])
    assert finetune.overrides == ["method=finetune", "task=rte"]
    assert kd.overrides == ["method=kd", "task=rte", "method.temperature=4"]
    assert kd.config(3).method.temperature == 4
    assert kd.config(3).seed == 3


def test_the_help_describes_a_key_with_several_values() -> None:
    usage = subcommands.usage("compare", compare)
    assert "method may take several values" in usage
    assert "kdrun compare method=kd task=sst2 method.temperature=1,2,4" in usage


def test_notes_say_which_split_chose() -> None:
    record = {"pairs": [], "claims": [], "metric": "accuracy", "margin": 0.01, "how": "so"}
    record |= {"split": "dev", "chosen_on": None, "rows": 872}
    assert "no split chose it" in display.notes(record)[-1]
