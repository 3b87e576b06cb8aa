"""Samples of sentences, question forms and random pairs."""

from __future__ import annotations

from collections import Counter

import pytest

from kdrun.data.corpus import sentence_samples
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.corpus.ood_sampling import as_question, build_ood_rows, random_pairs
from kdrun.data.corpus.sentence_samples import HashSample, OODSpec


@pytest.mark.parametrize("seconds", [["a", "b", "c"], ["a", "c", "b"], ["b", "a", "c"], ["c", "b", "a"]])
def test_random_pairs_never_repeat_a_sentence(seconds: list[str]):
    pairs = random_pairs(["a", "b", "c"], seconds)
    assert all(a != b for a, b in pairs)
    assert sorted(b for _, b in pairs) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("The town is in Kent.", "Where the town is in Kent?"),
        ("Kent is where I live!", "Where Kent is where I live?"),
        ("I was born there.", "Where I was born there?"),
        ('He said "stop."', 'Where he said "stop"?'),
        ("Is it old?", "Is it old?"),
        ("then, it is old.", "where then, it is old?"),
    ],
)
def test_question_form(sentence: str, question: str):
    assert as_question(sentence, "where") == question


def test_samples_are_even_and_differ_between_purposes():
    hits = Counter()
    for seed in range(300):
        sample = HashSample(3, seed, "test")
        for text in [*"abcdefghij", *"aaaaaaaa"]:
            sample.add(text)
        hits.update(text for (text,) in sample.drawn())
    # 90 each on average, standard deviation 8
    assert set(hits) == set("abcdefghij")
    assert all(55 < count < 125 for count in hits.values())
    samples = []
    for purpose in ("x", "y"):
        sample = HashSample(50, 1, purpose)
        for i in range(500):
            sample.add(str(i))
        samples.append(set(sample.drawn()))
    assert len(samples[0] & samples[1]) < 20


def test_word_counts_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sentence_samples, "MAX_COUNTED_WORDS", 30)
    lines = [f"The same words word{i} word{i + 1000} come." for i in range(200)]
    spec = OODSpec(30, {"edit": 1.0}, (False, False), 4, False, 3, 10)
    collector = sentence_samples.collect_sentences(spec, Corpus("made", False, lambda: iter(lines), lambda: "x"), 1)
    assert len(collector.word_counts) <= 30
    assert [word for word, _ in collector.word_counts.most_common(4)] == ["The", "same", "words", "come"]


def test_a_sample_keeps_few_texts():
    sample = HashSample(10, 1, "test")
    for i in range(5000):
        sample.add(f"sentence {i % 3000}")
        assert len(sample._texts) <= 2 * 10 + 1001
    assert len({text for (text,) in sample.drawn()}) == 10


@pytest.mark.parametrize("rows", range(1, 12))
def test_few_rows(rows: int):
    lines = [f"Here is number {i}. There is number {i + 1}. And so on to {i + 2}." for i in range(0, 60, 3)]
    spec = OODSpec(rows, dict.fromkeys(("edit", "neighbour", "random"), 1.0), (False, False), 4, False, 3, 10)
    ood = build_ood_rows(spec, Corpus("made", False, lambda: iter(lines), lambda: "x"), 1)
    assert ood.table.num_rows == sum(ood.counts.values()) == rows
    assert not ood.shortfall
    assert all(row["text"] != row["text_pair"] for row in ood.table.to_pylist())
