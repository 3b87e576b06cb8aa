"""All rules across sections of a composed config, checked before anything loads."""

from __future__ import annotations

from operator import attrgetter

from kdrun import registry
from kdrun.config.fields import validate_ranges
from kdrun.config.paths import CONF_DIR
from kdrun.config.requirements import requirements_of
from kdrun.config.schema import RunConfig
from kdrun.config.validation import domains, extraction, generated_text, layers, offline, teacher, text_to_text
from kdrun.errors import did_you_mean


def validate(config: RunConfig) -> list[str]:
    """Every problem of a composed config that can be seen before anything loads."""
    problems = [*validate_ranges(config), *offline.offline_problems(config)]
    empty = [key for key in ("output_dir", "run_dir") if getattr(config, key) == ""]
    problems += [f"{key} is empty; name a folder, or leave it out" for key in empty]
    needs, task = requirements_of(config), config.task
    unfit = domains.domain_problems(task, config.method, config.data.task_section.name, needs.domains)
    problems += unfit or list(teacher.domain_strategy_problems(config, needs))
    problems += extraction.extraction_problems(config)
    problems += registry.get("method", config.method.name).target.config_problems(config.method, task)
    if task.is_regression and not needs.regression:
        problems.append(f"method={config.method.name} needs classes, and task={task.name} predicts a score")
    if needs.generator and config.generator.name == "none":
        problems.append(f"method={config.method.name} needs a generator: set generator=… ")
    if needs.paired_layers:
        problems += layers.layer_problems(config.student, config.teacher)
    problems += generated_text.generated_text_problems(config)
    problems += text_to_text.text_to_text_problems(config, needs, text_to_text.known_text_to_text_roles(config, needs))
    from_corpus = needs.data_free and config.data.name != "generated" and config.ood.path is None
    if from_corpus and config.corpus.name == "embedded" and config.data.name != "embedded":
        problems.append(
            f"method={config.method.name} learns from the corpus, and corpus=embedded is synthetic text beside real "
            "data: take corpus=folder corpus.dir=PATH (a folder of text files) or corpus=hub (WikiText-103)"
        )
    for key, kind in (("loss.name", "loss"), ("optim.name", "optimizer"), ("optim.schedule", "schedule")):
        name = attrgetter(key)(config)
        if name is not None and name not in _shipped(kind) and name not in registry.entries(kind):
            known = list(registry.entries(kind))
            problems.append(f"{key}={name}: unknown{did_you_mean(name, known)} (allowed: {', '.join(known)})")
    if task.is_regression and config.loss.name in ("kl", "reverse_kl", "soft_ce"):
        problems.append(
            f"loss={config.loss.name} compares distributions over classes, and task={task.name} predicts a "
            "score; use loss=logit_mse or leave it out"
        )
    return problems


def _shipped(kind: str) -> set[str]:
    """Names known without importing torch, so that only an unusual one costs the import."""
    if kind == "schedule":
        return {"linear", "cosine", "constant"}
    return {p.stem for p in (CONF_DIR / {"loss": "loss", "optimizer": "optim"}[kind]).glob("*.yaml")} - {"auto"}
