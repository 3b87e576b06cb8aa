"""Rules for text-to-text models.

Nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kdrun.config.architectures import find_family, titles
from kdrun.config.model import LayersOfConfig, ScratchConfig
from kdrun.config.requirements import Requirements
from kdrun.config.schema import RunConfig


def known_text_to_text_roles(config: RunConfig, needs: Requirements) -> dict[str, bool]:
    """Which of the roles that take part are text-to-text models, as far as the config says so."""
    wanted = {"teacher": needs.teacher or config.student.starts_from_teacher, "student": True}
    wanted["generator"] = needs.generator
    found = {role: _is_text_to_text(getattr(config, role)) for role, used in wanted.items() if used}
    if isinstance(config.student, LayersOfConfig) and config.student.path is None:
        found["student"] = found["teacher"]
    return {role: known for role, known in found.items() if known is not None}


def _is_text_to_text(section: Any) -> bool | None:
    path = getattr(section, "path", None)
    if path is not None:
        try:
            content = json.loads((Path(path).expanduser() / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None  # reported where it is loaded
        if not isinstance(content, dict):
            return None
        family = find_family(content.get("model_type"))
        return family is not None and family.is_text_to_text
    return section.architecture.spec.is_text_to_text if isinstance(section, ScratchConfig) else None


def text_to_text_problems(config: RunConfig, needs: Requirements, are: Mapping[str, bool]) -> Iterator[str]:
    """What text-to-text models cannot do in a run, as sentences.

    Args:
        config: the run's.
        needs: of its method.
        are: by role, whether its model is text-to-text; roles that are not known yet are left out.
    """
    method, task = config.method.name, config.task
    taught = [role for role in ("teacher", "student") if are.get(role)]
    encoders = [role for role in ("teacher", "student") if are.get(role) is False]
    for role in taught:
        if needs.hidden_states or needs.attentions or needs.meta_teacher:
            yield (
                f"method={method} compares the inside of encoders, and the {role} is a text-to-text model; take a "
                f"{titles()} model, or method=kd"
            )
    lessons = getattr(config.teacher, "domain_strategy", None)
    if are.get("teacher") and needs.teacher and lessons is not None and lessons.value in ("multi_task", "meta"):
        yield (
            f"teacher.domain_strategy={lessons.value} works on an encoder's states, and the teacher is a text-to-text "
            "model"
        )
    if needs.shared_vocabulary and are.get("generator"):
        yield (
            f"method={method} fills masked tokens, and the generator is a text-to-text model; take generator=tiny or "
            "another masked language model"
        )
    if needs.text_between and are.get("generator") is False:
        yield (
            f"method={method} has its text written by a text-to-text model, and the generator is an encoder; take "
            "generator=t5_tiny, or the folder of a T5 as generator.path"
        )
    if config.loss.name == "logit_mse" and taught and encoders and not task.is_regression:
        yield (
            f"loss=logit_mse compares logits as they are: those of the {taught[0]} are log-probabilities of label "
            f"words, those of the {encoders[0]} of any size; take loss=kl"
        )
    if taught and (len(task.prompts) != len(task.text) or not (task.label_words or task.entities)):
        yield f"the {taught[0]} is a text-to-text model, and task={task.name} has no task.prompts and task.label_words"
