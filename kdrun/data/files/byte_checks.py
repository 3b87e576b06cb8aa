"""Check encoding, NUL bytes and quotes of a text file."""

from __future__ import annotations

import codecs
import mmap
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdrun.data.text_files import HEAD, check_head, latin_remedy
from kdrun.errors import DataError

BLOCK = 1 << 22
"""Bytes read at a time."""
BOM = codecs.BOM_UTF8
QUOTE = ord('"')
LINE_ENDS = b"\r\n"


@dataclass(frozen=True)
class ByteFacts:
    """Facts about the bytes of a text file.

    Attributes:
        num_lines: number of lines, a last line without a line feed included.
        bad_quote_line: line of the first quoted field that does not end where a field ends; None for none.
    """

    num_lines: int
    bad_quote_line: int | None = None


def check_bytes(path: Path, origin: str, delimiter: str | None = None) -> ByteFacts:
    """Check that a file is UTF-8 text without NUL bytes, and count its lines.

    Args:
        path: the file; read in blocks.
        origin: its name in messages.
        delimiter: between fields, to check quotes; None for a format without quoted fields.

    Raises:
        DataError: the file is empty, has another encoding, a NUL byte, or lines that end with a carriage return alone;
            names the line.
    """
    if not path.stat().st_size:
        raise DataError(f"{origin} is empty (0 bytes)")
    quotes = None if delimiter is None else _QuoteScan(ord(delimiter))
    decoder, num_lines, last = codecs.getincrementaldecoder("utf-8")(), 0, b""
    with path.open("rb") as file:
        check_head(file.read(HEAD), origin)
        file.seek(0)
        while block := file.read(BLOCK):
            if b"\0" in block:
                line = num_lines + block.count(b"\n", 0, block.index(b"\0")) + 1
                raise DataError(
                    f"{origin} has a NUL byte on line {line}, which no text has; remove it, e.g. with `tr -d '\\000'`"
                )
            _check_utf8(decoder, block, num_lines, origin)
            if quotes is not None:
                quotes.add(block)
            num_lines, last = num_lines + block.count(b"\n"), block[-1:]
    _check_utf8(decoder, b"", num_lines, origin)
    num_lines += last != b"\n"
    if delimiter is None or quotes is None or quotes.is_regular:
        return ByteFacts(num_lines)
    return ByteFacts(num_lines, _bad_quote_line(path, delimiter))


def _check_utf8(decoder: codecs.IncrementalDecoder, block: bytes, lines_before: int, origin: str) -> None:
    try:
        decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        line, byte = lines_before + error.object.count(b"\n", 0, error.start) + 1, error.object[error.start]
        raise DataError(f"{origin} is not UTF-8: byte 0x{byte:02x} on line {line}; {latin_remedy()}") from None


class _QuoteScan:
    """Whether every quoted field of a file is regular, from the positions of the quotes alone.

    In a regular file the quotes alternate: an opening quote follows a delimiter, a line end or the quote of a doubled
    pair, and a closing quote is followed by one of them.
    """

    def __init__(self, delimiter: int) -> None:
        self._before = np.zeros(256, bool)
        self._before[[delimiter, QUOTE, *LINE_ENDS]] = True
        self._fits, self._opens, self._closed_at_end = True, True, False
        self._previous: int | None = None  # last byte of the block before

    @property
    def is_regular(self) -> bool:
        """Whether all quoted fields so far are regular, and the last one has ended."""
        return self._fits and self._opens

    def add(self, block: bytes) -> None:
        """Scan the next block."""
        values = np.frombuffer(block, np.uint8)
        previous = self._previous
        if previous is None:
            previous, values = LINE_ENDS[0], values[len(BOM) :] if block.startswith(BOM) else values
        if not self._fits or not len(values):
            return
        if self._closed_at_end:
            self._fits = bool(self._before[values[0]])
        places = np.flatnonzero(values == QUOTE)
        first = 0 if self._opens else 1
        opening, closing = places[first::2], places[1 - first :: 2]
        before = np.where(opening > 0, values[opening - 1], previous)
        inner = closing[closing + 1 < len(values)]
        self._fits &= bool(self._before[before].all() and self._before[values[inner + 1]].all())
        self._closed_at_end = len(inner) < len(closing)
        self._opens ^= bool(len(places) % 2)
        self._previous = int(values[-1])


def _bad_quote_line(path: Path, delimiter: str) -> int | None:
    """The line of the first irregular quoted field; quotes inside unquoted fields are plain text."""
    mark = re.escape(delimiter.encode())
    field = rb'(?:"(?:[^"]++|"")*+"(?=[' + mark + rb'\r\n]|\Z)|(?!")[^' + mark + rb"\r\n]*+)"
    fields = re.compile(rb"(?:" + field + rb"(?:" + mark + rb"|\r\n|\n|\r))*+(?:" + field + rb")?+")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        match = fields.match(content, len(BOM) if content[: len(BOM)] == BOM else 0)
        assert match is not None  # it may be empty
        return None if match.end() == len(content) else content[: match.end()].count(b"\n") + 1
