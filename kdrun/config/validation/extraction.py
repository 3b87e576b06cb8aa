"""Rules for tasks that are answered with text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kdrun import registry
from kdrun.config.model import ModelConfig, ScratchConfig
from kdrun.config.requirements import Requirements
from kdrun.config.task import TaskConfig
from kdrun.errors import Problem

FREE_TEXT_SOURCES = ("files", "embedded")
"""Sources with rows of free text."""
EXTRACTION_PRESET = "t5_writer"
"""The preset whose models answer with a text."""


def unsupported_source(task: TaskConfig, source: str) -> str | None:
    """Why a source has no rows of a task that is answered with text, and what to do instead; None where it has."""
    if task.is_free_text and source not in FREE_TEXT_SOURCES:
        return (
            f"data={source} reads classes, scores and entities, and task={task.name} is answered with free text "
            "(task.kind=text); take data=files data.train=FILE"
        )
    if not task.is_extraction or source != "hub":
        return None
    first = next(iter(task.folder.get("files", {}).values()), "train.txt")
    return (
        f"data=hub has no task={task.name}: the data set there needs custom code. Take data=folder data.dir=PATH (a "
        f"folder that holds {task.folder.get('dir')}/{first} and so on) or data=embedded (synthetic rows)"
    )


def extraction_problems(config: Any) -> list[Problem]:
    """Methods, data and models of a run that do not fit a task that is answered with a text.

    The family of a checkpoint is not known here; `kdrun.models` refuses an encoder before it loads its weights.

    Args:
        config: a whole run's.
    """
    task, method = config.task, config.method.name
    if not task.is_text:
        return []
    needs, problems = registry.get("method", method).target.requires, []
    if task.is_free_text and needs.generator:
        text = (
            f"method={method} generates texts for a class, and the answers of task={task.name} are free text "
            "(task.kind=text), which has none; take method=kd, gkd or kd_ood"
        )
        problems.append(Problem("method", method, text))
    elif not needs.extraction:
        fit = [name for name, entry in registry.entries("method").items() if entry.target.requires.extraction]
        text = (
            f"method={method} works with a class or a score, and task={task.name} is answered with a text (methods "
            f"that fit: {', '.join(fit)})"
        )
        problems.append(Problem("method", method, text))
    roles = ["student", *(["teacher"] if needs.teacher or config.student.starts_from_teacher else [])]
    encoders = {role: family for role in roles if (family := _encoder(getattr(config, role)))}
    if encoders:
        names = " and ".join(f"{role}.architecture={family}" for role, family in encoders.items())
        text = (
            f"{names}: an encoder generates no text, and task={task.name} is answered with one; take "
            f"preset={EXTRACTION_PRESET} (small T5 models), a decoder ({next(iter(encoders))}.architecture=gpt2), or "
            f"{' '.join(f'{role}.path=PATH' for role in encoders)} with a T5 or a causal language model"
        )
        role = next(iter(encoders))
        problems.append(Problem(f"{role}.architecture", encoders[role], text))
    source = config.data.name if task.is_free_text else config.data.task_section.name
    refusal = unsupported_source(task, source)
    return [*problems, Problem("data", source, refusal)] if refusal else problems


def top_k_problems(config: Any, needs: Requirements) -> Iterator[Problem]:
    """Why `teacher.top_k` does not fit a run: it has no logits per token to keep, or its loss compares raw logits."""
    k, name = getattr(config.teacher, "top_k", None), config.loss.name
    if k is None:
        return
    if not (config.task.is_text and needs.teacher_logits):
        why = (
            f"method={config.method.name} does not compare the teacher's logits on rows that stay the same"
            if config.task.is_text
            else f"task={config.task.name} has one answer per row, whose logits are always kept"
        )
        text = f"teacher.top_k={k} keeps the teacher's logits at each token of an answer, and {why}; remove it"
        yield Problem("teacher.top_k", k, text)
    elif (loss := registry.entries("loss").get(name or "")) is not None and (loss.raw_logits or loss.regression):
        text = f"teacher.top_k={k} keeps probabilities, and loss={name} compares raw logits; take loss=kl, or remove it"
        yield Problem("teacher.top_k", k, text)


def _encoder(section: ModelConfig) -> str | None:
    """The family of an encoder that is built from a section rather than read from a folder."""
    if not isinstance(section, ScratchConfig) or section.path is not None or section.architecture.spec.writes_text:
        return None
    return section.architecture.value
