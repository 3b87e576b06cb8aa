"""A run with held-out rows: its files, its agreement with the teacher, and a teacher that saw other rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kdrun.data import file_checks
from kdrun.data.phrases import WORD
from kdrun.errors import DataError
from kdrun.storage.run_result import RunResult
from kdrun.tasks import agreement
from tests.helpers.runs import finish, read_lines, smoke_config

pytestmark = pytest.mark.usefixtures("run_env")


def check_agreement_rows(result: RunResult, run_dir: Path, held_out: set[str]) -> None:
    """Rows that nothing else has, without gold answers, and the measures that the result has of them."""
    rows = read_lines(run_dir / "agreement.jsonl")
    assert len(rows) == result["data"]["rows"]["agreement_rows"] >= 40
    assert not held_out & {row["text"] for row in rows}
    assert all("gold" not in row and row["split"] == "agreement_rows" for row in rows)
    measures = result.get("agreement", {})["agreement_rows"]
    assert measures["agreement"] == np.mean([row["prediction"] == row["teacher_prediction"] for row in rows])
    logits = [np.array([row[key] for row in rows]) for key in ("logits", "teacher_logits")]
    divergence = agreement.divergence_by_row(*logits, is_multi_label=False)
    assert measures["teacher_kl"] == pytest.approx(divergence.mean(), abs=1e-6)


def test_a_run_reports_on_held_out_rows_that_its_teacher_has_not_seen(tmp_path: Path) -> None:
    settings = ["task=sst2", "method=kd", "teacher.train_rows=100", "data.unlabelled=rest"]
    rows_of_agreement = ["evaluation.held_out=50", "evaluation.agreement_rows=40"]
    config = smoke_config(tmp_path, *settings, *rows_of_agreement, "teacher.allow_weak=true")
    result, run_dir, output = finish(config)
    rows = [row for row in read_lines(run_dir / "predictions.jsonl") if row["split"] == "held_out"]
    assert result["headline"]["split"] == "held_out"
    assert result["headline"]["rows"].startswith(f"{len(rows)} held-out training rows, of ")
    assert result["headline"]["rows"] in output
    assert result["data"]["train_rows_read_for_teacher"] <= 100
    assert len({row["group"] for row in rows}) == int(result["headline"]["rows"].split()[-2])
    words = [WORD.findall(row["text"].casefold()) for row in rows]
    assert len({tuple(text) for text in words}) <= len(rows)
    is_equal = [row["prediction"] == row["teacher_prediction"] for row in rows]
    divergence = [
        sum(p * np.log(p / row["probabilities"][name]) for name, p in row["teacher_probabilities"].items())
        for row in rows
    ]
    assert result["agreement"]["held_out"]["agreement"] == pytest.approx(np.mean(is_equal))
    assert result["agreement"]["held_out"]["teacher_kl"] == pytest.approx(np.mean(divergence), abs=1e-5)
    assert set(result["agreement"]) == {"dev", "held_out", "agreement_rows"}
    check_agreement_rows(result, run_dir, {row["text"] for row in rows})
    assert f"of held_out ({len(rows)} rows), KL from the teacher" in output
    other = smoke_config(tmp_path, *settings, "evaluation.held_out=50", "evaluation.held_out_seed=2")
    shutil.copytree(run_dir / "student", tmp_path / "run" / "student")
    shutil.copy(run_dir / "config.yaml", tmp_path / "run")
    other.teacher.path = str(tmp_path / "run" / "student")
    with pytest.raises(
        DataError, match=r"evaluation\.held_out=50, evaluation\.agreement_rows=40, held_out_seed=1.*config\.yaml"
    ):
        file_checks.check_run_files(other)
    (tmp_path / "run" / "config.yaml").unlink()
    record = {"task": "sst2", "held_out": 60, "held_out_seed": 2}
    (tmp_path / "run" / "student" / "training.json").write_text(json.dumps(record))
    file_checks.check_run_files(other)  # more rows of the same seed contain these
