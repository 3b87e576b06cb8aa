"""Rules for a frozen teacher spread over GPUs, memory and disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdrun import ranks, registry
from kdrun.config.requirements import Requirements
from kdrun.config.resolve import resolve_domain_strategy
from kdrun.config.schema import RunConfig
from kdrun.config.teacher import DomainStrategy, FineTune, Placement, RecordedTeacherConfig
from kdrun.config.validation.text_to_text import known_text_to_text_roles
from kdrun.errors import Problem
from kdrun.formatting import join_words, parse_bytes

KEY, MEMORY = "teacher.placement", "teacher.max_memory"
REMEDY = f"leave {KEY} out"


def placement_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Methods, tasks and settings that do not work with `teacher.placement=auto`, each with its reason.

    A method without a teacher has none to spread, which is no problem: comparisons train it next to others.

    Args:
        config: of the run.
        needs: requirements of its method.
    """
    teacher = config.teacher
    if teacher.placement is Placement.one:
        if teacher.max_memory is not None:
            yield Problem(MEMORY, teacher.max_memory, f"{MEMORY} has no effect without {KEY}=auto; set it too")
        return
    yield from _memory_problems(teacher.max_memory)
    if not needs.teacher:
        return
    setting, method = f"{KEY}=auto", config.method.name
    if isinstance(teacher, RecordedTeacherConfig):
        yield Problem(KEY, "auto", f"{setting}: teacher=recorded has answers, and no model to spread; {REMEDY}")
        return
    if reasons := needs.obstacles_to_placement(passes_text=passes_text(config)):
        fit = [name for name, entry in registry.entries("method").items() if _fits(entry.target.requires)]
        text = f"{setting}: method={method} cannot use a spread teacher, because {join_words(reasons)}"
        if needs.text_between:
            text += "; set method.gradient=score, which passes text"
        yield Problem(KEY, "auto", f"{text} (methods that can: {', '.join(fit)})")
    if known_text_to_text_roles(config, needs).get("teacher"):
        text = "a text-to-text model computes with the weights of its output layer outside of the layer"
        yield Problem(KEY, "auto", f"{setting}: {text}; take a classifier or a prompted teacher, or {REMEDY}")
    elif config.task.is_text:
        text = f"answers of task={config.task.name} are decoded token by token, which was not tried with such a teacher"
        yield Problem(KEY, "auto", f"{setting}: {text}; {REMEDY}")
    strategy = resolve_domain_strategy(config, needs)
    is_trained = strategy in (DomainStrategy.multi_task, DomainStrategy.meta) and not needs.meta_teacher
    if teacher.fine_tune is FineTune.always or is_trained:
        key = "teacher.domain_strategy" if is_trained else "teacher.fine_tune"
        value = strategy.value if is_trained and strategy is not None else "always"
        text = f"{setting} spreads a frozen teacher, and {key}={value} trains it; {HOW_TO_TRAIN}"
        yield Problem(key, value, text)
    if max(config.runtime.devices, ranks.started_as()[1]) > 1:
        text = f"{setting} spreads the teacher of one process, and this run has several; use runtime.shard=teacher"
        yield Problem("runtime.devices", config.runtime.devices, text)
    for key, is_set in (("runtime.compile", config.runtime.compile), ("cost_card", config.cost_card)):
        if is_set:
            text = f"{setting}: {key}=true needs the whole teacher on one device; leave one of the two out"
            yield Problem(key, True, text)


HOW_TO_TRAIN = (
    "train it before, over several GPUs (runtime.shard=teacher) or on a larger one, and name its folder "
    "(teacher.path=FOLDER)"
)


def passes_text(config: RunConfig) -> bool:
    """Whether a generator passes text to the teacher, as `method.gradient=score` requires."""
    gradient = getattr(config.method, "gradient", None)
    return gradient is not None and gradient.value == "score"


def memory_limits(value: Any) -> dict[int | str, int] | None:
    """Bytes by GPU number or `cpu`, from a valid `teacher.max_memory`; None if it is null."""
    if value is None:
        return None
    limits = {int(key) if str(key).isdecimal() else str(key): parse_bytes(str(size)) for key, size in value.items()}
    return {key: size for key, size in limits.items() if size is not None}


def _memory_problems(value: Any) -> Iterator[Problem]:
    if value is None:
        return
    if not isinstance(value, Mapping) or not value:
        text = f"{MEMORY}={value}: it must map GPU numbers or cpu to sizes, as {{0: 20GiB, cpu: 60GiB}}"
        yield Problem(MEMORY, value, text)
        return
    for key, size in value.items():
        if str(key) != "cpu" and not str(key).isdecimal():
            text = f"{MEMORY}: {key!r} is neither the number of a GPU nor cpu; the disk takes the rest"
            yield Problem(MEMORY, value, text)
        if parse_bytes(str(size)) is None:
            text = f"{MEMORY}: {key}: {size} is not a size; write a number and MB, MiB, GB or GiB: 20GiB"
            yield Problem(MEMORY, value, text)


def _fits(needs: Requirements) -> bool:
    return needs.teacher and not needs.obstacles_to_placement(passes_text=needs.text_between)
