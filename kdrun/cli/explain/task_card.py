"""Cards of tasks and metrics.

Nothing here imports torch.
"""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf

from kdrun import registry
from kdrun.cli.explain import keys
from kdrun.cli.explain.cards import NOT_DOCUMENTED, Block, Card, defaults, notes_of
from kdrun.cli.explain.notes import read_docstring
from kdrun.config import compose, domains, plugins
from kdrun.config.task import TaskConfig, TaskKind
from kdrun.config.validation import extraction
from kdrun.config.validation.own_data import OWN
from kdrun.config.validation.task import fitting_metrics, task_problems
from kdrun.data.files import columns, task_facts

MAX_CLASSES = 12
"""Classes that a card lists."""


def task_config(name: str) -> TaskConfig:
    """A task as its file or its plugin gives it."""
    if name in plugins.plugin_choices("task"):
        return plugins.plugin_task(name)
    task: Any = OmegaConf.to_object(defaults("task", name, TaskConfig))
    return task


def task_card(name: str) -> Card:
    """Card of a task: texts, labels, metrics, domains, official rows, folder layout, and one synthetic example."""
    notes = notes_of("task", name)
    config = task_config(name)
    if name == OWN:
        return Card(f"task={name}", [Block("", notes.header), _own_block()])
    problems = list(task_problems(config))
    if problems:
        return Card(f"task={name}", [Block("", notes.header), Block("cannot be used", [*problems])])
    metrics = [f"{metric} (headline)" if metric == config.headline else metric for metric in config.metrics]
    others = [metric for metric in fitting_metrics(config) if metric not in config.metrics]
    layout = {key: keys.yaml_text(value) for key, value in config.folder.items()}
    facts = [
        ("predicts", [_predicts(config)]),
        ("from", [" and ".join(config.text) + (" (columns at the hub)" if _at_hub(config) else "")]),
        ("metrics", [", ".join(metrics), f"others that fit: {', '.join(others) or 'none'}"]),
        ("official rows", [_rows(config)]),
    ]
    overrides = f"task={name} preset={extraction.EXTRACTION_PRESET}" if config.is_text else f"task={name}"
    if config.domains:
        facts += [("domains", [", ".join(config.domains)]), ("by domain", _by_domain(config))]
    return Card(
        f"task={name}",
        [
            Block("", notes.header),
            Block("task", entries=facts),
            Block("data set (data=hub)", entries=[(k, [keys.yaml_text(v)]) for k, v in config.hub.items()]),
            Block("folder layout (data=folder data.dir=PATH)", notes.remarks, [(k, [v]) for k, v in layout.items()]),
            _example(config),
            Block("run", [*_embedded_command(config, overrides), *_real_data_commands(config, overrides)]),
        ],
    )


def _own_block() -> Block:
    """How rows complete the task `own`."""
    metrics = [
        f"{kind.value}: {', '.join(task_facts.METRICS[kind])}"
        for kind in (TaskKind.classes, TaskKind.score, TaskKind.multi_label, TaskKind.text)
    ]
    share = f"{task_facts.RARE_CLASS:.0%}"
    facts = [
        ("task.text", [f"one column named {', '.join(columns.TEXT_NAMES)}; or a pair such as premise, hypothesis"]),
        ("task.label", [f"one column named {', '.join(columns.LABEL_NAMES)}"]),
        ("by content", ["else the only column of long texts, and the only one of few values; else kdrun asks"]),
        ("task.labels", ["the classes in train, sorted; a list here fixes names and order"]),
        ("task.metrics", metrics),
        ("task.headline", [f"the first metric; macro_f1 if the smallest class has less than {share} of the rows"]),
    ]
    return Block("inferred from data=files, unless set", [], facts)


def _predicts(config: TaskConfig) -> str:
    """Description of the task's answers: a class, a score, or a text."""
    if config.is_free_text:
        return f"free text of at most {config.answer_tokens} tokens (T5 models and decoders)"
    if config.is_extraction:
        return f"a text that names entities by type: {', '.join(config.entities)} (T5 models and decoders)"
    if config.is_regression:
        return f"a score from {' to '.join(keys.yaml_text(end) for end in config.range)}"
    shown = [f"{label} ({i})" for i, label in enumerate(config.labels)][:MAX_CLASSES]
    rest = f", … ({len(config.labels)} classes)" if len(config.labels) > MAX_CLASSES else ""
    return f"{'any' if config.is_multi_label else 'one'} of {', '.join(shown)}{rest}"


def _at_hub(config: TaskConfig) -> bool:
    return not (domains.unsupported_source(config, "hub") or extraction.unsupported_source(config, "hub"))


def _rows(config: TaskConfig) -> str:
    """Official rows per split; also the reported split if it differs from the split that chooses the checkpoint."""
    splits = ", ".join(f"{split} {rows}" for split, rows in config.rows.items())
    dev_split = config.dev_splits[0]
    return (
        splits
        if config.report_split == dev_split
        else f"{splits}; {dev_split} chooses, {config.report_split} is reported"
    )


def _by_domain(config: TaskConfig) -> list[str]:
    """Scores of a task by domain, and the splits of its by-domain protocol if that is separate."""
    scores = (
        f"{config.headline} is the mean over domains, {config.headline}_{config.domains[0]} and so on are reported too"
    )
    if config.is_by_domain:
        return [scores]
    splits = _rows(domains.by_domain_task(config))
    return [f"{scores}; for methods that ask for domains (method.domain=…), with splits {splits}"]


def _embedded_command(config: TaskConfig, overrides: str) -> list[str]:
    """The command on embedded data; empty for a task that the embedded data lacks."""
    from kdrun.data import embedded

    return [f"  kdrun {overrides}"] if config.name in embedded.TASKS else []


def _real_data_commands(config: TaskConfig, overrides: str) -> list[str]:
    """The commands on real rows: from a folder in a known layout, from the hub where the task names a data set."""
    commands = [f"  kdrun {overrides} data=folder data.dir=PATH"] if config.folder or not config.hub else []
    return [*commands, *([f"  kdrun {overrides} data=hub"] if config.hub else [])]


def _example(config: TaskConfig) -> Block:
    from kdrun.data import embedded

    heading = "one example of the embedded data (synthetic)"
    if config.name not in embedded.TASKS:
        return Block(heading, ["n/a: the embedded data has no such task"])
    rows = embedded.generate(config.name, config.dev_splits[0])
    texts = [rows.text[0], *(rows.text_pair[:1] if rows.text_pair else [])]
    if rows.answer is not None:
        return Block(heading, entries=[(config.text[0], texts), ("answer", rows.answer[:1])])
    label = rows.label[0]
    label_text = keys.yaml_text(label) if config.is_regression else f"{config.labels[int(label)]} ({label})"
    return Block(
        heading, entries=[*((n, [t]) for n, t in zip(config.text, texts, strict=True)), ("label", [label_text])]
    )


def metric_card(name: str) -> Card:
    """Card of a metric: its docstring, and the tasks that report it."""
    entry = registry.get("metric", name)
    tasks = [task for task in compose.choices("task") if name in task_config(task).metrics]
    facts = [
        ("scores", [", ".join(entry.answers)]),
        ("tasks", [", ".join(tasks) or "none; task.metrics=[…] adds it to a task"]),
    ]
    return Card(
        name, [Block("metric", read_docstring(entry.target).paragraphs or [NOT_DOCUMENTED]), Block("", [], facts)]
    )


def metrics_card() -> Card:
    """Card of all registered metrics."""
    entries = [
        (f"{name}   ({', '.join(entry.answers)})", read_docstring(entry.target).paragraphs[:1])
        for name, entry in registry.entries("metric").items()
    ]
    return Card("metric", [Block("", ["metrics of tasks: task.metrics, task.headline"]), Block("names", [], entries)])
