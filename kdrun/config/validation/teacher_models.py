"""Rules for teachers that are not trained here: recorded and prompted ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kdrun import registry
from kdrun.config.model import LayersOfConfig, ScratchConfig, TokenizerSource
from kdrun.config.prompt_template import NAMES
from kdrun.config.recorded_files import generated_path
from kdrun.config.requirements import Requirements
from kdrun.config.schema import RunConfig
from kdrun.config.teacher import PromptedTeacherConfig, RecordedTeacherConfig, template_of
from kdrun.errors import Problem, did_you_mean
from kdrun.formatting import plural

USED_KEYS = {
    "recorded": ("path", "weights", "labels", "allow_weak"),
    "prompted": (
        *("path", "hub", "revision", "template", "label_words", "temperature", "calibrate", "allow_weak"),
        *("placement", "max_memory"),
    ),
}
"""Name of a teacher → keys of its section that have an effect."""
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def teacher_model_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Conflicts between a recorded or prompted teacher and the method, the student, the task or its own settings."""
    section = config.teacher
    if not isinstance(section, RecordedTeacherConfig | PromptedTeacherConfig):
        return
    if config.student.starts_from_teacher:
        yield from _student_problems(config)
    generator = config.generator
    if needs.generator and isinstance(generator, ScratchConfig) and generator.starts_from_teacher:
        text = (
            f"generator.tokenizer=teacher takes the teacher's vocabulary, and teacher={section.name} has none for it; "
            "set generator.tokenizer=corpus"
        )
        yield Problem("generator.tokenizer", "teacher", text)
    if not needs.teacher:
        return
    is_recorded, task = isinstance(section, RecordedTeacherConfig), config.task
    uses = needs.uses_of_teacher_model if is_recorded else needs.uses_of_teacher_tokens
    if uses:
        yield _method_problem(config, uses)
    if task.is_text or (task.is_multi_label and not is_recorded):
        why = (
            "compares teacher and student at every token of an answer, and this teacher has one answer per row"
            if task.is_text
            else "has any number of classes per row, and label words of one prompt share one softmax"
        )
        text = f"teacher={section.name}: task={task.name} {why}; take a model of the task (teacher=pretrained)"
        yield Problem("teacher", section.name, text)
    elif isinstance(section, RecordedTeacherConfig):
        yield from _path_problems(config, section)
        yield from _label_problems(config, section.labels)
    else:
        yield from _prompt_problems(config, section)


def _method_problem(config: RunConfig, uses: list[str]) -> Problem:
    method, name = config.method.name, config.teacher.name
    has = {"recorded": "has only answers", "prompted": "reads whole texts in a prompt"}[name]
    fitting = ", ".join(_fitting_methods(is_recorded=name == "recorded"))
    text = (
        f"method={method} needs the teacher itself: {'; '.join(uses)}. teacher={name} {has}; take a model of the task "
        f"(teacher.path=FOLDER), or a method that such a teacher can teach: {fitting}"
    )
    return Problem("method", method, text)


def _fitting_methods(*, is_recorded: bool) -> list[str]:
    requirements = {name: entry.target.requires for name, entry in registry.entries("method").items()}
    return [
        name
        for name, needs in requirements.items()
        if needs.teacher and not (needs.uses_of_teacher_model if is_recorded else needs.uses_of_teacher_tokens)
    ]


def _student_problems(config: RunConfig) -> Iterator[Problem]:
    """Parts of the teacher's model that the student would be built from or learn from."""
    student, teacher = config.student, config.teacher.name
    if isinstance(student, LayersOfConfig) and student.path is None:
        parts = {"student=layers_of": "name the model whose layers it takes (student.path=FOLDER)"}
    elif isinstance(student, ScratchConfig) and student.tokenizer is TokenizerSource.teacher:
        parts = {"student.tokenizer=teacher": "set student.tokenizer=corpus"}
    else:
        parts = {}
    if isinstance(student, ScratchConfig | LayersOfConfig) and student.pretrain.learns_relations:
        parts["student.pretrain.objective=relations"] = "set student.pretrain.steps=0"
    for setting, remedy in parts.items():
        text = (
            f"{setting} builds the student from the teacher's model, and teacher={teacher} has none for it; {remedy}, "
            "or take a pretrained student (student=pretrained student.hub=NAME)"
        )
        yield Problem(setting.partition("=")[0], student.name, text)


def _path_problems(config: RunConfig, section: RecordedTeacherConfig) -> Iterator[Problem]:
    path, weights = section.path, section.weights
    if path is None and generated_path(config) is None:
        text = (
            "teacher=recorded needs teacher.path=FILE, a .jsonl or .parquet file of answers (kdrun label writes one); "
            "only with data=generated is it the generated text"
        )
        yield Problem("teacher.path", None, text)
        return
    paths = path if isinstance(path, list) else [path]
    if path is not None and (not paths or not all(isinstance(one, str) and one for one in paths)):
        text = f"teacher.path={path}: with teacher=recorded it must be a file, or a list of files"
        yield Problem("teacher.path", path, text)
        return
    if len(set(map(str, paths))) < len(paths):
        yield Problem("teacher.path", path, f"teacher.path={path}: a file is named twice; set teacher.weights")
    if weights and len(weights) != len(paths):
        counts = f"{plural(len(weights), 'weight')} for {plural(len(paths), 'file')}"
        text = f"teacher.weights={weights}: {counts} (teacher.path)"
        yield Problem("teacher.weights", weights, text)
    elif weights and not any(weights):
        yield Problem("teacher.weights", weights, f"teacher.weights={weights}: at least one must be above 0")


def _label_problems(config: RunConfig, labels: Any) -> Iterator[Problem]:
    if labels is None:
        return
    if not isinstance(labels, Mapping) or not all(isinstance(name, str) for name in labels.values()):
        text = f"teacher.labels must be a mapping {{name in the file: name in the task}}, got {labels}"
        yield Problem("teacher.labels", labels, text)
        return
    for name in labels.values():
        if name not in config.task.labels:
            hint = f"{did_you_mean(name, config.task.labels)} (classes: {', '.join(config.task.labels) or 'none'})"
            text = f"teacher.labels: task={config.task.name} has no class {name!r}{hint}"
            yield Problem("teacher.labels", name, text)


def _prompt_problems(config: RunConfig, section: PromptedTeacherConfig) -> Iterator[Problem]:
    """A missing model, a template that does not fit the texts, label words that do not fit the classes."""
    task = config.task
    if not section.path and not section.hub:
        text = "teacher=prompted needs a causal language model: teacher.path=FOLDER, or teacher.hub=NAME"
        yield Problem("teacher.path", None, text)
    template = template_of(section, task)
    if template is None:
        placeholders = " and ".join(f"{{{name}}}" for name in NAMES[: len(task.text)])
        text = f"task={task.name} has no prompts: set teacher.template to a prompt with {placeholders}"
        yield Problem("teacher.template", None, text)
    elif problem := template.problem(len(task.text)):
        yield Problem("teacher.template", template.text, f"teacher.template={template.text!r}: {problem}")
    words, key = section.words_for(task), "teacher.label_words" if section.label_words else "task.label_words"
    if task.is_regression and not words:
        text = f"task={task.name} predicts a score: name numbers, such as teacher.label_words=[0,1,2,3,4,5]"
        yield Problem("teacher.label_words", [], text)
    elif task.is_regression and not all(NUMBER.fullmatch(word) for word in words):
        yield Problem(key, words, f"{key}={words}: task={task.name} predicts a score, so the words are numbers")
    elif not task.is_regression and len(words) != len(task.labels):
        text = f"{key} has {len(words)} words for the {len(task.labels)} classes {', '.join(task.labels)}"
        yield Problem(key, words, text)
    if config.loss.name == "logit_mse" and not task.is_regression:
        text = "loss=logit_mse compares raw logits, and those of teacher=prompted are log-likelihoods; take loss=kl"
        yield Problem("loss", "logit_mse", text)


def label_problems(config: RunConfig) -> Iterator[Problem]:
    """Why a run's teacher cannot label rows: it has none, its answers are recorded, or they are texts."""
    method, task = config.method.name, config.task
    if not registry.get("method", method).target.requires.teacher:
        yield Problem("method", method, f"method={method} has no teacher; leave it out (method=kd)")
    elif isinstance(config.teacher, RecordedTeacherConfig):
        text = "teacher=recorded: its answers are in files already; name the model (teacher.path=FOLDER)"
        yield Problem("teacher", "recorded", text)
    elif task.is_text:
        text = f"task={task.name} is answered with text, which has no probability per class to write"
        yield Problem("task", task.name, text)


def settings_without_effect(config: RunConfig, given: Collection[str]) -> Iterator[Problem]:
    """Overrides of the teacher's section that have no effect on a teacher that is not trained here.

    Args:
        config: composed with the overrides.
        given: keys of the overrides.
    """
    used = USED_KEYS.get(config.teacher.name)
    if used is None:
        return
    for key in sorted(given):
        section, _, name = key.partition(".")
        if section == "teacher" and name.partition(".")[0] not in used:
            text = f"{key} has no effect with teacher={config.teacher.name}, which is not trained here; remove it"
            yield Problem(key, None, text)
