"""Parse the text of a space: keys with their ranges.

{method.mask_rate: [0.1, 0.5], optim.lr: log[1e-5, 1e-3], optim.schedule: [linear, cosine]}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TOKEN = re.compile(r"""\s*(?:([{}\[\],:])|('[^']*'|"[^"]*")|([^\s{}\[\],:'"]+))""")
FORMS = ("", "log", "int", "choice")
"""Words that may precede a list; the empty one is a list alone."""
EXAMPLE = "write {KEY: [low, high], KEY: log[low, high], KEY: int[low, high], KEY: choice[a, b]}"


@dataclass(frozen=True)
class RangeText:
    """A range as written.

    Attributes:
        form: one of `FORMS`.
        items: the values in the list as overrides have them; quoted texts keep their quotes.
    """

    form: str
    items: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.form}[{', '.join(self.items)}]"


def parse_mapping(text: str) -> list[tuple[str, RangeText]]:
    """The keys and ranges of an inline space, in order; a key may repeat.

    Raises:
        ValueError: the text is not of this form; says where.
    """
    reader = _Reader(text)
    entries: list[tuple[str, RangeText]] = []
    reader.take("{")
    while reader.peek() != "}":
        key = reader.word()
        reader.take(":")
        entries.append((key, reader.range()))
        if reader.peek() != "}":
            reader.take(",")
    reader.take("}")
    reader.end()
    return entries


def parse_range(text: str) -> RangeText:
    """The range in a text such as `log[1e-5, 1e-3]`.

    Raises:
        ValueError: the text is not of this form; says where.
    """
    reader = _Reader(text)
    result = reader.range()
    reader.end()
    return result


def from_yaml(value: Any) -> RangeText:
    """The range that a value of a YAML file means: a list, or a text such as `log[1e-5, 1e-3]`.

    Raises:
        ValueError: the value is neither.
    """
    if isinstance(value, str):
        return parse_range(value)
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.60} is no range; {EXAMPLE}")
    return RangeText("", tuple(_item_text(item) for item in value))


def _item_text(item: Any) -> str:
    if item is None or isinstance(item, bool):
        return {None: "null", True: "true", False: "false"}[item]
    if isinstance(item, int | float):
        return repr(item)
    if isinstance(item, str):
        return item if re.fullmatch(r"[^\s{}\[\],:'\"]+", item) else f"'{item}'"
    raise ValueError(f"{item!r:.60} is a nested value; a range lists single values")


class _Reader:
    """Reads the tokens of a text in order."""

    def __init__(self, text: str) -> None:
        self._text, self._tokens, self._place = text, list(_tokens(text)), 0

    def peek(self) -> str:
        """The next token; empty at the end."""
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    def take(self, token: str) -> None:
        """Read this token."""
        if self.peek() != token:
            raise ValueError(f"expected {token!r}, got {self.peek() or 'the end'!r} {self._where()}; {EXAMPLE}")
        self._place += 1

    def word(self) -> str:
        """Read a word, a number or a quoted text."""
        word = self.peek()
        if not word or word in "{}[],:":
            raise ValueError(f"expected a word, got {word or 'the end'!r} {self._where()}; {EXAMPLE}")
        self._place += 1
        return word

    def range(self) -> RangeText:
        """Read a list of values with an optional form in front."""
        form = "" if self.peek() == "[" else self.word()
        if self.peek() != "[":
            raise ValueError(f"expected a range, got the single value {form!r} {self._where()}; {EXAMPLE}")
        if form not in FORMS:
            raise ValueError(f"{form!r} is no form of a range; {EXAMPLE}")
        self.take("[")
        items: list[str] = []
        while self.peek() != "]":
            items.append(self.word())
            if self.peek() != "]":
                self.take(",")
        self.take("]")
        return RangeText(form, tuple(items))

    def end(self) -> None:
        """Check that nothing follows."""
        if self.peek():
            raise ValueError(f"expected the end, got {self.peek()!r} {self._where()}; {EXAMPLE}")

    def _where(self) -> str:
        before = " ".join(self._tokens[max(0, self._place - 4) : self._place])
        return f"after {before!r}" if before else "at the start"


def _tokens(text: str) -> Iterator[str]:
    place = 0
    text = text.rstrip()
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"a quote is not closed at {text[place:].strip()[:20]!r}; {EXAMPLE}")
        yield match[1] or match[2] or match[3]
        place = match.end()
