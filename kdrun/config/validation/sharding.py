"""Rules for models whose weights are divided among processes."""

from __future__ import annotations

from collections.abc import Iterator

from kdrun import ranks, registry
from kdrun.config.requirements import Requirements
from kdrun.config.resolve import resolve_domain_strategy
from kdrun.config.runtime import Shard
from kdrun.config.schema import RunConfig
from kdrun.config.teacher import DomainStrategy, RecordedTeacherConfig
from kdrun.errors import Problem
from kdrun.formatting import join_words

KEY = "runtime.shard"


def sharding_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Methods, tasks and settings that do not work with `runtime.shard`, each with its reason.

    A method without a teacher has none to divide, which is no problem: comparisons train it next to others.

    Args:
        config: of the run.
        needs: requirements of its method.
    """
    shard = config.runtime.shard
    if shard is Shard.none:
        return
    setting, method, task = f"{KEY}={shard.value}", config.method.name, config.task
    roles = [role for role in ("teacher", "student") if role in shard.roles]
    if max(config.runtime.devices, ranks.started_as()[1]) == 1:
        text = f"{setting}: one process has no other to divide the weights with; set runtime.devices=N or {KEY}=none"
        yield Problem(KEY, shard.value, text)
    for role in roles:
        if reasons := needs.obstacles_to_sharding(role):
            fit = [name for name, entry in registry.entries("method").items() if _fits(entry.target.requires, role)]
            text = f"{setting}: method={method} cannot train with a divided {role}, because {join_words(reasons)} "
            yield Problem(KEY, shard.value, f"{text}(methods that can: {', '.join(fit)})")
    if task.is_text:
        text = f"{setting}: answers of task={task.name} are decoded token by token, outside the whole forward pass"
        yield Problem(KEY, shard.value, f"{text}; leave {KEY} out")
    for key, is_set in (("runtime.compile", config.runtime.compile), ("cost_card", config.cost_card)):
        if is_set:
            text = f"{setting}: {key}=true needs whole models in each process; leave one of the two out"
            yield Problem(key, True, text)
    if "teacher" in shard.roles and needs.teacher:
        yield from _teacher_problems(config, needs, setting)


def _teacher_problems(config: RunConfig, needs: Requirements, setting: str) -> Iterator[Problem]:
    if isinstance(config.teacher, RecordedTeacherConfig):
        text = f"{setting}: teacher=recorded has answers, and no model to divide; leave {KEY} out or divide the student"
        yield Problem(KEY, config.runtime.shard.value, text)
        return
    strategy = resolve_domain_strategy(config, needs)
    if strategy in (DomainStrategy.multi_task, DomainStrategy.meta) and not needs.meta_teacher:
        text = f"{setting}: teacher.domain_strategy={strategy.value} trains parts of the teacher on their own; take "
        yield Problem("teacher.domain_strategy", strategy.value, f"{text}single or mixed, or leave {KEY} out")
    states = getattr(config.method, "teacher_states", None)
    if states is not None and states.value == "keep":
        text = f"{setting}: method.teacher_states=keep writes the states by the first process alone; use recompute"
        yield Problem("method.teacher_states", "keep", text)


def _fits(needs: Requirements, role: str) -> bool:
    return not needs.obstacles_to_sharding(role) and (role == "student" or needs.teacher)
