"""Methods that read a teacher's layers beside plain distillation of the same models."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import nn

from benchmarks.cases.base import SCALE, TASK, Case, Side, in_loop, model, rows
from kdrun import losses, registry
from kdrun.config.optim import OptimConfig
from kdrun.data.loader import BatchLoader
from kdrun.methods.base import MethodContext
from kdrun.models import attention_maps
from kdrun.models.domain_embedding import DomainClassifier


def phase_of(name: str, phase: str) -> Side:
    """Steps of one phase of a method as kdrun takes them, the large model teaching the small one.

    The method has its default settings; the teacher's logits are there already, as from the cache.
    """
    entry, (table, labels) = registry.get("method", name), rows()
    assert entry.config is not None
    settings, needs, device = entry.config(), entry.target.requires, torch.device(SCALE.device)
    implementation = attention_maps.NAME if needs.attentions else "sdpa"
    roles: dict[str, nn.Module] = {
        role: model(shape, attention=implementation)
        for role, shape in (("teacher", SCALE.large), ("student", SCALE.small))
    }
    extras: dict[str, np.ndarray] = {}
    if needs.meta_teacher:
        domains = np.arange(SCALE.rows) % len(TASK.domains)
        extras = {"domain": domains, "transferability": np.ones(SCALE.rows, np.float32)}
        branch = DomainClassifier(SCALE.large["hidden_size"], len(TASK.domains))
        roles["domain_branch"] = branch.to(device).requires_grad_(False)
    parts = MethodContext(roles, TASK, losses.kl_divergence, losses.hard_loss(False), 0, device)
    taught = np.random.default_rng(1).normal(size=(SCALE.rows, 2)).astype(np.float32)
    gold = labels if needs.labels else None
    feed = BatchLoader(dict.fromkeys(needs.inputs, table), gold, device, taught, extras=extras)
    optim = OptimConfig(lr=1e-5, steps=100, batch_size=SCALE.batch)
    planned = entry.target.phases(settings, optim)
    chosen = next(one for one in planned if one.name == phase)
    return in_loop(partial(entry.target, settings, parts), replace(chosen, epochs_before=0.0), feed, 24)


def beside_kd(name: str, phase: str) -> Case:
    """A case of one phase of a method beside plain distillation of the same models."""

    def make(side: str) -> Side:
        return phase_of(name, phase) if side == "kdrun" else phase_of("kd", "train")

    return Case(f"{name} {phase} phase", "kd step", make)


CASES = [
    beside_kd("tinybert_kd", "intermediate"),
    beside_kd("tinybert_kd", "logits"),
    beside_kd("meta_kd", "intermediate"),
    beside_kd("meta_kd", "logits"),
]
