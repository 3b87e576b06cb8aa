"""Rules for objectives of a pretraining, and for learning relations."""

from __future__ import annotations

from collections.abc import Iterator

from kdrun.config.architectures import titles
from kdrun.config.model import (
    LayersOfConfig,
    ModelConfig,
    PretrainConfig,
    PretrainedConfig,
    PretrainObjective,
    ScratchConfig,
    TokenizerSource,
)
from kdrun.config.requirements import Requirements
from kdrun.config.schema import RunConfig
from kdrun.config.teacher import Placement, PromptedTeacherConfig
from kdrun.config.validation import layers, text_to_text
from kdrun.config.validation.unused import unused_settings
from kdrun.errors import Problem

OBJECTIVE = "student.pretrain.objective=relations"
SETTINGS = {
    PretrainObjective.masked_lm: ("mask_rate", "mean_span"),
    PretrainObjective.relations: ("teacher_layer", "relation_heads"),
}
"""Objective → settings that have an effect with no other."""


def pretraining_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Settings of pretrainings that have no effect, and models that cannot learn or teach relations."""
    used = {
        "teacher": needs.teacher or config.student.starts_from_teacher,
        "student": True,
        "generator": needs.generator,
    }
    for role in (role for role, is_used in used.items() if is_used):
        section = getattr(config, role)
        if isinstance(section, LayersOfConfig) or (isinstance(section, ScratchConfig) and section.path is None):
            yield from _role_problems(role, section, section.pretrain)
            if role == "student" and section.pretrain.learns_relations:
                yield from _relation_problems(config, needs, section)


def _role_problems(role: str, section: ScratchConfig | LayersOfConfig, pretrain: PretrainConfig) -> Iterator[Problem]:
    """Settings of one role that have no effect, or an objective that is not for this model."""
    key, objective = f"{role}.pretrain.objective", pretrain.objective
    setting = f"{key}={objective.value}"
    others = [name for other, names in SETTINGS.items() if other is not objective for name in names]
    yield from unused_settings(pretrain, f"{role}.pretrain.", others, f"with {setting}")
    if objective is PretrainObjective.masked_lm:
        if isinstance(section, LayersOfConfig) and pretrain.steps:
            text = (
                f"{setting}: the layers of another model come without its masked-language-model head; remove the "
                "setting, and the student learns the teacher's relations"
            )
            yield Problem(key, objective.value, text)
    elif role != "student":
        text = f"{setting}: relations are those of the teacher, for a student; set {key}=masked_lm"
        yield Problem(key, objective.value, text)
    elif isinstance(section, ScratchConfig) and not pretrain.steps:
        text = f"{setting} has no effect with student.pretrain.steps=0; set the number of steps, e.g. 1000"
        yield Problem("student.pretrain.steps", 0, text)


def _relation_problems(
    config: RunConfig, needs: Requirements, student: ScratchConfig | LayersOfConfig
) -> Iterator[Problem]:
    """Why the student cannot learn the relations of the teacher."""
    teacher = config.teacher
    for role, is_text_to_text in text_to_text.known_text_to_text_roles(config, needs).items():
        if is_text_to_text and role != "generator":
            text = (
                f"{OBJECTIVE} compares layers of encoders, and the {role} is a text-to-text model; take a {titles()} "
                "model"
            )
            yield Problem(role, getattr(config, role).name, text)
    for role, section in (("student", student), ("teacher", teacher)):
        if isinstance(section, ScratchConfig) and section.path is None and section.architecture.spec.reads != "masked":
            name = section.architecture.name
            text = (
                f"{OBJECTIVE} compares relations between all tokens of a text, and {role}.architecture={name} attends "
                f"only to the left; take a {titles()} model"
            )
            yield Problem(f"{role}.architecture", name, text)
    if not isinstance(teacher, ModelConfig) or isinstance(teacher, PromptedTeacherConfig):
        return  # reported with all that a student takes from a teacher's model
    if isinstance(teacher, ScratchConfig) and teacher.path is None and not teacher.pretrain.steps:
        text = (
            f"{OBJECTIVE} learns from the teacher before its fine-tuning, and teacher.pretrain.steps=0 leaves it with "
            "random weights; set teacher.pretrain.steps=1000, or take a pretrained teacher (teacher.path=FOLDER)"
        )
        yield Problem("teacher.pretrain.steps", 0, text)
    depth, layer = layers.num_layers(teacher), student.pretrain.teacher_layer
    if depth is not None and layer is not None and layer > depth:
        text = f"student.pretrain.teacher_layer={layer}: the teacher has {depth} layers"
        yield Problem("student.pretrain.teacher_layer", layer, text)
    from_corpus = isinstance(student, ScratchConfig) and student.tokenizer is TokenizerSource.corpus
    if from_corpus and isinstance(teacher, PretrainedConfig) and teacher.path is None:
        text = (
            f"student.tokenizer=corpus: {OBJECTIVE} compares teacher and student token by token, and teacher.hub="
            f"{teacher.hub} has another vocabulary; set student.tokenizer=teacher"
        )
        yield Problem("student.tokenizer", "corpus", text)
    if config.teacher.placement is Placement.auto:
        text = (
            f"teacher.placement=auto: {OBJECTIVE} holds the whole teacher on the device, before it is spread; take a "
            "smaller teacher, or student.pretrain.steps=0"
        )
        yield Problem("teacher.placement", "auto", text)
