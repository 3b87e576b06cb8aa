"""Rules for tasks that are answered with text."""

from __future__ import annotations

from typing import Any

from kdrun import registry
from kdrun.config.task import TaskConfig

EXTRACTION_PRESET = "t5_writer"
"""The preset whose models answer with a text."""


def unsupported_source(task: TaskConfig, source: str) -> str | None:
    """Why a source has no rows of this task, and what to do instead; None where it has, or need not."""
    if not task.is_extraction or source != "hub":
        return None
    first = next(iter(task.folder.get("files", {}).values()), "train.txt")
    return (
        f"data=hub has no task={task.name}: what is there runs code of its own. Take data=folder data.dir=PATH (a "
        f"folder that holds {task.folder.get('dir')}/{first} and so on) or data=embedded (synthetic rows)"
    )


def extraction_problems(config: Any) -> list[str]:
    """What of a run's method, data and models does not fit a task that is answered with a text, as sentences.

    A checkpoint's family is not known here; `kdrun.models` refuses an encoder before it loads its weights.

    Args:
        config: a whole run's.
    """
    task, method = config.task, config.method.name
    if not task.is_extraction:
        return []
    needs, found = registry.get("method", method).target.requires, []
    if not needs.extraction:
        fit = [name for name, entry in registry.entries("method").items() if entry.target.requires.extraction]
        found.append(
            f"method={method} works with a class or a score, and task={task.name} is answered with a text (methods "
            f"that fit: {', '.join(fit)})"
        )
    roles = ["student", *(["teacher"] if needs.teacher or config.student.starts_from_teacher else [])]
    encoders = {role: family for role in roles if (family := _encoder(getattr(config, role)))}
    if encoders:
        named = " and ".join(f"{role}.architecture={family}" for role, family in encoders.items())
        paths = " ".join(f"{role}.path=PATH" for role in encoders)
        found.append(
            f"{named}: an encoder writes no text, and task={task.name} is answered with one; take "
            f"preset={EXTRACTION_PRESET} (small T5 models), or {paths} with a T5 model"
        )
    refused = unsupported_source(task, config.data.task_section.name)
    return [*found, refused] if refused else found


def _encoder(section: Any) -> str | None:
    """The family of an encoder that is built from a section rather than read from a folder."""
    architecture = getattr(section, "architecture", None)
    if section.path is not None or architecture is None or architecture.spec.is_text_to_text:
        return None
    return architecture.value
