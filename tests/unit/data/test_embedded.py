"""Tests of the synthetic tasks and of the general corpus."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import matthews_corrcoef

from kdrun.data.embedded import TASKS, Rows, corpus, generate, reviews
from kdrun.data.embedded.generate import CLASSES, SIZES, TEXT_MAKERS, clean_drafts
from kdrun.data.embedded.single_sentence import GOOD, NEGATE

WORD = re.compile(r"[a-z]+")
SINGLE = ("cola", "sst2", "amazon", "conll2003")
LABELLED = tuple(task for task in TASKS if task not in TEXT_MAKERS)  # test_naming.py has the others

# Upper bounds of a bag-of-words model on dev (matthews correlation for cola, pearson for stsb,
# accuracy for the others), a few points above what was measured; a tiny transformer from
# scratch must stay far above them.
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

PROGRAM = """
import hashlib, json
from kdrun.data.embedded import TASKS, corpus, generate
text = [repr(generate(task, "dev", 3)) for task in TASKS] + [repr(corpus(3)[:50])]
print(json.dumps([hashlib.sha256(item.encode()).hexdigest() for item in text]))
"""


def splits_of(task: str) -> tuple[str, ...]:
    """Give the split names of a task."""
    return tuple(SIZES[task])


def keys(rows: Rows) -> list[tuple[str, str]]:
    """Give each row's text as something that can be compared."""
    return list(zip(rows.text, rows.text_pair or [""] * len(rows.text), strict=True))


def sentences(rows: Rows) -> set[str]:
    """Give all sentences of a split."""
    return set(rows.text) | set(rows.text_pair or ())


def test_the_eleven_tasks_are_named_with_their_splits() -> None:
    expected = {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli", "amazon", "conll2003"}
    assert set(TASKS) == expected
    assert len(TASKS) == 11
    assert [task for task in TASKS if splits_of(task) != ("train", "dev")] == ["mnli", "amazon", "conll2003"]
    assert splits_of("mnli") == ("train", "dev", "dev_mismatched")
    assert splits_of("amazon") == splits_of("conll2003") == ("train", "dev", "test")


@pytest.mark.parametrize("task", TASKS)
def test_columns_are_equally_long_and_typed(task: str) -> None:
    for split in splits_of(task):
        rows = generate(task, split)
        assert len(rows.text) == len(rows.answer or rows.label) == SIZES[task][split]
        assert (rows.text_pair is None) == (task in SINGLE)
        assert rows.text_pair is None or len(rows.text_pair) == SIZES[task][split]
        assert all(type(label) is (float if task == "stsb" else int) for label in rows.label)
        assert (rows.answer is None) == (task not in TEXT_MAKERS)
        assert all(re.fullmatch(r"[a-z ,]+[.?]", text) for text in sentences(rows))


@pytest.mark.parametrize("task", LABELLED)
def test_classes_are_balanced(task: str) -> None:
    for split in splits_of(task):
        labels = generate(task, split).label
        if task == "stsb":
            assert min(labels) >= 0.0
            assert max(labels) == 5.0 if split == "dev" else max(labels) <= 5.0
            assert np.std(labels) > 1.0
            assert max(Counter(labels).values()) < 0.35 * len(labels)
            continue
        counts = Counter(labels)
        assert sorted(counts) == list(range(CLASSES[task]))
        assert max(counts.values()) < 1.1 * len(labels) / CLASSES[task]


@pytest.mark.parametrize("task", TASKS)
def test_no_row_is_repeated_or_shared_between_train_and_dev(task: str) -> None:
    # Rows are kept apart by their text, so another seed's dev rows are not in train either.
    train = keys(generate(task, "train"))
    assert len(set(train)) == len(train)
    for split in splits_of(task)[1:]:
        for seed in (0, 1):
            dev = keys(generate(task, split, seed))
            assert len(set(dev)) == len(dev)
            assert not set(dev) & set(train)


def test_dev_and_test_share_no_row_whatever_their_seeds() -> None:
    held = {
        split: {key for seed in (0, 1) for key in keys(generate("amazon", split, seed))} for split in ("dev", "test")
    }
    assert not held["dev"] & held["test"]


@pytest.mark.parametrize("task", LABELLED)
def test_only_train_labels_are_noisy(task: str) -> None:
    for split in splits_of(task):
        rows = generate(task, split)
        clean = clean_drafts(task, split, 0, SIZES[task][split])
        assert [draft.text for draft in clean] == rows.text
        wrong = sum(draft.label != label for draft, label in zip(clean, rows.label, strict=True)) / len(clean)
        assert wrong == 0.0 if split != "train" else 0.02 <= wrong <= 0.04


def test_rows_and_corpus_are_the_same_in_every_process() -> None:
    outputs = []
    for hash_seed in ("1", "2"):
        environment = dict(os.environ, PYTHONHASHSEED=hash_seed)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        outputs.append(json.loads(done.stdout))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("task", TASKS)
def test_another_seed_gives_other_rows(task: str) -> None:
    assert generate(task, "dev", 0).text == generate(task, "dev", 0).text
    assert generate(task, "dev", 0).text != generate(task, "dev", 1).text


def test_unknown_names_are_reported() -> None:
    with pytest.raises(ValueError, match="unknown task 'ax'"):
        generate("ax", "dev")
    with pytest.raises(ValueError, match="unknown split 'dev_mismatched' of sst2"):
        generate("sst2", "dev_mismatched")


def test_the_corpus_shares_the_vocabulary_but_no_sentence() -> None:
    paragraphs = corpus()
    assert len(paragraphs) == 10800
    assert all(3 <= len(paragraph) <= 6 for paragraph in paragraphs)
    told = {sentence for paragraph in paragraphs for sentence in paragraph}
    words = {word for sentence in told for word in WORD.findall(sentence)}
    remarks = {sentence[:-1].rsplit(", ", 1)[1] for sentence in told}
    for task in TASKS:
        for split in splits_of(task):
            asked = sentences(generate(task, split))
            assert not asked & told
            used = {word for sentence in asked for word in WORD.findall(sentence)}
            # The remarks are words of the corpus alone: that is what keeps sentences apart.
            assert not used & remarks
            assert used <= words or task in TEXT_MAKERS


def test_the_corpus_depends_on_its_seed_alone() -> None:
    first = corpus(1)
    assert corpus(1) is first, "made once, however often a run asks for it"
    assert corpus(2) != first
    again = corpus(1)
    assert again is not first
    assert again == first


# Below, small readers work the labels out anew from the text alone.

TRANSFER = re.compile(r"(\w+) (\w+) the (\w+) to (\w+) ([a-z ]+)[.]")
TRANSFERRED = re.compile(r"the (\w+) was (\w+) to (\w+) by (\w+) ([a-z ]+)[.]")
VERB_GROUPS = {
    form: group
    for group, forms in enumerate(("gave given handed", "sent mailed", "lent loaned", "showed shown presented"))
    for form in forms.split()
}


def transfer(text: str) -> tuple[object, ...]:
    """Read giver, deed, thing, taker, and day."""
    if match := TRANSFERRED.fullmatch(text):
        thing, verb, taker, giver, day = match.groups()
    else:
        match = TRANSFER.fullmatch(text)
        assert match is not None, text
        giver, verb, thing, taker, day = match.groups()
    return giver, VERB_GROUPS[verb], thing, taker, day


def test_mrpc_labels_follow_who_gave_what_to_whom() -> None:
    for draft in clean_drafts("mrpc", "dev", 0, 500):
        assert draft.label == int(transfer(draft.text) == transfer(draft.text_pair or ""))


def request(text: str) -> tuple[str, ...]:
    """Read what a question asks for: a route or a reason."""
    words = text.rstrip("?").split()
    if "from" in words:
        start, goal = words[words.index("from") + 1], words[words.index("to", 4) + 1]
        return start, goal, " ".join(words[-2:])
    return tuple(words[2:])


def test_qqp_labels_follow_what_is_asked() -> None:
    for draft in clean_drafts("qqp", "dev", 0, 500):
        assert draft.label == int(request(draft.text) == request(draft.text_pair or ""))


def test_stsb_scores_grade_what_is_shared() -> None:
    drafts = clean_drafts("stsb", "dev", 0, 500)
    assert {draft.label for draft in drafts if draft.text == draft.text_pair} == {5.0}
    swapped = re.compile(r"the (\w+) is (\w+) the (\w+) ([a-z ]+)[.]")
    seen = set()
    for draft in drafts:
        first, second = swapped.fullmatch(draft.text), swapped.fullmatch(draft.text_pair or "")
        if first and second and first.group(1, 3, 4) == second.group(3, 1, 4) and first[2] == second[2]:
            seen.add(draft.label)
    assert seen == {2.5}


SIZES_OF_NOUNS = ("small", "young", "quiet", "hungry", "tired", "old")
# Kinds of individuals: has the size, did the deed, did it in the manner of the adverb.
KINDS = [(size, did, manner) for size in (0, 1) for did, manner in ((0, 0), (1, 0), (1, 1))]
WORLDS = [
    [kind for bit, kind in enumerate(KINDS) if mask >> bit & 1]
    for mask in range(1 << len(KINDS))
    if any(kind[0] for bit, kind in enumerate(KINDS) if mask >> bit & 1)
]


def claim(text: str) -> tuple[str, bool, str, str, bool]:
    """Read quantifier, whether a size is named, noun, verb, and whether an adverb is named."""
    words = text.rstrip(".").split()
    sized = words[1] in SIZES_OF_NOUNS
    return words[0], sized, words[1 + sized], words[2 + sized], len(words) > 3 + sized


def holds(parts: tuple[str, bool, str, str, bool], world: list[tuple[int, int, int]]) -> bool:
    """Judge a quantified claim in a small world where its noun exists."""
    quantifier, sized, _, _, manner = parts
    deeds = [bool(kind[2] if manner else kind[1]) for kind in world if kind[0] or not sized]
    if quantifier == "every":
        return all(deeds)
    return any(deeds) == (quantifier == "some")


@pytest.mark.parametrize("split", ["dev", "dev_mismatched"])
def test_mnli_labels_are_right_in_all_small_worlds(split: str) -> None:
    for draft in clean_drafts("mnli", split, 0, 500):
        first, second = claim(draft.text), claim(draft.text_pair or "")
        outcomes = {holds(second, world) for world in WORLDS if holds(first, world)}
        expected = 1 if len(outcomes) == 2 else (0 if outcomes == {True} else 2)
        if first[2:4] != second[2:4]:
            expected = 1
        assert draft.label == expected, draft


def test_rte_labels_follow_the_implied_outcome() -> None:
    outcome = re.compile(r"(\w+) (managed|remembered|was able|forgot|failed|refused) to .*")
    found = 0
    for draft in clean_drafts("rte", "dev", 0, 500):
        if match := outcome.fullmatch(draft.text):
            done = match[2] in ("managed", "remembered", "was able")
            claimed = " never " not in (draft.text_pair or "")
            assert draft.label == int(done != claimed)
            found += 1
        elif match := re.fullmatch(r"(\w+) was (\w+) by (\w+)[.]", draft.text_pair or ""):
            assert draft.label == int(not draft.text.startswith(f"{match[3]} "))
            found += 1
    assert found > 200


def test_wnli_labels_follow_what_does_not_fit() -> None:
    pattern = re.compile(r"the (\w+) .* the (\w+) because it was too (\w+)[.]")
    found = 0
    for draft in clean_drafts("wnli", "dev", 0, 500):
        if match := pattern.fullmatch(draft.text):
            large = match[3] in ("big", "large", "wide", "thick")
            culprit = match[1] if large else match[2]
            assert draft.label == int(f"the {culprit} " in (draft.text_pair or ""))
            found += 1
    assert found > 100


def test_qnli_answers_are_in_the_right_clause() -> None:
    starts = {"where": ("at", "in town", "near"), "when": ("on", "last", "this", "in june"), "why": ("for", "from")}
    found = 0
    for draft in clean_drafts("qnli", "dev", 0, 500):
        word, _, name = draft.text.split()[:3]
        if word in starts:
            clauses = (draft.text_pair or "").split(" and ")
            (clause,) = [clause for clause in clauses if clause.startswith(name)]
            told = " ".join(clause.split()[2:]).startswith(starts[word])
            assert draft.label == int(not told), draft
            found += 1
    assert found > 100


def test_sst2_verdict_is_that_of_the_main_clause() -> None:
    good = set(GOOD)
    for draft in clean_drafts("sst2", "dev", 0, 500):
        text = draft.text.rstrip(".")
        if ", but " in text:
            text = text.split(", but ")[1]
        elif text.startswith("although "):
            text = text.split(", ")[1]
        text = text.split(", although ")[0]
        turned = sum(phrase in text for phrase in ("nobody thinks", "it is wrong", *NEGATE))
        assert draft.label == int((text.split()[-1] in good) != (turned % 2 == 1)), draft


def test_cola_plain_sentences_agree_in_number() -> None:
    pattern = re.compile(r"the (dogs?|cats?|girls?|boys?) (sleeps?|smiles?|arrives?|falls?|laughs?)[.]")
    judged = [
        (draft.label, match[1].endswith("s") != match[2].endswith("s"))
        for draft in clean_drafts("cola", "train", 0, 5000)
        if (match := pattern.fullmatch(draft.text))
    ]
    assert len(judged) > 20
    assert all(label == int(agrees) for label, agrees in judged)


def test_every_domain_has_its_rows_balanced_and_its_own_topics() -> None:
    for split, each in (("train", 1620), ("dev", 180), ("test", 200)):
        rows = generate("amazon", split)
        assert Counter(rows.domain) == dict.fromkeys(reviews.DOMAINS, each)
        for domain, topics in reviews.DOMAINS.items():
            own = [i for i, name in enumerate(rows.domain or ()) if name == domain]
            assert abs(np.mean([rows.label[i] for i in own]) - 0.5) < 0.02
            other = {topic for name in reviews.DOMAINS if name != domain for topic in reviews.DOMAINS[name]}
            assert not other & {word for i in own for word in WORD.findall(rows.text[i])}
            assert set(topics) <= {word for i in own for word in WORD.findall(rows.text[i])}
    assert generate("sst2", "dev").domain is None


def test_amazon_labels_follow_the_opinions_whatever_the_remark_says() -> None:
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
            said = []
            for clause in clauses[0].split(" and "):
                turned = any(phrase in clause for phrase in reviews.NEGATE)
                said.append(int((clause.split()[-1] in good) != turned))
            assert set(said) == {draft.label}, draft


def remarks(rows: Rows) -> list[tuple[str, str, int]]:
    """Domain, word of the remark and label of the rows that open with one."""
    found = []
    for text, domain, label in zip(rows.text, rows.domain or (), rows.label, strict=True):
        found += [(domain, word, int(label)) for word in set(text.split(",")[0].split()) & set(reviews.CUES)]
    return found


@pytest.mark.parametrize(
    ("split", "lowest", "highest"), [("train", 0.80, 0.86), ("dev", 0.55, 0.65), ("test", 0.55, 0.65)]
)
def test_remarks_go_with_the_label_where_they_should(split: str, lowest: float, highest: float) -> None:
    rows = generate("amazon", split)
    found = remarks(rows)
    assert 0.75 < len(found) / len(rows.text) < 0.85
    assert lowest < np.mean([reviews.is_praise(word, domain) == bool(label) for domain, word, label in found]) < highest


def test_a_remark_says_one_thing_in_two_domains_and_the_opposite_in_the_others() -> None:
    assert len({frozenset(pair) for pair in reviews.CUES.values()}) == 6
    for domain in reviews.DOMAINS:
        assert sum(reviews.is_praise(word, domain) for word in reviews.CUES) == 3
        for other in set(reviews.DOMAINS) - {domain}:
            same = [reviews.is_praise(w, domain) == reviews.is_praise(w, other) for w in reviews.CUES]
            assert sum(same) == 2
    # over all domains together no remark says anything
    labels: dict[str, list[int]] = {}
    for _, word, label in remarks(generate("amazon", "train")):
        labels.setdefault(word, []).append(label)
    assert all(abs(np.mean(values) - 0.5) < 0.05 for values in labels.values())


def test_few_rows_of_a_domain_teach_little_and_the_other_domains_much() -> None:
    """What the task is for: 16 rows alone are near a guess; with the other domains beside them a classifier knows."""
    train, test = generate("amazon", "train"), generate("amazon", "test")
    words = sorted({word for text in train.text for word in WORD.findall(text)})
    vocabulary = {word: index for index, word in enumerate(words)}
    known, unseen = features(train, vocabulary), features(test, vocabulary)
    labels, answers = np.array(train.label), np.array(test.label)
    alone, beside = [], []
    for domain in reviews.DOMAINS:
        own, asked = np.array(train.domain) == domain, np.array(test.domain) == domain
        few = np.concatenate([np.flatnonzero(own & (labels == label))[:8] for label in (0, 1)])
        for scores, rows in ((alone, few), (beside, np.concatenate([np.flatnonzero(~own), few]))):
            model = LogisticRegression(max_iter=1000).fit(known[rows], labels[rows])
            scores.append(model.score(unseen[asked], answers[asked]))
    assert np.mean(alone) < 0.62
    assert np.mean(beside) > 0.70
    assert all(b > a + 0.05 for a, b in zip(alone, beside, strict=True))


def features(rows: Rows, vocabulary: dict[str, int]) -> csr_matrix:
    """Count words; for pairs also what both sides share and where they differ."""
    columns = []
    for side in (rows.text, rows.text_pair):
        counts = np.zeros((len(rows.text), len(vocabulary)), dtype=np.float32)
        for index, text in enumerate(side or ()):
            for word in WORD.findall(text):
                counts[index, vocabulary[word]] += 1
        columns.append(counts)
    if rows.text_pair is None:
        return csr_matrix(columns[0])
    shared, apart = np.minimum(*columns), np.abs(columns[0] - columns[1])
    totals = np.stack([shared.sum(axis=1), apart.sum(axis=1)], axis=1)
    return csr_matrix(np.concatenate([*columns, shared, apart, totals], axis=1))


@pytest.mark.parametrize("task", LABELLED)
def test_counting_words_is_not_enough(task: str) -> None:
    train, dev = generate(task, "train"), generate(task, "dev")
    words = {w for text in sentences(train) | sentences(dev) for w in WORD.findall(text)}
    vocabulary = {word: index for index, word in enumerate(sorted(words))}
    known, unseen = features(train, vocabulary), features(dev, vocabulary)
    if task == "stsb":
        guess = Ridge(alpha=3.0).fit(known, train.label).predict(unseen)
        score = float(np.corrcoef(guess, dev.label)[0, 1])
    else:
        model = LogisticRegression(C=0.5, max_iter=500).fit(known, train.label)
        guess = model.predict(unseen)
        score = float(np.mean(guess == np.asarray(dev.label)))
        if task == "cola":
            score = float(matthews_corrcoef(dev.label, guess))
    assert score <= BAG_OF_WORDS_BOUNDS[task], score
