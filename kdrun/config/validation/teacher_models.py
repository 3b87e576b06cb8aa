"""Rules for teachers that are not trained here: recorded and prompted ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from kdrun import registry
from kdrun.config.recorded_files import generated_path
from kdrun.config.requirements import Requirements
from kdrun.config.schema import RunConfig
from kdrun.config.teacher import RecordedTeacherConfig
from kdrun.errors import Problem, did_you_mean
from kdrun.formatting import plural

USED_KEYS = {"recorded": ("name", "path", "weights", "labels", "allow_weak")}
"""Name of a teacher → keys of its section that have an effect."""


def teacher_model_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Conflicts between a recorded teacher and the method, the student, the task or its own settings."""
    section = config.teacher
    if not isinstance(section, RecordedTeacherConfig):
        return
    if config.student.starts_from_teacher:
        yield _student_problem(config)
    if not needs.teacher:
        return
    uses = needs.uses_of_teacher_model
    method, task = config.method.name, config.task
    if uses:
        text = (
            f"method={method} needs the teacher itself: {'; '.join(uses)}. teacher=recorded has only answers; take the "
            f"model (teacher.path=FOLDER), or a method that a recorded teacher can teach: {_fitting_methods()}"
        )
        yield Problem("method", method, text)
    if task.is_extraction:
        text = (
            f"teacher=recorded has one answer per row, and task={task.name} compares teacher and student at every "
            "token of an answer; take the model (teacher.path=FOLDER)"
        )
        yield Problem("teacher", "recorded", text)
    yield from _path_problems(config, section)
    yield from _label_problems(config, section.labels)


def _fitting_methods() -> str:
    requirements = {name: entry.target.requires for name, entry in registry.entries("method").items()}
    fit = [name for name, needs in requirements.items() if needs.teacher and not needs.uses_of_teacher_model]
    return ", ".join(fit)


def _student_problem(config: RunConfig) -> Problem:
    name = config.student.name
    if name == "layers_of":
        key, remedy = "student", "name the model whose layers it takes (student.path=FOLDER)"
    else:
        key, remedy = (
            "student.tokenizer",
            "set student.tokenizer=corpus, or take a pretrained student",
        )
    text = (
        f"{key}={'layers_of' if key == 'student' else 'teacher'} builds the student from the teacher's model, and "
        f"teacher=recorded has none; {remedy} (student=pretrained student.hub=NAME)"
    )
    return Problem(key, name, text)


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


def label_problems(config: RunConfig) -> Iterator[Problem]:
    """Why a run's teacher cannot label rows: it has none, its answers are recorded, or they are texts."""
    method, task = config.method.name, config.task
    if not registry.get("method", method).target.requires.teacher:
        yield Problem("method", method, f"method={method} has no teacher; leave it out (method=kd)")
    elif isinstance(config.teacher, RecordedTeacherConfig):
        text = "teacher=recorded: its answers are in files already; name the model (teacher.path=FOLDER)"
        yield Problem("teacher", "recorded", text)
    elif task.is_extraction:
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
