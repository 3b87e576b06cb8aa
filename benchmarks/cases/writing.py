"""DFKD-T3's turns with a T5 generator, compared with plain distillation."""

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
from kdrun.config.optim import OptimizerConfig
from kdrun.data.loader import BatchLoader
from kdrun.data.splits import Split
from kdrun.data.tokenization import TextTokenizer, tokenize
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import MethodContext
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared.text_reuse import WINDOW_SOURCES
from kdrun.models import tokenizer_training
from kdrun.models.tokenizers import special_ids

ROLES = ("student", "teacher", "generator")
NAMES = ["a", ":", TASK.name, *TASK.labels]
"""Words of the generator's prompts, and one for its probe."""


def models(entries: int) -> dict[str, nn.Module]:
    """Build teacher and student encoders and the T5 over one vocabulary; frozen, with random weights."""
    torch.manual_seed(0)
    common: dict[str, Any] = {"vocab_size": entries, "pad_token_id": 0}
    generator: dict[str, Any] = {"eos_token_id": 3, "decoder_start_token_id": 0, **SCALE.writer, **common}
    large: dict[str, Any] = {**SCALE.large, **common}
    small: dict[str, Any] = {**SCALE.small, **common}
    networks: dict[str, nn.Module] = {
        "teacher": BertForSequenceClassification(BertConfig(**large)),
        "student": BertForSequenceClassification(BertConfig(**small)),
        "generator": T5ForConditionalGeneration(T5Config(**generator)),
    }
    return {role: network.to(SCALE.device).requires_grad_(False).eval() for role, network in networks.items()}


def ours(name: str, turn: str, mode: str = "infill", reuse: int = 1) -> Side:
    """Build steps of one turn in kdrun; for `kd_ood`, steps of plain distillation on the same text.

    With reuse a round is a whole window, in which every text is used equally often.
    """
    encoder_tokenizer = word_pieces(NAMES)
    generator_tokenizer = tokenizer_training.for_family(
        encoder_tokenizer, Architecture.t5, SCALE.max_length, "generator"
    )
    roles, entry, device = models(len(generator_tokenizer)), registry.get("method", name), torch.device(SCALE.device)
    assert entry.config is not None
    split = Split("train", pa.table({"text": pa.array(texts(SCALE.rows))}), "made-up texts", "bench")
    tokenizers = {
        role: TextTokenizer(tokenizer, SCALE.max_length)
        for role, tokenizer in zip(ROLES, (encoder_tokenizer, encoder_tokenizer, generator_tokenizer), strict=True)
    }
    tables = {
        role: tokenize(split, text_tokenizer.tokenizer, SCALE.max_length) for role, text_tokenizer in tokenizers.items()
    }
    special = sorted({*special_ids(encoder_tokenizer), *special_ids(generator_tokenizer)})
    vocabulary = SharedVocabulary(None, torch.tensor(special, device=device))
    context = MethodContext(
        roles, TASK, losses.kl_divergence, losses.hard_loss(False), 0, device, vocabulary, tokenizers
    )
    teacher_logits = np.random.default_rng(1).normal(size=(SCALE.rows, 2)).astype(np.float32)
    loader = BatchLoader({role: tables[role] for role in entry.target.requires.inputs}, None, device, teacher_logits)
    steps = 4 if reuse == 1 else reuse * WINDOW_SOURCES
    phase = Phase("train", (Turn(turn, steps),), steps=1, batch_size=SCALE.batch)
    config = entry.config()
    if name == "dfkd_t3":
        config = replace(
            config,
            mode=type(config.mode)(mode),
            reuse=reuse,
            generator_optim=OptimizerConfig(lr=1e-5, warmup_ratio=0.0),
        )
    return in_loop(partial(entry.target, config, context), phase, loader, steps)


def against_kd(turn: str, mode: str, reuse: int = 1) -> Case:
    """Compare one turn with plain distillation on the same text."""

    def make(side: str) -> Side:
        return ours("dfkd_t3", turn, mode, reuse) if side == "kdrun" else ours("kd_ood", "student")

    return Case(f"dfkd_t3 {turn} turn, {mode}{f', reuse={reuse}' if reuse > 1 else ''}", "kd_ood step", make)


CASES = [
    against_kd("student", "infill"),
    against_kd("student", "infill", reuse=4),
    against_kd("generator", "infill"),
    against_kd("student", "decode"),
    against_kd("student", "decode", reuse=4),
]
