"""A task with any number of classes per row: methods, files, pages, plain transformers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoConfig, pipeline

from kdrun import registry
from kdrun.cli import main
from kdrun.data.splits import label_sets, make_split
from kdrun.errors import ConfigError
from kdrun.reporting.html import report
from tests.helpers import forked
from tests.helpers.runs import finish, read_lines, smoke_config

TASK = [
    "task=sst2",
    "task.kind=multi_label",
    "task.labels=[negative,positive,long]",
    "task.metrics=[micro_f1,exact_match,roc_auc]",
    "task.headline=micro_f1",
    "task.label_words=[]",
]
METHODS = registry.entries("method")
FIT = ["crd", "finetune", "kd", "kd_augment", "kd_freelb", "kd_ood", "mate_kd", "minilm", "pkd", "tinybert_kd"]

pytestmark = pytest.mark.usefixtures("run_env")


@pytest.fixture
def label_set_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded rows with label sets: negative or positive, and `long` besides for a longer text."""
    entries = registry.entries("data")
    embedded = entries["embedded"]

    def source(*args: Any) -> dict[str, Any]:
        splits = {}
        for name, split in embedded.target(*args).items():
            labels, texts = split.labels(), split.table.column("text")
            is_long = np.array([len(text.as_py()) > 40 for text in texts])
            sets = np.stack([labels == 0, labels == 1, is_long], axis=1)
            splits[name] = make_split(name, [texts], label_sets(sets), split.origin, synthetic=True)
        return splits

    replaced = registry.Entry(source, embedded.config, check=embedded.check)
    monkeypatch.setitem(registry._entries, "data", {**entries, "embedded": replaced})


def test_every_method_fits_or_refuses_by_name(tmp_path: Path) -> None:
    assert [name for name, entry in METHODS.items() if entry.target.requires.multi_label] == FIT
    for method in METHODS:
        if method in FIT:
            smoke_config(tmp_path, f"method={method}", *TASK)
        else:
            with pytest.raises(ConfigError, match=rf"method={method} .*(task\.kind=multi_label|domains)"):
                smoke_config(tmp_path, f"method={method}", *TASK)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loss=kl"], r"loss=kl .*task\.kind=multi_label.*bce"),
        (["loss=logit_mse"], "loss=logit_mse .*bce, binary_kl"),
        (["student=t5_smoke"], r"text-to-text model.*task\.kind=multi_label"),
        (["method=mate_kd", "generated.rows=8"], r"generated\.rows=8: .*any number of them"),
    ],
)
def test_what_does_not_fit_is_refused(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        smoke_config(tmp_path, "method=kd", *TASK, *words)


def test_a_loss_of_label_sets_is_refused_for_one_class_per_row(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss=bce .*one answer per row"):
        smoke_config(tmp_path, "method=kd", "task=sst2", "loss=bce")


@pytest.mark.usefixtures("label_set_rows")
def test_a_run_with_label_sets_from_training_to_transformers(tmp_path: Path) -> None:
    config = smoke_config(tmp_path, "method=mate_kd", *TASK)
    result, folder, _ = finish(config)
    assert result["guess"]["dev"]["roc_auc"] == 0.5
    assert set(result["student"]["metrics"]["dev"]) == {"micro_f1", "exact_match", "roc_auc"}
    lines = read_lines(folder / "predictions.jsonl")
    assert all(set(line["gold"]) & {"negative", "positive"} for line in lines)
    assert all(set(line["prediction"]) <= {"negative", "positive", "long"} for line in lines)
    assert any(len(line["gold"]) == 2 for line in lines)
    samples = read_lines(folder / "samples.jsonl")
    assert set(samples[0]["teacher"]["before"]) == {"negative", "positive", "long"}
    page = report.write_run_report(folder).read_text(encoding="utf-8")
    assert "Classes of dev" in page
    assert AutoConfig.from_pretrained(folder / "student").problem_type == "multi_label_classification"
    classify = pipeline("text-classification", str(folder / "student"), top_k=None)
    for line in lines[:3]:
        scores = {label["label"]: label["score"] for label in classify([line["text"]])[0]}  # pyright: ignore
        assert scores == pytest.approx(line["probabilities"], abs=1e-4)
    assert json.loads((folder / "result.json").read_text())["headline"]["metric"] == "micro_f1"


def write_own_rows(path: Path) -> Path:
    """Rows with none to three of three labels, as lists."""
    rows = []
    for i in range(64):
        sentences = {"praise": "the story is great", "complaint": "the food was cold", "question": "where is it"}
        labels = [name for name, every in (("praise", 2), ("complaint", 3), ("question", 5)) if i % every == 0]
        text = " and ".join(sentences[name] for name in labels) or "nothing at all"
        rows.append({"text": f"number {i}: {text}", "labels": labels})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def own_overrides(path: Path, method: str) -> list[str]:
    return [f"method={method}", "task=own", "data=files", f"data.train={path}", "data.dev=0.25"]


REFUSE = """
import sys
from kdrun.config import compose
for method in sys.argv[2:]:
    overrides = [f"method={method}", "task=own", "data=files", f"data.train={sys.argv[1]}", "data.dev=0.25"]
    problems = "\\n".join(compose.validate_overrides(overrides, multirun=False))
    assert f"method={method} " in problems, (method, problems)
    assert "task.kind=multi_label" in problems or "domains" in problems, (method, problems)
assert "torch" not in sys.modules
"""


def test_own_label_sets_are_refused_by_name_before_torch_loads(tmp_path: Path) -> None:
    refused = [method for method in METHODS if method not in FIT]
    assert refused
    path = write_own_rows(tmp_path / "rows.jsonl")
    finished = forked.without_torch().run(REFUSE, str(path), *refused)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", FIT)
def test_own_label_sets_with_every_method(method: str, tmp_path: Path) -> None:
    path = write_own_rows(tmp_path / "rows.jsonl")
    words = [*own_overrides(path, method), "student_alone=false", "teacher.allow_weak=true"]
    if METHODS[method].target.requires.data_free:  # synthetic text next to real rows is refused
        (tmp_path / "corpus").mkdir()
        lines = (f"The story of the {word} is great, and the food is cold.\n\n" for word in "abcdefgh")
        (tmp_path / "corpus" / "text.txt").write_text("".join(lines))
        words += ["corpus=folder", f"corpus.dir={tmp_path}/corpus"]
    result, folder, _ = finish(smoke_config(tmp_path, *words))
    assert list(result["student"]["metrics"]["dev"]) == ["micro_f1", "macro_f1", "exact_match"]
    assert (result["teacher"] is not None) == METHODS[method].target.requires.teacher
    lines = read_lines(folder / "predictions.jsonl")
    assert len(lines) == 16
    assert all(set(line["probabilities"]) == {"praise", "complaint", "question"} for line in lines)
    assert {len(line["gold"]) for line in lines} > {0, 1}


@pytest.mark.slow
def test_own_label_sets_of_a_recorded_teacher(tmp_path: Path) -> None:
    path, answers = write_own_rows(tmp_path / "rows.jsonl"), tmp_path / "answers.parquet"
    weak = ["student_alone=false", "teacher.allow_weak=true"]
    live = finish(smoke_config(tmp_path, *own_overrides(path, "kd"), *weak))
    rows = own_overrides(path, "kd")[1:]
    assert main.run(["label", "preset=smoke", *rows, "teacher.allow_weak=true", f"output={answers}"]) == 0
    recorded = finish(
        smoke_config(tmp_path, *own_overrides(path, "kd"), *weak, "teacher=recorded", f"teacher.path={answers}")
    )
    assert recorded.result["teacher"]["metrics"] == live.result["teacher"]["metrics"]
    assert recorded.result["student"]["metrics"] == live.result["student"]["metrics"]
