"""The synthetic general corpus."""

from __future__ import annotations

from kdrun.data.embedded import TASKS, corpus, generate
from kdrun.data.embedded.generate import TEXT_MAKERS
from tests.helpers.embedded_rows import WORD, sentences_of, splits_of


def test_the_corpus_shares_the_vocabulary_but_no_sentence() -> None:
    paragraphs = corpus()
    assert len(paragraphs) == 10800
    assert all(3 <= len(paragraph) <= 6 for paragraph in paragraphs)
    corpus_sentences = {sentence for paragraph in paragraphs for sentence in paragraph}
    words = {word for sentence in corpus_sentences for word in WORD.findall(sentence)}
    remarks = {sentence[:-1].rsplit(", ", 1)[1] for sentence in corpus_sentences}
    for task in TASKS:
        for split in splits_of(task):
            task_sentences = sentences_of(generate(task, split))
            assert not task_sentences & corpus_sentences
            task_words = {word for sentence in task_sentences for word in WORD.findall(sentence)}
            # remarks occur only in the corpus, so no corpus sentence is a task sentence
            assert not task_words & remarks
            assert task_words <= words or task in TEXT_MAKERS


def test_the_corpus_depends_only_on_its_seed() -> None:
    first = corpus(1)
    assert corpus(1) is first, "generated once per process"
    assert corpus(2) != first
    again = corpus(1)
    assert again is not first
    assert again == first
