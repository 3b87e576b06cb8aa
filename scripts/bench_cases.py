"""What scripts/bench.py measures: each case takes steps as kdrun does and as its reference does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from textbook import Textbook, draw_noise, padded

from kdrun import losses, registry, relax
from kdrun.config import OptimConfig
from kdrun.data.config import TaskConfig
from kdrun.data.feed import Feed
from kdrun.data.tokens import TokenTable
from kdrun.loop import Loop, Settings
from kdrun.method import Parts, Phase, Turn, Vocabulary
from kdrun.methods.mate_kd import MateKD, MateKDConfig
from kdrun.models import attention
from kdrun.teachers.domain_branch import DomainBranch

VOCAB, BATCH, MAX_LENGTH, ROWS, MASK_RATE = 30522, 32, 128, 4096, 0.3
PAD_ID, MASK_ID, SPECIAL = 0, 103, torch.tensor([0, 100, 101, 102, 103])
SST2_LENGTHS = [3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 11, 13, 14, 16, 18, 20, 23, 27, 33, 66]
"""Quantiles 0, 0.05 … 1 of the WordPiece tokens of SST-2's training rows."""
FOUR_LAYERS = {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024}
TWO_LAYERS = {"num_hidden_layers": 2, "hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 512}
TASK = TaskConfig(
    name="sst2", labels=["negative", "positive"], metrics=["accuracy"], headline="accuracy", domains=["x", "y"]
)


@dataclass(frozen=True)
class Side:
    """One side of a case: `run(n)` takes n steps, `steps` of them a round."""

    run: Callable[[int], None]
    steps: int


@dataclass(frozen=True)
class Case:
    """Something that is measured: kdrun beside a reference."""

    name: str
    reference: str
    make: Callable[[str], Side]


class Silent:
    """An observer that looks away."""

    def step(self, record: dict[str, Any], total: int) -> None:
        """Not looked at."""

    def evaluated(self, record: dict[str, Any], is_best: bool) -> None:
        """Not looked at."""

    def unscored(self, record: dict[str, Any]) -> None:
        """Not looked at."""

    def rested(self, rest: dict[str, Any]) -> None:
        """Not looked at."""

    def inspected(self, found: Any) -> None:
        """Not looked at."""


def rows() -> tuple[TokenTable, np.ndarray]:
    """Random tokens in rows as long as SST-2's, and random labels."""
    random = np.random.default_rng(0)
    lengths = np.interp(random.random(ROWS), np.linspace(0, 1, 21), SST2_LENGTHS).astype(int)
    texts = [[101, *random.integers(1000, VOCAB, n - 2).tolist(), 102] for n in lengths]
    types = [[0] * len(text) for text in texts]
    lists = {"input_ids": pa.array(texts, pa.list_(pa.int32())), "token_type_ids": pa.array(types, pa.list_(pa.int8()))}
    return TokenTable(pa.table(lists), PAD_ID, 0, "bench"), random.integers(0, 2, ROWS).astype(np.int64)


def four_layer_roles() -> dict[str, nn.Module]:
    """Generator, teacher, student of 4 layers × 256 with random weights."""
    torch.manual_seed(0)
    config = BertConfig(vocab_size=VOCAB, **FOUR_LAYERS)  # pyright: ignore[reportArgumentType]
    judges = {role: BertForSequenceClassification(config) for role in ("teacher", "student")}
    return {"generator": BertForMaskedLM(config), **judges}


def mate_kd_ours(turn: str) -> Side:
    """The turn as kdrun takes it: its loop, buckets, cached teacher logits."""
    (table, labels), roles = rows(), four_layer_roles()
    for model in roles.values():
        model.requires_grad_(False).eval()
    parts = Parts(
        roles, TASK, losses.kl_divergence, losses.hard_loss(False), 0, torch.device("cpu"), Vocabulary(MASK_ID, SPECIAL)
    )
    taught = np.random.default_rng(1).normal(size=(ROWS, 2)).astype(np.float32)
    feed = Feed(dict.fromkeys(roles, table), labels, torch.device("cpu"), taught)
    accelerator, optim = Accelerator(cpu=True), OptimConfig(lr=1e-5, warmup_ratio=0.0)
    seed = iter(range(10**6))

    def run(steps: int) -> None:
        method = MateKD(MateKDConfig(mask_rate=MASK_RATE, generator_optim=optim), parts)
        phase = Phase("train", (Turn(turn),), steps=steps, batch_size=BATCH)
        settings = Settings(optim, next(seed), log_every=10**6)
        Loop(method, [phase], feed, settings, accelerator, lambda: (None, {}), Silent()).run()

    return Side(run, steps=24 if turn == "student" else 8)


def mate_kd_textbook(turn: str) -> Side:
    """The turn as on paper: padded to 128, sampled everywhere, soft one-hots, nothing kept."""
    (table, labels), roles = rows(), four_layer_roles()
    roles["teacher"].requires_grad_(False).eval()
    paper = Textbook(roles, MASK_ID, SPECIAL)
    optimizers = {role: torch.optim.AdamW(roles[role].parameters(), lr=1e-5) for role in ("student", "generator")}
    batches = iter(np.random.default_rng(2).integers(0, ROWS, (10**5, BATCH)))

    def run(steps: int) -> None:
        for _ in range(steps):
            chosen = next(batches)
            inputs = padded(table.batch(chosen), MAX_LENGTH, PAD_ID)
            mask = relax.maskable(inputs, SPECIAL) & (torch.rand(BATCH, MAX_LENGTH) < MASK_RATE)
            noise = draw_noise(BATCH, MAX_LENGTH, VOCAB)
            if turn == "generator":
                loss = paper.generator_loss(inputs, mask, noise) / BATCH
            else:
                loss = paper.student_loss(inputs, torch.from_numpy(labels[chosen]), mask, noise) / BATCH
            for optimizer in optimizers.values():
                optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(roles[turn].parameters(), 5.0)
            optimizers[turn].step()

    return Side(run, steps=1)


def mate_kd(turn: str) -> Case:
    """A case of one of MATE-KD's turns."""

    def make(side: str) -> Side:
        return mate_kd_ours(turn) if side == "kdrun" else mate_kd_textbook(turn)

    return Case(f"mate_kd {turn} turn", "textbook step", make)


def phase_of(name: str, phase: str) -> Side:
    """Steps of one phase of a method as kdrun takes them: a teacher of 4 layers × 256, a student of 2 × 128.

    The method has its default settings; the teacher's logits are there already, as from the cache.
    """
    entry, (table, labels) = registry.get("method", name), rows()
    assert entry.config is not None
    settings, needs = entry.config(), entry.target.needs
    implementation = attention.NAME if needs.attentions else "sdpa"
    roles: dict[str, nn.Module] = {}
    for role, sizes in (("teacher", FOUR_LAYERS), ("student", TWO_LAYERS)):
        torch.manual_seed(0)
        config = BertConfig(vocab_size=VOCAB, **sizes)  # pyright: ignore[reportArgumentType]
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation=implementation)
        roles[role] = model.requires_grad_(False).eval()
    extras: dict[str, np.ndarray] = {}
    if needs.meta_teacher:
        domains = np.arange(ROWS) % len(TASK.domains)
        extras = {"domain": domains, "transferability": np.ones(ROWS, np.float32)}
        roles["domain_branch"] = DomainBranch(FOUR_LAYERS["hidden_size"], len(TASK.domains)).requires_grad_(False)
    parts = Parts(roles, TASK, losses.kl_divergence, losses.hard_loss(False), 0, torch.device("cpu"))
    taught = np.random.default_rng(1).normal(size=(ROWS, 2)).astype(np.float32)
    feed = Feed(
        dict.fromkeys(needs.inputs, table), labels if needs.labels else None, torch.device("cpu"), taught, extras=extras
    )
    accelerator, seed = Accelerator(cpu=True), iter(range(10**6))

    def run(steps: int) -> None:
        method, optim = entry.target(settings, parts), OptimConfig(lr=1e-5, steps=100, batch_size=BATCH)
        chosen = next(one for one in method.phases(optim) if one.name == phase)
        only, how = [replace(chosen, steps=steps, scored=True)], Settings(optim, next(seed), log_every=10**6)
        Loop(method, only, feed, how, accelerator, lambda: (None, {}), Silent()).run()

    return Side(run, steps=24)


def beside_kd(name: str, phase: str) -> Case:
    """A case of one phase of a method beside plain distillation of the same models."""

    def make(side: str) -> Side:
        return phase_of(name, phase) if side == "kdrun" else phase_of("kd", "train")

    return Case(f"{name} {phase} phase", "kd step", make)


CASES = [
    mate_kd("student"),
    mate_kd("generator"),
    beside_kd("tinybert_kd", "intermediate"),
    beside_kd("tinybert_kd", "logits"),
    beside_kd("meta_kd", "intermediate"),
    beside_kd("meta_kd", "logits"),
]
