"""Base of methods that train on text filled in by a generator."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from kdrun import registry, rng
from kdrun.data.batch import Batch
from kdrun.generation.types import GeneratedText
from kdrun.lazy import lazy_module
from kdrun.methods.base import Method, MethodContext, StepOutput

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kdrun.generation import gumbel, masking, soft_tokens
else:
    torch = lazy_module("torch")
    gumbel, masking = lazy_module("kdrun.generation.gumbel"), lazy_module("kdrun.generation.masking")
    soft_tokens = lazy_module("kdrun.generation.soft_tokens")


class Divergence(Enum):
    """Divergence that a generator maximizes: cross-entropy with the teacher's distribution, or KL."""

    ce = "ce"
    kl = "kl"


DIVERGENCES = {Divergence.ce: "soft_ce", Divergence.kl: "kl"}
MULTI_LABEL_DIVERGENCES = {Divergence.ce: "bce", Divergence.kl: "binary_kl"}
"""Registered losses of the divergences, for one class per row and for any number of them."""


class PseudoTextMethod(Method):
    """Base of methods whose student also learns from x′: the text x with masked tokens filled by a generator.

    Every maskable token is masked with probability `config.mask_rate`, drawn again at each step, and filled from the
    generator's distribution. Subclasses define the generator's loss, if it trains. Masks and noise are functions of
    (seed, stream of the role's batches, step).

    In student turns no gradient passes through generator or teacher: x′ is plain ids, and x and x′ pass through the
    student as one batch.
    """

    generates_text = True

    def __init__(self, config: Any, context: MethodContext) -> None:
        super().__init__(config, context)
        self.class_view = context.class_view()

    def mask_and_score(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Draw a mask on the generator's tokens, and predict the masked tokens.

        Returns:
            The mask, [batch, length] bool, and the generator's logits at the masked tokens, [masked, vocabulary].
        """
        vocabulary = self.context.vocabulary
        assert vocabulary is not None
        assert vocabulary.mask_id is not None
        maskable = masking.common_maskable(batch.inputs, vocabulary.special_ids, batch.tokenization)["generator"]
        stream = rng.stream(self.context.seed, "mask", batch.phase, batch.step)
        mask = masking.draw_mask(maskable, self.config.mask_rate, stream)
        inputs, generator = batch.inputs["generator"], self.roles["generator"]
        return mask, soft_tokens.masked_logits(generator, inputs, mask, vocabulary.mask_id, vocabulary.special_ids)

    def masks_by_role(self, batch: Batch, mask: Tensor) -> dict[str, Tensor]:
        """Transfer a mask on the generator's tokens to the tokens of each role."""
        assert self.context.vocabulary is not None
        maskable = masking.common_maskable(batch.inputs, self.context.vocabulary.special_ids, batch.tokenization)
        source = maskable["generator"]
        return {role: masking.transfer_mask(mask, source, target) for role, target in maskable.items()}

    def generate_text(self, batch: Batch) -> GeneratedText:
        """x′: the masked tokens filled from the generator's distribution."""
        with torch.no_grad():
            mask, logits = self.mask_and_score(batch)
            ids = gumbel.sample_tokens(logits, rng.stream(self.context.seed, "fill", batch.phase, batch.step))
        return self.fill(batch, mask, ids)

    def fill(self, batch: Batch, mask: Tensor, ids: Tensor) -> GeneratedText:
        """x′ for every role: `ids` [masked] at the positions of a mask on the generator's tokens."""
        present = batch.inputs["generator"]["attention_mask"].bool()
        filled = {
            role: masking.fill_masked_inputs(batch.inputs[role], role_mask, ids)
            for role, role_mask in self.masks_by_role(batch, mask).items()
        }
        return GeneratedText(filled.pop("generator")["input_ids"], present, mask, filled)

    def student_step(self, batch: Batch, hard_weight: float, soft_weight: float, pseudo_weight: float) -> StepOutput:
        """Loss of the student on x and x′, summed over the rows.

            hard_weight · hard(S(x), y) + τ² · (soft_weight · D(T(x), S(x)) + pseudo_weight · D(T(x′), S(x′)))

        D is the run's loss; the teacher's logits on x are those of the batch. `flipped` is the share of rows whose
        teacher's class differs between x and x′.
        """
        assert batch.teacher_logits is not None
        assert self.context.loss is not None
        generated, temperature, count = self.generate_text(batch), self.config.temperature, len(batch.ids)
        with torch.no_grad():
            inputs, teacher_logits = self.class_view.teacher_targets(self.roles["teacher"], generated.inputs)
        clean_logits, pseudo_logits = self._student_logits(batch.inputs["student"], inputs["student"])
        scale = temperature**2
        soft = scale * self.context.loss(clean_logits, batch.teacher_logits, temperature).sum()
        pseudo = scale * self.context.loss(pseudo_logits, teacher_logits, temperature).sum()
        loss, terms = soft_weight * soft + pseudo_weight * pseudo, {"soft": soft.detach(), "pseudo": pseudo.detach()}
        if hard_weight:
            assert batch.labels is not None
            hard = self.context.hard_loss(clean_logits, batch.labels).sum()
            loss, terms = loss + hard_weight * hard, {"hard": hard.detach()} | terms
        return StepOutput(loss, count, terms, self.student_metrics(batch, generated, teacher_logits))

    def student_metrics(self, batch: Batch, generated: GeneratedText, teacher_logits: Tensor) -> dict[str, Tensor]:
        """Metrics that a student step logs with its losses, sums over the rows.

        Args:
            batch: the rows.
            generated: x′.
            teacher_logits: of the teacher on x′, like `batch.teacher_logits` on the rows.
        """
        assert batch.teacher_logits is not None
        if self.context.task.is_regression:
            return {}
        return {"flipped": self.class_view.flipped(batch.teacher_logits, teacher_logits).sum()}

    def _student_logits(self, clean: dict[str, Tensor], pseudo: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of the student on x and x′, in one pass if both have one length."""
        student = self.roles["student"]
        if any(value.shape != pseudo[name].shape for name, value in clean.items()):
            return student(**clean).logits, student(**pseudo).logits
        both = {name: torch.cat([value, pseudo[name]]) for name, value in clean.items()}
        clean_logits, pseudo_logits = student(**both).logits.split(len(clean["input_ids"]))
        return clean_logits, pseudo_logits

    def adversarial_divergence(self, batch: Batch, divergence: Divergence) -> tuple[Tensor, Tensor, Tensor]:
        """Disagreement of teacher and student on x′, with a gradient to the generator.

        x′ is the straight-through Gumbel-softmax sample, embedded with each model's own table. Teacher and student are
        frozen, and the gradient passes through them.

        Returns:
            D(T(x′), S(x′)) per example, [batch] (for a score always the squared error); the generator's logits at the
            masked tokens, [masked, vocabulary]; the mask, [batch, length].
        """
        names = MULTI_LABEL_DIVERGENCES if self.context.task.is_multi_label else DIVERGENCES
        loss = registry.get("loss", "logit_mse" if self.context.task.is_regression else names[divergence]).target
        mask, logits = self.mask_and_score(batch)
        stream = rng.numpy_stream(self.context.seed, "gumbel", batch.phase, batch.step)
        noise = gumbel.gumbel_noise(logits.shape[0], logits.shape[1], stream, logits.device)
        ids = gumbel.gumbel_argmax(logits, noise)
        soft = gumbel.gumbel_softmax(logits, noise, self.config.gumbel_temperature)
        masks = self.masks_by_role(batch, mask)
        outputs = {
            role: soft_tokens.soft_logits(self.roles[role], batch.inputs[role], masks[role], ids, soft)
            for role in ("teacher", "student")
        }
        return loss(outputs["student"], outputs["teacher"], self.config.temperature), logits, mask
