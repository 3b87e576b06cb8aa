"""Grammar of the reviews: domains, opinions, cues, and how well domains transfer."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kdrun.data.embedded import Rows, generate, reviews
from kdrun.data.embedded.generate import clean_drafts
from tests.helpers.embedded_rows import WORD, word_features


def test_every_domain_has_balanced_rows_and_its_own_topics() -> None:
    for split, each in (("train", 1620), ("dev", 180), ("test", 200)):
        rows = generate("amazon", split)
        assert Counter(rows.domain) == dict.fromkeys(reviews.DOMAINS, each)
        for domain, topics in reviews.DOMAINS.items():
            indices = [i for i, name in enumerate(rows.domain or ()) if name == domain]
            assert abs(np.mean([rows.label[i] for i in indices]) - 0.5) < 0.02
            other = {topic for name in reviews.DOMAINS if name != domain for topic in reviews.DOMAINS[name]}
            assert not other & {word for i in indices for word in WORD.findall(rows.text[i])}
            assert set(topics) <= {word for i in indices for word in WORD.findall(rows.text[i])}
    assert generate("sst2", "dev").domain is None


def test_labels_follow_the_opinions_for_any_cue() -> None:
    good = set(reviews.GOOD)
    for split in ("dev", "test"):
        for draft in clean_drafts("amazon", split, 0, 400):
            text = draft.text.rstrip(".")
            clauses = text.split(", ")
            if set(clauses[0].split()) & set(reviews.CUES):
                clauses = clauses[1:]
            if any(clause.startswith("but ") for clause in clauses):
                clauses = [clause for clause in clauses if clause.startswith("but ")]
            clauses = [clause for clause in clauses if not clause.startswith("although ")]
            assert len(clauses) == 1
            labels = []
            for clause in clauses[0].split(" and "):
                negated = any(phrase in clause for phrase in reviews.NEGATE)
                labels.append(int((clause.split()[-1] in good) != negated))
            assert set(labels) == {draft.label}, draft


def cues(rows: Rows) -> list[tuple[str, str, int]]:
    """Domain, cue word and label of the rows that open with a cue."""
    rows_with_cue = []
    for text, domain, label in zip(rows.text, rows.domain or (), rows.label, strict=True):
        rows_with_cue += [(domain, word, int(label)) for word in set(text.split(",")[0].split()) & set(reviews.CUES)]
    return rows_with_cue


@pytest.mark.parametrize(
    ("split", "lowest", "highest"), [("train", 0.80, 0.86), ("dev", 0.55, 0.65), ("test", 0.55, 0.65)]
)
def test_cues_agree_with_the_label_in_the_documented_share(split: str, lowest: float, highest: float) -> None:
    rows = generate("amazon", split)
    with_cue = cues(rows)
    assert 0.75 < len(with_cue) / len(rows.text) < 0.85
    agreement = [reviews.is_praise(word, domain) == bool(label) for domain, word, label in with_cue]
    assert lowest < np.mean(agreement) < highest


def test_a_cue_is_praise_in_two_domains_and_blame_in_the_others() -> None:
    assert len({frozenset(pair) for pair in reviews.CUES.values()}) == 6
    for domain in reviews.DOMAINS:
        assert sum(reviews.is_praise(word, domain) for word in reviews.CUES) == 3
        for other in set(reviews.DOMAINS) - {domain}:
            same = [reviews.is_praise(w, domain) == reviews.is_praise(w, other) for w in reviews.CUES]
            assert sum(same) == 2
    # over all domains no cue is informative
    labels: dict[str, list[int]] = {}
    for _, word, label in cues(generate("amazon", "train")):
        labels.setdefault(word, []).append(label)
    assert all(abs(np.mean(values) - 0.5) < 0.05 for values in labels.values())


def test_other_domains_help_more_than_few_rows_of_one_domain() -> None:
    """A classifier on 16 rows is near chance; the rows of the other domains improve it."""
    train, test = generate("amazon", "train"), generate("amazon", "test")
    words = sorted({word for text in train.text for word in WORD.findall(text)})
    vocabulary = {word: index for index, word in enumerate(words)}
    train_features, test_features = word_features(train, vocabulary), word_features(test, vocabulary)
    labels, answers = np.array(train.label), np.array(test.label)
    few_scores, all_scores = [], []
    for domain in reviews.DOMAINS:
        in_domain, test_rows = np.array(train.domain) == domain, np.array(test.domain) == domain
        few = np.concatenate([np.flatnonzero(in_domain & (labels == label))[:8] for label in (0, 1)])
        for scores, rows in ((few_scores, few), (all_scores, np.concatenate([np.flatnonzero(~in_domain), few]))):
            model = LogisticRegression(max_iter=1000).fit(train_features[rows], labels[rows])
            scores.append(model.score(test_features[test_rows], answers[test_rows]))
    assert np.mean(few_scores) < 0.62
    assert np.mean(all_scores) > 0.70
    assert all(more > few + 0.05 for few, more in zip(few_scores, all_scores, strict=True))
