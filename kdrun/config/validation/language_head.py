"""Rules for models that need a masked-language-model head."""

from __future__ import annotations

from collections.abc import Iterator

from kdrun.config.architectures import Architecture
from kdrun.config.model import ScratchConfig
from kdrun.config.requirements import Requirements
from kdrun.config.schema import RunConfig
from kdrun.errors import Problem


def language_head_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Scratch models of a family without a masked-language-model head, where such a head is needed."""
    used = {"teacher": needs.teacher, "student": True, "generator": needs.generator}
    for role in (role for role, is_used in used.items() if is_used):
        section = getattr(config, role)
        if not isinstance(section, ScratchConfig) or section.path is not None:
            continue
        family = section.architecture.spec
        if family.mlm_head or family.is_text_to_text:
            continue
        without = f"{family.title} has no masked-language-model head"
        if role == "generator":
            text = f"generator.architecture={section.architecture.name}: {without}; take {_with_head()}"
            yield Problem("generator.architecture", section.architecture.name, text)
        elif section.pretrain.steps and not section.pretrain.learns_relations:
            text = f"{role}.pretrain.steps={section.pretrain.steps}: {without} to pretrain with; set it to 0"
            yield Problem(f"{role}.pretrain.steps", section.pretrain.steps, text)


def _with_head() -> str:
    return " or ".join(member.name for member in Architecture if member.spec.mlm_head)
