"""Rules for recorded and prompted teachers, and their part in a run's identity."""

from dataclasses import replace
from pathlib import Path

import pytest

from kdrun import registry
from kdrun.config import compose
from kdrun.config.identity import config_hash
from kdrun.config.requirements import requirements_of
from kdrun.config.task import TaskKind
from kdrun.config.teacher import template_of
from kdrun.config.validation.teacher_models import teacher_model_problems

RECORDED = ["preset=smoke", "teacher=recorded", "teacher.path=answers.jsonl"]
LIVE = ["crd", "dfkd_t3", "gkd", "kd_augment", "mate_kd", "minilm", "pkd", "tinybert_kd", "zskd", "meta_kd"]


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
        ("task=conll2003", "teacher=recorded: task=conll2003 compares teacher and student at every token"),
    ],
)
def test_settings_that_do_not_fit(override: str, message: str) -> None:
    assert message in problems(override)


PROMPTED = ["preset=smoke", "teacher=prompted", "teacher.path=folder"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("teacher.path=null", "teacher.path=FOLDER, or teacher.hub=NAME"),
        ("teacher.template=review", "must have {text} once, and has no placeholder"),
        ('teacher.template="{text} {sentence}"', "and has {sentence}, {text}"),
        ('teacher.template="{text} {text}"', "must have {text} once"),
        ("teacher.label_words=[good]", "1 words for the 2 classes"),
        ("teacher.temperature=0", "teacher.temperature must be > 0, got 0.0"),
        ("teacher.seed=2", "teacher.seed has no effect with teacher=prompted"),
        ("method=mate_kd", "it computes gradients through the teacher; all models share one vocabulary"),
        ("method=kd_augment", "all models share one vocabulary"),
        ("method=tinybert_kd", "it compares hidden states"),
        ("loss=logit_mse", "loss=logit_mse compares raw logits"),
        ("student.tokenizer=teacher", "teacher=prompted has none for it"),
        ("task=conll2003", "every token of an answer"),
    ],
)
def test_settings_that_do_not_fit_a_prompted_teacher(override: str, message: str) -> None:
    given = [*(arg for arg in PROMPTED if not override.startswith(f"{arg.partition('=')[0]}=")), override]
    assert message in "\n".join(compose.validate_overrides(given, multirun=False))


def test_label_sets_have_recorded_teachers_only() -> None:
    recorded, prompted = compose.load_config(RECORDED), compose.load_config(PROMPTED)
    task = replace(recorded.task, kind=TaskKind.multi_label)
    needs = requirements_of(recorded)
    assert not list(teacher_model_problems(replace(recorded, task=task), needs))
    (problem,) = teacher_model_problems(replace(prompted, task=task), needs)
    assert "any number of classes per row" in problem


@pytest.mark.parametrize("task", ["sst2", "mnli", "stsb"])
def test_tasks_have_a_default_template_and_words(task: str) -> None:
    assert not compose.validate_overrides([*PROMPTED, f"task={task}"], multirun=False)
    config = compose.load_config([*PROMPTED, f"task={task}"])
    template = template_of(config.teacher, config.task)
    assert template is not None
    assert template.fill(["A {text} b.", "c"][: len(config.task.text)]).count("A {text} b.") == 1
    assert len(config.teacher.words_for(config.task)) == (26 if task == "stsb" else len(config.task.labels))


def test_a_line_feed_of_the_command_line() -> None:
    config = compose.load_config([*PROMPTED, r'teacher.template="a {text}\nb:"'])
    template = template_of(config.teacher, config.task)
    assert template is not None
    assert template.tail == "\nb:"


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
