"""Turns of MATE-KD and ZSKD compared with the textbook step, and bf16 with fp32."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import nn

from benchmarks.cases.base import SCALE, TASK, Case, Side, accelerator, in_loop, model, on_device, random_batches, rows
from benchmarks.reference_steps import Textbook, draw_noise, padded
from kdrun import losses, registry
from kdrun.config.optim import OptimizerConfig
from kdrun.data.loader import BatchLoader
from kdrun.generation import masking
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import MethodContext
from kdrun.methods.phases import Phase, Turn


def roles() -> dict[str, nn.Module]:
    """Build generator, teacher and student, frozen."""
    shape = SCALE.student or SCALE.large
    return {"generator": model(shape, "generator"), "teacher": model(SCALE.large), "student": model(shape)}


def ours(name: str, turn: str) -> Side:
    """Build the turn in kdrun: its loop, buckets, cached teacher logits."""
    (table, labels), models, entry = rows(), roles(), registry.get("method", name)
    assert entry.config is not None
    device, requirements = torch.device(SCALE.device), entry.target.requires
    vocabulary = SharedVocabulary(SCALE.mask_id, SCALE.special)
    context = MethodContext(models, TASK, losses.kl_divergence, losses.hard_loss(False), 0, device, vocabulary)
    teacher_logits = np.random.default_rng(1).normal(size=(SCALE.rows, 2)).astype(np.float32)
    loader = BatchLoader(dict.fromkeys(models, table), labels if requirements.labels else None, device, teacher_logits)
    optim = OptimizerConfig(lr=1e-5, warmup_ratio=0.0)
    config = entry.config(mask_rate=SCALE.mask_rate, generator_optim=optim)
    phase = Phase("train", (Turn(turn),), steps=1, batch_size=SCALE.batch)
    return in_loop(partial(entry.target, config, context), phase, loader, 24 if turn == "student" else 8)


def textbook(name: str, turn: str) -> Side:
    """Build the textbook turn: padded to the maximum, sampled everywhere, soft one-hots, nothing cached."""
    (table, labels), models = rows(), roles()
    for role in ("student", "generator"):
        models[role].requires_grad_(True).train()
    losses_on_paper = Textbook(models, SCALE.mask_id, SCALE.special)
    optimizers = {role: torch.optim.AdamW(models[role].parameters(), lr=1e-5) for role in ("student", "generator")}
    batches, arithmetic = random_batches(2), accelerator()

    def loss(inputs: Mapping[str, torch.Tensor], chosen: np.ndarray) -> torch.Tensor:
        mask = masking.maskable(inputs, SCALE.special)
        mask &= torch.rand(mask.shape, device=SCALE.device) < SCALE.mask_rate
        noise = draw_noise(SCALE.batch, SCALE.max_length, SCALE.vocab, device=SCALE.device)
        if turn == "generator":
            return losses_on_paper.generator_loss(inputs, mask, noise, mlm_weight=float(name == "zskd"))
        gold = torch.from_numpy(labels[chosen]).to(SCALE.device) if name == "mate_kd" else None
        return losses_on_paper.student_loss(inputs, gold, mask, noise)

    def run(steps: int) -> None:
        for _ in range(steps):
            chosen = next(batches)
            inputs = on_device(padded(table.batch(chosen), SCALE.max_length, SCALE.pad_id))
            with arithmetic.autocast():
                total = loss(inputs, chosen) / SCALE.batch
            for optimizer in optimizers.values():
                optimizer.zero_grad()
            total.backward()
            nn.utils.clip_grad_norm_(models[turn].parameters(), 5.0)
            optimizers[turn].step()

    return Side(run, steps=1)


def against_textbook(name: str, turn: str, target: str) -> Case:
    """Compare one turn with the textbook step."""

    def make(side: str) -> Side:
        return ours(name, turn) if side == "kdrun" else textbook(name, turn)

    return Case(f"{name} {turn} turn", "textbook step", make, target)


def against_fp32(name: str, turn: str) -> Case:
    """Compare one turn in bf16 with the same turn in fp32."""

    def make(side: str) -> Side:
        before, SCALE.precision = SCALE.precision, "bf16" if side == "kdrun" else "fp32"
        try:
            return ours(name, turn)
        finally:
            SCALE.precision = before

    return Case(f"{name} {turn} turn, bf16", "the same in fp32", make, "≥ 1.3x")


CASES = [
    against_textbook("mate_kd", "student", "≥ 40x"),
    against_textbook("mate_kd", "generator", "≥ 10x"),
    against_textbook("zskd", "student", "≥ 40x"),
    against_textbook("zskd", "generator", "≥ 10x"),
    against_fp32("mate_kd", "student"),
    against_fp32("mate_kd", "generator"),
]
