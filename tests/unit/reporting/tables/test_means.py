"""Means, what is marked best, and what is said below."""

from collections.abc import Callable
from typing import Any

import pytest

from kdrun.errors import ConfigError, DataError
from kdrun.reporting.tables.means import MeansSpec, make_table

Make = Callable[..., dict[str, Any]]
WANTED = MeansSpec(["method"], ["task"])


def test_means_spread_and_best(make_run: Make) -> None:
    runs = [make_run("finetune", "sst2", seed, score) for seed, score in ((1, 0.5), (2, 0.7))]
    runs += [make_run("kd", "sst2", 1, 0.6), make_run("kd", "cola", 1, 0.25), make_run("kd", "cola", 2, 0.35)]
    made = make_table(runs, WANTED)
    assert made.columns == ["method", "SST-2 accuracy", "CoLA mcc"]
    assert made.rows == [["finetune", "60.0 ± 14.1 (2)", "n/a"], ["kd", "60.0 (1)", "30.0 ± 7.1 (2)"]]
    assert made.best == set()  # a tie of all is no best, nor is a column of one
    assert make_table([*runs, make_run("kd", "sst2", 2, 0.7)], WANTED).best == {(1, 1)}
    assert made.records[0] | {"sd": round(made.records[0]["sd"], 2)} == {
        "method": "finetune", "task": "SST-2", "difference": "", "metric": "accuracy", "split": "dev",
        "synthetic": "false", "mean": 60.0, "sd": 14.14, "n": 2, "seeds": "1 2", "reason": "",
    }  # fmt: skip


def test_synthetic_data_has_a_column_of_its_own_and_a_warning(make_run: Make) -> None:
    made = make_table([make_run("kd", "sst2", 1, 0.9), make_run("kd", "sst2", 2, 0.5, synthetic=True)], WANTED)
    assert made.rows == [["kd", "90.0 (1)", "50.0 (1)"]]
    assert made.columns[2] == "SST-2 (synthetic) accuracy"
    assert made.notes[0].startswith("Synthetic data, made by a grammar: SST-2 (synthetic).")


def test_rows_by_task_name_the_metric_and_mark_no_best(make_run: Make) -> None:
    runs = [make_run("kd", "sst2", 1, 0.9), make_run("kd", "cola", 1, 0.2), make_run("finetune", "cola", 1, 0.3)]
    made = make_table(runs, MeansSpec(["task"], ["method"]))
    assert made.rows == [["SST-2 accuracy", "90.0 (1)", "n/a"], ["CoLA mcc", "20.0 (1)", "30.0 (1)"]]
    assert not made.best
    assert any(note.startswith("No best is marked") for note in made.notes)


def test_unlike_runs_come_into_rows_of_their_own(make_run: Make) -> None:
    runs = [make_run("kd", "sst2", 1, 0.9), make_run("kd", "sst2", 2, 0.7, "optim.epochs=3")]
    made = make_table(runs, WANTED)
    assert made.rows == [["kd", "90.0 (1)"], ["kd  [optim.epochs=3]", "70.0 (1)"]]
    assert any("the preset's" in note for note in made.notes)


def test_a_score_that_is_undefined_for_a_seed_is_not_averaged_over(make_run: Make) -> None:
    made = make_table([make_run("kd", "sst2", 1, 0.9), make_run("kd", "sst2", 2, None)], WANTED)
    assert made.rows == [["kd", "n/a"]]
    assert "n/a for kd, SST-2: accuracy on dev is undefined for seed 2." in made.notes


def test_another_metric_where_some_runs_lack_it(make_run: Make) -> None:
    made = make_table(
        [make_run("kd", "sst2", 1, 0.9), make_run("kd", "cola", 1, 0.2)], MeansSpec(["method"], ["task"], "mcc")
    )
    assert made.rows == [["kd", "n/a", "20.0 (1)"]]
    assert "n/a for kd, SST-2: mcc on dev was not measured." in made.notes
    assert made.title.startswith("Mcc in percent on dev")


def test_what_no_run_has_is_refused_with_the_nearest(make_run: Make) -> None:
    with pytest.raises(ConfigError) as caught:
        make_table([make_run("kd", "sst2", 1, 0.9)], MeansSpec(["method"], ["task"], "acuracy", "test"))
    assert len(caught.value.problems) == 2
    assert "did you mean 'accuracy'?" in caught.value.problems[0]


def test_repeats_and_unfinished_runs_are_told(make_run: Make) -> None:
    runs = [
        make_run("kd", "sst2", 1, 0.1),
        make_run("kd", "sst2", 1, 0.9),
        make_run("kd", "sst2", 2, 0.9, status="failed"),
    ]
    made = make_table(runs, WANTED)
    assert made.rows == [["kd", "90.0 (1)"]]
    assert "kd, SST-2: seed 1 was run 2 times with the same settings and code; the newest counts." in made.notes
    assert "Left out, as they are not done: 1 failed." in made.notes
    with pytest.raises(DataError, match="none of the 1 runs is done"):
        make_table(runs[2:], WANTED)


def test_teacher_and_checkpoint_are_told(make_run: Make) -> None:
    notes = make_table(
        [make_run("kd", "sst2", 1, 0.8), make_run("finetune", "cola", 1, 0.1, checkpoint=None)], WANTED
    ).notes
    assert "Teacher big: 90.0 on SST-2." in notes
    assert "Checkpoint: best_dev on dev, the split reported." in notes
    assert "Checkpoint: which split chose it was not recorded by older runs." in notes


def test_seeds_as_columns_are_in_their_order(make_run: Make) -> None:
    runs = [make_run("kd", "sst2", seed, 0.5) for seed in (10, 2, 1)]
    assert make_table(runs, MeansSpec(["method", "task"], ["seed"])).columns == ["method", "task", "1", "2", "10"]


def test_published_values_stand_beside_real_data_only(make_run: Make) -> None:
    wanted = MeansSpec(["method"], ["task"], paper=True)
    runs = [make_run("kd", "sst2", 1, 0.8), make_run("finetune", "sst2", 1, 0.7)]
    made = make_table([*runs, make_run("kd", "sst2", 1, 0.9, synthetic=True)], wanted)
    assert made.columns[1:] == ["SST-2 accuracy", "paper", "SST-2 (synthetic) accuracy", "paper"]
    assert made.rows == [
        ["kd", "80.0 (1)", "92.5 [check]", "90.0 (1)", "n/a"], ["finetune", "70.0 (1)", "n/a", "n/a", "n/a"],
    ]  # fmt: skip
    assert made.best == {(0, 1)}
    assert any("with the paper's own models and budget; [check] recalled" in note for note in made.notes)
    assert any("published values do not compare with it" in note for note in made.notes)
    assert made.records[0]["paper"] == "92.5"
