"""Knowledge distillation (Hinton et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.methods.base import Method, StepOutput
from kdrun.methods.phases import Turn
from kdrun.methods.shared import soft_targets
from kdrun.registry import register


@dataclass
class KDConfig(soft_targets.AnnealingSettings, soft_targets.ConfidenceSettings):
    """Settings of plain knowledge distillation."""

    name: str = setting("kd", "registered method")
    temperature: float = setting(2.0, "T: softens teacher and student alike", gt=0)
    hard_weight: float = setting(0.5, "weight of the loss on the labels", ge=0)
    soft_weight: float = setting(0.5, "weight of the loss on the teacher's logits", ge=0)


@register("method", "kd", config=KDConfig)
class KD(Method):
    """Minimize over the student:

        L = hard_weight · hard(S(x), y) + soft_weight · w(x) · T² · D(T(x)/T, S(x)/T)

    T² keeps the size of the soft gradient when T changes (section 2 of the paper), for all weights. D is the run's
    loss: KL(teacher ‖ student) by default. With `logit_mse` the temperatures cancel, which is the high-temperature
    limit of the same section. For a score, hard and soft losses are squared errors.

    With `temperature_end` T moves linearly over the steps from `temperature`, and T² with it. With `confidence_weight`
    γ a row has the weight w(x) = p_T(y | x)^γ, the teacher's probability of the gold label; it is 1 by default.

    Differences:
        temperature_end: [ours] Annealing-KD (Jafari et al. 2021, arXiv 2104.07163) anneals the teacher's logits alone,
            under a squared error, and learns the labels in a second phase.
        confidence_weight: [ours] weights by the teacher's confidence in the correct class are those of Mishra and
            Sundaram 2021 (arXiv 2107.06993) and, among several teachers, of Zhang et al. 2021 (arXiv 2201.00007); the
            exponent is ours. Weights are not scaled to a mean of 1: the soft loss shrinks by `confidence` in the log.

    Cost:
        student: one forward and one backward pass per row.
        teacher: one forward pass per row, cached; none during training.
    """

    requires = Requirements(teacher_logits=True, extraction=True, unlabeled=True, multi_label=True)
    config: KDConfig

    @classmethod
    def config_problems(cls, config: KDConfig, task: TaskConfig) -> list[str]:
        """A weight by confidence for a score."""
        return soft_targets.confidence_problems(config.confidence_weight, task)

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Weighted, summed loss of one micro-batch."""
        assert batch.teacher_logits is not None
        assert batch.labels is not None
        assert self.context.loss is not None
        c, metrics = self.config, {}
        temperature = soft_targets.temperature_at(c.temperature, c.temperature_end, batch.progress)
        logits = self.roles["student"](**batch.inputs["student"]).logits
        hard = self.context.hard_loss(logits, batch.labels).sum()
        divergence = self.context.loss(logits, batch.teacher_logits, temperature)
        if c.confidence_weight:
            weights = soft_targets.confidence(self.context, batch, c.confidence_weight)
            divergence, metrics = weights * divergence, {"confidence": weights.sum()}
        soft = temperature**2 * divergence.sum()
        loss = c.hard_weight * hard + c.soft_weight * soft
        return StepOutput(loss, len(batch.ids), {"hard": hard.detach(), "soft": soft.detach()}, metrics)
