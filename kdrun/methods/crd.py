"""Contrastive representation distillation (Tian et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from kdrun import rng
from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.lazy import lazy_module
from kdrun.methods.base import Method, MethodContext, StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared.labels_and_logits import LabelsAndLogitsSettings, labels_and_logits_loss
from kdrun.methods.shared.memory_bank import MemoryBank
from kdrun.methods.shared.text_vectors import check_first_token, first_token_states
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F
else:
    torch, nn, F = lazy_module("torch"), lazy_module("torch.nn"), lazy_module("torch.nn.functional")


class Negatives(Enum):
    """Rows that a row is contrasted with: those of other classes, or all others."""

    other_classes = "other_classes"
    other_rows = "other_rows"


@dataclass
class CRDConfig(LabelsAndLogitsSettings):
    """Settings of contrastive distillation."""

    name: str = setting("crd", "registered method")
    temperature: float = setting(4.0, "T of the logits: softens teacher and student alike", gt=0)
    hard_weight: float = setting(1.0, "weight of the loss on the labels", ge=0)
    soft_weight: float = setting(1.0, "weight of the loss on the teacher's logits", ge=0)
    contrast_weight: float = setting(0.8, "β: weight of the contrastive loss", ge=0)
    contrast_temperature: float = setting(0.07, "τ: divides the products of embeddings", gt=0)
    num_negatives: int = setting(16384, "N: rows that each row is contrasted with, at most all others", gt=0)
    negatives: Negatives = setting(
        Negatives.other_classes, "rows to contrast with; all others where the task has no classes"
    )
    embedding_size: int = setting(128, "width of the embeddings that are compared", gt=0)
    bank_momentum: float = setting(0.5, "share of the old entry in a row's new entry of the memory bank", ge=0, lt=1)


@register("method", "crd", config=CRDConfig)
class CRD(Method):
    """Minimize over the student and over two embeddings, g_S of the student's text vectors and g_T of the teacher's:

        L = hard_weight · hard(S(x), y) + soft_weight · T² · D(T(x)/T, S(x)/T) + contrast_weight · (C_S + C_T)
        C_S = −log h(g_S(x), b_T(x)) − N · mean over the negatives x′ of log(1 − h(g_S(x), b_T(x′)))
        h(u, v) = e / (e + N),  e = exp(u · v/τ) / z

    C_T has teacher and student exchanged. g is a linear map to embedding_size, scaled to length 1; text vectors are the
    last hidden states of the first token, [CLS]. The memory banks b_S and b_T hold one entry per training row: the
    normalized moving mean of the row's embeddings, random before the row was seen. So negatives cost no pass. z is the
    mean of exp(u · v/τ) over the banks' first entries. D is the run's loss.

    Differences:
        num_negatives: of 50,000 images, in the paper. A task with fewer rows is contrasted with all of them; the code
            draws with repetition then.
        negatives: as the code's, of other classes. The class of a row counts once the row was seen; before that its
            entry is random. With classes N stays, and the mean is that of the drawn rows of other classes.
        - all rows of a step are contrasted with one draw of rows, and banks change after the step; in the code every
            row has its own draw, and banks change after each batch. With one draw, gradients are exact however rows
            are split into micro-batches and processes, and products are one matrix product.
        - the paper's h has N/M in place of N · z, with M training rows. The code divides by z, as here: it sets z from
            its first batch, for each bank; here z comes from random directions, one for both.
        - the paper's networks give pooled features of images; [CLS] is [ours].
        - negatives from the batch alone would be few, where the paper's bound asks for many, and would make the loss
            depend on the micro-batches.

    Cost:
        student: one forward and one backward pass per row, and 2 · N products of embeddings. Memory and each
            checkpoint hold two banks: 1 KiB per training row by default.
        teacher: one forward pass per row and step; its logits are cached.
    """

    requires = Requirements(
        teacher_logits=True, hidden_states=True, unlabeled=True, inputs=("student", "teacher"), multi_label=True
    )
    loss_weights: ClassVar = {"student": ("hard_weight", "soft_weight", "contrast_weight")}
    config: CRDConfig

    def __init__(self, config: CRDConfig, context: MethodContext) -> None:
        super().__init__(config, context)
        models: dict[str, Any] = {role: context.roles[role] for role in ("student", "teacher")}
        self.embeddings = {
            role: make_embedding(model.config.hidden_size, config.embedding_size, context.seed, role).to(context.device)
            for role, model in models.items()
        }
        self.bank = MemoryBank(context.num_rows, config.embedding_size, config.bank_momentum, context.seed)
        self.log_z = self.bank.log_mean_score(config.contrast_temperature, context.seed)
        self.bank.to(context.device)

    @classmethod
    def compared_layers(cls, config: CRDConfig, student: Any, teacher: Any) -> list[tuple[str, str]]:
        """The states, and their embeddings."""
        for role, model in (("student", student), ("teacher", teacher)):
            check_first_token(model, role)
        depths = (model.config.num_hidden_layers for model in (student, teacher))
        widths = (model.config.hidden_size for model in (student, teacher))
        text = f"{'–'.join(map(str, depths))} (1: after the first layer)"
        maps = " and ".join(f"{width} → {config.embedding_size}" for width in widths)
        return [("states of [CLS]", f"{text}, through two learned embeddings {maps}")]

    def trainable(self, role: str) -> Iterable[nn.Module]:
        """The role's model; for the student also both embeddings."""
        modules = list(super().trainable(role))
        return [*modules, *self.embeddings.values()] if role == "student" else modules

    def on_phase_start(self, phase: Phase) -> None:
        """Forget the rows of a step that was never finished."""
        self.bank.discard()

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch."""
        student, logits = first_token_states(self.roles["student"], batch.inputs["student"])
        with torch.no_grad():
            teacher, _ = first_token_states(self.roles["teacher"], batch.inputs["teacher"])
        loss, terms = labels_and_logits_loss(self.context, self.config, batch, logits)
        vectors = {"student": student[-1], "teacher": teacher[-1]}
        embedded = {role: F.normalize(self.embeddings[role](v).float(), dim=-1) for role, v in vectors.items()}
        contrast = self._contrast(batch, embedded).sum()
        self.bank.remember(batch.ids, embedded, self._classes(batch))
        terms["contrast"] = contrast.detach()
        return StepOutput(loss + self.config.contrast_weight * contrast, len(batch.ids), terms)

    def on_step_end(self, turn: Turn) -> None:
        """Enter the rows of the step into the memory banks, those of all processes in each."""
        self.bank.update()

    def state(self) -> dict[str, Any]:
        """The memory banks."""
        return self.bank.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore the memory banks."""
        self.bank.load_state(state)

    def _classes(self, batch: Batch) -> Tensor | None:
        """Classes of the rows, [batch], negative where one is unknown; None if classes do not matter."""
        has_classes = not self.context.task.is_regression and not self.context.task.is_multi_label
        return batch.labels if has_classes and self.config.negatives is Negatives.other_classes else None

    def _contrast(self, batch: Batch, embedded: dict[str, Tensor]) -> Tensor:
        """C_S + C_T of each row, [batch]."""
        c, step = self.config, batch.position.step if batch.position is not None else batch.step
        drawn = self.bank.draw(c.num_negatives, self.context.seed, batch.phase, step)
        allowed = self.bank.allowed(batch.ids, self._classes(batch), drawn)
        losses = []
        with torch.autocast(self.context.device.type, enabled=False):  # products are divided by a small τ
            for role, other in (("student", "teacher"), ("teacher", "student")):
                vectors, entries = embedded[role], self.bank.entries[other]
                positive, negative = (vectors * entries[batch.ids]).sum(dim=-1), vectors @ entries[drawn].T
                positive, negative = (s / c.contrast_temperature - self.log_z for s in (positive, negative))
                losses.append(contrastive_loss(positive, negative, allowed, len(drawn)))
        return torch.stack(losses).sum(dim=0)


def contrastive_loss(positive: Tensor, negative: Tensor, allowed: Tensor, count: int) -> Tensor:
    """Noise-contrastive loss of a row with its own entry and with those of other rows.

        −log h(s⁺) − N · mean over the allowed s⁻ of log(1 − h(s⁻)),  h(s) = e^s / (e^s + N)

    h is the logistic function of s − log N, so that both logarithms are softplus functions.

    Args:
        positive: log e of the row's own entry, [batch].
        negative: log e of the entries of other rows, [batch, drawn].
        allowed: which of them are negatives of the row, [batch, drawn].
        count: N.

    Returns:
        Nats, [batch]; the second term is 0 for a row without negatives.
    """
    offset = math.log(count)
    rejected = F.softplus(negative - offset).masked_fill(~allowed, 0.0).sum(dim=-1)
    return F.softplus(offset - positive) + count * rejected / allowed.sum(dim=-1).clamp(min=1)


def make_embedding(width: int, size: int, seed: int, role: str) -> nn.Linear:
    """Linear map from the width of a role's states to the embeddings, initialized as torch's linear layers are.

    Args:
        width: of the states.
        size: of the embeddings.
        seed: decides the weights.
        role: likewise.
    """
    # created on "meta", since the default initialization draws from the global generator
    layer, bound = nn.Linear(width, size, device="meta").to_empty(device="cpu"), 1 / math.sqrt(width)
    generator = rng.stream(seed, "init", f"embedding of the {role}")
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer
