"""Out-of-domain rows in a task's format, built from the corpus and cached.

A single text is a sentence. Pairs are a mixture in which every class of a pair task can appear [ours]: a sentence
and a copy with replaced words (as `random_ed_k` of the model-extraction work of Krishna et al. 2020), two sentences
that follow each other, two random ones. Where the task's text column is called `question…`, the text is made a
question [ours]: a question word before the sentence, `?` at its end. Of the task only the names of its text columns
and the official count of its training rows are known here; its rows are out of reach.
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
from kdrun.data.corpus.ood_sampling import OODSpec
from kdrun.data.splits import Split, content_hash
from kdrun.errors import ConfigError
from kdrun.storage import cache

FORMAT = 1
"""Number of the rules here, in `ood_rows` and in `sentences`; part of the cache key."""

TABLE, FACTS = "rows.arrow", "facts.json"
KINDS = {"edit": "edit", "neighbour": "neighbor", "random": "random"}
"""Kind of a pair, as cached rows name it → key of the `ood` section with its weight."""
CALLED = {
    "sentence": "different sentences",
    "edit": "pairs with an edited copy",
    "neighbour": "pairs of neighbours",
    "random": "random pairs",
}


def build_ood_split(config: OODConfig, task: TaskConfig, corpus: Corpus, seed: int) -> Split:
    """The rows, from the cache where they are there; read memory-mapped.

    Args:
        config: the `ood` section.
        task: how many texts a row has, which are questions, and the official number of training rows.
        corpus: general text.
        seed: of the choice of sentences and words.

    Returns:
        A split called `ood` without a `label` column; for pairs a column `kind` says how each was made. Its notes
        say what the rows are, and that there are fewer than asked for where the corpus gives no more.

    Raises:
        ConfigError: the number of rows does not follow from the config, or all kinds of pairs have weight 0.
        DataError: the corpus gives no row of a kind that is asked for.
    """
    wanted = ood_spec(config, task)
    key = {"format": FORMAT, "corpus": corpus.fingerprint, "seed": seed, "plan": dataclasses.asdict(wanted)}
    (table, facts), _ = cache.fetch(
        "ood", key, lambda work: _write(work, ood_sampling.build_ood_rows(wanted, corpus, seed)), _read
    )
    notes = tuple(_notes(config, task, corpus, facts))
    return Split("ood", table, f"ood:{corpus.name}", facts["fingerprint"], notes, corpus.synthetic)


def example_rows(split: Split, n: int) -> list[dict[str, Any]]:
    """`n` rows to show, or all there are: `text` and, of pairs, `text_pair` and `kind` (where known), in turn."""
    if "kind" not in split.table.column_names:
        return split.table.slice(0, n).to_pylist()
    kinds = split.table.column("kind").to_numpy()
    turns = zip_longest(*(np.flatnonzero(kinds == kind)[:n].tolist() for kind in KINDS))
    return [split.row(i) for i in [i for i in chain(*turns) if i is not None][:n]]


def ood_spec(config: OODConfig, task: TaskConfig) -> OODSpec:
    """What is to be made; settings that play no part for this task are left out of it.

    Raises:
        ConfigError: see `build`.
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


def _write(work: Path, found: ood_sampling.OODRows) -> None:
    with pa.ipc.new_file(str(work / TABLE), found.table.schema) as writer:
        writer.write_table(found.table)
    facts = {name: getattr(found, name) for name in ("counts", "short", "sentences")}
    (work / FACTS).write_text(json.dumps(facts | {"fingerprint": content_hash(found.table)}))


def _read(folder: Path) -> tuple[pa.Table, dict[str, Any]]:
    table = pa.ipc.open_file(pa.memory_map(str(folder / TABLE))).read_all()
    return table, json.loads((folder / FACTS).read_text())


def _notes(config: OODConfig, task: TaskConfig, corpus: Corpus, facts: dict[str, Any]) -> Iterator[str]:
    rows, wanted = sum(facts["counts"].values()), ood_spec(config, task).rows
    yield (
        f"out-of-domain text: {_called(facts['counts'])}, made of {facts['sentences']} sentences of the corpus "
        f"{corpus.name}; no text and no label of the task"
    )
    if rows < wanted:
        source = "ood.rows" if config.rows else f"ood.ratio={config.ratio:g} × {task.rows['train']} training rows"
        yield (
            f"{wanted} out-of-domain rows were asked for ({source}), {rows} are there: the corpus {corpus.name} gives "
            f"only {_called(facts['short'])}; a larger one is corpus=folder corpus.dir=PATH"
        )


def _called(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {CALLED[kind]}" for kind, count in counts.items())
