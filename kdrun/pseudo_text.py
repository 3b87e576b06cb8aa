"""Training on text whose masked tokens a generator fills: what MATE-KD, ZSKD and plain augmentation share."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from kdrun import registry
from kdrun.method import Batch, Method, StepOutput

if TYPE_CHECKING:
    from torch import Tensor


class Divergence(Enum):
    """What a generator maximises: cross-entropy with the teacher's distribution, or KL."""

    ce = "ce"
    kl = "kl"


class PseudoText(Method):
    """Base of methods whose student also learns from x′: the text x with masked tokens filled by a generator.

    Every free token is masked with probability `config.mask_rate`, afresh at each step, and filled from the
    generator's distribution. Subclasses say what the generator minimises, if anything. Masks and
    noise are functions of (seed, stream of the role's batches, step).

    In student turns nothing needs a gradient through generator or teacher: x′ is plain ids, and x and x′ pass
    through the student as one batch.
    """

    makes_text = True

    def masked(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Which tokens of a batch are masked, [batch, length], and what the generator says of them.

        Returns:
            The mask, and the generator's logits there, [masked, vocabulary], with a gradient where one is taken.
        """
        from kdrun import relax, rng

        words = self.parts.vocabulary
        assert words is not None
        free = relax.maskable(batch.inputs["student"], words.special_ids)
        stream = rng.stream(self.parts.seed, "mask", batch.phase, batch.step)
        mask = relax.draw_mask(free, self.config.mask_rate, stream)
        inputs, generator = batch.inputs["generator"], self.roles["generator"]
        return mask, relax.masked_logits(generator, inputs, mask, words.mask_id, words.special_ids)

    def made_text(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """x′ and where it was masked, for the samples that a run keeps."""
        return self.pseudo_ids(batch)

    def pseudo_ids(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """x′ as token ids and where it was masked, [batch, length] each; without a gradient."""
        import torch

        from kdrun import relax, rng

        with torch.no_grad():
            mask, logits = self.masked(batch)
            ids = relax.draw(logits, rng.stream(self.parts.seed, "fill", batch.phase, batch.step))
        return relax.replaced(batch.inputs["student"]["input_ids"], mask, ids), mask

    def student_step(self, batch: Batch, hard_weight: float, soft_weight: float, pseudo_weight: float) -> StepOutput:
        """The student's loss on x and x′, summed over the rows.

            hard_weight · hard(S(x), y) + τ² · (soft_weight · D(T(x), S(x)) + pseudo_weight · D(T(x′), S(x′)))

        D is the run's loss; the teacher's logits on x come from the cache. `flipped` is the share of rows whose
        teacher's class differs between x and x′.
        """
        import torch

        assert batch.teacher_logits is not None
        assert self.parts.loss is not None
        changed, _ = self.pseudo_ids(batch)
        with torch.no_grad():
            taught = self.roles["teacher"](**{**batch.inputs["teacher"], "input_ids": changed}).logits
        own, temperature, count = batch.inputs["student"], self.config.temperature, len(batch.ids)
        both = {name: torch.cat([value, value]) for name, value in own.items()}
        both["input_ids"] = torch.cat([own["input_ids"], changed])
        clean, pseudo = self.roles["student"](**both).logits.split(count)
        scale = temperature**2
        soft = scale * self.parts.loss(clean, batch.teacher_logits, temperature).sum()
        apart = scale * self.parts.loss(pseudo, taught, temperature).sum()
        loss, terms = soft_weight * soft + pseudo_weight * apart, {"soft": soft.detach(), "pseudo": apart.detach()}
        if hard_weight:
            assert batch.labels is not None
            hard = self.parts.hard_loss(clean, batch.labels).sum()
            loss, terms = loss + hard_weight * hard, {"hard": hard.detach()} | terms
        watched = {}
        if not self.parts.task.is_regression:
            watched["flipped"] = (taught.argmax(dim=-1) != batch.teacher_logits.argmax(dim=-1)).sum()
        return StepOutput(loss, count, terms, watched)

    def adversarial(self, batch: Batch, divergence: Divergence) -> tuple[Tensor, Tensor, Tensor]:
        """What a generator's turn is made of: how far teacher and student disagree on x′, with a gradient to it.

        x′ is the straight-through Gumbel-softmax sample, in each model's own embeddings; teacher and student are
        frozen, and the gradient passes through them.

        Returns:
            D(T(x′), S(x′)) per example, [batch] (squared error for a score, whatever `divergence` says); the
            generator's logits at the masked tokens, [masked, vocabulary]; the mask, [batch, length].
        """
        from kdrun import relax, rng

        name = {Divergence.ce: "soft_ce", Divergence.kl: "kl"}[divergence]
        loss = registry.get("loss", "logit_mse" if self.parts.task.is_regression else name).target
        mask, logits = self.masked(batch)
        stream = rng.numpy_stream(self.parts.seed, "gumbel", batch.phase, batch.step)
        drawn = relax.gumbel(logits.shape[0], logits.shape[1], stream, logits.device)
        ids, soft = relax.sample(logits, drawn), relax.soften(logits, drawn, self.config.gumbel_temperature)
        answers = {}
        for role in ("teacher", "student"):
            model, inputs = self.roles[role], batch.inputs[role]
            embeddings = relax.soft_embeddings(model, inputs["input_ids"], mask, ids, soft)
            answers[role] = model(**relax.soft_inputs(model, inputs, embeddings)).logits
        return loss(answers["student"], answers["teacher"], self.config.temperature), logits, mask
