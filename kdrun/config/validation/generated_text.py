"""Rules for runs that export or learn from generated text."""

from __future__ import annotations

from kdrun import registry
from kdrun.config import domains
from kdrun.config.data import GeneratedDataConfig
from kdrun.config.schema import RunConfig
from kdrun.config.task import TaskConfig
from kdrun.errors import Problem


def generated_text_problems(config: RunConfig) -> list[Problem]:
    """Conflicts about the generated text that a run exports or learns from."""
    entries, problems = registry.entries("method"), []
    method, task, name, rows = (
        entries[config.method.name].target,
        config.task,
        config.method.name,
        config.generated.rows,
    )
    if rows and not method.generates_text:
        able = ", ".join(name for name, entry in entries.items() if entry.target.generates_text)
        text = f"generated.rows={rows}: method={name} generates no text ({able} do)"
        problems.append(Problem("generated.rows", rows, text))
    elif rows and not task.has_one_class:
        text = f"generated.rows={rows}: rows are saved with the teacher's class, and task={task.name} {_answers(task)}"
        problems.append(Problem("generated.rows", rows, text))
    if isinstance(config.data, GeneratedDataConfig):
        problems += _row_problems(config, config.data)
    path = config.ood.path
    if path is not None and not method.requires.data_free:
        text = (
            f"ood.path={path} is for data-free methods; method={name} learns from such text with data=generated "
            "data.path=…"
        )
        problems.append(Problem("ood.path", path, text))
    return problems


def _answers(task: TaskConfig) -> str:
    return "has any number of them per row" if task.is_multi_label else "has no classes"


def _row_problems(config: RunConfig, rows: GeneratedDataConfig) -> list[Problem]:
    """Conflicts of a run that learns from generated rows."""
    method, problems, source = config.method.name, [], rows.task_section.name
    if not config.task.has_one_class:
        text = f"data=generated: its rows have one class, and task={config.task.name} {_answers(config.task)}"
        problems.append(Problem("data", "generated", text))
    if domains.uses_domains(config.method) or registry.get("method", method).target.requires.domains:
        text = f"data=generated: its rows have no domain, and method={method} needs one"
        problems.append(Problem("data", "generated", text))
    if source == "folder" and rows.dir is None:
        text = "data.dev=folder needs data.dir=… (the folder that holds SST-2/dev.tsv and so on)"
        problems.append(Problem("data.dev", source, text))
    if source != "folder" and rows.dir is not None:
        text = f"data.dir={rows.dir} belongs to data.dev=folder, and data.dev={source}; remove one of them"
        problems.append(Problem("data.dir", rows.dir, text))
    if config.ood.path is not None:
        text = f"ood.path={config.ood.path} and data=generated both name the text to learn from; remove one"
        problems.append(Problem("ood.path", config.ood.path, text))
    return problems
