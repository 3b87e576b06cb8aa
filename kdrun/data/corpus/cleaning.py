"""Clean lines of general text from WikiText's marks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

CLEANING = 1
"""Version of the rules below; part of the fingerprint of a corpus."""

HEADING = re.compile(r"^\s*=+ .* =+\s*$")
SPLIT_MARK = re.compile(r" @([-,.])@ ")
BLANKS = re.compile(r"\s+")
UNKNOWN = "<unk>"
"""Replaces rare words in the word-level editions of WikiText."""


def clean_wikitext(line: str) -> str:
    """A line of a WikiText file as plain text; empty for a heading or a line without words.

    ` @-@ `, ` @,@ ` and ` @.@ ` become the punctuation mark without blanks.
    """
    if HEADING.match(line):
        return ""
    return _squeeze(SPLIT_MARK.sub(r"\1", line))


def without_unknown(lines: Iterable[str]) -> Iterator[str]:
    """The lines without `<unk>` and the blank before each; a line of such marks alone becomes empty."""
    return (line if UNKNOWN not in line else _squeeze(line.replace(UNKNOWN, " ")) for line in lines)


def _squeeze(line: str) -> str:
    return BLANKS.sub(" ", line).strip()
