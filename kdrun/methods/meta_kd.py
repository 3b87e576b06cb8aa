"""Meta-KD: distillation from a meta-teacher over domains (Pan et al. 2021).

The meta-teacher (`kdrun.methods.domain_teachers.meta`) learns features that transfer between domains. The student of
a domain learns most from it on rows that the teacher classifies with confidence and that resemble other domains' rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdrun import rng
from kdrun.config.domains import DomainSettings
from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.lazy import lazy_module
from kdrun.methods.base import MethodContext, StepOutput
from kdrun.methods.phases import Turn
from kdrun.methods.shared.intermediate_layers import (
    INTERMEDIATE,
    IntermediateLayerMethod,
    IntermediateSettings,
    intermediate_losses,
    model_config,
)
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from kdrun.models import domain_embedding
else:
    torch, nn = lazy_module("torch"), lazy_module("torch.nn")
    domain_embedding = lazy_module("kdrun.models.domain_embedding")


@dataclass
class MetaKDConfig(IntermediateSettings, DomainSettings):
    """Settings of the student's distillation; those of the meta-teacher are `teacher.meta`."""

    name: str = setting("meta_kd", "registered method")
    domain_weight: float = setting(0.5, "γ₂: weight of the error of the domain embedding", ge=0)


def domain_expertise_weight(transferability: Tensor, p_gold: Tensor) -> Tensor:
    """Weight of a row's intermediate losses: λ(x) = (1 + t(x)) / (exp((p − 1)²) + 1), [batch].

    Args:
        transferability: t(x), [batch].
        p_gold: the meta-teacher's probability of the gold class, [batch].

    Returns:
        From 0 (t = −1) to 1 (t = 1 and a teacher that is certain of the gold class).
    """
    return (1 + transferability) / (((p_gold - 1) ** 2).exp() + 1)


@register("method", "meta_kd", config=MetaKDConfig)
class MetaKD(IntermediateLayerMethod):
    """Minimize over the student of a domain, its domain embedding u_S and the projections, then over the student:

        intermediate:  L = λ(x) · [Σ MSE(hidden) + Σ MSE(attention) + γ₂ · MSE(u_T(x), P · u_S(x))]
        logits:        L = D(T(x)/T, S(x)/T)

    λ(x) = (1 + t(x)) / (exp((p − 1)²) + 1), with t(x) the row's transferability and p the meta-teacher's probability
    of the gold class, weights every example separately. Hidden states, attention maps and layer pairs are those of
    tinybert_kd. u(x) = tanh(W · (e_k + content(x)) + b) is the domain embedding, content(x) the mean of the last hidden
    states. The student's embedding has the student's width, and P projects it to the teacher's.

    Differences:
        domain_weight: the paper's best values of γ₂ are 0.2 to 0.5.
        temperature: the authors' code has T = 2 in the second phase, without T² and without labels, as here.
        - the authors' code averages each loss over the batch before it applies the weights, so that their mean replaces
            the λ(x) of a batch, and never trains its projection of the teacher's embedding; both look like mistakes.
        - content(x) averages over all tokens, `[CLS]` included; h(x), which the prototypes average, leaves `[CLS]` out.
        - for a domain that the meta-teacher never saw (`hold_out_domain`), e_k is the mean of the others.

    Cost:
        student: as tinybert_kd, and a domain embedding.
        teacher: as tinybert_kd; before that, one forward pass per row of its encoder for the prototypes, cached.
    """

    requires = Requirements(
        teacher_logits=True,
        hidden_states=True,
        attentions=True,
        paired_layers=True,
        shared_vocabulary=True,
        domains=True,
        meta_teacher=True,
        regression=False,
        inputs=("student", "teacher"),
    )
    config: MetaKDConfig

    def __init__(self, config: Any, context: MethodContext) -> None:
        super().__init__(config, context)
        student, teacher = (model_config(context.roles[role]) for role in ("student", "teacher"))
        with rng.seeded_init(context.seed, "domain vector"):
            self.domain_embedding = domain_embedding.DomainEmbedding(
                student.hidden_size, len(context.task.domains), student.initializer_range
            )
            self.projection_to_teacher = nn.Linear(student.hidden_size, teacher.hidden_size)
        for module in (self.domain_embedding, self.projection_to_teacher):
            module.to(context.device)

    def trainable(self, role: str) -> Iterable[nn.Module]:
        """The role's model; for the student in its first phase also its projections and its domain embedding."""
        modules = list(super().trainable(role))
        if role == "student" and self._phase == INTERMEDIATE:
            modules += [self.domain_embedding, self.projection_to_teacher]
        return modules

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch."""
        if batch.phase != INTERMEDIATE:
            soft = self.logit_loss(batch).sum()
            return StepOutput(soft, len(batch.ids), {"soft": soft.detach()})
        assert batch.labels is not None
        assert batch.teacher_logits is not None
        student, teacher = self.compute_states(batch)
        mask = batch.inputs["student"]["attention_mask"]
        terms = intermediate_losses(student, teacher, self.pairs, self.projection, mask)
        terms["domain"] = self._domain_error(student, teacher, batch)
        p_gold = batch.teacher_logits.softmax(dim=-1).gather(1, batch.labels[:, None])[:, 0]
        weight = domain_expertise_weight(batch.extras["transferability"], p_gold)
        loss = weight * (terms["hidden"] + terms["attention"] + self.config.domain_weight * terms["domain"])
        logged = {name: (weight * values).detach().sum() for name, values in terms.items()}
        return StepOutput(loss.sum(), len(batch.ids), logged, {"expertise": weight.sum()})

    def _domain_error(self, student: Any, teacher: Any, batch: Batch) -> Tensor:
        """MSE(u_T(x), P · u_S(x)) over the teacher's width, [batch].

        Args:
            student: its outputs with hidden states.
            teacher: likewise.
            batch: the rows.
        """
        domains, mask = batch.extras["domain"], batch.inputs["student"]["attention_mask"]
        student_layer, teacher_layer = self.pairs.hidden[-1]
        with torch.no_grad():
            content = domain_embedding.mean_pool(teacher.hidden_states[teacher_layer], mask)
            target = self.roles["domain_branch"](content, domains)
        content = domain_embedding.mean_pool(student.hidden_states[student_layer], mask)
        projected = self.projection_to_teacher(self.domain_embedding(content, domains))
        return (projected.float() - target.float()).square().mean(dim=-1)
