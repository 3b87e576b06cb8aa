"""General text as a stream of lines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from kdrun import progress
from kdrun.config import domains
from kdrun.config.data import CorpusConfig, FolderCorpusConfig, HubCorpusConfig
from kdrun.data import embedded, hub_datasets
from kdrun.data.corpus import line_ranges, workers
from kdrun.data.corpus.cleaning import CLEANING, clean_wikitext, without_unknown
from kdrun.data.corpus.line_ranges import FileRange, LineRange
from kdrun.data.local_folder import check_inside
from kdrun.errors import DataError
from kdrun.registry import register
from kdrun.storage import source_results
from kdrun.storage.hashing import digest

SUFFIXES = (".txt", ".tokens")
LINES_PER_REPORT = 1000
"""Lines between two progress reports."""


class HasLines(Protocol):
    """Result of reading a range."""

    @property
    def num_lines(self) -> int:
        """The number of lines with text."""
        ...


T = TypeVar("T")
R = TypeVar("R", bound=HasLines)


@dataclass
class Corpus:
    """General text, one sentence or paragraph per line.

    Attributes:
        name: what results call it.
        synthetic: whether a grammar wrote the text.
        open_lines: starts a new pass over the non-empty lines, which may contain `<unk>`, WikiText's mark of a rare
            word.
        hash_content: computes the hash of the content; called once, for the fingerprint.
        open_ranges: starts a new pass over ranges of the same lines, for corpora that several processes can read; by
            default one process reads the lines and sends them to others.
    """

    name: str
    synthetic: bool
    open_lines: Callable[[], Iterator[str]]
    hash_content: Callable[[], str]
    open_ranges: Callable[[], Iterator[LineRange]] | None = None

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
            lines = self.open_lines()
            for number, text in enumerate(lines if keep_unknown else without_unknown(lines), start=1):
                if text:
                    empty = False
                    yield text
                if number % LINES_PER_REPORT == 0:
                    activity.update(number)
        if empty:
            raise self.no_text()

    def ranges(self) -> Iterator[LineRange]:
        """All lines in ranges for several processes, in order; every call starts from the beginning."""
        return line_ranges.text_ranges(self.open_lines()) if self.open_ranges is None else self.open_ranges()

    def read_in_ranges(
        self, function: Callable[[T], R], tasks: Iterable[T], processes: int | None = None
    ) -> Iterator[R]:
        """Apply a function to tasks with one range each, and yield the results in order.

        Args:
            function: of a module that imports fast; its results count their lines.
            tasks: ranges of this corpus, with other arguments of the function.
            processes: by default one per usable CPU.

        Raises:
            DataError: a file is not UTF-8, or no text is left after cleaning.
        """
        num_lines = 0
        with progress.track("reading the corpus", unit="lines") as activity:
            for result in workers.map_in_order(function, tasks, processes):
                num_lines += result.num_lines
                activity.update(num_lines)
                yield result
        if not num_lines:
            raise self.no_text()

    def no_text(self) -> DataError:
        """The error for a corpus without text."""
        return DataError(f"the corpus {self.name} has no lines of text; set corpus.dir=PATH to another folder")

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

    def content() -> str:
        code = [*sorted(Path(embedded.__file__).parent.glob("*.py")), Path(domains.__file__)]
        name = f"hash of the embedded corpus, max_lines={config.max_lines}"
        return source_results.cached_result(name, code, lambda: digest(["embedded", list(lines())]))

    return Corpus("embedded (synthetic)", True, lines, content)


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
        return islice((line for path in files for line in FileRange(path).lines()), config.max_lines)

    # a limit counts lines from the beginning, so that one process has to read them
    ranges = None if config.max_lines is not None else lambda: line_ranges.file_ranges(files)
    return Corpus(Path(config.dir).name, False, lines, lambda: _hash_files(files, config.max_lines), ranges)


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
