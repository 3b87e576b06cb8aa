"""KD with adversarial noise on the word embeddings (FreeLB).

An alternative to MATE-KD: the adversary perturbs the student's word embeddings instead of replacing words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdrun import rng
from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.data.transfer import to_device
from kdrun.lazy import lazy_module
from kdrun.methods.base import Method, StepOutput
from kdrun.methods.phases import Turn
from kdrun.methods.shared import soft_targets
from kdrun.registry import register

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kdrun.generation import soft_tokens
else:
    torch, soft_tokens = lazy_module("torch"), lazy_module("kdrun.generation.soft_tokens")


@dataclass
class KDFreeLBConfig(soft_targets.AnnealingSettings, soft_targets.ConfidenceSettings):
    """Settings of KD with FreeLB."""

    name: str = setting("kd_freelb", "registered method")
    temperature: float = setting(2.0, "T: softens teacher and student alike", gt=0)
    hard_weight: float = setting(0.5, "weight of the loss on the labels", ge=0)
    soft_weight: float = setting(0.5, "weight of the loss on the teacher's logits", ge=0)
    passes: int = setting(2, "K: forward-backward passes per step", gt=0)
    ascent_rate: float = setting(0.1, "α: how far the noise moves between passes, as an L2 norm per example", gt=0)
    init_magnitude: float = setting(0.6, "of the first noise: uniform ± this / √(tokens × width)", ge=0)
    max_norm: float = setting(0.5, "ε: radius of the ball per example that the noise stays in; 0 for none", ge=0)


@register("method", "kd_freelb", config=KDFreeLBConfig)
class KDFreeLB(Method):
    """Minimize the loss of KD averaged over K passes, with noise δ_k on the student's word embeddings E[x]:

        L = 1/K · Σ_k [ hard_weight · hard(S(E[x] + δ_k), y) + soft_weight · w(x) · T² · D(T(x), S(E[x] + δ_k)) ]

    δ_1 is uniform and zero on padding; δ_(k+1) = δ_k + α · g/‖g‖₂ with g the gradient of pass k's loss, norms over all
    positions of an example, then projected back onto ‖δ‖₂ ≤ ε. All passes of a step share their dropout. The teacher
    sees the clean text only, once: its logits come from the cache. w(x) and a moving T are those of kd.

    Differences:
        - FreeLB's loss is that on the labels alone; the KD terms are ours.
        - the authors accumulate the gradients of the K passes one by one; here one backward pass goes through all K,
            with the same gradient.

    Cost:
        student: K forward passes per row, K backward passes, and K − 1 more for the noise.
        teacher: one forward pass per row, cached; none during training.
    """

    requires = Requirements(teacher_logits=True, unlabeled=True, embeddings=("student",), multi_label=True)
    config: KDFreeLBConfig

    @classmethod
    def config_problems(cls, config: KDFreeLBConfig, task: TaskConfig) -> list[str]:
        """A weight by confidence for a score."""
        return soft_targets.confidence_problems(config.confidence_weight, task)

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch, averaged over the passes."""
        c, student, inputs = self.config, self.roles["student"], batch.inputs["student"]
        clean = student.get_input_embeddings()(inputs["input_ids"])  # pyright: ignore[reportCallIssue]
        noise, totals, metrics = self._initial_noise(batch, clean), [], {}
        weights = None
        if c.confidence_weight:
            weights = soft_targets.confidence(self.context, batch, c.confidence_weight)
            metrics = {"confidence": weights.sum()}
        dropout = rng.derive(self.context.seed, "dropout", f"{batch.phase}/freelb", batch.step)
        for pass_number in range(1, c.passes + 1):
            rng.seed_dropout(dropout, self.context.device)
            noise.requires_grad_(True)
            logits = student(**soft_tokens.soft_inputs(student, inputs, clean + noise)).logits
            hard, soft = self._terms(batch, logits, weights)
            totals.append(torch.stack([hard, soft]))
            if pass_number < c.passes:
                loss = c.hard_weight * hard + c.soft_weight * soft
                (gradient,) = torch.autograd.grad(loss, noise, retain_graph=True)
                noise = ascend(noise.detach(), gradient, c.ascent_rate, c.max_norm)
        hard, soft = torch.stack(totals).mean(dim=0)
        loss = c.hard_weight * hard + c.soft_weight * soft
        return StepOutput(loss, len(batch.ids), {"hard": hard.detach(), "soft": soft.detach()}, metrics)

    def _terms(self, batch: Batch, logits: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        assert batch.teacher_logits is not None
        assert batch.labels is not None
        assert self.context.loss is not None
        c = self.config
        temperature = soft_targets.temperature_at(c.temperature, c.temperature_end, batch.progress)
        hard = self.context.hard_loss(logits, batch.labels).sum()
        divergence = self.context.loss(logits, batch.teacher_logits, temperature)
        return hard, temperature**2 * (divergence if weights is None else weights * divergence).sum()

    def _initial_noise(self, batch: Batch, clean: Tensor) -> Tensor:
        """Uniform noise of the embeddings' shape, [batch, length, width], zero on padding."""
        stream = rng.stream(self.context.seed, "noise", batch.phase, batch.step)
        uniform = to_device(torch.rand(clean.shape, generator=stream), clean.device) * 2 - 1
        present = batch.inputs["student"]["attention_mask"][..., None].float()
        size = (present.sum(dim=(1, 2), keepdim=True) * clean.shape[-1]).sqrt()
        return uniform * present * self.config.init_magnitude / size


def ascend(noise: Tensor, gradient: Tensor, rate: float, max_norm: float) -> Tensor:
    """Move each example's noise one step along its gradient, then project it onto the ball.

    Args:
        noise: [batch, length, width].
        gradient: of the loss, the same shape.
        rate: length of the step.
        max_norm: radius of the ball; 0 for none.
    """
    norm = gradient.norm(dim=(1, 2), keepdim=True).clamp_min(1e-8)
    ascended = noise + rate * gradient / norm
    if not max_norm:
        return ascended
    size = ascended.norm(dim=(1, 2), keepdim=True)
    return ascended * (max_norm / size.clamp_min(max_norm))
