"""Objectives of a pretraining: settings without effect, and models that cannot learn or teach relations."""

from __future__ import annotations

import pytest

from kdrun.config import compose
from kdrun.config.validation import rules

ROLES = ("teacher", "student", "generator")
RELATIONS = ["student.pretrain.objective=relations", "student.pretrain.steps=5"]
LAYERS = ["student=layers_of", "student.layers=[0]", "student.pretrain.steps=5"]
TRAINED = ["teacher.pretrain.steps=5"]
HUB = ["teacher=bert_base"]
VOCABULARY = "student.tokenizer=teacher"


@pytest.mark.parametrize(
    ("overrides", "problems"),
    [
        (["method=finetune", *RELATIONS, *TRAINED], []),
        ([*RELATIONS, *HUB, VOCABULARY], []),
        ([*LAYERS, *HUB, "student.path=FOLDER"], []),
        (
            [*RELATIONS, "student.pretrain.mask_rate=0.3", "student.pretrain.teacher_layer=3"],
            [
                ("student.pretrain.mask_rate", 0.3),
                ("teacher.pretrain.steps", 0),
                ("student.pretrain.teacher_layer", 3),
            ],
        ),
        (
            ["method=mate_kd", *(f"{role}.pretrain.objective=relations" for role in ROLES)],
            [
                ("teacher.pretrain.objective", "relations"),
                ("student.pretrain.steps", 0),
                ("generator.pretrain.objective", "relations"),
            ],
        ),
        (
            [*LAYERS, *HUB, "student.pretrain.objective=masked_lm", "student.pretrain.relation_heads=2"],
            [("student.pretrain.relation_heads", 2), ("student.pretrain.objective", "masked_lm")],
        ),
        (
            [*RELATIONS, *HUB, "teacher.placement=auto"],
            [("student.tokenizer", "corpus"), ("teacher.placement", "auto")],
        ),
        ([*RELATIONS, *TRAINED, "student.architecture=gpt2"], [("student.architecture", "gpt2")]),
        ([*RELATIONS, *TRAINED, "teacher.architecture=t5"], [("teacher", "scratch")]),
        ([*RELATIONS, "teacher=prompted", "teacher.path=FOLDER"], [("student.pretrain.objective", "scratch")]),
        (
            [*RELATIONS, "teacher=recorded", "teacher.path=FILE", VOCABULARY],
            [("student.tokenizer", "scratch"), ("student.pretrain.objective", "scratch")],
        ),
    ],
)
def test_relations_are_learned_by_a_student_from_a_pretrained_encoder(
    overrides: list[str], problems: list[tuple[str, object]]
) -> None:
    config = compose.to_config(compose.compose(["task=sst2", *overrides]))
    assert [(one.key, one.value) for one in rules.validate(config)] == problems


def test_a_folder_replaces_the_student_and_its_pretraining() -> None:
    config = compose.to_config(compose.compose(["task=sst2", *RELATIONS, "student.path=FOLDER"]))
    assert not rules.validate(config)
    assert not config.student.starts_from_teacher
