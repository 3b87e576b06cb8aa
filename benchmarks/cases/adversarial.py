"""MATE-KD's and ZSKD's turns beside the step on paper, and their arithmetic in 16 bits beside 32."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import nn

from benchmarks.cases.base import SCALE, TASK, Case, Side, accelerator, in_loop, model, on_device, random_batches, rows
from benchmarks.reference_steps import Textbook, draw_noise, padded
from kdrun import losses, registry
from kdrun.config.optim import OptimConfig
from kdrun.data.loader import BatchLoader
from kdrun.generation import masking
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import MethodContext
from kdrun.methods.phases import Phase, Turn


def roles() -> dict[str, nn.Module]:
    """Generator, teacher, student, frozen."""
    shape = SCALE.student or SCALE.large
    return {"generator": model(shape, "generator"), "teacher": model(SCALE.large), "student": model(shape)}


def ours(name: str, turn: str) -> Side:
    """The turn as kdrun takes it: its loop, buckets, cached teacher logits."""
    (table, labels), made, entry = rows(), roles(), registry.get("method", name)
    assert entry.config is not None
    device, needs = torch.device(SCALE.device), entry.target.requires
    words = SharedVocabulary(SCALE.mask_id, SCALE.special)
    parts = MethodContext(made, TASK, losses.kl_divergence, losses.hard_loss(False), 0, device, words)
    taught = np.random.default_rng(1).normal(size=(SCALE.rows, 2)).astype(np.float32)
    feed = BatchLoader(dict.fromkeys(made, table), labels if needs.labels else None, device, taught)
    optim = OptimConfig(lr=1e-5, warmup_ratio=0.0)
    config = entry.config(mask_rate=SCALE.mask_rate, generator_optim=optim)
    phase = Phase("train", (Turn(turn),), steps=1, batch_size=SCALE.batch)
    return in_loop(partial(entry.target, config, parts), phase, feed, 24 if turn == "student" else 8)


def on_paper(name: str, turn: str) -> Side:
    """The turn as on paper: padded to the maximum, sampled everywhere, soft one-hots, nothing kept."""
    (table, labels), made = rows(), roles()
    for role in ("student", "generator"):
        made[role].requires_grad_(True).train()
    paper = Textbook(made, SCALE.mask_id, SCALE.special)
    optimizers = {role: torch.optim.AdamW(made[role].parameters(), lr=1e-5) for role in ("student", "generator")}
    batches, own = random_batches(2), accelerator()

    def loss(inputs: Mapping[str, torch.Tensor], chosen: np.ndarray) -> torch.Tensor:
        mask = masking.maskable(inputs, SCALE.special)
        mask &= torch.rand(mask.shape, device=SCALE.device) < SCALE.mask_rate
        noise = draw_noise(SCALE.batch, SCALE.max_length, SCALE.vocab, device=SCALE.device)
        if turn == "generator":
            return paper.generator_loss(inputs, mask, noise, mlm_weight=float(name == "zskd"))
        gold = torch.from_numpy(labels[chosen]).to(SCALE.device) if name == "mate_kd" else None
        return paper.student_loss(inputs, gold, mask, noise)

    def run(steps: int) -> None:
        for _ in range(steps):
            chosen = next(batches)
            inputs = on_device(padded(table.batch(chosen), SCALE.max_length, SCALE.pad_id))
            with own.autocast():
                total = loss(inputs, chosen) / SCALE.batch
            for optimizer in optimizers.values():
                optimizer.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(made[turn].parameters(), 5.0)
            optimizers[turn].step()

    return Side(run, steps=1)


def beside_paper(name: str, turn: str, target: str) -> Case:
    """A case of one turn beside the step on paper."""

    def make(side: str) -> Side:
        return ours(name, turn) if side == "kdrun" else on_paper(name, turn)

    return Case(f"{name} {turn} turn", "textbook step", make, target)


def beside_fp32(name: str, turn: str) -> Case:
    """A case of one turn in bf16 beside the same in fp32."""

    def make(side: str) -> Side:
        before, SCALE.precision = SCALE.precision, "bf16" if side == "kdrun" else "fp32"
        try:
            return ours(name, turn)
        finally:
            SCALE.precision = before

    return Case(f"{name} {turn} turn, bf16", "the same in fp32", make, "≥ 1.3x")


CASES = [
    beside_paper("mate_kd", "student", "≥ 40x"),
    beside_paper("mate_kd", "generator", "≥ 10x"),
    beside_paper("zskd", "student", "≥ 40x"),
    beside_paper("zskd", "generator", "≥ 10x"),
    beside_fp32("mate_kd", "student"),
    beside_fp32("mate_kd", "generator"),
]
