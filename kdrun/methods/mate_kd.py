"""MATE-KD: masked adversarial text (Rashid et al. 2021).

Besides its training text the student learns from text x′ whose masked tokens a generator fills such that teacher and
student disagree most. Generator and student train in turn.
"""

from __future__ import annotations

from dataclasses import dataclass

from kdrun.config.fields import setting
from kdrun.config.optim import OptimConfig, OptimizerConfig
from kdrun.config.requirements import Requirements
from kdrun.data.batch import Batch
from kdrun.methods.base import StepOutput
from kdrun.methods.phases import Phase, Turn
from kdrun.methods.shared.alternating import AdversarialTextSettings, alternating_optimizers, alternating_phases
from kdrun.methods.shared.pseudo_text import Divergence, PseudoTextMethod
from kdrun.registry import register


@dataclass
class MateKDConfig(AdversarialTextSettings):
    """Settings of MATE-KD."""

    name: str = setting("mate_kd", "registered method")
    temperature: float = setting(1.0, "τ: softens teacher and student alike", gt=0)
    hard_weight: float = setting(1 / 3, "weight of the loss on the labels", ge=0)
    soft_weight: float = setting(1 / 3, "weight of the divergence on the training text", ge=0)
    pseudo_weight: float = setting(1 / 3, "weight of the divergence on the adversarial text", ge=0)
    divergence: Divergence = setting(Divergence.ce, "divergence that the generator maximizes")
    mlm_weight: float = setting(0.0, "β: weight of the generator's language-modeling loss on the text it masks", ge=0)


@register("method", "mate_kd", config=MateKDConfig)
class MateKD(PseudoTextMethod):
    """Generator φ maximizes and student θ minimizes the divergence on text x′ from the generator:

        max over φ:  D(T(x′), S(x′))
        min over θ:  L = hard_weight · hard(S(x), y) + soft_weight · D(T(x), S(x)) + pseudo_weight · D(T(x′), S(x′))

    D is KL (the run's loss) at temperature τ, times τ²; for a score all three terms are squared errors. x′: every
    token that is neither special nor padding is masked with probability ρ, and filled by a straight-through
    Gumbel-softmax sample of the generator, which enters teacher and student through their own embedding tables.

    Differences:
        divergence: the paper writes KL; the authors' code maximizes soft cross-entropy, which for the generator also
            raises the teacher's entropy on x′. `ce` is the code's.
        mlm_weight: [ours] adds β · L_MLM of `zskd` to the generator's loss; the paper's form has none.
        candidates: [ours] the student learns the hardest of several texts per row; the paper's form generates one.
        reuse: [ours] a text and the teacher's answer serve several student steps of a turn; in the paper's form one.
        min_confidence: [ours] the student ignores texts that the teacher is unsure of; in the paper's form none.
        schedule_over: the authors' code plans both schedules for all batches but advances each in its own turns only,
            so that at 10 to 100 steps the student ends at 9 % of its peak learning rate and the generator at 91 %
            (`all_batches`); here each decays over its own steps.
        - the code keeps the dropout of both models on in both turns; here only the role whose turn it is has dropout:
            the generator has none in student turns, the student none in generator turns.
        - the code lets the generator produce special tokens, which then are part of x′; here they are banned, which
            changes the generator's gradient on toy models too.
        - `[UNK]`, and a literal `[MASK]` in a text, count as special here and are never masked; the code protects the
            tokens around the texts.
        - the code hands each batch to one of the two roles; here each role passes over the rows on its own, and epochs
            count the student's batches, so that at equal epochs the student takes 10 % more steps (at 10 to 100).
        optim.eps: the code's AdamW (transformers) adds ε to √v before the bias correction, PyTorch's after it, so that
            the same ε is relatively larger there in the first steps.
        - the code has no τ²; at its τ = 1 there is no difference.

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
        generator=True,
        teacher_logits=True,
        shared_vocabulary=True,
        unlabeled=True,
        embeddings=("student", "teacher"),
        inputs=("student", "teacher", "generator"),
        multi_label=True,
    )
    config: MateKDConfig

    @classmethod
    def phases(cls, config: MateKDConfig, optim: OptimConfig) -> list[Phase]:
        """One phase of alternating turns: generator, then student."""
        return alternating_phases(config, optim)

    def optimizers(self, optim: OptimConfig, phase: Phase) -> dict[str, OptimizerConfig]:
        """Optimizers of student and generator."""
        return alternating_optimizers(self.config, optim)

    def step(self, batch: Batch, turn: Turn) -> StepOutput:
        """Summed loss of one micro-batch: −D for the generator, L for the student."""
        c = self.config
        if turn.role == "student":
            return self.student_step(batch, turn, c.hard_weight, c.soft_weight, c.pseudo_weight)
        per_example, logits, mask = self.adversarial_divergence(batch, c.divergence)
        divergence = per_example.sum()
        loss, terms = -divergence, {"divergence": divergence.detach()}
        if c.mlm_weight:
            mlm_loss = self.mlm_loss(batch, logits, mask)
            loss, terms = loss + c.mlm_weight * mlm_loss, terms | {"mlm": mlm_loss.detach()}
        return StepOutput(loss, len(batch.ids), terms)
