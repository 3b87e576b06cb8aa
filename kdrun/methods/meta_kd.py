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
    domain_weight: float = setting(0.5, "γ₂: weight of the error of the domain vector", ge=0)


def domain_expertise_weight(transferability: Tensor, p_gold: Tensor) -> Tensor:
    """λ(x) = (1 + t(x)) / (exp((p − 1)²) + 1): how much a row's intermediate losses count, [batch].

    Args:
        transferability: t(x), [batch].
        p_gold: the meta-teacher's probability of the gold class, [batch].

    Returns:
        From 0 (t = −1) to 1 (t = 1 and a teacher that is sure of the gold class).
    """
    return (1 + transferability) / (((p_gold - 1) ** 2).exp() + 1)


@register("method", "meta_kd", config=MetaKDConfig)
class MetaKD(IntermediateLayerMethod):
    """Minimise over the student of a domain, its domain vector u_S and the projections, then over the student alone:

        intermediate:  L = λ(x) · [Σ MSE(hidden) + Σ MSE(attention) + γ₂ · MSE(u_T(x), P · u_S(x))]
        logits:        L = D(T(x)/T, S(x)/T)

    λ(x) = (1 + t(x)) / (exp((p − 1)²) + 1), with t(x) the row's transferability and p the meta-teacher's probability
    of the gold class, weights every example on its own. Hidden states, attention maps and layer pairs are those of
    tinybert_kd. u(x) = tanh(W · (e_k + content(x)) + b) is the domain vector, content(x) the mean of the last hidden
    states; the student has one of its own width, and P projects it to the teacher's.

    Differences:
        domain_weight: the paper's best values of γ₂ are 0.2 to 0.5.
        temperature: the authors' code has T = 2 in the second phase, without T² and without labels, as here.
        - the authors' code averages each loss over the batch before it weights it, by which all λ(x) of a batch fall
          together into their mean, and its projection of the teacher's vector is never trained: two slips.
        - for a domain that the meta-teacher never saw (`hold_out_domain`), e_k is the mean of those it saw.

    Cost:
        student: as tinybert_kd, and a domain vector.
        teacher: as tinybert_kd; before that, one forward pass a row of its encoder for the prototypes, kept in the
            cache.
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

    def __init__(self, config: Any, parts: MethodContext) -> None:
        super().__init__(config, parts)
        own, other = (model_config(parts.roles[role]) for role in ("student", "teacher"))
        with rng.seeded_init(parts.seed, "domain vector"):
            self.vector = domain_embedding.DomainEmbedding(
                own.hidden_size, len(parts.task.domains), own.initializer_range
            )
            self.widen = nn.Linear(own.hidden_size, other.hidden_size)
        for module in (self.vector, self.widen):
            module.to(parts.device)

    def trainable(self, role: str) -> Iterable[nn.Module]:
        """The role's model; with the student, in its first phase, its projection and its domain vector."""
        own = list(super().trainable(role))
        return [*own, self.vector, self.widen] if role == "student" and self._phase == INTERMEDIATE else own

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """The summed loss of one micro-batch."""
        if batch.phase != INTERMEDIATE:
            soft = self.logit_loss(batch).sum()
            return StepOutput(soft, len(batch.ids), {"soft": soft.detach()})
        assert batch.labels is not None
        assert batch.teacher_logits is not None
        own, taught = self.states(batch)
        mask = batch.inputs["student"]["attention_mask"]
        terms = intermediate_losses(own, taught, self.pairs, self.projection, mask)
        terms["domain"] = self._domain_error(own, taught, batch)
        p_gold = batch.teacher_logits.softmax(dim=-1).gather(1, batch.labels[:, None])[:, 0]
        weight = domain_expertise_weight(batch.extras["transferability"], p_gold)
        loss = weight * (terms["hidden"] + terms["attention"] + self.config.domain_weight * terms["domain"])
        shown = {name: (weight * values).detach().sum() for name, values in terms.items()}
        return StepOutput(loss.sum(), len(batch.ids), shown, {"expertise": weight.sum()})

    def _domain_error(self, own: Any, taught: Any, batch: Batch) -> Tensor:
        """MSE(u_T(x), P · u_S(x)) over the teacher's width, [batch]."""
        domains, mask = batch.extras["domain"], batch.inputs["student"]["attention_mask"]
        last, its_last = self.pairs.hidden[-1]
        with torch.no_grad():
            wanted = self.roles["domain_branch"](
                domain_embedding.mean_pool(taught.hidden_states[its_last], mask), domains
            )
        found = self.widen(self.vector(domain_embedding.mean_pool(own.hidden_states[last], mask), domains))
        return (found.float() - wanted.float()).square().mean(dim=-1)
