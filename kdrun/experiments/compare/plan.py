"""Turn overrides of a comparison into arms, one per method or value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath

from kdrun import registry
from kdrun.config import compose
from kdrun.config.identity import NON_IDENTITY_KEYS
from kdrun.config.overrides import key_of, override_values, parse_override
from kdrun.config.validation import machine
from kdrun.errors import ConfigError, did_you_mean
from kdrun.experiments.compare.arms import Arm
from kdrun.methods.base import Method
from kdrun.reporting.tables.run_facts import is_folder

RESERVED_KEYS = {
    "seed": "a comparison sets it: seeds=N runs seeds 1 … N",
    "run_dir": "every run of a comparison has a separate folder; output_dir=… names the folder above",
    "sweep": "a comparison is not a sweep",
    "dry_run": "to try a run without training use kdrun check",
}
"""Keys that a comparison sets in its runs → why they cannot be overridden."""
SINGLE_VALUE_KEYS = ("task", "preset", *NON_IDENTITY_KEYS)
"""Keys with one value for all runs of a comparison."""
SECTION_APPLIES: dict[str, Callable[[type[Method]], bool]] = {
    "teacher": lambda method: method.requires.teacher,
    "generator": lambda method: method.requires.generator,
    "ood": lambda method: method.requires.data_free,
    "generated": lambda method: method.generates_text,
    "data.unlabelled": lambda method: method.requires.unlabeled,
    "data.max_unlabelled_rows": lambda method: method.requires.unlabeled,
}
"""Sections and keys that only some methods use → whether a method uses it."""


@dataclass
class _SortedOverrides:
    """Overrides of a comparison by the arms they belong to.

    Attributes:
        shared: overrides of all arms.
        for_methods: `method.KEY` overrides, for the methods that have this key.
        swept: one override per value of the swept key, e.g. `teacher.domain_strategy=single`; may be empty.
        swept_override: the override of the swept key as typed.
        problems: problems found while sorting, as sentences.
    """

    shared: list[str] = field(default_factory=list)
    for_methods: list[str] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    swept_override: str = ""
    problems: list[str] = field(default_factory=list)


def plan_arms(methods: list[str], overrides: list[str]) -> list[Arm]:
    """The arms of a comparison, with validated configs.

    - An override of `method.KEY` applies to the methods that have the key.
    - An override of a section that a method does not use is left out for this method if validation refuses it.
    - All other overrides apply to every arm.
    - If a key has several values, a method has one arm per value that is valid for it.

    Args:
        methods: names of the methods.
        overrides: overrides of the runs.

    Raises:
        ConfigError: lists all problems.
    """
    sorted_overrides = _sort(overrides)
    problems, registered = sorted_overrides.problems, registry.entries("method")
    if not methods:
        problems.append("there is nothing to compare: name methods, such as method=kd, or baselines")
    for name in (name for name in methods if name not in registered):
        hint = did_you_mean(name, list(registered))
        problems.append(f"method={name}: unknown method{hint} (allowed: {', '.join(registered)})")
    names = [name for name in methods if name in registered]
    keys = {name: _config_keys(registered[name].config) for name in names}
    problems += _unknown_method_keys(sorted_overrides, keys)
    arms: list[Arm] = []
    refusals: dict[str, list[str]] = {override: [] for override in sorted_overrides.swept}
    for name in names:
        arms += _arms_of_method(name, keys[name], sorted_overrides, names, refusals)
    swept_by_arms = {arm.swept for arm in arms}
    for override, reasons in refusals.items():
        if override not in swept_by_arms:
            problems += [reason for reason in reasons if reason not in problems]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return arms


def _unknown_method_keys(sorted_overrides: _SortedOverrides, keys: dict[str, set[str]]) -> list[str]:
    """Problems of `method.KEY` overrides whose key none of the methods has."""
    problems = []
    all_keys = sorted(set().union(*keys.values()))
    for override in [*sorted_overrides.for_methods, *sorted_overrides.swept[:1]]:
        key = key_of(override)
        if key.startswith("method.") and (name := key.removeprefix("method.")) not in all_keys:
            problems.append(f"{override}: no method compared here has {name}{did_you_mean(name, all_keys)}")
    return problems


def _sort(overrides: list[str]) -> _SortedOverrides:
    """Sort the overrides of a comparison; report reserved keys and a second swept key as problems."""
    result = _SortedOverrides()
    for override in overrides:
        key, values = key_of(override), _swept_values(override)
        if key in RESERVED_KEYS:
            result.problems.append(f"{override}: {RESERVED_KEYS[key]}")
        elif values and (key in SINGLE_VALUE_KEYS or key.partition(".")[0] in NON_IDENTITY_KEYS):
            result.problems.append(f"{override}: a comparison has one {key}; run a separate comparison per value")
        elif values and result.swept:
            result.problems.append(
                f"{result.swept_override} and {override} both name several values, but only one key besides method= "
                "can; set one of them to one value, or run a separate comparison per value"
            )
        elif values:
            result.swept = [f"{override.partition('=')[0]}={value}" for value in dict.fromkeys(values)]
            result.swept_override = override
        elif key.startswith("method."):
            result.for_methods.append(override)
        else:
            result.shared.append(override)
    return result


def _swept_values(override: str) -> list[str]:
    """The values of an override that names several; else empty."""
    parsed = parse_override(override)
    if isinstance(parsed, str) or not parsed.is_sweep_override():
        return []  # validation of the arm reports an override that cannot be parsed
    return override_values(parsed)


def _config_keys(schema: type | None) -> set[str]:
    return {item.name for item in dataclasses.fields(schema)} if schema is not None else set()


def _arms_of_method(
    name: str,
    keys: set[str],
    sorted_overrides: _SortedOverrides,
    names: list[str],
    refusals: dict[str, list[str]],
) -> list[Arm]:
    """The arms of one method.

    Args:
        name: name of the method.
        keys: keys of its config.
        sorted_overrides: overrides of the comparison; if the method has no valid arm, its problems are added.
        names: names of all methods of the comparison.
        refusals: swept override → reasons why a method refused it; this method's are added.
    """
    for_method = [o for o in sorted_overrides.for_methods if key_of(o).removeprefix("method.") in keys]
    base = [f"method={name}", *sorted_overrides.shared, *for_method]
    inapplicable = [
        section
        for section in SECTION_APPLIES
        if not _section_applies(name, section) and any(_section_applies(other, section) for other in names)
    ]
    base, left_out, problems = _without_inapplicable(base, inapplicable)
    swept = sorted_overrides.swept
    if not swept or _is_key_of_other_methods(swept[0], keys, inapplicable, base):
        sorted_overrides.problems += problems
        return [] if problems else [Arm(name, name, base, left_out=left_out)]
    valid = []
    for override in swept:
        problems = _problems([*base, override])
        if problems:
            refusals[override] += problems
            left_out.append(_left_out_note(override, problems))
        else:
            valid.append(override)
    if not valid:
        sorted_overrides.problems += [problem for override in swept for problem in refusals[override]]
    arm_names = _arm_names(name, valid)
    return [
        Arm(
            arm_names[override],
            name,
            [*base, override],
            swept=override,
            left_out=left_out if override == valid[0] else [],
        )
        for override in valid
    ]


def _without_inapplicable(base: list[str], inapplicable: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Overrides without those of inapplicable sections and keys that validation refuses.

    Returns:
        The overrides, those left out with the reason, and the remaining problems.
    """
    left_out, problems = [], _problems(base)
    for override in [o for o in base if problems and {key_of(o), key_of(o).partition(".")[0]} & {*inapplicable}]:
        rest = [other for other in base if other != override]
        remaining = _problems(rest)
        if len(remaining) < len(problems):
            solved = [problem for problem in problems if problem not in remaining]
            left_out.append(_left_out_note(override, solved))
            base, problems = rest, remaining
    return base, left_out, problems


def _left_out_note(override: str, problems: list[str]) -> str:
    return f"without {override}: {'; '.join(problem.removeprefix(f'{override}: ') for problem in problems)}"


def _problems(overrides: list[str]) -> list[str]:
    return [*machine.repeated_run_problems(), *compose.validate_overrides(overrides, multirun=False)]


def _section_applies(method: str, section: str) -> bool:
    return SECTION_APPLIES[section](registry.get("method", method).target)


def _is_key_of_other_methods(override: str, keys: set[str], inapplicable: list[str], base: list[str]) -> bool:
    """Whether a method does not use the key: it lacks the key, or its runs do not use the key's section."""
    section, _, key = key_of(override).partition(".")
    if section == "method":
        return key not in keys
    if section not in inapplicable:
        return False
    full = [*base, override]  # a base may lack the teacher that the override names
    return section != "teacher" or bool(_problems(full)) or not compose.load_config(full).student.starts_from_teacher


def _arm_names(method: str, overrides: list[str]) -> dict[str, str]:
    """Swept override → name of its arm: the method, followed by the last part of the key and the value if needed."""
    if len(overrides) < 2:
        return dict.fromkeys(overrides, method)
    values = {override: override.partition("=")[2] for override in overrides}
    short = {o: PurePath(value).name if is_folder(key_of(o), value) else value for o, value in values.items()}
    is_unique = len(set(short.values())) == len(short)
    suffixes = short if is_unique else values
    return {o: f"{method} {key_of(o).rpartition('.')[2]}={suffixes[o]}" for o in overrides}
