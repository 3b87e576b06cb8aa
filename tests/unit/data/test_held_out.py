"""Held-out rows: groups of rows that share text, and no shared text with the training rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from kdrun.data import held_out, phrases
from kdrun.data.phrases import DistinctTexts
from kdrun.data.splits import Split, make_split
from kdrun.errors import DataError

SENTENCES = [
    "a film of great charm and humor",
    "great charm",
    "Great charm!",
    "of great charm and humor",
    "a dull film",
    "dull film",
    "film",
    "one more dull film without end",
    "dull",
]


def split(texts: list[str], pairs: list[str] | None = None, name: str = "train") -> Split:
    columns = [pa.array(texts), *([pa.array(pairs)] if pairs is not None else [])]
    return make_split(name, columns, pa.array(np.arange(len(texts), dtype=np.int32) % 2), f"toy/{name}")


def words(text: str) -> list[str]:
    return phrases.WORD.findall(text.casefold())


def is_phrase(part: str, whole: str) -> bool:
    """Whether the words of a text are a contiguous part of the words of another, or all of them."""
    return f" {' '.join(words(part))} " in f" {' '.join(words(whole))} "


def random_sentences(count: int, vocabulary: int = 400) -> list[str]:
    """Sentences of random words, each followed by some of its phrases, as in SST-2."""
    stream, texts = np.random.default_rng(3), list[str]()
    for _ in range(count):
        size = int(stream.integers(6, 15))
        sentence = [f"w{word}" for word in stream.integers(vocabulary, size=size)]
        texts.append(" ".join(sentence))
        for _ in range(4):
            start = int(stream.integers(size - 2))
            stop = int(stream.integers(start + 1, size + 1))
            texts.append(" ".join(sentence[start:stop]))
    return texts


def test_a_phrase_belongs_to_the_shortest_longer_row_that_contains_it() -> None:
    groups = held_out.find_groups(split(SENTENCES))
    names = groups.numbers[[0, 4, 7]]
    assert len(set(names.tolist())) == 3
    # "dull film" is a phrase of rows 4 and 7, of which 4 is shorter; "film" is a phrase of "dull film"
    assert groups.numbers.tolist() == [names[i] for i in (0, 0, 0, 0, 1, 1, 1, 2, 1)]
    assert groups.shared.tolist() == [False, False, False, False, False, True, True, False, True]


def test_equal_texts_are_one_text_whatever_their_case_and_punctuation() -> None:
    texts = DistinctTexts.of_split(split(["Good.", "good", "!!!", "???", "good !", "bad"]))
    assert texts.numbers[0] == texts.numbers[1] == texts.numbers[4]
    assert len(set(texts.numbers[[0, 2, 3, 5]].tolist())) == 4
    assert texts.numbers_of(split(["GOOD", "unknown", "bad"])).tolist() == [texts.numbers[0], -1, texts.numbers[5]]


def test_contained_texts_are_those_of_a_plain_search(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = list(dict.fromkeys(random_sentences(40, vocabulary=12)))
    expected = {(a, b) for a in texts for b in texts if len(words(a)) < len(words(b)) and is_phrase(a, b)}
    monkeypatch.setattr(phrases, "BLOCK_WORDS", 64)
    monkeypatch.setattr(phrases, "BLOCK_ROWS", 8)
    distinct = DistinctTexts.of_split(split(texts))
    pairs = [pair for part in distinct.contained() for pair in zip(*part, strict=True)]
    assert {(texts[distinct.first[a]], texts[distinct.first[b]]) for a, b in pairs} == expected
    one = distinct.numbers[0]
    of_one = {(int(a), int(b)) for part in distinct.contained(np.array([one])) for a, b in zip(*part, strict=True)}
    assert of_one == {(int(a), int(b)) for a, b in pairs if b == one}


def test_pairs_that_share_a_text_in_either_column_are_one_group() -> None:
    rows = split(["p", "p", "q", "r", "s", "u"], ["h1", "h2", "h2", "Q.", "t", "v"])
    numbers = held_out.find_groups(rows).numbers
    assert len(set(numbers[:4].tolist())) == 1
    assert len(set(numbers[[0, 4, 5]].tolist())) == 3


def test_no_held_out_row_is_contained_in_a_training_row_or_contains_one() -> None:
    train = split(random_sentences(150))
    rows = held_out.hold_out(train, [], 60, seed=1)
    held, rest = (part.table.column("text").to_pylist() for part in (rows.split, rows.train))
    assert 60 <= len(held) < 70
    assert len(held) + len(rest) < train.num_rows  # some phrases are in several sentences: they are left out
    assert not [(a, b) for a in held for b in rest if is_phrase(a, b) or is_phrase(b, a)]
    groups = rows.split.table.column("group").to_numpy()
    assert set(groups.tolist()) == set(range(len(np.unique(groups))))
    longest = [max((t for t, g in zip(held, groups, strict=True) if g == n), key=len) for n in np.unique(groups)]
    assert all(is_phrase(text, longest[group]) for text, group in zip(held, groups, strict=True))
    assert f"{len(held)} held-out training rows, of {len(longest)} sentences" in rows.note


def test_the_draw_depends_on_its_seed_and_more_rows_contain_fewer() -> None:
    train = split(random_sentences(150))
    texts = [set(held_out.hold_out(train, [], n, s).split.table.column("text").to_pylist()) for n, s in
             ((40, 1), (40, 1), (40, 2), (80, 1))]  # fmt: skip
    assert texts[0] == texts[1] != texts[2]
    assert texts[0] < texts[3]


def test_rows_of_an_evaluated_split_and_large_groups_stay_in_the_training_rows() -> None:
    train = split([*(f"word{i} other{i}" for i in range(60)), *(["same text"] * 30)])
    dev = split(["word3 Other3!", "new text"], name="dev")
    rows = held_out.hold_out(train, [dev], 50, seed=1)
    held = set(rows.split.table.column("text").to_pylist())
    assert len(held) == 50
    assert not held & {"same text", "word3 other3"}


def test_pairs_are_held_out_in_whole_groups() -> None:
    train = split([f"premise {i // 3}" for i in range(90)], [f"hypothesis {i}" for i in range(90)])
    rows = held_out.hold_out(train, [], 30, seed=1)
    premises = [set(part.table.column("text").to_pylist()) for part in (rows.split, rows.train)]
    assert rows.split.num_rows == 30
    assert not premises[0] & premises[1]
    assert rows.train.num_rows == 60
    assert "30 held-out training rows, of 10 groups of pairs that share a text" in rows.note


def test_too_many_rows_are_refused() -> None:
    with pytest.raises(DataError, match=r"evaluation\.held_out=100: .* 20 rows, of which at most 20"):
        held_out.hold_out(split([f"text{i}" for i in range(20)]), [], 100, seed=1)
    with pytest.raises(DataError, match=r"evaluation\.held_out=20: "):
        held_out.hold_out(split([f"text{i}" for i in range(20)]), [], 20, seed=1)


def test_pooled_rows_are_the_rows_of_both_splits_in_order() -> None:
    train = split(random_sentences(150))
    held, dev = held_out.hold_out(train, [], 40, 1).split, split(["one", "two", "three"], name="dev")
    pooled = held_out.pool(dev, held, "pooled")
    assert pooled.table.column("text").to_pylist()[:4] == ["one", "two", "three", held.row(0)["text"]]
    assert pooled.labels().tolist() == [*dev.labels().tolist(), *held.labels().tolist()]
    groups = pooled.table.column("group").to_numpy()
    assert groups[:3].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(groups[3:], held.table.column("group").to_numpy() + 3)
    count = len(np.unique(groups)) - 3
    expected = f"3 dev rows and {held.num_rows} held-out training rows, of {count} sentences"
    assert held_out.describe(pooled, 3, "dev") == expected


def test_unlabeled_rows_that_share_text_with_held_out_rows_are_left_out() -> None:
    held = dataclasses.replace(split(["a film of great charm"]), name="held_out")
    texts = ["great charm", "A film of great charm.", "see a film of great charm today", "great film", "other"]
    rows = make_split("unlabelled", [pa.array(texts)], None, "more.txt")
    kept = held_out.without_shared_text(rows, held)
    assert kept.table.column("text").to_pylist() == ["great film", "other"]
    assert kept.notes == ("3 of 5 unlabeled rows left out: they share text with a held-out row",)
    assert held_out.without_shared_text(kept, held) is kept
