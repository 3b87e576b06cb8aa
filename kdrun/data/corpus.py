"""General text for vocabularies and pretraining, read as a stream: a corpus may be larger than memory."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from kdrun.cache import digest
from kdrun.config import CorpusConfig, FolderCorpusConfig
from kdrun.data import embedded
from kdrun.errors import DataError
from kdrun.registry import register

SUFFIXES = (".txt", ".tokens")
CLEANING = 1
"""Number of the cleaning rules below; part of the fingerprint."""

HEADING = re.compile(r"^\s*=+ .* =+\s*$")
SPLIT_MARK = re.compile(r" @([-,.])@ ")
BLANKS = re.compile(r"\s+")


@dataclass
class Corpus:
    """General text, one sentence or paragraph a line.

    Attributes:
        name: what results call it.
        synthetic: whether it was made by a generator.
        open_lines: starts a new pass over the lines.
        hash_content: the hash of the content; called once, when the fingerprint is asked for.
    """

    name: str
    synthetic: bool
    open_lines: Callable[[], Iterator[str]]
    hash_content: Callable[[], str]

    def lines(self) -> Iterator[str]:
        """The lines, none of them blank, without line ends; every call starts from the beginning.

        Raises:
            DataError: a file is not UTF-8, or nothing is left of it all after cleaning.
        """
        empty = True
        for line in self.open_lines():
            empty = False
            yield line
        if empty:
            raise DataError(f"the corpus {self.name} has no lines of text; give corpus.dir=PATH another folder")

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the text and of what is done to it, 64 hex digits; decides cache keys."""
        return self.hash_content()


@register("corpus", "embedded")
def embedded_corpus(config: CorpusConfig) -> Corpus:
    """The synthetic text that comes with kdrun, one paragraph a line."""

    def lines() -> Iterator[str]:
        return islice((" ".join(paragraph) for paragraph in embedded.corpus()), config.max_lines)

    return Corpus("embedded (synthetic)", True, lines, lambda: digest(["embedded", list(lines())]))


@register("corpus", "folder")
def folder_corpus(config: FolderCorpusConfig) -> Corpus:
    """The `.txt` and `.tokens` files of a folder in the order of their names, or one such file.

    Lines of `.tokens` files are cleaned of WikiText's marks.

    Raises:
        DataError: the folder is missing or has no such file.
    """
    files = _find_files(Path(config.dir).expanduser())

    def lines() -> Iterator[str]:
        return islice((line for path in files for line in _file_lines(path)), config.max_lines)

    return Corpus(Path(config.dir).name, False, lines, lambda: _hash_files(files, config.max_lines))


def _find_files(path: Path) -> list[Path]:
    wanted = "expected a folder of .txt or .tokens files (one sentence or paragraph a line), or one such file"
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise DataError(f"corpus.dir is the file {path}; {wanted}")
        files = [path]
    elif path.is_dir():
        files = sorted(found for found in path.iterdir() if found.suffix in SUFFIXES and found.is_file())
    else:
        raise DataError(f"corpus.dir is {path}, which does not exist; {wanted}; or take corpus=embedded")
    if not files:
        here = ", ".join(sorted(found.name for found in path.iterdir())[:12]) or "nothing"
        raise DataError(f"corpus.dir is {path}, which holds {here}; {wanted}")
    if not any(found.stat().st_size for found in files):
        raise DataError(f"every file of corpus.dir={path} is empty; {wanted}")
    return files


def _hash_files(files: list[Path], max_lines: int | None) -> str:
    sums = []
    for path in files:
        with path.open("rb") as file:
            # the suffix decides the cleaning, so it counts; the rest of the name does not
            sums.append([path.suffix, hashlib.file_digest(file, "sha256").hexdigest()])
    return digest({"files": sums, "max_lines": max_lines, "cleaning": CLEANING})


def _file_lines(path: Path) -> Iterator[str]:
    """The lines of one file that hold text, cleaned. Only a line feed (after a return or not) ends a line."""
    clean = clean_wikitext if path.suffix == ".tokens" else str.strip
    with path.open("rb") as file:
        # a file opened in binary mode is iterated by line feeds alone
        for number, raw in enumerate(file, 1):
            try:
                line = clean(raw.decode("utf-8").removeprefix("\ufeff"))
            except UnicodeDecodeError as error:
                found = raw[error.start]
                raise DataError(f"{path} is not UTF-8: byte 0x{found:02x} in line {number}; save it as UTF-8") from None
            if line:
                yield line


def clean_wikitext(line: str) -> str:
    """A line of a WikiText file as plain text; empty for a heading or a line without words.

    ` @-@ `, ` @,@ ` and ` @.@ ` become the sign without blanks. `<unk>` is dropped with the blank before it:
    the files have no word there, and a literal `<unk>` would teach a model angle brackets.
    """
    if HEADING.match(line):
        return ""
    line = SPLIT_MARK.sub(r"\1", line).replace("<unk>", " ")
    return BLANKS.sub(" ", line).strip()
