"""Read JSON lines, or one JSON array of objects, row by row."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from kdrun.data.files.byte_checks import BOM
from kdrun.data.text_files import HEAD, check_head, latin_remedy
from kdrun.errors import DataError
from kdrun.storage import json_reader

BLOCK = 1 << 20
"""Bytes of an array that are read at a time."""
MAX_OBJECT = 1 << 26
"""Characters of one object of an array; a longer one is taken for damage."""
BLANKS = " \t\r\n"
REMEDY = "give one object per line (.jsonl), as `jq -c '.[]' FILE.json` writes them"


def is_array(file: BinaryIO) -> bool:
    """Whether the first character of a file opens an array; the file is read from its start afterwards."""
    head = file.read(HEAD).removeprefix(BOM).lstrip()
    file.seek(0)
    return head.startswith(b"[")


def objects_of_lines(lines: Iterable[bytes], origin: str) -> Iterator[tuple[int, dict[str, Any], int]]:
    """Number, object and size of each line; blank lines are skipped.

    Raises:
        DataError: a line is no object; names it.
    """
    for number, line in enumerate(lines, start=1):
        if number == 1:
            check_head(line[:HEAD], origin)
        content = line.removeprefix(BOM) if number == 1 else line
        if content.strip():
            yield number, json_reader.read_object(content, {}, f"{origin}, line {number}"), len(line)


def objects_of_array(file: BinaryIO, origin: str) -> Iterator[tuple[int, dict[str, Any], int]]:
    """Number, object and size of each element of an array, with one of them in memory at a time.

    Args:
        file: at its start.
        origin: name of the file.

    Raises:
        DataError: the file is not an array of objects; names the element.
    """
    text = _Text(file, origin)
    text.expect("[", "an array")
    number, closed = 0, text.skip("]")
    while not closed:
        number += 1
        content = text.next_object(number)
        yield number, json_reader.read_object(content, {}, f"{origin}, row {number}"), len(content)
        closed = text.skip("]")
        if not closed:
            text.expect(",", f"a comma or the end of the array after row {number}")
    if rest := text.peek():
        raise DataError(f"{origin} goes on after the end of its array with {rest!r}; {REMEDY}")


class _Text:
    """The text of a file, read as needed."""

    def __init__(self, file: BinaryIO, origin: str) -> None:
        self._file, self._origin = file, origin
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._place, self._num_bytes = "", 0, 0

    def _read(self, size: int = BLOCK) -> bool:
        """Append the next block; False at the end of the file."""
        block = self._file.read(size)
        if not self._num_bytes:
            check_head(block[:HEAD], self._origin)
        try:
            more = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self._origin} is not UTF-8: byte 0x{error.object[error.start]:02x} in the "
                f"{self._num_bytes // BLOCK + 1}. MiB; {latin_remedy()}"
            ) from None
        self._num_bytes += len(block)
        self._text, self._place = self._text[self._place :] + more, 0
        return bool(block)

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in BLANKS:
                self._place += 1
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._read():
                return ""

    def _seen(self) -> str:
        """The next character, for a message."""
        return repr(self.peek()) if self.peek() else "the end of the file"

    def skip(self, mark: str) -> bool:
        """Skip a character if it is the next one."""
        found = self.peek() == mark
        self._place += found
        return found

    def expect(self, mark: str, name: str) -> None:
        """Skip a character that must be the next one."""
        if not self.skip(mark):
            raise DataError(f"{self._origin}: expected {name}, got {self._seen()}; {REMEDY}")

    def next_object(self, number: int) -> str:
        """The text of the next object."""
        where = f"{self._origin}, row {number}"
        if self.peek() != "{":
            raise DataError(f"{where}: expected an object with columns as keys, got {self._seen()}; {REMEDY}")
        size = BLOCK
        while True:
            try:
                _, end = self._scan(self._text, self._place)
            except RecursionError:
                raise DataError(f"{where}: it is nested too deeply") from None
            except ValueError as error:  # also of a number with too many digits
                is_long = len(self._text) - self._place > MAX_OBJECT
                if is_long or not self._read(size):
                    problem = error.msg if isinstance(error, json.JSONDecodeError) else error
                    raise DataError(f"{where}: it is not JSON ({problem}); {REMEDY}") from None
                size = max(BLOCK, len(self._text))  # so that a long object is scanned a few times only
                continue
            content, self._place = self._text[self._place : end], end
            return content
