"""Bag-of-words models, which must not solve the synthetic tasks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import matthews_corrcoef

from kdrun.data.embedded import generate
from tests.helpers.embedded_rows import LABELED_TASKS, WORD, sentences_of, word_features

# Upper bounds of a bag-of-words model on dev (matthews correlation for cola, pearson for stsb, accuracy for the rest),
# a few points above measured values; a tiny transformer from scratch must be far above them.
BAG_OF_WORDS_BOUNDS: dict[str, float] = {
    "cola": 0.20,
    "sst2": 0.70,
    "mrpc": 0.75,
    "stsb": 0.50,
    "qqp": 0.79,
    "mnli": 0.79,
    "qnli": 0.60,
    "rte": 0.60,
    "wnli": 0.58,
    "amazon": 0.80,
}


@pytest.mark.parametrize("task", LABELED_TASKS)
def test_word_counts_are_not_enough(task: str) -> None:
    train, dev = generate(task, "train"), generate(task, "dev")
    words = {w for text in sentences_of(train) | sentences_of(dev) for w in WORD.findall(text)}
    vocabulary = {word: index for index, word in enumerate(sorted(words))}
    train_features, dev_features = word_features(train, vocabulary), word_features(dev, vocabulary)
    if task == "stsb":
        predicted = Ridge(alpha=3.0).fit(train_features, train.label).predict(dev_features)
        score = float(np.corrcoef(predicted, dev.label)[0, 1])
    else:
        model = LogisticRegression(C=0.5, max_iter=500).fit(train_features, train.label)
        predicted = model.predict(dev_features)
        score = float(np.mean(predicted == np.asarray(dev.label)))
        if task == "cola":
            score = float(matthews_corrcoef(dev.label, predicted))
    assert score <= BAG_OF_WORDS_BOUNDS[task], score
