"""Registry of components by short name.

Built-in components register in the modules of `BUILTIN_PACKAGES` and `BUILTIN_MODULES`. Other packages use the
entry-point group `kdrun.plugins`: each entry names a module that calls `register` when imported.
A module that registers a *method*, and a plugin, must import without torch: they are read while the command line is
checked, and a typo should not cost the three seconds that torch takes to load. A plugin that cannot be loaded is named
and skipped.
"""

from __future__ import annotations

import importlib.metadata
import pkgutil
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar, get_args

from kdrun.errors import ConfigError, Problem, did_you_mean

GROUPS = (
    "method", "task", "data", "teacher", "student", "generator", "loss", "corpus", "optimizer", "schedule", "metric",
)  # fmt: skip
ENTRY_POINTS = "kdrun.plugins"
BUILTIN_PACKAGES: dict[str, str] = {"method": "kdrun.methods", "data": "kdrun.data.sources"}
"""Group → package whose modules register its components; a new file there needs no entry anywhere."""
BUILTIN_MODULES: dict[str, tuple[str, ...]] = {
    "teacher": ("kdrun.models.builders",),
    "student": ("kdrun.models.builders",),
    "generator": ("kdrun.models.builders",),
    "loss": ("kdrun.losses",),
    "corpus": ("kdrun.data.corpus.corpora",),
    "optimizer": ("kdrun.training.optim",),
    "schedule": ("kdrun.training.optim",),
    "metric": ("kdrun.tasks.registered_metrics",),
}
Answers = Literal["classes", "two classes", "label sets", "scores", "entities", "texts"]
"""Answers that a metric scores: classes, classes 0 and 1 only, any number of the classes per row, numbers,
texts that name entities, or free texts."""
NAME = re.compile(r"[A-Za-z]\w*")

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """One registered component.

    Attributes:
        target: the class or function that builds it.
        config: the dataclass of its section, if it has one.
        regression: of a loss, whether it compares scores; a loss that compares classes only does not.
        multi_label: of a loss, whether it compares label sets, one decision per class, and nothing else.
        two_classes: of a loss, why it does not fit two classes, as the end of a sentence; empty if it does.
        raw_logits: of a loss, whether it depends on more than the softmax of the logits.
        sees_batch: of a loss, whether its values depend on the other rows of the call.
        answers: of a metric, the answers that it scores.
        needs_probabilities: of a metric, whether it takes probabilities, [rows, classes], instead of predictions.
        undefined: of a metric, when it is None, e.g. `a class has no row`.
        check: a cheap check of the files of a data source, `check(config, task, splits)`, or of a corpus,
            `check(config)`; raises DataError.
        fill_task: of a data source whose rows complete the task (its classes, for example): `fill_task(config, task)`
            returns the completed task; raises DataError.
    """

    target: Any
    config: type | None
    regression: bool = True
    multi_label: bool = False
    two_classes: str = ""
    raw_logits: bool = False
    sees_batch: bool = False
    answers: tuple[Answers, ...] = ("classes",)
    needs_probabilities: bool = False
    undefined: str = ""
    check: Callable[..., None] | None = None
    fill_task: Callable[..., Any] | None = None


_entries: dict[str, dict[str, Entry]] = {group: {} for group in GROUPS}


def register(
    group: str,
    name: str,
    *,
    config: type | None = None,
    regression: bool = True,
    multi_label: bool = False,
    two_classes: str = "",
    raw_logits: bool = False,
    sees_batch: bool = False,
    answers: Answers | tuple[Answers, ...] = "classes",
    needs_probabilities: bool = False,
    undefined: str = "",
    check: Callable[..., None] | None = None,
    fill_task: Callable[..., Any] | None = None,
) -> Callable[[T], T]:
    """Register a class or function under a short name.

    Args:
        group: one of `GROUPS`.
        name: the name in a config, e.g. `kd` for `method=kd`.
        config: the dataclass of its section (methods need one: it is the schema of `conf/method/<name>.yaml`).
        regression: of a loss, whether it compares scores; False for a loss that compares distributions over classes.
        multi_label: of a loss, whether it compares label sets, one decision per class, and nothing else.
        two_classes: of a loss, why it does not fit two classes, as the end of a sentence; empty if it does.
        raw_logits: of a loss, whether it depends on more than the softmax of the logits.
        sees_batch: of a loss, whether its values depend on the other rows of the call, whose loss is their mean.
        answers: of a metric, the answers that it scores, one or several.
        needs_probabilities: of a metric, whether it takes probabilities, [rows, classes], instead of predictions.
        undefined: of a metric, when it is None, e.g. `a class has no row`.
        check: of a data source or a corpus, a cheap check of its files, called before anything heavy loads.
        fill_task: of a data source, completes the task by the rows when the config is composed.

    Raises:
        ValueError: for an unknown group, a name with other characters than letters, digits and _, a method without
            a dataclass, or a name that another component already has.
    """
    answer_types = (answers,) if isinstance(answers, str) else answers
    _check_registration(group, name, config, answer_types)

    def add(target: T) -> T:
        facts = (regression, multi_label, two_classes, raw_logits, sees_batch)
        rest = (answer_types, needs_probabilities, undefined, check, fill_task)
        _add(group, name, Entry(target, config, *facts, *rest))
        return target

    return add


def _check_registration(group: str, name: str, config: type | None, answers: tuple[Answers, ...]) -> None:
    if group not in _entries:
        raise ValueError(f"unknown group {group!r}; groups are {', '.join(GROUPS)}")
    if not NAME.fullmatch(name):
        raise ValueError(f"{group} {name!r}: a name has letters, digits and _ only")
    if group == "method" and config is None:
        raise ValueError(f"method {name!r} has no config=…, the dataclass of its settings")
    if not answers or not set(answers) <= set(get_args(Answers)):
        raise ValueError(f"{group} {name!r}: answers={answers!r} is none of {', '.join(get_args(Answers))}")


def _add(group: str, name: str, entry: Entry) -> None:
    registered = _entries[group].get(name)
    if registered is not None and registered.target is not entry.target:
        if not _is_builtin(entry.target) or _is_builtin(registered.target):
            raise ValueError(f"{group} {name!r} is registered twice: {registered.target} and {entry.target}")
        # a plugin is read before the losses
        _warn(f"{group} {name!r} of {registered.target.__module__} is skipped: kdrun has one of this name")
    _entries[group][name] = entry


@cache
def _load_plugins() -> None:
    """Import every plugin. A broken one is named on stderr, and nothing of it stays registered."""
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        before = {group: dict(components) for group, components in _entries.items()}
        try:
            entry.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001  a plugin may raise anything
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            _warn(
                f"plugin {entry.name!r} ({entry.value}) cannot be loaded and is skipped: {reason}; fix or uninstall it"
            )
            for group, components in before.items():
                _entries[group].clear()
                _entries[group].update(components)


@cache
def _load(group: str) -> None:
    if group in BUILTIN_PACKAGES:
        package = importlib.import_module(BUILTIN_PACKAGES[group])
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    for name in BUILTIN_MODULES.get(group, ()):
        importlib.import_module(name)
    _load_plugins()


def entries(group: str) -> dict[str, Entry]:
    """All components of a group by name, sorted; imports the modules that define them on first use."""
    _load(group)
    return dict(sorted(_entries[group].items()))


def plugin_entries(group: str) -> dict[str, Entry]:
    """Components that plugins registered in a group, without importing kdrun's own modules of the group."""
    _load_plugins()
    return {name: entry for name, entry in sorted(_entries[group].items()) if not _is_builtin(entry.target)}


def skip(group: str, name: str, reason: str) -> None:
    """Remove a plugin's component that cannot be used, with a warning on stderr.

    Args:
        group: its group.
        name: its name.
        reason: why, as the end of a sentence.
    """
    entry = _entries[group].pop(name)
    _warn(f"{group} {name!r} of {entry.target.__module__} is skipped: {reason}")


def _is_builtin(target: Any) -> bool:
    return getattr(target, "__module__", "").startswith("kdrun.")


def _warn(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")


def get(group: str, name: str) -> Entry:
    """The component registered under a name.

    Raises:
        ConfigError: the name is unknown; the message lists the names that are registered.
    """
    components = entries(group)
    if name not in components:
        names = list(components)
        text = f"unknown {group} {name!r}{did_you_mean(name, names)} (known: {', '.join(names)})"
        raise ConfigError([Problem(group, name, text)])
    return components[name]


def build(group: str, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call the component registered under a name, e.g. `build("student", config.student.name, …)`."""
    return get(group, name).target(*args, **kwargs)
