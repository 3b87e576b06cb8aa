"""What the verbs of the command line share: their words become a typed section, with errors like a run's.

A verb is a module with a dataclass of settings (`kdrun.settings.setting`) and `main(words) -> exit code`.
Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import importlib
from enum import Enum
from typing import Any, TypeVar

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun import overrides
from kdrun.errors import ConfigError, nearest
from kdrun.settings import MISSING, check_ranges

VERBS = {
    "compare": ("kdrun.compare", "methods over seeds on one budget, with verdicts: kdrun compare method=kd seeds=5"),
    "runs": ("kdrun.runs", "what was run: kdrun runs method=kd status=failed"),
    "table": ("kdrun.tables", "mean ± sd of finished runs: kdrun table rows=method cols=task format=markdown"),
    "report": ("kdrun.report", "one HTML file of a run or a comparison: kdrun report outputs/kd/sst2/…"),
    "explain": ("kdrun.explain", "a card of a method, task, loss or preset: kdrun explain kd"),
    "check": ("kdrun.check", "is this run sound, before it is paid for: kdrun check method=kd task=sst2"),
}
"""Verb → the module that carries it out, and a line for the help."""

S = TypeVar("S")


def run(verb: str, words: list[str]) -> int:
    """Carry out a verb; `--help` after it prints what it takes.

    Raises:
        KdrunError: whatever the user can mend.
    """
    module = importlib.import_module(VERBS[verb][0])
    if "--help" in words or "-h" in words:
        print(usage(verb, module))
        return 0
    return module.main(words)


def usage(verb: str, module: Any) -> str:
    """A verb's help: what its `main` says of itself, and its settings."""
    lines = [f"kdrun {verb}: {(module.main.__doc__ or '').strip()}", ""]
    for item in dataclasses.fields(module.Settings):
        default = item.default if item.default is not dataclasses.MISSING else item.default_factory()  # pyright: ignore
        shown = default.value if isinstance(default, Enum) else default
        value = "required" if shown == MISSING else f"default {'null' if shown is None else shown}"
        choices = f"; one of {', '.join(c.value for c in type(default))}" if isinstance(default, Enum) else ""
        lines.append(f"  {item.name + '=':<14}{item.metadata['doc']} ({value}{choices})")
    return "\n".join(lines)


def parse(schema: type[S], words: list[str], *, others: bool = False) -> tuple[S, list[str]]:
    """Read `key=value` words into a dataclass made of `setting` fields.

    A value may name several things, `method=kd,finetune`, where the field is a list.

    Args:
        schema: the verb's settings.
        words: the command line after the verb.
        others: whether words with other keys are left for the run's own config; otherwise they are unknown.

    Returns:
        The settings, and the words that were left.

    Raises:
        ConfigError: with every problem found.
    """
    names = [item.name for item in dataclasses.fields(schema)]  # pyright: ignore[reportArgumentType]
    node, rest, problems = OmegaConf.structured(schema), [], []
    for word in words:
        key, mark, _ = word.partition("=")
        if key not in names:
            if not others:
                hint = f"{nearest(key, names)} (allowed: {', '.join(names) or 'none'})"
                problems.append(f"{word}: unknown key{hint}" if mark else f"{word}: write key=value{hint}")
            rest.append(word)
            continue
        override = overrides.read(word)
        if isinstance(override, str):
            problems.append(override)
            continue
        try:
            OmegaConf.update(node, key, _value(override, is_list=_is_list(node, key)))
        except OmegaConfBaseException as error:
            problems.append(f"{word}: {str(error).splitlines()[0]}")
    missing = sorted(OmegaConf.missing_keys(node))
    docs = {item.name: item.metadata["doc"] for item in dataclasses.fields(schema)}  # pyright: ignore[reportArgumentType]
    problems += [f"{name} is required: {docs[name]}; set it with {name}=…" for name in missing]
    if problems:
        raise ConfigError(problems)
    made: Any = OmegaConf.to_object(node)
    problems = list(check_ranges(made))
    if problems:
        raise ConfigError(problems)
    return made, rest


def _is_list(node: Any, key: str) -> bool:
    return OmegaConf.is_list(node._get_node(key))


def _value(override: Override, *, is_list: bool) -> Any:
    """The value of one word; several, parted by commas, for a list."""
    if override.is_sweep_override():
        values = overrides.words(override)
        return values if is_list else ",".join(values)
    value = override.value()
    return [value] if is_list and not isinstance(value, list) else value
