"""Alignment of a checkpoint's labels with the task's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kdrun.config.architectures import Architecture
from kdrun.config.task import TaskConfig, TaskKind
from kdrun.config.teacher import FineTune, PretrainedTeacherConfig
from kdrun.errors import ModelError
from kdrun.models import label_alignment, saving
from kdrun.models.bundle import BuildContext, ModelBundle
from tests.helpers.tiny_models import FAMILIES, MNLI, STSB, class_names, from_path, logits, make, scratch_config

Context = Callable[..., BuildContext]


def save_renamed(bundle: ModelBundle, names: list[str], folder: Path) -> Path:
    config: Any = bundle.model.config
    config.id2label, config.label2id = dict(enumerate(names)), {n: i for i, n in enumerate(names)}
    saving.save_pretrained(bundle, None, folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_another_order_gives_the_same_logits_by_name(family: Architecture, context: Context, tmp_path: Path) -> None:
    source = make(scratch_config(family), context("teacher"))
    expected = logits(source)
    folder = save_renamed(source, ["CONTRADICTION", "Entailment", "neutral"], tmp_path / "other")
    loaded = from_path(folder, context("teacher"))
    assert loaded.has_head
    torch.testing.assert_close(logits(loaded), expected[[1, 2, 0]])
    assert class_names(loaded) == MNLI.labels
    assert "(CONTRADICTION, Entailment, neutral)" in loaded.notes[0]


def test_the_right_order_needs_no_note(context: Context, tmp_path: Path) -> None:
    source = make(scratch_config(), context("teacher"))
    loaded = from_path(
        save_renamed(source, ["Entailment", "NEUTRAL", "contradiction"], tmp_path / "m"), context("teacher")
    )
    assert loaded.notes == []
    assert torch.equal(logits(loaded), logits(source))


def test_names_are_compared_without_case_and_hyphens() -> None:
    task = TaskConfig(name="rte", labels=["entailment", "not_entailment"])
    assert label_alignment.compare(["Not-Entailment", "ENTAILMENT"], task).order == [1, 0]
    assert label_alignment.compare(["not entailment", "entailment"], task).problem is None


def test_generic_class_names_keep_the_tasks_order_with_a_note(context: Context, tmp_path: Path) -> None:
    source = make(scratch_config(), context("teacher"))
    loaded = from_path(save_renamed(source, ["LABEL_0", "LABEL_1", "LABEL_2"], tmp_path / "m"), context("teacher"))
    assert loaded.has_head
    assert torch.equal(logits(loaded), logits(source))
    assert "its classes have no names" in loaded.notes[0]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["good", "bad", "ugly"], "good, bad, ugly, .*mnli .*entailment, neutral, contradiction"),
        (["negative", "positive"], r"2 outputs \(negative, positive\), mnli has 3 \(entailment"),
        (["score"], r"1 outputs \(score\), mnli has 3"),
    ],
)
def test_other_classes_do_not_fit(names: list[str], message: str, context: Context, tmp_path: Path) -> None:
    task = TaskConfig(name="other", labels=names if len(names) > 1 else [])
    folder = save_renamed(make(scratch_config(), context("teacher", task)), names, tmp_path / "m")
    with pytest.raises(ModelError, match=message) as error:
        from_path(folder, context("teacher"))
    assert "teacher.fine_tune=always" in str(error.value)

    always = PretrainedTeacherConfig(name="pretrained", path=str(folder), hub="", fine_tune=FineTune.always)
    replaced = make(always, context("teacher"))
    assert not replaced.has_head
    assert "head was replaced by a new one" in replaced.notes[0]
    assert logits(replaced).shape == (3,)
    assert make(always, context("teacher")).fingerprint == replaced.fingerprint

    student = from_path(folder, context())
    assert not student.has_head
    assert logits(student).shape == (3,)


def test_a_student_may_start_with_a_fitting_head(context: Context, tmp_path: Path) -> None:
    folder = save_renamed(make(scratch_config(), context()), list(MNLI.labels), tmp_path / "m")
    student = from_path(folder, context())
    assert student.has_head
    assert student.notes == ["the student starts with the classification head of its checkpoint"]


def test_a_generic_score_fits_a_score(context: Context, tmp_path: Path) -> None:
    source = make(scratch_config(), context("teacher", STSB))
    loaded = from_path(save_renamed(source, ["LABEL_0"], tmp_path / "m"), context("teacher", STSB))
    assert loaded.has_head
    assert loaded.model.config.id2label == {0: "score"}
    assert loaded.model.config.problem_type == "regression"


@pytest.mark.parametrize(
    ("names", "targets", "order"),
    [
        (["neg", "pos"], ["negative", "positive"], [0, 1]),
        (["POS", "NEG"], ["negative", "positive"], [1, 0]),
        (["entail", "neu", "contradict"], ["entailment", "neutral", "contradiction"], [0, 1, 2]),
        (["entailment", "non-entailment"], ["not_entailment", "entailment"], [1, 0]),
    ],
)
def test_other_names_of_the_same_classes(names: list[str], targets: list[str], order: list[int]) -> None:
    fit = label_alignment.compare(names, TaskConfig(name="t", labels=targets))
    assert (fit.order, fit.problem) == (order, None)
    assert fit.note is not None
    assert all(f"{names[k]} is {target}" for k, target in zip(order, targets, strict=True))


def test_two_names_of_one_class_do_not_fit() -> None:
    fit = label_alignment.compare(["neg", "negative"], TaskConfig(name="sst2", labels=["negative", "positive"]))
    assert fit.problem is not None


def test_a_mapping_names_the_classes(context: Context, tmp_path: Path) -> None:
    source = make(scratch_config(), context("teacher"))
    expected = logits(source)
    folder = save_renamed(source, ["bad", "so-so", "LABEL_2"], tmp_path / "m")
    task = MNLI.labels

    def load(**labels: str) -> ModelBundle:
        section = PretrainedTeacherConfig(name="pretrained", path=str(folder), hub="", labels=labels)
        return make(section, context("teacher"))

    loaded = load(**{"bad": task[2], "so-so": task[1], "LABEL_2": task[0]})
    torch.testing.assert_close(logits(loaded), expected[[2, 1, 0]])
    assert class_names(loaded) == task
    with pytest.raises(ModelError, match=r"bad, so-so, LABEL_2.*teacher\.labels=\{bad: …, so-so: …, LABEL_2: …\}"):
        load()
    with pytest.raises(ModelError, match=r"teacher\.labels names 'good'"):
        load(good=task[0])
    with pytest.raises(ModelError, match=r"teacher\.labels names 'worst'"):
        load(bad="worst")


def test_a_multi_label_head_is_refused_or_replaced(context: Context, tmp_path: Path) -> None:
    source = make(scratch_config(), context("teacher"))
    config: Any = source.model.config
    config.problem_type = "multi_label_classification"
    folder = save_renamed(source, ["entailment", "neutral", "contradiction"], tmp_path / "m")
    with pytest.raises(ModelError, match="multi_label_classification"):
        from_path(folder, context("teacher"))
    assert not from_path(folder, context("student")).has_head


def test_a_multi_label_task_takes_a_multi_label_head_alone(context: Context, tmp_path: Path) -> None:
    role = context("teacher")
    task = replace(role.task, kind=TaskKind.multi_label)
    role = replace(role, task=task)
    source = make(scratch_config(), role)
    assert source.model.config.problem_type == "multi_label_classification"
    folder = save_renamed(source, list(task.labels), tmp_path / "m")
    assert from_path(folder, role).has_head
    source.model.config.problem_type = None  # pyright: ignore[reportAttributeAccessIssue]
    folder = save_renamed(source, list(task.labels), tmp_path / "n")
    with pytest.raises(ModelError, match=r"problem_type.* not set"):
        from_path(folder, role)
