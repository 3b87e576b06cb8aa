"""The synthetic general corpus: the tasks' vocabulary, and none of their texts."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from kdrun.data.embedded import TASKS, corpus, generate
from kdrun.data.embedded.corpus import SLOTS
from kdrun.data.embedded.corpus_forms import FORMS
from kdrun.data.embedded.generate import TEXT_MAKERS
from tests.helpers.embedded_rows import WORD, sentences_of, splits_of

Words = tuple[str, ...]
SHARED_RUN = 4
"""Words in a row that no task text may have in common with the corpus."""
GAPS = {5: (1, 2, 3), 6: (2, 3), 7: (3,)}
"""Places by length of a text where one changed word leaves less than such a run; in longer texts there are none."""
SOME = ("sst2", "mnli", "conll2003")
"""A task of one text, of pairs, and of sentences with names; the others are slow tests."""
CASES = [pytest.param(task, marks=() if task in SOME else pytest.mark.slow) for task in TASKS]
MOST_COMMON = 0.6
"""Largest share of words, in any order, that a task text and a corpus sentence may have in common."""


@cache
def corpus_sentences() -> set[Words]:
    return {tuple(WORD.findall(sentence)) for paragraph in corpus() for sentence in paragraph}


@cache
def task_sentences(task: str) -> set[Words]:
    """All texts of a task, of both sides of a pair and of all splits."""
    rows = [generate(task, split) for split in splits_of(task)]
    return {tuple(WORD.findall(text)) for split in rows for text in sentences_of(split)}


def runs(words: Words, length: int) -> set[Words]:
    return {words[start : start + length] for start in range(len(words) - length + 1)}


@cache
def corpus_runs(length: int) -> set[Words]:
    return {run for words in corpus_sentences() for run in runs(words, length)}


def with_one_gap(words: Words) -> set[Words]:
    return {(*words[:place], "", *words[place + 1 :]) for place in GAPS.get(len(words), ())}


@cache
def corpus_gaps(length: int) -> set[Words]:
    return {gap for run in corpus_runs(length) for gap in with_one_gap(run)}


def overlaps(text: Words) -> bool:
    """Whether a text is part of a corpus sentence, whole or with one word changed, or shares a run of words with one.

    Of texts of fewer than five words one changed word is much, so that only verbatim copies count.
    """
    if len(text) < SHARED_RUN:
        return text in corpus_runs(len(text))
    if not runs(text, SHARED_RUN).isdisjoint(corpus_runs(SHARED_RUN)):
        return True
    return len(text) in GAPS and not with_one_gap(text).isdisjoint(corpus_gaps(len(text)))


@pytest.mark.parametrize("task", CASES)
def test_no_task_text_is_in_the_corpus_or_nearly_so(task: str) -> None:
    texts = task_sentences(task)
    assert len(texts) > 1000
    assert [text for text in texts if overlaps(text)] == []


@pytest.mark.parametrize("task", CASES)
def test_no_corpus_sentence_has_the_words_of_a_task_text_in_another_order(task: str) -> None:
    texts = sorted(text for text in task_sentences(task) if len(text) > SHARED_RUN)[::20]
    sentences = sorted(corpus_sentences())
    index = {word: i for i, word in enumerate(sorted({word for words in (*texts, *sentences) for word in words}))}

    def sets(rows: list[Words]) -> csr_matrix:
        pairs = [(row, index[word]) for row, words in enumerate(rows) for word in set(words)]
        places = np.array(pairs).T
        return csr_matrix((np.ones(len(pairs), np.float32), (places[0], places[1])), (len(rows), len(index)))

    ours, theirs = sets(texts), sets(sentences).T.tocsr()
    size = np.array([len(set(words)) for words in sentences])
    for start in range(0, len(texts), 200):
        common = (ours[start : start + 200] @ theirs).toarray()
        lengths = np.array([len(set(words)) for words in texts[start : start + 200]])[:, None]
        assert (common / (lengths + size - common)).max() < MOST_COMMON


@pytest.mark.parametrize("length", range(2, 12))
def test_the_check_finds_copies_and_near_copies(length: int) -> None:
    sentence = next(words for words in corpus_sentences() if len(words) > length)
    copy = sentence[1 : 1 + length]
    assert overlaps(copy)
    changed = [(*copy[:place], "otherwise", *copy[place + 1 :]) for place in range(length)]
    assert all(overlaps(text) for text in changed) == (length > SHARED_RUN)
    assert not overlaps(("otherwise",) * length)


def test_the_corpus_has_every_word_of_the_tasks_and_paragraphs_of_its_own() -> None:
    paragraphs = corpus()
    assert len(paragraphs) == 10800
    assert all(3 <= len(paragraph) <= 6 for paragraph in paragraphs)
    words = {word for sentence in corpus_sentences() for word in sentence}
    for task in TASKS:
        task_words = {word for sentence in task_sentences(task) for word in sentence}
        assert task_words <= words or task in TEXT_MAKERS  # whose names are made from words by endings
    assert len(corpus_sentences()) > 35000


def test_every_form_has_slots_that_exist_and_words_that_differ() -> None:
    forms = [form for topic in FORMS.values() for form in topic]
    assert len(set(forms)) == len(forms) >= 60
    assert min(len(topic) for topic in FORMS.values()) >= 6
    for paragraph in corpus():
        assert len(set(paragraph)) == len(paragraph)
        assert not any("{" in sentence or not sentence.endswith(".") for sentence in paragraph)
    assert all(len(pool) == len(set(pool)) > 3 for pool in SLOTS.values())


def test_sentences_of_a_paragraph_share_their_words() -> None:
    """So that the neighbors of a masked word say what it was."""
    shared = [len(set(words).intersection(*rest)) for words, *rest in
              ([WORD.findall(sentence) for sentence in paragraph[:2]] for paragraph in corpus()[:500])]  # fmt: skip
    assert np.mean(shared) > 1.5


def test_the_corpus_depends_only_on_its_seed() -> None:
    first = corpus(1)
    assert corpus(1) is first, "generated once per process"
    assert corpus(2) != first
    again = corpus(1)
    assert again is not first
    assert again == first
