"""Out-of-domain rows: format, proportions, edits, questions, cache and notes."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from omegaconf import OmegaConf

from kdrun import registry
from kdrun.config import compose, paths
from kdrun.config.data import FolderCorpusConfig, OODConfig
from kdrun.config.task import TaskConfig
from kdrun.data.corpus import ood_sampling, ood_text
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.corpus.sentences import WORD
from kdrun.data.splits import Split
from kdrun.errors import ConfigError, DataError

SINGLE = TaskConfig("one", ["sentence"], ["no", "yes"], rows={"train": 10, "dev": 5})
PAIR = TaskConfig("two", ["sentence1", "sentence2"], ["no", "yes"], rows={"train": 15, "dev": 5})
ASKING = TaskConfig("ask", ["question", "sentence"], ["no", "yes"], rows={"train": 15, "dev": 5})
NOUNS = ("fox", "hen", "cow", "dog", "cat", "owl", "bee", "ant", "elk", "emu")

PARAGRAPHS = [[f"The {a} number {i} saw a {b} there." for b in NOUNS] for i, a in enumerate(NOUNS * 3)]
"""300 distinct sentences, 270 distinct pairs of neighbors."""

TEXT = [" ".join(paragraph) for paragraph in PARAGRAPHS]
SENTENCES = {sentence for paragraph in PARAGRAPHS for sentence in paragraph}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))


def corpus(lines: list[str], name: str = "made") -> Corpus:
    return Corpus(name, False, lambda: iter(lines), lambda: "\n".join(lines))


def build(task: TaskConfig = SINGLE, lines: list[str] = TEXT, seed: int = 1, **values: Any) -> Split:
    return ood_text.build_ood_split(OODConfig(**values), task, corpus(lines), seed)


def columns(split: Split) -> dict[str, list[str]]:
    return split.table.to_pydict()


def of_kind(split: Split, kind: str) -> list[tuple[str, str]]:
    table = columns(split)
    return [(a, b) for a, b, k in zip(table["text"], table["text_pair"], table["kind"], strict=True) if k == kind]


def test_single_texts_are_different_sentences_of_the_corpus():
    split = build()
    texts = columns(split)["text"]
    assert split.num_rows == len(set(texts)) == 40, "ood.ratio 4 × 10 official rows"
    assert set(texts) <= SENTENCES
    assert not split.is_pair
    assert split.name == "ood"
    (note,) = split.notes
    assert "40 different sentences" in note
    assert "300 sentences of the corpus made" in note


def test_rows_have_no_labels():
    for task in (SINGLE, PAIR):
        split = build(task)
        assert "label" not in split.table.column_names
        assert "label" not in split.row(0)
        with pytest.raises(KeyError, match="label"):
            split.labels()


def test_size_is_a_number_or_a_multiple_of_the_official_count():
    assert build(rows=7).num_rows == 7
    assert build(ratio=1.5).num_rows == 15
    assert build(rows=7, ratio=9).num_rows == 7
    with pytest.raises(ConfigError, match=r"ood\.ratio .*task\.rows\.train.* x .*ood\.rows"):
        build(TaskConfig("x", ["text"], rows={"dev": 3}))


def test_too_few_sentences_are_reported_with_both_numbers():
    split = build(rows=1000, lines=[*TEXT, *TEXT[:5]])
    assert sorted(columns(split)["text"]) == sorted(SENTENCES), "a repeat counts once"
    assert "350 sentences" in split.notes[0]
    values = ("1000", "ood.rows", "300 are available", "300 different sentences", "corpus.dir=PATH")
    assert all(value in split.notes[1] for value in values), split.notes[1]
    assert "ood.ratio=100 × 10 training rows" in build(ratio=100).notes[1]


def test_lines_without_a_sentence_are_dropped():
    lines = [" = Head line of four = ", "Too short here. This one is kept here. A <unk> in this one.", "Now go."]
    assert columns(build(lines=lines))["text"] == ["This one is kept here."]
    texts = columns(build(lines=lines, keep_unknown=True, min_words=3))["text"]
    assert sorted(texts) == ["A <unk> in this one.", "This one is kept here.", "Too short here."]
    with pytest.raises(DataError, match="corpus made has 0 sentences of at least 4 words"):
        build(lines=["Now go."])


@pytest.mark.parametrize("weights", [(1, 1, 1), (2, 1, 1), (0, 0.5, 1.5), (1, 0, 0)])
def test_proportions_hold(weights: tuple[float, float, float]):
    settings: dict[str, Any] = dict(zip(ood_text.KINDS.values(), weights, strict=True))
    split = build(PAIR, **settings)
    counts = Counter(columns(split)["kind"])
    assert split.num_rows == 60
    assert {kind: 60 * weight / sum(weights) for kind, weight in zip(ood_text.KINDS, weights, strict=True)} == {
        kind: counts[kind] for kind in ood_text.KINDS
    }


def test_proportions_hold_with_a_small_corpus():
    split = build(PAIR, rows=3000, neighbor=2.0)
    assert Counter(columns(split)["kind"]) == {"edit": 136, "neighbour": 270, "random": 136}
    assert "542 are available" in split.notes[1]
    assert "300 pairs with an edited copy, 270 pairs of neighbors, 300 random pairs" in split.notes[1]


@pytest.mark.parametrize("count", [1, 3, 5])
def test_edits_change_the_given_number_of_words(count: int):
    pairs = of_kind(build(PAIR, edit_words=count), "edit")
    assert len(pairs) == 20
    vocabulary = {word for sentence in SENTENCES for word in WORD.findall(sentence)}
    for first, second in pairs:
        before, after = WORD.findall(first), WORD.findall(second)
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old.casefold() != new.casefold()]
        assert len(changed) == count
        assert {new for _, new in changed} <= vocabulary
        assert sum(old != new for old, new in zip(before, after, strict=True)) == count, "the others keep capitals"
        assert WORD.sub("w", first) == WORD.sub("w", second), "punctuation stays"
    assert len({tuple(WORD.findall(second)) for _, second in pairs}) == 20


def test_replacements_are_the_most_frequent_words():
    lines = ["Red blue red blue red blue.", *TEXT]
    pairs = of_kind(build(PAIR, lines=lines, frequent_words=2), "edit")
    new = {w for a, b in pairs for o, w in zip(WORD.findall(a), WORD.findall(b), strict=True) if o != w}
    # each of "The … number … saw a … there." occurs 300 times; ties are in alphabetical order
    assert new == {"The", "a"} - {"saw"}


def test_short_sentences_are_not_edited_but_used_otherwise():
    split = build(PAIR, lines=[*TEXT, "It is so here. It was so there."], edit_words=8, rows=900)
    assert {len(WORD.findall(first)) for first, _ in of_kind(split, "edit")} == {8}
    assert ("It is so here.", "It was so there.") in of_kind(split, "neighbour")


def test_neighbors_are_consecutive_sentences_of_a_paragraph():
    follows = {(a, b) for paragraph in PARAGRAPHS for a, b in pairwise(paragraph)}
    pairs = of_kind(build(PAIR, rows=600), "neighbour")
    assert len(set(pairs)) == len(pairs) == 200
    assert set(pairs) <= follows


def test_a_dropped_sentence_separates_its_neighbors():
    lines = ["The first one is here. No. The last one is there. And one more is over there."]
    split = build(PAIR, lines=lines, edit=0.0, random=0.0)
    assert of_kind(split, "neighbour") == [("The last one is there.", "And one more is over there.")]


def test_random_pairs_are_two_sentences():
    pairs = of_kind(build(PAIR, rows=900), "random")
    assert all(a != b and a in SENTENCES and b in SENTENCES for a, b in pairs)
    assert len({a for a, _ in pairs}) == len(pairs)
    together = {(paragraph[0].split()[3], b.split()[3]) for paragraph in PARAGRAPHS for b in paragraph}
    assert len({(a.split()[3], b.split()[3]) for a, b in pairs} - together) > 200, "of other paragraphs too"


def test_impossible_pairs_are_named():
    separate = [sentence for paragraph in PARAGRAPHS for sentence in paragraph]
    with pytest.raises(DataError, match=r"20 edit, 0 neighbour, 20 random; .* set ood\.neighbor=0"):
        build(PAIR, lines=separate)
    assert build(PAIR, lines=separate, neighbor=0.0).num_rows == 60
    with pytest.raises(DataError, match="0 random"):
        build(PAIR, lines=["Only one sentence here."], edit=0.0, neighbor=0.0)
    with pytest.raises(DataError, match="two different words, the corpus has 1"):
        build(PAIR, lines=["Go go go go."], neighbor=0.0, random=0.0)
    with pytest.raises(ConfigError, match=r"ood\.edit, ood\.neighbor, ood\.random are all 0.* two "):
        build(PAIR, edit=0.0, neighbor=0.0, random=0.0)
    assert build(SINGLE, edit=0.0, neighbor=0.0, random=0.0).num_rows == 40


def test_question_columns_get_questions():
    table = columns(build(ASKING))
    assert all(text.endswith("there?") for text in table["text"])
    assert {text.split()[0].lower() for text in table["text"]} == set(ood_sampling.QUESTION_WORDS)
    assert all(text.endswith(".") for text in table["text_pair"])
    plain = columns(build(ASKING, questions=False))
    assert set(plain["text"]) <= SENTENCES
    both = build(TaskConfig("q", ["question1", "question2"], ["no", "yes"], rows={"train": 15}))
    for first, second in of_kind(both, "edit"):
        pairs = zip(WORD.findall(first), WORD.findall(second), strict=True)
        assert sum(old.casefold() != new.casefold() for old, new in pairs) == 3
        assert second.endswith("?")


def test_shipped_tasks_with_questions():
    questions = {}
    for path in (paths.CONF_DIR / "task").glob("*.yaml"):
        section: Any = OmegaConf.load(path)
        if not section.rows:  # task=own is completed by its rows
            continue
        task = TaskConfig(section.name, list(section.text), rows=dict(section.rows))
        questions[task.name] = ood_text.ood_spec(OODConfig(), task).questions
    assert len(questions) >= 9
    assert {name: columns for name, columns in questions.items() if any(columns)} == {
        "boolq": (True, False),
        "qnli": (True, False),
        "qqp": (True, True),
    }


@pytest.mark.parametrize("task", [SINGLE, PAIR, ASKING], ids=lambda task: task.name)
def test_rows_are_a_function_of_seed_and_content(task: TaskConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    first, other = build(task), build(task, seed=2)
    changed = build(task, lines=[line.replace("fox", "yak") for line in TEXT])
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "another"))
    again = build(task)
    assert again.table.equals(first.table)
    assert again.fingerprint == first.fingerprint
    assert build(task, lines=TEXT[::-1]).table.equals(first.table), "the order of paragraphs has no influence"
    assert len({first.fingerprint, other.fingerprint, changed.fingerprint}) == 3
    assert not set(columns(first)["text"]) <= set(columns(other)["text"])


def test_settings_without_influence_are_not_in_the_cache_key(monkeypatch: pytest.MonkeyPatch):
    single, pair = build(), build(PAIR)

    def never() -> Iterator[str]:
        raise AssertionError("the corpus was read again")

    unread = Corpus("renamed", True, never, lambda: "\n".join(TEXT))
    cached = ood_text.build_ood_split(OODConfig(edit_words=9, random=0.2), SINGLE, unread, 1)
    assert cached.table.equals(single.table)
    assert cached.synthetic
    assert "corpus renamed" in cached.notes[0]
    assert ood_text.build_ood_split(OODConfig(rows=60), PAIR, unread, 1).fingerprint == pair.fingerprint
    for changed in (OODConfig(edit_words=2), OODConfig(edit=2.0), OODConfig(min_words=5), OODConfig(keep_unknown=True)):
        with pytest.raises(AssertionError, match="read again"):
            ood_text.build_ood_split(changed, PAIR, unread, 1)
    monkeypatch.setattr(ood_text, "FORMAT", ood_text.FORMAT + 1)
    with pytest.raises(AssertionError, match="read again"):
        ood_text.build_ood_split(OODConfig(), SINGLE, unread, 1)


def test_rows_are_memory_mapped():
    before = pa.total_allocated_bytes()
    split = build(PAIR, rows=600)
    allocated = pa.total_allocated_bytes() - before
    assert split.table.nbytes > 20_000
    assert allocated < 1000


def test_the_corpus_is_read_once():
    passes = []

    def lines() -> Iterator[str]:
        passes.append(1)
        yield from TEXT

    ood_text.build_ood_split(OODConfig(), PAIR, Corpus("made", False, lines, lambda: "x"), 1)
    assert len(passes) == 1


def test_the_task_rows_are_never_loaded(monkeypatch: pytest.MonkeyPatch):
    from kdrun.data import dataset, embedded

    def closed(*_: Any, **__: Any) -> None:
        raise AssertionError("the task's rows were loaded")

    monkeypatch.setattr(dataset, "load_dataset", closed)
    monkeypatch.setattr(embedded, "generate", closed)
    assert list(inspect.signature(ood_text.build_ood_split).parameters) == ["config", "task", "corpus", "seed"]
    for name in ("sst2", "rte"):
        config = compose.load_config([f"task={name}"])
        split = ood_text.build_ood_split(
            config.ood, config.task, registry.build("corpus", "embedded", config.corpus), 1
        )
        assert split.num_rows == 30000
        assert split.is_pair == (len(config.task.text) == 2)
        assert split.synthetic
        assert len(split.notes) == 1


def test_a_folder_of_wikitext(tmp_path: Path):
    (tmp_path / "a.tokens").write_text(
        " = Head = \n He did n't go there , they say . It was a short @-@ term plan . \n"
    )
    wikitext = registry.build("corpus", "folder", FolderCorpusConfig("folder", None, str(tmp_path)))
    split = ood_text.build_ood_split(OODConfig(), SINGLE, wikitext, 1)
    assert sorted(columns(split)["text"]) == ["He didn't go there, they say.", "It was a short-term plan."]


def test_example_rows_show_all_sorts_of_pairs():
    split = build(PAIR, edit=2.0)
    assert [row["kind"] for row in ood_text.example_rows(split, 5)] == [
        "edit",
        "neighbour",
        "random",
        "edit",
        "neighbour",
    ]
    assert len(ood_text.example_rows(split, 10_000)) == split.num_rows
    assert [list(row) for row in ood_text.example_rows(build(), 2)] == [["text"], ["text"]]
    assert len(ood_text.example_rows(build(PAIR, rows=2), 5)) == 2
