"""All rules across sections of a composed config, checked before anything loads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from kdrun import registry
from kdrun.config.fields import validate_ranges
from kdrun.config.model import ModelConfig
from kdrun.config.paths import CONF_DIR
from kdrun.config.requirements import Requirements, requirements_of
from kdrun.config.schema import RunConfig
from kdrun.config.validation import (
    bag_of_words,
    class_names,
    domains,
    extra_splits,
    extraction,
    generated_text,
    language_head,
    layers,
    loss,
    machine,
    offline,
    own_data,
    placement,
    pretraining,
    row_choice,
    sharding,
    teacher,
    teacher_models,
    text_to_text,
    unused,
)
from kdrun.config.validation.task import task_problems
from kdrun.errors import Problem, did_you_mean


def validate(config: RunConfig) -> list[Problem]:
    """Every problem of a composed config that can be found before anything loads."""
    problems = [*validate_ranges(config), *machine.machine_problems(config), *offline.offline_problems(config)]
    for key in ("output_dir", "run_dir"):
        if getattr(config, key) == "":
            problems.append(Problem(key, "", f"{key} is empty; name a folder, or leave it out"))
    task_faults = list(own_data.own_task_problems(config)) or list(task_problems(config.task))
    problems += task_faults
    if task_faults:  # the other rules rely on a sound task
        return problems
    needs, task = requirements_of(config), config.task
    domain_problems = domains.domain_problems(task, config.method, config.data.task_section.name, needs.domains)
    problems += domain_problems or list(teacher.domain_strategy_problems(config, needs))
    problems += extraction.extraction_problems(config)
    problems += extraction.top_k_problems(config, needs)
    problems += teacher_models.teacher_model_problems(config, needs)
    problems += _method_problems(config, needs)
    if needs.compares_states and isinstance(config.teacher, ModelConfig):
        method = registry.get("method", config.method.name).target
        mismatch = partial(method.depth_mismatch, config.method)
        problems += layers.layer_problems(config.student, config.teacher, mismatch)
    problems += generated_text.generated_text_problems(config)
    problems += extra_splits.extra_split_problems(config)
    problems += bag_of_words.bag_of_words_problems(config, needs)
    problems += language_head.language_head_problems(config, needs)
    problems += pretraining.pretraining_problems(config, needs)
    problems += row_choice.row_choice_problems(config, needs)
    problems += sharding.sharding_problems(config, needs)
    problems += placement.placement_problems(config, needs)
    problems += text_to_text.text_to_text_problems(config, needs, text_to_text.known_text_to_text_roles(config, needs))
    problems += class_names.class_name_problems(config, needs)
    problems += _corpus_problems(config, needs)
    problems += _name_problems(config)
    problems += loss.loss_problems(config)
    problems += unused.optimizer_problems(config)
    return problems


def _method_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Conflicts between the method, its own settings, the task and the generator."""
    method, task = config.method.name, config.task
    for text in registry.get("method", method).target.config_problems(config.method, task):
        yield text if isinstance(text, Problem) else Problem("method", method, text)
    yield from _weight_problems(config)
    if task.is_multi_label and not needs.multi_label:
        fit = [name for name, entry in registry.entries("method").items() if entry.target.requires.multi_label]
        text = (
            f"method={method} works with one class per row, and task={task.name} has any number of them "
            f"(task.kind=multi_label; methods that fit: {', '.join(fit)})"
        )
        yield Problem("method", method, text)
    elif needs.only_text and not task.is_text:
        text = (
            f"method={method} learns from answers in text, and task={task.name} is answered with a class or a score; "
            "take a task that is answered with a text (task=conll2003), or method=kd"
        )
        yield Problem("method", method, text)
    if task.is_regression and not needs.regression:
        yield Problem("method", method, f"method={method} needs classes, and task={task.name} predicts a score")
    if needs.attention_vectors and config.runtime.compile:
        text = f"runtime.compile=true: method={method} reads states inside compiled layers; leave runtime.compile out"
        yield Problem("runtime.compile", True, text)
    if needs.generator and config.generator.name == "none":
        yield Problem("generator", "none", f"method={method} needs a generator: set generator=…")


def _weight_problems(config: RunConfig) -> Iterator[Problem]:
    """Roles whose loss has no term left: every weight is 0."""
    method = config.method
    for role, names in registry.get("method", method.name).target.loss_weights.items():
        weights = {f"method.{name}": getattr(method, name) for name in names if hasattr(method, name)}
        if weights and not any(weights.values()):
            settings = " ".join(f"{key}=0" for key in weights)
            text = f"{settings}: the {role} would train on no loss at all; set at least one of them above 0"
            yield Problem(next(iter(weights)), 0.0, text)


def _corpus_problems(config: RunConfig, needs: Requirements) -> Iterator[Problem]:
    """Synthetic text in a run on real data."""
    from_corpus = needs.data_free and config.data.name != "generated" and config.ood.path is None
    if from_corpus and config.corpus.name == "embedded" and config.data.name != "embedded":
        text = (
            f"method={config.method.name} learns from the corpus, and corpus=embedded is synthetic text next to real "
            "data: take corpus=folder corpus.dir=PATH (a folder of text files) or corpus=hub (WikiText-103)"
        )
        yield Problem("corpus", "embedded", text)


def _name_problems(config: RunConfig) -> Iterator[Problem]:
    """Unknown losses, optimizers and schedules."""
    names = [("loss.name", "loss", config.loss.name)]
    for prefix, section in unused.optimizer_sections(config):
        names += [(f"{prefix}name", "optimizer", section.name), (f"{prefix}schedule", "schedule", section.schedule)]
    for key, group, name in names:
        if name is not None and name not in _shipped(group) and name not in registry.entries(group):
            allowed = list(registry.entries(group))
            ending = f"{did_you_mean(name, allowed)} (allowed: {', '.join(allowed)})"
            yield Problem(key, name, f"{key}={name}: unknown{ending}")


def _shipped(group: str) -> set[str]:
    """Names known without importing torch, so that only an unusual name costs the import."""
    if group == "schedule":
        return {"linear", "cosine", "constant"}
    return {p.stem for p in (CONF_DIR / "optim").glob("*.yaml")} if group == "optimizer" else set()
