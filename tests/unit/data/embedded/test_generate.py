"""Splits of the synthetic tasks: sizes, balance, separation, noise and seeds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from kdrun.data.embedded import TASKS, generate
from kdrun.data.embedded.generate import CLASSES, LABEL_NOISE, SIZES, TEXT_MAKERS, clean_drafts
from kdrun.errors import DataError
from tests.helpers.embedded_rows import LABELED_TASKS, row_keys, sentences_of, splits_of

SINGLE = ("cola", "sst2", "amazon", "conll2003", "passive")
PROGRAM = """
import hashlib, json
from kdrun.data.embedded import TASKS, corpus, generate
text = [repr(generate(task, "dev", 3)) for task in TASKS] + [repr(corpus(3)[:50])]
print(json.dumps([hashlib.sha256(item.encode()).hexdigest() for item in text]))
"""


def test_all_tasks_and_their_splits() -> None:
    expected = {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli", "amazon", "conll2003", "passive"}
    assert set(TASKS) == expected
    assert len(TASKS) == 12
    with_more = [task for task in TASKS if splits_of(task) != ("train", "dev")]
    assert with_more == ["mnli", "amazon", "conll2003", "passive"]
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
        assert all(re.fullmatch(r"[a-z ,]+[.?]", text) for text in sentences_of(rows))


@pytest.mark.parametrize("task", LABELED_TASKS)
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
    # Splits are separated by text, so another seed's dev rows are not in train either.
    train = row_keys(generate(task, "train"))
    assert len(set(train)) == len(train)
    for split in splits_of(task)[1:]:
        for seed in (0, 1):
            dev = row_keys(generate(task, split, seed))
            assert len(set(dev)) == len(dev)
            assert not set(dev) & set(train)


def test_dev_and_test_share_no_row_for_any_seeds() -> None:
    rows = {
        split: {key for seed in (0, 1) for key in row_keys(generate("amazon", split, seed))}
        for split in ("dev", "test")
    }
    assert not rows["dev"] & rows["test"]


@pytest.mark.parametrize("task", LABELED_TASKS)
def test_only_train_labels_are_noisy(task: str) -> None:
    for split in splits_of(task):
        rows = generate(task, split)
        clean = clean_drafts(task, split, 0, SIZES[task][split])
        assert [draft.text for draft in clean] == rows.text
        wrong = sum(draft.label != label for draft, label in zip(clean, rows.label, strict=True)) / len(clean)
        share = LABEL_NOISE[task] if split == "train" else 0.0
        assert wrong == pytest.approx(share, abs=share / 3)


def test_rows_and_corpus_are_the_same_in_every_process() -> None:
    outputs = []
    for hash_seed in ("1", "2"):
        environment = dict(os.environ, PYTHONHASHSEED=hash_seed)
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        outputs.append(json.loads(process.stdout))
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("task", TASKS)
def test_another_seed_gives_other_rows(task: str) -> None:
    assert generate(task, "dev", 0).text == generate(task, "dev", 0).text
    assert generate(task, "dev", 0).text != generate(task, "dev", 1).text


def test_unknown_names_are_reported() -> None:
    with pytest.raises(DataError, match=r"task=ax.*data=folder"):
        generate("ax", "dev")
    with pytest.raises(DataError, match="unknown split 'dev_mismatched' of sst2"):
        generate("sst2", "dev_mismatched")
