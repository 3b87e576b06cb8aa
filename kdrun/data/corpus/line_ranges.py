"""Parts of a corpus that one process reads at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

from kdrun.data import text_files
from kdrun.data.corpus.cleaning import clean_wikitext
from kdrun.errors import DataError

RANGE_BYTES = 16 << 20
"""Bytes per range: few enough for the memory of every process, enough to count each frequent word once."""
BLOCK_BYTES = 1 << 20


class LineRange(Protocol):
    """Consecutive lines of a corpus; can be sent to another process."""

    def lines(self) -> Iterator[str]:
        """The non-empty cleaned lines, which may contain `<unk>`."""
        ...


@dataclass(frozen=True)
class TextRange:
    """Lines in memory."""

    texts: list[str]

    def lines(self) -> Iterator[str]:
        """The lines."""
        return iter(self.texts)


@dataclass(frozen=True)
class FileRange:
    """The lines of a text file that begin at the bytes from `start` to before `stop`; to its end if `stop` is None.

    Only a line feed ends a line, with or without a carriage return. Lines of `.tokens` files are cleaned of WikiText's
    marks.
    """

    path: Path
    start: int = 0
    stop: int | None = None

    def lines(self) -> Iterator[str]:
        """The non-empty cleaned lines.

        Raises:
            DataError: the file is not UTF-8.
        """
        clean = clean_wikitext if self.path.suffix == ".tokens" else str.strip
        with self.path.open("rb") as file:
            position = self.start
            if position:  # a line that began before belongs to the range before
                file.seek(position - 1)
                position += len(file.readline()) - 1
            else:
                text_files.check_head(file.read(text_files.HEAD), str(self.path))
                file.seek(0)
            # in binary mode, iteration splits at line feeds only
            for raw in file:
                if self.stop is not None and position >= self.stop:
                    return
                try:
                    line = clean(raw.decode("utf-8").removeprefix("\ufeff"))
                except UnicodeDecodeError as error:
                    raise self._not_utf8(raw[error.start], position) from None
                position += len(raw)
                if line:
                    yield line

    def _not_utf8(self, byte: int, position: int) -> DataError:
        number = 1
        with self.path.open("rb") as file:
            while position and (block := file.read(min(BLOCK_BYTES, position))):
                number += block.count(b"\n")
                position -= len(block)
        return DataError(f"{self.path} is not UTF-8: byte 0x{byte:02x} in line {number}; save it as UTF-8")


@dataclass(frozen=True)
class JoinedRange:
    """Several ranges, read as one."""

    parts: list[FileRange]

    def lines(self) -> Iterator[str]:
        """The lines of each part in order."""
        return chain.from_iterable(part.lines() for part in self.parts)


def file_ranges(files: Iterable[Path]) -> Iterator[LineRange]:
    """All lines of these files, at most `RANGE_BYTES` at a time; small files share a range."""
    parts: list[FileRange] = []
    total = 0
    for path in files:
        size = path.stat().st_size
        for start in range(0, size, RANGE_BYTES):
            stop = min(start + RANGE_BYTES, size)
            if total + stop - start > RANGE_BYTES:
                yield JoinedRange(parts)
                parts, total = [], 0
            parts.append(FileRange(path, start, stop if stop < size else None))
            total += stop - start
    if parts:
        yield JoinedRange(parts)


def text_ranges(lines: Iterable[str]) -> Iterator[TextRange]:
    """All of these lines, about `RANGE_BYTES` characters at a time."""
    texts: list[str] = []
    size = 0
    for line in lines:
        texts.append(line)
        size += len(line)
        if size >= RANGE_BYTES:
            yield TextRange(texts)
            texts, size = [], 0
    if texts:
        yield TextRange(texts)
