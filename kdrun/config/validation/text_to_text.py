"""Rules for text-to-text models.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdrun.config.architectures import find_family, titles
from kdrun.config.model import LayersOfConfig, ModelConfig, ScratchConfig
from kdrun.config.requirements import Requirements
from kdrun.config.schema import RunConfig
from kdrun.config.teacher import DomainStrategy
from kdrun.config.validation.saved_models import read_saved_config
from kdrun.errors import Problem


def known_text_to_text_roles(config: RunConfig, needs: Requirements) -> dict[str, bool]:
    """Whether the model of each role that takes part is text-to-text, as far as the config tells."""
    takes_part = {
        "teacher": needs.teacher or config.student.starts_from_teacher,
        "student": True,
        "generator": needs.generator,
    }
    roles = {role: _is_text_to_text(getattr(config, role)) for role, used in takes_part.items() if used}
    if isinstance(config.student, LayersOfConfig) and config.student.path is None:
        roles["student"] = roles["teacher"]
    return {role: is_text_to_text for role, is_text_to_text in roles.items() if is_text_to_text is not None}


def _is_text_to_text(section: Any) -> bool | None:
    if isinstance(section, ModelConfig) and section.path is not None:
        content = read_saved_config(section.path)
        if content is None:
            return None
        family = find_family(content.get("model_type"))
        return family is not None and family.is_text_to_text
    return section.architecture.spec.is_text_to_text if isinstance(section, ScratchConfig) else None


def text_to_text_problems(config: RunConfig, needs: Requirements, roles: Mapping[str, bool]) -> Iterator[Problem]:
    """Settings of a run that do not work with text-to-text models.

    Args:
        config: the run's.
        needs: requirements of its method.
        roles: role → whether its model is text-to-text; roles that are not known yet are left out.
    """
    yield from _method_problems(config, needs, roles)
    task = config.task
    text_to_text = [role for role in ("teacher", "student") if roles.get(role)]
    encoders = [role for role in ("teacher", "student") if roles.get(role) is False]
    if config.loss.name == "logit_mse" and text_to_text and encoders and not task.is_regression:
        text = (
            f"loss=logit_mse compares raw logits: those of the {text_to_text[0]} are log-probabilities of "
            f"label words, and those of the {encoders[0]} have any scale; take loss=kl"
        )
        yield Problem("loss", "logit_mse", text)
    if text_to_text and task.is_multi_label:
        text = (
            f"the {text_to_text[0]} is a text-to-text model, which answers with one label word, and task={task.name} "
            f"has any number of classes per row (task.kind=multi_label); take a {titles()} model"
        )
        yield Problem("task", task.name, text)
    elif text_to_text and (len(task.prompts) != len(task.text) or not (task.label_words or task.is_text)):
        text = (
            f"the {text_to_text[0]} is a text-to-text model, and task={task.name} has no task.prompts and "
            "task.label_words"
        )
        yield Problem("task", task.name, text)


def _method_problems(config: RunConfig, needs: Requirements, roles: Mapping[str, bool]) -> Iterator[Problem]:
    method = config.method.name
    if needs.compares_states or needs.meta_teacher:
        for role in ("teacher", "student"):
            if roles.get(role):
                text = (
                    f"method={method} compares the inside of encoders, and the {role} is a text-to-text model; take a "
                    f"{titles()} model, or method=kd"
                )
                yield Problem(role, getattr(config, role).name, text)
    strategy = config.teacher.domain_strategy
    if roles.get("teacher") and needs.teacher and strategy in (DomainStrategy.multi_task, DomainStrategy.meta):
        text = (
            f"teacher.domain_strategy={strategy.value} works on an encoder's states, and the teacher is a text-to-text "
            "model"
        )
        yield Problem("teacher.domain_strategy", strategy.value, text)
    if needs.shared_vocabulary and roles.get("generator"):
        text = (
            f"method={method} fills masked tokens, and the generator is a text-to-text model; take generator=tiny or "
            "another masked language model"
        )
        yield Problem("generator", config.generator.name, text)
    if needs.text_between and roles.get("generator") is False:
        text = (
            f"method={method} needs a text-to-text generator, and the generator is an encoder; take "
            "generator=t5_tiny, or the folder of a T5 as generator.path"
        )
        yield Problem("generator", config.generator.name, text)
