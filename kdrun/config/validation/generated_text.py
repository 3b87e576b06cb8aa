"""Rules for runs that export or learn from generated text."""

from __future__ import annotations

from kdrun import registry
from kdrun.config import domains
from kdrun.config.data import GeneratedDataConfig
from kdrun.config.schema import RunConfig


def generated_text_problems(config: RunConfig) -> list[str]:
    """What does not fit about the text that a run leaves behind or learns from, as sentences."""
    entries, found = registry.entries("method"), []
    method, task = entries[config.method.name].target, config.task
    if config.generated.rows and not method.generates_text:
        able = ", ".join(name for name, entry in entries.items() if entry.target.generates_text)
        found.append(f"generated.rows={config.generated.rows}: method={config.method.name} makes no text ({able} do)")
    elif config.generated.rows and not task.classes:
        found.append(f"generated.rows={config.generated.rows}: made text is saved with the teacher's class, and "
                     f"task={task.name} has no classes")  # fmt: skip
    if isinstance(config.data, GeneratedDataConfig):
        found += _unfit_rows(config, config.data)
    if config.ood.path is not None and not method.requires.data_free:
        found.append(f"ood.path={config.ood.path} is for data-free methods; method={config.method.name} learns from "
                     "such text with data=generated data.path=…")  # fmt: skip
    return found


def _unfit_rows(config: RunConfig, rows: GeneratedDataConfig) -> list[str]:
    """What does not fit about a run that learns from generated rows."""
    found, own = [], rows.task_section.name
    if not config.task.classes:
        found.append(f"data=generated: its rows are labelled with classes, and task={config.task.name} has none")
    if domains.uses_domains(config.method) or registry.get("method", config.method.name).target.requires.domains:
        found.append(f"data=generated: its rows say no domain, and method={config.method.name} asks for them here")
    if own == "folder" and rows.dir is None:
        found.append("data.dev=folder needs data.dir=… (the folder that holds SST-2/dev.tsv and so on)")
    if own != "folder" and rows.dir is not None:
        found.append(f"data.dir={rows.dir} is of data.dev=folder, and data.dev={own}; leave one of them out")
    if config.ood.path is not None:
        found.append(f"ood.path={config.ood.path} and data=generated both name the text to learn from; leave out one")
    return found
