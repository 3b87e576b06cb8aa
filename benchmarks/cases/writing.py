"""DFKD-T3's turns, whose generator is a T5, beside plain distillation of the same teacher and student."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, T5Config, T5ForConditionalGeneration

from benchmarks.cases.base import SCALE, TASK, Case, Side, in_loop
from benchmarks.cases.words import texts, word_pieces
from kdrun import losses, registry
from kdrun.config.architectures import Architecture
from kdrun.config.optim import OptimConfig
from kdrun.data.loader import BatchLoader
from kdrun.data.splits import Split
from kdrun.data.tokenization import TextTokenizer, tokenize
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import MethodContext
from kdrun.methods.phases import Phase, Turn
from kdrun.models import tokenizer_training
from kdrun.models.tokenizers import special_ids

ROLES = ("student", "teacher", "generator")
NAMES = ["a", ":", TASK.name, *TASK.labels]
"""Words that the generator's prompts are made of, and one for its probe."""


def models(entries: int) -> dict[str, nn.Module]:
    """Teacher and student, which are encoders, and the T5, over one vocabulary; frozen, with random weights."""
    torch.manual_seed(0)
    common: dict[str, Any] = {"vocab_size": entries, "pad_token_id": 0}
    writer: dict[str, Any] = {"eos_token_id": 3, "decoder_start_token_id": 0, **SCALE.writer, **common}
    large: dict[str, Any] = {**SCALE.large, **common}
    small: dict[str, Any] = {**SCALE.small, **common}
    made: dict[str, nn.Module] = {
        "teacher": BertForSequenceClassification(BertConfig(**large)),
        "student": BertForSequenceClassification(BertConfig(**small)),
        "generator": T5ForConditionalGeneration(T5Config(**writer)),
    }
    return {role: own.to(SCALE.device).requires_grad_(False).eval() for role, own in made.items()}


def ours(name: str, turn: str, mode: str = "infill") -> Side:
    """Steps of one turn as kdrun takes them; of `kd_ood`, steps of plain distillation on the same text."""
    words = word_pieces(NAMES)
    own = tokenizer_training.for_family(words, Architecture.t5, SCALE.max_length, "generator")
    roles, entry, device = models(len(own)), registry.get("method", name), torch.device(SCALE.device)
    assert entry.config is not None
    split = Split("train", pa.table({"text": pa.array(texts(SCALE.rows))}), "made-up texts", "bench")
    readers = {
        role: TextTokenizer(read, SCALE.max_length) for role, read in zip(ROLES, (words, words, own), strict=True)
    }
    tables = {role: tokenize(split, reader.tokenizer, SCALE.max_length) for role, reader in readers.items()}
    special = sorted({*special_ids(words), *special_ids(own)})
    shared = SharedVocabulary(None, torch.tensor(special, device=device))
    parts = MethodContext(roles, TASK, losses.kl_divergence, losses.hard_loss(False), 0, device, shared, readers)
    taught = np.random.default_rng(1).normal(size=(SCALE.rows, 2)).astype(np.float32)
    feed = BatchLoader({role: tables[role] for role in entry.target.requires.inputs}, None, device, taught)
    phase = Phase("train", (Turn(turn),), steps=1, batch_size=SCALE.batch)
    config = entry.config()
    if name == "dfkd_t3":
        config = replace(config, mode=type(config.mode)(mode), generator_optim=OptimConfig(lr=1e-5, warmup_ratio=0.0))
    return in_loop(partial(entry.target, config, parts), phase, feed, 4)


def beside_kd(turn: str, mode: str) -> Case:
    """A case of one turn beside plain distillation on the same text."""

    def make(side: str) -> Side:
        return ours("dfkd_t3", turn, mode) if side == "kdrun" else ours("kd_ood", "student")

    return Case(f"dfkd_t3 {turn} turn, {mode}", "kd_ood step", make)


CASES = [beside_kd("student", "infill"), beside_kd("generator", "infill"), beside_kd("student", "decode")]
