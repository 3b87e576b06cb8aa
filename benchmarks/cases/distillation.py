"""Intermediate-layer distillation compared with plain distillation."""

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
    """Build steps of one phase of a method in kdrun, with the large model as teacher and the small one as student.

    The method has its default settings; teacher logits are given, as from the cache.
    """
    entry, (table, labels) = registry.get("method", name), rows()
    assert entry.config is not None
    settings, requirements, device = entry.config(), entry.target.requires, torch.device(SCALE.device)
    implementation = attention_maps.NAME if requirements.attentions else "sdpa"
    roles: dict[str, nn.Module] = {
        role: model(shape, attention=implementation)
        for role, shape in (("teacher", SCALE.large), ("student", SCALE.small))
    }
    extras: dict[str, np.ndarray] = {}
    if requirements.meta_teacher:
        domains = np.arange(SCALE.rows) % len(TASK.domains)
        extras = {"domain": domains, "transferability": np.ones(SCALE.rows, np.float32)}
        branch = DomainClassifier(SCALE.large["hidden_size"], len(TASK.domains))
        roles["domain_branch"] = branch.to(device).requires_grad_(False)
    hard_loss = losses.hard_loss(False)
    context = MethodContext(roles, TASK, losses.kl_divergence, hard_loss, 0, device, num_rows=SCALE.rows)
    teacher_logits = np.random.default_rng(1).normal(size=(SCALE.rows, 2)).astype(np.float32)
    task_labels = labels if requirements.labels else None
    loader = BatchLoader(dict.fromkeys(requirements.inputs, table), task_labels, device, teacher_logits, extras=extras)
    optim = OptimConfig(lr=1e-5, steps=100, batch_size=SCALE.batch)
    phases = entry.target.phases(settings, optim)
    selected = next(candidate for candidate in phases if candidate.name == phase)
    return in_loop(partial(entry.target, settings, context), replace(selected, epochs_before=0.0), loader, 24)


def against_kd(name: str, phase: str) -> Case:
    """Compare one phase of a method with plain distillation of the same models."""

    def make(side: str) -> Side:
        return phase_of(name, phase) if side == "kdrun" else phase_of("kd", "train")

    return Case(f"{name} {phase} phase", "kd step", make)


CASES = [
    against_kd("tinybert_kd", "intermediate"),
    against_kd("tinybert_kd", "logits"),
    against_kd("minilm", "intermediate"),
    against_kd("minilm", "logits"),
    against_kd("pkd", "train"),
    against_kd("crd", "train"),
    against_kd("meta_kd", "intermediate"),
    against_kd("meta_kd", "logits"),
]
