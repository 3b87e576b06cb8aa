"""Names of one class in checkpoints and files of others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

GENERIC = re.compile(r"label_?\d+|\d+")
"""Names of classes that say nothing, in lower case."""

ALIASES = (
    ("negative", "neg"),
    ("positive", "pos"),
    ("neutral", "neu"),
    ("entailment", "entail", "entails", "entailed"),
    ("contradiction", "contradict", "contradicts", "contradictory"),
    ("not_entailment", "non_entailment", "no_entailment"),
    ("equivalent", "paraphrase"),
    ("not_equivalent", "non_equivalent", "not_paraphrase", "non_paraphrase"),
    ("duplicate", "is_duplicate"),
    ("not_duplicate", "non_duplicate"),
    ("acceptable", "grammatical"),
    ("unacceptable", "not_acceptable", "ungrammatical"),
)
"""Names of one class in different checkpoints, in lower case."""

CANONICAL = {name: group[0] for group in ALIASES for name in group}


def plain(name: str) -> str:
    """A name in lower case, with underscores for blanks and hyphens."""
    return re.sub(r"[-\s]+", "_", name.strip().lower())


class ClassResolver:
    """Finds the task's class that a name in a file means.

    A name means the class of exactly this name, else of the same name in another spelling, else of a usual alias. A
    name without meaning, `LABEL_1` or `1`, is the number of a class.

    Args:
        classes: the task's classes in order.
        mapping: name in the file → name in the task; wins over all others.
    """

    def __init__(self, classes: Sequence[str], mapping: Mapping[str, str] | None = None) -> None:
        self._classes, self._mapping = list(classes), dict(mapping or {})
        self._found: dict[str, int | None] = {}
        self._by_plain, self._by_canonical = (
            _unique(classes, plain), _unique(classes, lambda name: CANONICAL.get(plain(name), plain(name)))
        )  # fmt: skip

    def index(self, name: str) -> int | None:
        """Index of the class; None if the name means none of the task's classes."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def renamed(self) -> dict[str, str]:
        """Names of the file that differ from the task's, with the class that each means."""
        return {
            name: self._classes[index]
            for name, index in self._found.items()
            if index is not None and name != self._classes[index]
        }

    def _find(self, name: str) -> int | None:
        name = self._mapping.get(name, name)
        if name in self._classes:
            return self._classes.index(name)
        key = plain(name)
        index = self._by_plain.get(key, self._by_canonical.get(CANONICAL.get(key, key)))
        if index is None and GENERIC.fullmatch(key):
            number = int(re.sub(r"\D", "", key))
            return number if number < len(self._classes) else None
        return index


def _unique(classes: Sequence[str], form: Callable[[str], str]) -> dict[str, int]:
    """Form of a name → index of its class, for forms that belong to one class alone."""
    forms = [form(name) for name in classes]
    return {text: index for index, text in enumerate(forms) if forms.count(text) == 1}
