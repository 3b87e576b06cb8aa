"""Ranges of a corpus that several processes read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tokenizers import normalizers, pre_tokenizers

from kdrun.config.data import FolderCorpusConfig
from kdrun.data.corpus import line_ranges, sentence_samples, word_counts, workers
from kdrun.data.corpus.corpora import Corpus, folder_corpus
from kdrun.data.corpus.line_ranges import FileRange
from kdrun.data.corpus.sentence_samples import OODSpec, SentenceCollector, collect_sentences
from kdrun.errors import DataError
from tests.helpers.paths import ROOT

TEXT = (
    "The cat sees a dog in the old town. It's 3,000 years old, said Mr. Smith!\r\n"
    "\n  tabs\tand  two blanks \u00a0 x\u00a0 \u00a0y  \n"
    "Das Café größer 漢字 — naïve e\u0301clair don't DON'T.\n"
    " \x00control\x07 characters\u200d ＦＵＬＬ width ΑΣ İstanbul ﬁne\n"
    "A very long line without an end: " + "word " * 50 + "\n"
    "<unk> \n Two <unk> marks <unk> here .\n"
) * 3 + "the last line has no line feed"


@pytest.fixture
def text_folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_bytes(TEXT.encode())
    (tmp_path / "b.tokens").write_text(" = Head = \n a two @-@ one , he said . \n\n" * 5)
    (tmp_path / "empty.txt").write_text("")
    return tmp_path


def folder(path: Path, max_lines: int | None = None) -> Corpus:
    return folder_corpus(FolderCorpusConfig(name="folder", dir=str(path), max_lines=max_lines))


@pytest.mark.parametrize("size", [1, 7, 64, 1000, 1 << 20])
def test_ranges_have_every_line_once_and_in_order(
    size: int, text_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_ranges, "RANGE_BYTES", size)
    for limit in (None, 4):
        corpus = folder(text_folder, limit)
        lines = list(corpus.open_lines())
        ranges = list(corpus.ranges())
        assert [line for part in ranges for line in part.lines()] == lines
        assert len(lines) == (27 if limit is None else 4)
        assert len(ranges) == 1 or size <= 1000
        assert len(ranges) > 2 or size >= 64


def test_an_error_in_a_later_range_names_the_line_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\n\ntwo\n\xff\n")
    with pytest.raises(DataError, match=r"a\.txt is not UTF-8: byte 0xff in line 4"):
        list(FileRange(tmp_path / "a.txt", 6).lines())


@pytest.mark.parametrize("size", [64, 1 << 20])
def test_words_are_those_of_the_whole_lines(size: int, text_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_ranges, "RANGE_BYTES", size)
    corpus = folder(text_folder)
    normalize = normalizers.BertNormalizer(lowercase=True).normalize_str
    bert, byte_level = pre_tokenizers.BertPreTokenizer(), pre_tokenizers.ByteLevel(add_prefix_space=True)
    expected = Counter(word for line in corpus.lines() for word, _ in bert.pre_tokenize_str(normalize(line)))
    assert word_counts.count_words(corpus, word_counts.wordpiece_words, 1) == expected
    expected = Counter(word for line in corpus.lines() for word, _ in byte_level.pre_tokenize_str(line))
    assert word_counts.count_words(corpus, word_counts.byte_words, 1) == expected


def result(collector: SentenceCollector) -> list[object]:
    drawn = {name: sample.drawn() for name, sample in collector.samples.items()}
    return [drawn, list(collector.word_counts.items()), collector.num_sentences, collector.num_lines]


def test_samples_do_not_depend_on_the_ranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"Name{i * i % 97}" for i in range(120)]
    lines = [f"Now {name} sees the {i} dogs. Then {name} goes to town {i % 9}." for i, name in enumerate(names)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    spec = OODSpec(8, {"edit": 1.0, "neighbour": 2.0, "random": 1.0}, (False, False), 4, False, 3, 10)
    results = []
    for size in (1 << 20, 3000, 200):
        monkeypatch.setattr(line_ranges, "RANGE_BYTES", size)
        results.append(result(collect_sentences(spec, folder(tmp_path), 1, processes=1)))
    assert results[0] == results[1] == results[2]


def test_rare_words_are_dropped_at_the_end_of_a_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_samples, "MAX_COUNTED_WORDS", 8)
    monkeypatch.setattr(line_ranges, "RANGE_BYTES", 81)  # three lines
    (tmp_path / "a.txt").write_text("".join(f"The dogs see the cat{i} go{i}.\n" for i in range(9)))
    assert len(list(folder(tmp_path).ranges())) == 3
    spec = OODSpec(5, {"edit": 1.0}, (False, False), 4, False, 3, 10)
    collector = collect_sentences(spec, folder(tmp_path), 1, processes=1)
    # a range adds six words to the four that are left of the ranges before
    assert collector.word_counts == Counter({"The": 9, "dogs": 9, "see": 9, "the": 9})


def test_processes_give_the_same_words_and_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcdefgh":
        (tmp_path / f"{name}.txt").write_text(f"The {name} dogs see the cat. They go to town number {name}.\n" * 20)
    spec = OODSpec(5, {"edit": 1.0, "neighbour": 1.0}, (False, False), 4, False, 3, 10)
    corpus = folder(tmp_path)
    monkeypatch.setattr(line_ranges, "RANGE_BYTES", 500)
    assert len(list(corpus.ranges())) > workers.MIN_TASKS
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/nowhere/script.py", raising=False)
    assert result(collect_sentences(spec, corpus, 1, 2)) == result(collect_sentences(spec, corpus, 1, 1))
    (tmp_path / "d.txt").write_bytes(b"good\n\xff\n")
    with pytest.raises(DataError, match=r"d\.txt is not UTF-8: byte 0xff in line 2"):
        word_counts.count_words(corpus, word_counts.byte_words, 2)


@dataclass
class Lines:
    """A number of lines."""

    num_lines: int


def test_a_corpus_without_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n \n")
    with pytest.raises(DataError, match="has no lines of text"):
        list(folder(tmp_path).read_in_ranges(lambda _: Lines(0), folder(tmp_path).ranges()))


def test_few_tasks_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ProcessPoolExecutor", None)
    tasks = iter(range(workers.MIN_TASKS - 1))
    assert list(workers.map_in_order(lambda task: 2 * task, tasks, 8)) == [0, 2, 4]


def test_tasks_are_read_a_few_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for task in range(100):
            taken.append(task)
            yield task

    results = workers.map_in_order(abs, tasks(), 1)
    assert [next(results), next(results)] == [0, 1]
    assert len(taken) == 2


def test_a_killed_process_is_an_error() -> None:
    with pytest.raises(DataError, match="ended a process that reads the corpus"):
        list(workers.map_in_order(os._exit, [3] * 4, 2))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(number: int) -> None:
    code = "from kdrun.data.corpus import workers; import time\n" + (
        "list(workers.map_in_order(time.sleep, iter([60.0] * 8), 2))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    _wait(lambda: len(children.read_text().split()) >= 3)  # two workers, and Python's tracker of resources
    pids = children.read_text().split()
    parent.send_signal(number)
    assert parent.wait(10) == -number
    _wait(lambda: not any(_is_running(pid) for pid in pids))


def _is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait(condition: object) -> None:
    assert callable(condition)
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("not within 10 seconds")
