"""Generalized knowledge distillation (Agarwal et al. 2024).

A student that learns from gold answers alone never sees its own mistakes. Here it also writes answers, and the teacher
scores each of their tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from kdrun import rng
from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.lazy import lazy_module
from kdrun.methods.base import Method, StepOutput
from kdrun.methods.phases import Turn
from kdrun.methods.shared import soft_targets
from kdrun.registry import register

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from kdrun.generation import decoding
else:
    np, torch = lazy_module("numpy"), lazy_module("torch")
    decoding = lazy_module("kdrun.generation.decoding")


@dataclass
class SamplingConfig:
    """How the student writes answers in training."""

    temperature: float = setting(1.0, "divides the student's logits; 0 takes the most probable token (greedy)", ge=0)
    top_p: float = setting(
        1.0, "share of the probability whose most probable tokens are candidates; 1 for all tokens", gt=0, le=1
    )


@dataclass
class GKDConfig(soft_targets.AnnealingSettings):
    """Settings of generalized knowledge distillation."""

    name: str = setting("gkd", "registered method")
    temperature: float = setting(1.0, "T: softens teacher and student alike in the loss", gt=0)
    on_policy: float = setting(0.5, "λ: share of the steps on answers that the student writes", ge=0, le=1)
    hard_weight: float = setting(0.0, "weight of the loss on the gold answers, in the other steps", ge=0)
    sampling: SamplingConfig = setting(SamplingConfig(), "how the student writes answers in training")


@register("method", "gkd", config=GKDConfig)
class GKD(Method):
    """Minimize over the student, on text x with the gold answer y:

        on-policy:   L = T² · D(T(x, y′)/T, S(x, y′)/T),  y′ ~ S(· | x)
        supervised:  L = T² · D(T(x, y)/T, S(x, y)/T) + hard_weight · hard

    A share λ of the steps is on-policy. D is the run's loss at each token of the answer, averaged over its tokens:
    KL(teacher ‖ student) by default, `loss=reverse_kl`, `loss=jsd` with its share β, `loss=skew_kl` and others. `hard`
    is the cross-entropy of the gold answer. y′ is drawn from the current student, and no gradient passes through the
    draw. λ = 1 is on-policy distillation; λ = 0 is supervised distillation, as `kd`.

    The steps on y′ are spread evenly over the training. Whether a step is one of them, and the random numbers of each
    row's answer, are functions of the seed, the step and the row, so neither the micro-batches nor the number of
    processes changes them.

    Differences:
        on_policy: the paper's algorithm draws for each step whether it is on-policy, and TRL for each micro-batch. Here
            the share is exact: of any n steps in a row, λ · n are on-policy, up to one step.
        hard_weight: [ours] neither the paper nor TRL has a loss on labels.
        loss.teacher_share: JSD is a choice here, and TRL's only loss, with β = 1/2; its β = 0 and 1 are `loss=kl` and
            `loss=reverse_kl`.
        - TRL averages over all tokens of a batch, so that long answers weigh more; here, as in the paper, an answer is
            averaged over its tokens first.
        - the student writes without dropout and learns with it; TRL turns its dropout off. The paper does not say.
        - the paper's reward term (reinforcement learning) and TRL's answers of the teacher (seq_kd) are not built.
        - the paper starts from a student that was fine-tuned on the task: `student.path=FOLDER`. A student from random
            weights writes noise at first, and the teacher's scores of noise teach little.

    Cost:
        student: one forward and one backward pass per row; in on-policy steps also one encoder pass, and one decoder
            step per token of the longest answer of the micro-batch, at most `task.answer_tokens`.
        teacher: one forward pass per row and step.
    """

    requires = Requirements(extraction=True, only_text=True, inputs=("student", "teacher"))
    loss_weights: ClassVar = {}
    config: GKDConfig

    @classmethod
    def config_problems(cls, config: GKDConfig, task: TaskConfig) -> list[str]:
        """Settings that others leave without an effect."""
        problems, sampling = [], config.sampling
        if config.on_policy == 1 and config.hard_weight:
            problems.append(
                f"method.hard_weight={config.hard_weight} has no effect with method.on_policy={config.on_policy}: no "
                "step has gold answers; remove it, or lower method.on_policy"
            )
        if sampling.top_p < 1 and not sampling.temperature:
            problems.append(
                f"method.sampling.top_p={sampling.top_p} has no effect with method.sampling.temperature=0, which takes "
                "the most probable token; remove one of them"
            )
        return problems

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch."""
        assert self.context.loss is not None
        c, metrics = self.config, {}
        is_on_policy = self.is_on_policy(_step_of(batch))
        if is_on_policy:
            ids, ended = self.write_answers(batch)
            batch = with_answers(batch, ids)
            metrics["unfinished"] = (~ended).sum()
        logits = self.roles["student"](**batch.inputs["student"]).logits
        with torch.no_grad():
            teacher_logits = self.roles["teacher"](**batch.inputs["teacher"]).logits
        temperature = soft_targets.temperature_at(c.temperature, c.temperature_end, batch.progress)
        divergence = temperature**2 * self.context.loss(logits, teacher_logits, temperature).sum()
        loss, terms = divergence, {"on_policy" if is_on_policy else "soft": divergence.detach()}
        if c.hard_weight and not is_on_policy:
            assert batch.labels is not None
            hard = self.context.hard_loss(logits, batch.labels).sum()
            loss, terms["hard"] = loss + c.hard_weight * hard, hard.detach()
        return StepOutput(loss, len(batch.ids), terms, metrics)

    def is_on_policy(self, step: int) -> bool:
        """Whether the student writes the answers of an optimizer step: a share λ of the steps, evenly spread.

        The seed decides which ones.
        """
        share = self.config.on_policy
        start = rng.derive(self.context.seed, "on-policy steps") / 2**63
        return math.floor(start + (step + 1) * share) > math.floor(start + step * share)

    def write_answers(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The student's answers to the texts of a batch, without dropout and without a gradient.

        Returns:
            As `kdrun.generation.decoding.decode`.
        """
        student, sampling, limit = self.roles["student"], self.config.sampling, self.context.task.answer_tokens
        was_training, inputs = student.training, batch.inputs["student"]
        student.eval()
        if sampling.temperature:
            numbers = self._uniform(batch, limit)
            answers = decoding.sample_decode(student, inputs, numbers, sampling.temperature, sampling.top_p)
        else:
            answers = decoding.greedy_decode(student, inputs, limit)
        student.train(was_training)
        return answers

    def _uniform(self, batch: Batch, limit: int) -> np.ndarray:
        """Random numbers of the tokens of each row, [batch, limit] float32: functions of seed, step and row."""
        phase = f"{batch.phase}/{_step_of(batch)}"
        streams = (rng.numpy_stream(self.context.seed, "answer", phase, row) for row in batch.ids.tolist())
        return np.stack([stream.random(limit, np.float32) for stream in streams])


def with_answers(batch: Batch, ids: Tensor) -> Batch:
    """The batch with other answers; its labels, which belong to the gold answers, are left out.

    Args:
        batch: of a task that is answered with text.
        ids: tokens of the answers, end tokens included, [batch, length].
    """
    inputs = {}
    for role, values in batch.inputs.items():
        start = values["decoder_input_ids"][:, :1]
        inputs[role] = {**values, "decoder_input_ids": torch.cat([start, ids[:, :-1]], dim=1)}
    return replace(batch, inputs=inputs, labels=None)


def _step_of(batch: Batch) -> int:
    """Optimizer step of a batch in its phase; outside of a training the number of the micro-batch."""
    return batch.step if batch.position is None else batch.position.step
