"""Rules for recorded teachers, and their part in a run's identity."""

from pathlib import Path

import pytest

from kdrun import registry
from kdrun.config import compose
from kdrun.config.identity import config_hash

RECORDED = ["preset=smoke", "teacher=recorded", "teacher.path=answers.jsonl"]
LIVE = ["dfkd_t3", "kd_augment", "mate_kd", "tinybert_kd", "zskd", "meta_kd"]


def problems(*overrides: str) -> str:
    return "\n".join(compose.validate_overrides([*RECORDED, *overrides], multirun=False))


@pytest.mark.parametrize("method", ["kd", "kd_freelb", "kd_ood"])
def test_methods_that_need_only_answers_take_a_recorded_teacher(method: str) -> None:
    assert not problems(f"method={method}")


@pytest.mark.parametrize("method", LIVE)
def test_methods_that_need_the_model_name_their_reason(method: str) -> None:
    text = problems(f"method={method}", *(["task=amazon", "method.domain=books"] if method == "meta_kd" else []))
    assert f"method={method} needs the teacher itself: " in text
    assert "kd, kd_freelb, kd_ood" in text


def test_every_method_with_a_teacher_is_in_one_of_these_tests() -> None:
    with_teacher = [name for name, entry in registry.entries("method").items() if entry.target.requires.teacher]
    assert sorted(with_teacher) == sorted([*LIVE, "kd", "kd_freelb", "kd_ood"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.path=null", "needs teacher.path=FILE"),
        ("teacher.path=[]", "teacher.path=[]"),
        ("teacher.path=[a.jsonl,a.jsonl]", "named twice"),
        ("teacher.path=3", "teacher.path=3"),
        ("teacher.weights=[1,2]", "2 weights for 1 file"),
        ("teacher.weights=[0]", "above 0"),
        ("teacher.weights=[-1]", "teacher.weights must be >= 0, got -1.0"),
        ("teacher.labels={good: positiv}", "'positiv'; did you mean 'positive'"),
        ("teacher.labels=good", "teacher.labels must be a mapping"),
        ("teacher.seed=2", "teacher.seed has no effect with teacher=recorded"),
        ("teacher.fine_tune=always", "teacher.fine_tune has no effect"),
        ("teacher.finetune_optim.lr=1", "teacher.finetune_optim.lr has no effect"),
        ("student.tokenizer=teacher", "student.tokenizer=teacher builds the student from the teacher's model"),
        ("student=layers_of", "student.path=FOLDER"),
        ("task=conll2003", "teacher=recorded has one answer per row"),
    ],
)
def test_settings_that_do_not_fit(override: str, message: str) -> None:
    assert message in problems(override)


def test_generated_text_is_its_own_recorded_teacher() -> None:
    assert not problems("teacher.path=null", "data=generated", "data.path=train.jsonl")


def test_the_content_of_the_files_is_part_of_the_identity(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text("one")
    config = compose.load_config([*RECORDED, f"teacher.path={path}"])
    before = config_hash(config)
    path.write_text("two, longer")
    assert config_hash(config) != before
    path.write_text("one")
    assert config_hash(config) == before
