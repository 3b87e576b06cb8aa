"""Turn a comparison's words into arms, one per method or swept value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath

from kdrun import registry
from kdrun.config import compose, overrides
from kdrun.config.identity import NON_IDENTITY_KEYS
from kdrun.errors import ConfigError, did_you_mean
from kdrun.experiments.compare.arms import Arm
from kdrun.methods.base import Method
from kdrun.reporting.tables.run_facts import is_folder

SET_HERE = {
    "seed": "a comparison sets it: seeds=N runs seeds 1 … N",
    "run_dir": "every run of a comparison has a folder of its own; output_dir=… names the folder above",
    "sweep": "a comparison is not a sweep",
    "dry_run": "kdrun check tries a run out",
}
"""Keys of a run's config that a comparison decides."""
ONE_VALUE = ("task", "preset", *NON_IDENTITY_KEYS)
"""Keys that all runs of a comparison have in common."""
ASKED_FOR: dict[str, Callable[[type[Method]], bool]] = {
    "teacher": lambda method: method.requires.teacher,
    "generator": lambda method: method.requires.generator,
    "ood": lambda method: method.requires.data_free,
    "generated": lambda method: method.generates_text,
}
"""Sections that are of no meaning to some methods, and to which they are of some."""


@dataclass
class _SortedOverrides:
    """Sorted overrides of a comparison.

    Attributes:
        shared: for every arm.
        own: `method.KEY` overrides, for the methods that have this key.
        swept: one override per value of the swept key, e.g. `teacher.domain_strategy=single`; may be empty.
        typed: the override as typed.
        problems: what is wrong, as sentences.
    """

    shared: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)
    typed: str = ""
    problems: list[str] = field(default_factory=list)


def plan_arms(methods: list[str], words: list[str]) -> list[Arm]:
    """The arms, each checked.

    An override of `method.KEY` goes to those arms whose method has that key, one of a section that is of no meaning to
    a method, and that it refuses, to the others, all else to every arm. Of a key with several values a method gets
    an arm for each that fits it.

    Raises:
        ConfigError: with every problem found.
    """
    sorted_words = _sort(words)
    problems, known = sorted_words.problems, registry.entries("method")
    if not methods:
        problems.append("there is nothing to compare: name methods, such as method=kd, or baselines")
    for name in (name for name in methods if name not in known):
        problems.append(f"method={name}: unknown method{did_you_mean(name, list(known))} (allowed: {', '.join(known)})")
    named = [name for name in methods if name in known]
    keys = {name: _keys(known[name].config) for name in named}
    for word in [*sorted_words.own, *sorted_words.swept[:1]]:
        key = overrides.key_of(word).removeprefix("method.")
        if overrides.key_of(word).startswith("method.") and not any(key in mine for mine in keys.values()):
            all_keys = sorted({k for mine in keys.values() for k in mine})
            problems.append(f"{word}: no method compared here has {key}{did_you_mean(key, all_keys)}")
    arms, refused = [], {word: [] for word in sorted_words.swept}
    for name in named:
        made = _arms(name, keys[name], sorted_words, named, refused)
        arms += made
    taken = {arm.swept for arm in arms}
    for word, told in refused.items():
        if told and word not in taken:
            problems += [p for p in told if p not in problems]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return arms


def _sort(words: list[str]) -> _SortedOverrides:
    """Sort the overrides of a comparison; report reserved keys and a second swept key as problems."""
    made = _SortedOverrides()
    for word in words:
        key, values = overrides.key_of(word), _values(word)
        if key in SET_HERE:
            made.problems.append(f"{word}: {SET_HERE[key]}")
        elif values and (key in ONE_VALUE or key.partition(".")[0] in NON_IDENTITY_KEYS):
            made.problems.append(f"{word}: a comparison has one {key}; take one comparison for each")
        elif values and made.swept:
            told = f"{made.typed} and {word} both name several values; one key beside method= may: take one value"
            made.problems.append(f"{told} of the other, or one comparison for each")
        elif values:
            made.swept, made.typed = [f"{word.partition('=')[0]}={value}" for value in dict.fromkeys(values)], word
        elif key.startswith("method."):
            made.own.append(word)
        else:
            made.shared.append(word)
    return made


def _values(word: str) -> list[str]:
    """The values of a word that names several, else none."""
    override = overrides.parse_override(word)
    if isinstance(override, str) or not override.is_sweep_override():
        return []  # compose says what is wrong with it
    return overrides.override_values(override)


def _keys(schema: type | None) -> set[str]:
    return {item.name for item in dataclasses.fields(schema)} if schema is not None else set()


def _arms(
    name: str, keys: set[str], words: _SortedOverrides, named: list[str], refused: dict[str, list[str]]
) -> list[Arm]:
    """The arms of one method; what it refuses goes to `refused`, or to the problems where no arm is left."""
    own = [word for word in words.own if overrides.key_of(word).removeprefix("method.") in keys]
    base = [f"method={name}", *words.shared, *own]
    absent = [part for part in ASKED_FOR if not _has(name, part) and any(_has(other, part) for other in named)]
    base, left_out, found = _without_absent(base, absent)
    if not words.swept or _is_of_others(words.swept[0], keys, absent, base):
        words.problems += found
        return [] if found else [Arm(name, name, base, left_out=left_out)]
    fitting = []
    for word in words.swept:
        found = _check([*base, word])
        if found:
            refused[word] += found
            left_out.append(_without(word, found))
        else:
            fitting.append(word)
    if not fitting:
        words.problems += [problem for word in words.swept for problem in refused[word]]
    names = _names(name, fitting)
    return [
        Arm(names[word], name, [*base, word], swept=word, left_out=left_out if word == fitting[0] else [])
        for word in fitting
    ]


def _without_absent(base: list[str], absent: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Overrides without those of absent sections that validation refuses.

    Returns:
        The overrides, those left out with the reason, and the remaining problems.
    """
    left_out, found = [], _check(base)
    for word in [word for word in base if found and overrides.key_of(word).partition(".")[0] in absent]:
        fewer = [other for other in base if other != word]
        rest = _check(fewer)
        if len(rest) < len(found):
            left_out.append(_without(word, [problem for problem in found if problem not in rest]))
            base, found = fewer, rest
    return base, left_out, found


def _without(word: str, problems: list[str]) -> str:
    return f"without {word}: {'; '.join(problem.removeprefix(f'{word}: ') for problem in problems)}"


def _check(words: list[str]) -> list[str]:
    return [*compose.validate_overrides(words, multirun=False)]


def _has(method: str, section: str) -> bool:
    return ASKED_FOR[section](registry.get("method", method).target)


def _is_of_others(word: str, keys: set[str], absent: list[str], base: list[str]) -> bool:
    """Whether a key is none of a method's: one that it does not have, or one of a section that its runs do without."""
    section, _, key = overrides.key_of(word).partition(".")
    if section == "method":
        return key not in keys
    if section not in absent:
        return False
    return section != "teacher" or bool(_check(base)) or not compose.load_config(base).student.starts_from_teacher


def _names(method: str, words: list[str]) -> dict[str, str]:
    """Each word's arm: the method where there is one, else the method, the last part of the key, and the value."""
    if len(words) < 2:
        return dict.fromkeys(words, method)
    parts = {word: overrides.key_of(word).rpartition(".")[2] for word in words}
    values = {word: word.partition("=")[2] for word in words}
    short = {word: PurePath(v).name if is_folder(overrides.key_of(word), v) else v for word, v in values.items()}
    shown = short if len(set(short.values())) == len(short) else values
    return {word: f"{method} {parts[word]}={shown[word]}" for word in words}
