"""Suggestions for unknown keys and choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdrun.config import compose
from kdrun.config.suggestions import OTHER_NAMES
from kdrun.errors import did_you_mean


@pytest.mark.parametrize(
    ("override", "suggestion"),
    [
        ("lr=1e-3", "'optim.lr'"),
        ("epochs=3", "'optim.epochs'"),
        ("batch_size=8", "'optim.batch_size'"),
        ("learning_rate=1e-3", "'optim.lr'"),
        ("method.alpha=0.5", "'method.soft_weight' or 'method.hard_weight'"),
        ("temperature=2", "'method.temperature'"),
        ("optim.lrr=1", "'optim.lr'"),
        ("early_stopping=3", "'optim.patience'"),
        ("max_seq_length=64", "'data.max_length'"),
        ("task=SST-2", "'sst2'"),
        ("task=STS-B", "'stsb'"),
        ("task=CoNLL2003", "'conll2003'"),
        ("method=KD", "'kd'"),
        ("method=tinybert", "'tinybert_kd'"),
        ("student=distilbert-base-uncased", "'distilbert'"),
        ("teacher=bert-base-uncased", "'bert_base'"),
        ("student=google/bert-of-no-known-size", "student=pretrained student.hub=google/bert-of-no-known-size"),
    ],
)
def test_an_unknown_key_or_choice_gets_the_right_suggestion(override: str, suggestion: str) -> None:
    (problem,) = compose.validate_overrides([override], multirun=False)
    assert suggestion in problem


def test_a_folder_in_place_of_a_choice(tmp_path: Path) -> None:
    for axis, key in (("student", "student.path"), ("data", "data.dir"), ("corpus", "corpus.dir")):
        (problem,) = compose.validate_overrides([f"{axis}={tmp_path}"], multirun=False)
        assert f"{key}={tmp_path}" in problem


def test_every_suggested_key_exists() -> None:
    from kdrun.cli.explain import keys

    known = {*keys.all_paths(), *compose.groups()}
    assert {key for targets in OTHER_NAMES.values() for key in targets} <= known


def test_case_blanks_and_dashes_do_not_matter() -> None:
    assert did_you_mean("SST 2", ["rte", "sst2"]) == "; did you mean 'sst2'?"
    assert did_you_mean("zzz", ["rte", "sst2"]) == ""


@pytest.mark.parametrize(
    ("name", "choices", "suggested"),
    [
        ("angry", ["neg", "pos"], ""),
        ("pos", ["negative", "positive"], "positive"),
        ("negattivve", ["negative", "positive"], "negative"),
        ("val", ["train", "validation"], "validation"),
        ("net", ["neutral", "nettle"], "nettle"),
        ("mnil", ["mnli", "qnli"], "mnli"),
    ],
)
def test_only_a_similar_choice_is_suggested(name: str, choices: list[str], suggested: str) -> None:
    assert did_you_mean(name, choices) == (f"; did you mean {suggested!r}?" if suggested else "")
