"""ZSKD: zero-shot distillation without task data (Rashid et al. 2020).

The student learns from out-of-domain text that the teacher labels, and from text that a generator derives from it so
that teacher and student disagree. No code was released. The losses and turns follow the paper's description and,
where it gives no details, MATE-KD, the authors' later work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kdrun.config.fields import setting
from kdrun.config.optim import OptimConfig, OptimizerConfig
from kdrun.config.requirements import Requirements
from kdrun.config.task import TaskConfig
from kdrun.config.validation.unused import unused_settings
from kdrun.data.batch import Batch
from kdrun.methods.base import StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared.alternating import (
    WARM_START,
    AdversarialTextSettings,
    alternating_optimizers,
    alternating_phases,
)
from kdrun.methods.shared.pseudo_text import Divergence, PseudoTextMethod
from kdrun.registry import register


@dataclass
class ZSKDConfig(AdversarialTextSettings):
    """Settings of ZSKD."""

    name: str = setting("zskd", "registered method")
    temperature: float = setting(1.0, "τ: softens teacher and student alike", gt=0)
    soft_weight: float = setting(0.5, "weight of the divergence on the out-of-domain text", ge=0)
    pseudo_weight: float = setting(0.5, "weight of the divergence on the adversarial text", ge=0)
    divergence: Divergence = setting(Divergence.kl, "divergence that the generator maximizes")
    mlm_weight: float = setting(1.0, "β: weight of the generator's language-modeling loss on the text it masks", ge=0)
    warm_start_steps: int = setting(0, "language-modeling steps of the generator before the first cycle", ge=0)
    warm_start_lr: float = setting(5e-6, "peak learning rate of those steps", gt=0)


@register("method", "zskd", config=ZSKDConfig)
class ZSKD(PseudoTextMethod):
    """Generator φ and student θ, on text x from outside the task and text x′ that the generator derives from it.

        min over φ:  L_G = −D(T(x′), S(x′)) + β · L_MLM(φ; x)
        min over θ:  L_S = soft_weight · D(T(x), S(x)) + pseudo_weight · D(T(x′), S(x′))

    D is KL (the student's is the run's loss) at temperature τ, times τ² for the student. x′: every token that is
    neither special nor padding is masked with probability ρ, and filled by a straight-through Gumbel-softmax sample
    of the generator. L_MLM is the generator's cross-entropy at the same masked tokens, averaged per row: our reading
    of the paper's attraction to the out-of-domain text. No labels are used: the rows are those of the `ood` section,
    and the student never sees the training rows of the task.

    Differences:
        mlm_weight: the paper says that generated text stays close to the out-of-domain text, but not by which loss;
            here it is the loss that the generator was pretrained with, with weight 1.
        generator_steps_per_cycle: turns, mask rate and the generator's learning rate were not found; they are
            MATE-KD's, by the same authors.
        candidates: [ours] as reuse and min_confidence it is off by default; see mate_kd.
        - special tokens, dropout and passes over the rows are as in mate_kd here, where MATE-KD's code differs.

    Cost:
        student: one forward and one backward pass over two texts per row.
        teacher: one forward pass per row and step on x′; its logits on x are cached.
            With `reuse` N the passes of teacher and generator in student steps are up to N times fewer. With
            `candidates` K they are K times as many, and the student has K forward passes more.
        generator: one forward pass per row, its head at masked tokens only; and generator_steps_per_cycle steps to
            student_steps_per_cycle of the student's, each a forward and a backward pass through generator, teacher and
            student.
    """

    requires = Requirements(
        labels=False,
        data_free=True,
        generator=True,
        teacher_logits=True,
        shared_vocabulary=True,
        embeddings=("student", "teacher"),
        regression=False,
        inputs=("student", "teacher", "generator"),
    )
    config: ZSKDConfig

    @classmethod
    def config_problems(cls, config: ZSKDConfig, task: TaskConfig) -> list[str]:
        """The learning rate of a warm start that does not take place, and those of `PseudoTextMethod`."""
        problems = super().config_problems(config, task)
        if config.warm_start_steps:
            return problems
        return [*problems, *unused_settings(config, "method.", ("warm_start_lr",), "with method.warm_start_steps=0")]

    @classmethod
    def phases(cls, config: ZSKDConfig, optim: OptimConfig) -> list[Phase]:
        """Alternating turns of generator and student, after a warm start of the generator if there is one."""
        return alternating_phases(config, optim, config.warm_start_steps)

    def optimizers(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimizerConfig]:
        """Optimizers of student and generator; in the warm start the generator has another learning rate."""
        optimizers = alternating_optimizers(self.config, optim)
        if phase.name == WARM_START:
            optimizers["generator"] = replace(optimizers["generator"], lr=self.config.warm_start_lr)
        return optimizers

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch."""
        c = self.config
        if turn.role == "student":
            return self.student_step(batch, turn, 0.0, c.soft_weight, c.pseudo_weight)
        if batch.phase == WARM_START:
            mask, logits = self.mask_and_score(batch)
            mlm_loss = self.mlm_loss(batch, logits, mask)
            return StepOutput(mlm_loss, len(batch.ids), {"mlm": mlm_loss.detach()})
        per_example, logits, mask = self.adversarial_divergence(batch, c.divergence)
        divergence, mlm_loss = per_example.sum(), self.mlm_loss(batch, logits, mask)
        terms = {"divergence": divergence.detach(), "mlm": mlm_loss.detach()}
        return StepOutput(c.mlm_weight * mlm_loss - divergence, len(batch.ids), terms)
