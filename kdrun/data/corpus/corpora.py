"""General text as a stream of lines."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from kdrun import progress
from kdrun.config.data import CorpusConfig, FolderCorpusConfig, HubCorpusConfig
from kdrun.data import embedded, hub_datasets, text_files
from kdrun.data.local_folder import check_inside
from kdrun.errors import DataError
from kdrun.registry import register
from kdrun.storage.hashing import digest

SUFFIXES = (".txt", ".tokens")
CLEANING = 1
"""Version of the cleaning rules below; part of the fingerprint."""

HEADING = re.compile(r"^\s*=+ .* =+\s*$")
SPLIT_MARK = re.compile(r" @([-,.])@ ")
LINES_PER_REPORT = 1000
"""Lines between two progress reports."""
BLANKS = re.compile(r"\s+")
UNKNOWN = "<unk>"
"""Replaces rare words in the word-level editions of WikiText."""


@dataclass
class Corpus:
    """General text, one sentence or paragraph per line.

    Attributes:
        name: what results call it.
        synthetic: whether a grammar wrote the text.
        open_lines: starts a new pass over the lines, which may contain `<unk>`, WikiText's mark of a rare word.
        hash_content: computes the hash of the content; called once, for the fingerprint.
    """

    name: str
    synthetic: bool
    open_lines: Callable[[], Iterator[str]]
    hash_content: Callable[[], str]

    def lines(self, *, keep_unknown: bool = False) -> Iterator[str]:
        """The non-blank lines without line ends; every call starts from the beginning.

        Args:
            keep_unknown: keep `<unk>`, for callers that drop such sentences. Otherwise the mark is removed with the
                blank before it: a literal `<unk>` would teach a model angle brackets.

        Raises:
            DataError: a file is not UTF-8, or no text is left after cleaning.
        """
        empty = True
        with progress.track("reading the corpus", unit="lines") as activity:
            for number, line in enumerate(self.open_lines(), start=1):
                text = line if keep_unknown or UNKNOWN not in line else _squeeze(line.replace(UNKNOWN, " "))
                if text:
                    empty = False
                    yield text
                if number % LINES_PER_REPORT == 0:
                    activity.update(number)
        if empty:
            raise DataError(f"the corpus {self.name} has no lines of text; set corpus.dir=PATH to another folder")

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the text and its cleaning, 64 hex digits; part of cache keys."""
        with progress.track("computing the hash of the corpus"):
            return self.hash_content()


@register("corpus", "embedded", config=CorpusConfig)
def embedded_corpus(config: CorpusConfig) -> Corpus:
    """The synthetic text that ships with kdrun, one paragraph per line."""

    def lines() -> Iterator[str]:
        return islice((" ".join(paragraph) for paragraph in embedded.corpus()), config.max_lines)

    return Corpus("embedded (synthetic)", True, lines, lambda: digest(["embedded", list(lines())]))


def check_folder(config: FolderCorpusConfig) -> None:
    """Check that the folder `corpus.dir` has text files.

    Raises:
        DataError: it is missing or has no such file.
    """
    _find_files(Path(config.dir).expanduser())


@register("corpus", "folder", config=FolderCorpusConfig, check=check_folder)
def folder_corpus(config: FolderCorpusConfig) -> Corpus:
    """The `.txt` and `.tokens` files of a folder in order of name, or one such file.

    Lines of `.tokens` files are cleaned of WikiText's marks.

    Raises:
        DataError: the folder is missing or has no such file.
    """
    files = _find_files(Path(config.dir).expanduser())

    def lines() -> Iterator[str]:
        return islice((line for path in files for line in _file_lines(path)), config.max_lines)

    return Corpus(Path(config.dir).name, False, lines, lambda: _hash_files(files, config.max_lines))


@register("corpus", "hub", config=HubCorpusConfig)
def hub_corpus(config: HubCorpusConfig) -> Corpus:
    """The rows of a text data set at the hub, or of a folder in the same form, cleaned of WikiText's marks."""

    def lines() -> Iterator[str]:
        return islice(_hub_lines(config), config.max_lines)

    def content() -> str:
        state = hashlib.sha256()
        for line in lines():
            state.update(line.encode() + b"\n")
        return digest({"lines": state.hexdigest(), "cleaning": CLEANING})

    return Corpus(f"{config.repo} {config.subset}", False, lines, content)


def _hub_lines(config: HubCorpusConfig) -> Iterator[str]:
    alternative = "corpus=folder corpus.dir=PATH (a folder of text files) or corpus=embedded (synthetic text)"
    splits = hub_datasets.load_hub_dataset(config.repo, config.subset, config.revision, alternative)
    if config.split not in splits:
        names = ", ".join(map(str, splits))
        raise DataError(f"{config.repo} {config.subset} has no split {config.split!r}; corpus.split is one of {names}")
    rows = splits[config.split]
    if config.column not in rows.column_names:
        names = ", ".join(rows.column_names)
        raise DataError(f"{config.repo} has no column {config.column!r}; corpus.column is one of {names}")
    for batch in rows.select_columns(config.column).iter(1000):
        for text in batch[config.column]:  # pyright: ignore[reportCallIssue, reportArgumentType]
            line = clean_wikitext(text)
            if line:
                yield line


def _find_files(path: Path) -> list[Path]:
    expected = "expected a folder of .txt or .tokens files (one sentence or paragraph per line), or one such file"
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise DataError(f"corpus.dir is the file {path}; {expected}")
        files = [path]
    elif path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and file.is_file())
        for file in files:
            check_inside(file, path)
    else:
        raise DataError(f"corpus.dir is {path}, which does not exist; {expected}; or choose corpus=embedded")
    if not files:
        names = ", ".join(sorted(file.name for file in path.iterdir())[:12]) or "nothing"
        raise DataError(f"corpus.dir is {path}, which holds {names}; {expected}")
    if not any(file.stat().st_size for file in files):
        raise DataError(f"every file of corpus.dir={path} is empty; {expected}")
    return files


def _hash_files(files: list[Path], max_lines: int | None) -> str:
    sums = []
    for path in files:
        with path.open("rb") as file:
            # the suffix determines the cleaning, so it counts; the rest of the name does not
            sums.append([path.suffix, hashlib.file_digest(file, "sha256").hexdigest()])
    return digest({"files": sums, "max_lines": max_lines, "cleaning": CLEANING})


def _file_lines(path: Path) -> Iterator[str]:
    """The cleaned non-empty lines of one file. Only a line feed ends a line, with or without a carriage return."""
    clean = clean_wikitext if path.suffix == ".tokens" else str.strip
    with path.open("rb") as file:
        text_files.check_head(file.read(text_files.HEAD), str(path))
        file.seek(0)
        # in binary mode, iteration splits at line feeds only
        for number, raw in enumerate(file, 1):
            try:
                line = clean(raw.decode("utf-8").removeprefix("\ufeff"))
            except UnicodeDecodeError as error:
                byte = raw[error.start]
                raise DataError(f"{path} is not UTF-8: byte 0x{byte:02x} in line {number}; save it as UTF-8") from None
            if line:
                yield line


def clean_wikitext(line: str) -> str:
    """A line of a WikiText file as plain text; empty for a heading or a line without words.

    ` @-@ `, ` @,@ ` and ` @.@ ` become the punctuation mark without blanks.
    """
    if HEADING.match(line):
        return ""
    return _squeeze(SPLIT_MARK.sub(r"\1", line))


def _squeeze(line: str) -> str:
    return BLANKS.sub(" ", line).strip()
