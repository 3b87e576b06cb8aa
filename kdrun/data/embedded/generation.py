"""Turns the grammars into splits of rows: balanced, without duplicates, noisy in train only."""

from __future__ import annotations

import hashlib
import random
import zlib
from dataclasses import dataclass
from functools import partial

from kdrun.data.embedded.inference import mnli, rte
from kdrun.data.embedded.lexicon import Draft, Maker
from kdrun.data.embedded.paraphrase import mrpc, qqp, stsb
from kdrun.data.embedded.reference import qnli, wnli
from kdrun.data.embedded.single import cola, sst2

MAKERS: dict[str, Maker] = {
    "cola": cola,
    "sst2": sst2,
    "mrpc": mrpc,
    "stsb": stsb,
    "qqp": qqp,
    "mnli": mnli,
    "qnli": qnli,
    "rte": rte,
    "wnli": wnli,
}
TASKS: tuple[str, ...] = tuple(MAKERS)
CLASSES: dict[str, int] = dict.fromkeys(TASKS, 2) | {"mnli": 3, "stsb": 0}
SIZES: dict[str, int] = {"train": 5000, "dev": 500, "dev_mismatched": 500}
NOISE = 0.03
# One row in eight may only ever be a dev row, whatever the seed: no dev row can be in train.
DEV_BUCKETS = 8
ATTEMPTS_PER_ROW = 200


@dataclass(frozen=True)
class Rows:
    """Equally long columns of one split.

    Attributes:
        text: First (or only) sentences.
        text_pair: Second sentences of a pair task, else None.
        label: Class indices, or scores from 0 to 5 for stsb.
    """

    text: list[str]
    text_pair: list[str] | None
    label: list[int] | list[float]


def seeded(*parts: object) -> random.Random:
    """Make a random source that is the same in every process.

    Args:
        *parts: What tells this source from others.

    Returns:
        A source seeded from a digest; `hash` would differ from process to process.
    """
    text = "/".join(str(part) for part in parts)
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))


def is_dev(draft: Draft) -> bool:
    """Tell whether a row belongs to the dev splits by its text.

    Args:
        draft: A row.

    Returns:
        True for the share of texts that only dev splits may hold.
    """
    key = f"{draft.text}|{draft.text_pair}"
    return zlib.crc32(key.encode()) % DEV_BUCKETS == 0


def clean_drafts(task: str, split: str, seed: int, count: int) -> list[Draft]:
    """Make the rows of a split before any noise.

    Args:
        task: Task name.
        split: "train", "dev", or "dev_mismatched".
        seed: Seed of the data.
        count: Number of rows.

    Returns:
        Distinct rows, as many as asked for, with balanced classes.

    Raises:
        RuntimeError: If the grammar runs out of new rows.
    """
    rng = seeded("embedded", seed, task, split)
    make = partial(mnli, genre=1) if split == "dev_mismatched" else MAKERS[task]
    classes = CLASSES[task]
    wanted = [index % classes for index in range(count)] if classes else []
    rng.shuffle(wanted)
    drafts: list[Draft] = []
    seen: set[tuple[str, str | None]] = set()
    for _ in range(count * ATTEMPTS_PER_ROW):
        if len(drafts) == count:
            return drafts
        draft = make(rng)
        key = (draft.text, draft.text_pair)
        fits = not classes or draft.label == wanted[len(drafts)]
        if fits and key not in seen and is_dev(draft) == (split != "train"):
            seen.add(key)
            drafts.append(draft)
    raise RuntimeError(f"the {task} grammar cannot make {count} distinct {split} rows")


def noisy_label(task: str, label: int | float, rng: random.Random) -> int | float:
    """Replace a label by a wrong class, or a score by a random one.

    Args:
        task: Task name.
        label: The right label.
        rng: Source of randomness.

    Returns:
        Another class index, or a score with one decimal.
    """
    if not CLASSES[task]:
        return round(rng.uniform(0.0, 5.0), 1)
    return (int(label) + rng.randrange(1, CLASSES[task])) % CLASSES[task]


def generate(task: str, split: str, seed: int = 0) -> Rows:
    """Make one split of one task.

    Args:
        task: One of `TASKS`.
        split: "train" or "dev", and "dev_mismatched" for mnli.
        seed: Seed of the data.

    Returns:
        The rows; three in a hundred train labels are wrong, dev labels are all right.

    Raises:
        ValueError: If the task or the split does not exist.
    """
    if task not in MAKERS:
        raise ValueError(f"unknown task {task!r}: expected one of {', '.join(TASKS)}")
    splits = ("train", "dev", "dev_mismatched") if task == "mnli" else ("train", "dev")
    if split not in splits:
        raise ValueError(f"unknown split {split!r} of {task}: expected one of {', '.join(splits)}")
    drafts = clean_drafts(task, split, seed, SIZES[split])
    labels = [draft.label for draft in drafts]
    if split == "train":
        rng = seeded("noise", seed, task)
        for index in rng.sample(range(len(labels)), round(NOISE * len(labels))):
            labels[index] = noisy_label(task, labels[index], rng)
    pairs = [draft.text_pair for draft in drafts if draft.text_pair is not None]
    text = [draft.text for draft in drafts]
    if CLASSES[task]:
        return Rows(text, pairs or None, [int(label) for label in labels])
    return Rows(text, pairs or None, [float(label) for label in labels])
