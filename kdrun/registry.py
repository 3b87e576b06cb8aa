"""Registry of components by short name.

Built-in components register in the modules of `BUILTIN_PACKAGES` and `BUILTIN_MODULES`. Other packages use the
entry-point group `kdrun.plugins`: each entry names a module that calls `register` when imported.
A module that registers a *method*, and a plugin, must import without torch: they are read while the command line is
checked, and a typo should not cost the three seconds that torch takes to load.
"""

from __future__ import annotations

import importlib.metadata
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from kdrun.errors import ConfigError, Problem, did_you_mean

GROUPS = ("method", "data", "teacher", "student", "generator", "loss", "corpus", "optimizer", "schedule")
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
}

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """One registered component.

    Attributes:
        target: the class or function that builds it.
        config: the dataclass of its section, if it has one.
        regression: of a loss, whether it compares scores; a loss that compares classes only does not.
    """

    target: Any
    config: type | None
    regression: bool = True


_entries: dict[str, dict[str, Entry]] = {group: {} for group in GROUPS}


def register(group: str, name: str, *, config: type | None = None, regression: bool = True) -> Callable[[T], T]:
    """Register a class or function under a short name.

    Args:
        group: one of `GROUPS`.
        name: the name in a config, e.g. `kd` for `method=kd`.
        config: the dataclass of its section (methods need one: it is the schema of `conf/method/<name>.yaml`).
        regression: of a loss, whether it compares scores; False for a loss that compares distributions over classes.

    Raises:
        ValueError: for an unknown group, or a name that another component already has.
    """
    if group not in _entries:
        raise ValueError(f"unknown group {group!r}; groups are {', '.join(GROUPS)}")

    def add(target: T) -> T:
        registered = _entries[group].get(name)
        if registered is not None and registered.target is not target:
            raise ValueError(f"{group} {name!r} is registered twice: {registered.target} and {target}")
        _entries[group][name] = Entry(target, config, regression)
        return target

    return add


@cache
def _load_plugins() -> None:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                [f"plugin {entry.name!r} ({entry.value}) cannot be loaded: {error}; uninstall it"]
            ) from error


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


def plugin_names(group: str) -> set[str]:
    """Names that plugins registered in a group, without importing kdrun's own modules of the group.

    Once kdrun's own modules are imported, their names are included.
    """
    _load_plugins()
    return set(_entries[group])


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
