"""Out-of-domain rows in a task's format, built from the corpus and cached.

A single text is one sentence. Pairs are a mixture in which every class of a pair task can appear [ours]: a sentence
and a copy with replaced words (as `random_ed_k` of the model-extraction work of Krishna et al. 2020), two consecutive
sentences, two random sentences. A text column named `question…` gets questions [ours]: a question word before the
sentence and `?` at its end. This module uses only the task's text column names and its official number of training
rows, never its rows.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kdrun.config.data import OODConfig
from kdrun.config.task import TaskConfig
from kdrun.data.corpus import ood_sampling
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.corpus.sentence_samples import OODSpec
from kdrun.data.splits import Split, content_hash
from kdrun.errors import ConfigError
from kdrun.storage import cache
from kdrun.storage.json_reader import read_object

FORMAT = 2
"""Version of the rules in this module, `ood_sampling`, `sentence_samples` and `sentences`; part of the cache key."""

TABLE, FACTS = "rows.arrow", "facts.json"
KINDS = {"edit": "edit", "neighbour": "neighbor", "random": "random"}
"""The key of each sort of pair in the `ood` section, by its name in cached rows."""
DESCRIPTIONS = {
    "sentence": "different sentences",
    "edit": "pairs with an edited copy",
    "neighbour": "pairs of neighbors",
    "random": "random pairs",
}


def build_ood_split(config: OODConfig, task: TaskConfig, corpus: Corpus, seed: int) -> Split:
    """Out-of-domain rows as a split, memory-mapped from the cache if available.

    Args:
        config: the `ood` section.
        task: gives the number of texts per row, which of them are questions, and the official number of training rows.
        corpus: general text.
        seed: of the choice of sentences and words.

    Returns:
        A split named `ood` without a `label` column; for pairs the column `kind` tells how each was built. Its notes
        describe the rows, and report a corpus too small for the requested number.

    Raises:
        ConfigError: the config does not determine the number of rows, or all sorts of pairs have weight 0.
        DataError: the corpus allows no row of a requested sort.
    """
    spec = ood_spec(config, task)
    key = {"format": FORMAT, "corpus": corpus.fingerprint, "seed": seed, "plan": dataclasses.asdict(spec)}
    (table, facts), _ = cache.fetch(
        "ood", key, lambda work: _write(work, ood_sampling.build_ood_rows(spec, corpus, seed)), _read
    )
    notes = tuple(_notes(config, task, corpus, facts))
    return Split("ood", table, f"ood:{corpus.name}", facts["fingerprint"], notes, corpus.synthetic)


def example_rows(split: Split, n: int) -> list[dict[str, Any]]:
    """At most `n` rows for display: `text`, and for pairs `text_pair` and `kind` (if recorded), sorts in turn."""
    if "kind" not in split.table.column_names:
        return split.table.slice(0, n).to_pylist()
    kinds = split.table.column("kind").to_numpy()
    turns = zip_longest(*(np.flatnonzero(kinds == kind)[:n].tolist() for kind in KINDS))
    return [split.row(i) for i in [i for i in chain(*turns) if i is not None][:n]]


def ood_spec(config: OODConfig, task: TaskConfig) -> OODSpec:
    """The rows to build; settings without influence on this task are left out.

    Raises:
        ConfigError: see `build_ood_split`.
    """
    problems, weights = [], {}
    if config.rows is None and "train" not in task.rows:
        problems.append(f"ood.ratio needs task.rows.train, which {task.name} does not have; set ood.rows=…")
    if len(task.text) == 2:
        weights = {kind: getattr(config, key) for kind, key in KINDS.items() if getattr(config, key)}
        if not weights:
            names = ", ".join(f"ood.{key}" for key in KINDS.values())
            problems.append(f"{names} are all 0, and {task.name} needs pairs; give one of them a weight above 0")
    if problems:
        raise ConfigError(problems)
    edits = {"edit_words": config.edit_words, "frequent_words": config.frequent_words} if "edit" in weights else {}
    return OODSpec(
        rows=config.rows or max(1, round(config.ratio * task.rows["train"])),
        weights=weights,
        questions=tuple(config.questions and column.startswith("question") for column in task.text),
        min_words=config.min_words,
        keep_unknown=config.keep_unknown,
        **edits,
    )


def _write(work: Path, rows: ood_sampling.OODRows) -> None:
    with pa.ipc.new_file(str(work / TABLE), rows.table.schema) as writer:
        writer.write_table(rows.table)
    facts = {"counts": rows.counts, "short": rows.shortfall, "sentences": rows.num_sentences}
    (work / FACTS).write_text(json.dumps(facts | {"fingerprint": content_hash(rows.table)}))


def _read(folder: Path) -> tuple[pa.Table, dict[str, Any]]:
    table = pa.ipc.open_file(pa.memory_map(str(folder / TABLE))).read_all()
    return table, read_object(
        (folder / FACTS).read_bytes(), {"counts": {"*": int}, "fingerprint": str}, str(folder / FACTS)
    )


def _notes(config: OODConfig, task: TaskConfig, corpus: Corpus, facts: dict[str, Any]) -> Iterator[str]:
    rows, requested = sum(facts["counts"].values()), ood_spec(config, task).rows
    yield (
        f"out-of-domain text: {_describe_counts(facts['counts'])}, built from {facts['sentences']} sentences of the "
        f"corpus {corpus.name}; no text and no label of the task"
    )
    if rows < requested:
        source = "ood.rows" if config.rows else f"ood.ratio={config.ratio:g} × {task.rows['train']} training rows"
        yield (
            f"{requested} out-of-domain rows were requested ({source}), {rows} are available: the corpus {corpus.name} "
            f"has only {_describe_counts(facts['short'])}; choose a larger one with corpus=folder corpus.dir=PATH"
        )


def _describe_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {DESCRIPTIONS[kind]}" for kind, count in counts.items())
