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
    """What a generator maximises: cross-entropy with the teacher's distribution, or KL."""

    ce = "ce"
    kl = "kl"


class PseudoTextMethod(Method):
    """Base of methods whose student also learns from x′: the text x with masked tokens filled by a generator.

    Every free token is masked with probability `config.mask_rate`, afresh at each step, and filled from the
    generator's distribution. Subclasses say what the generator minimises, if anything. Masks and
    noise are functions of (seed, stream of the role's batches, step).

    In student turns nothing needs a gradient through generator or teacher: x′ is plain ids, and x and x′ pass
    through the student as one batch.
    """

    generates_text = True

    def __init__(self, config: Any, parts: MethodContext) -> None:
        super().__init__(config, parts)
        self.answering = parts.class_view()

    def mask_and_score(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Which tokens of the generator's reading of a batch are masked, [batch, length], and what it says of them.

        Returns:
            The mask, and the generator's logits there, [masked, vocabulary], with a gradient where one is taken.
        """
        words = self.context.vocabulary
        assert words is not None
        assert words.mask_id is not None
        free = masking.common_maskable(batch.inputs, words.special_ids)["generator"]
        stream = rng.stream(self.context.seed, "mask", batch.phase, batch.step)
        mask = masking.draw_mask(free, self.config.mask_rate, stream)
        inputs, generator = batch.inputs["generator"], self.roles["generator"]
        return mask, soft_tokens.masked_logits(generator, inputs, mask, words.mask_id, words.special_ids)

    def masks_by_role(self, batch: Batch, mask: Tensor) -> dict[str, Tensor]:
        """A mask on the generator's reading of a batch as a mask on each role's."""
        assert self.context.vocabulary is not None
        free = masking.common_maskable(batch.inputs, self.context.vocabulary.special_ids)
        return {role: masking.transfer_mask(mask, free["generator"], own) for role, own in free.items()}

    def generate_text(self, batch: Batch) -> GeneratedText:
        """x′: the masked tokens filled from the generator's distribution."""
        with torch.no_grad():
            mask, logits = self.mask_and_score(batch)
            ids = gumbel.sample_tokens(logits, rng.stream(self.context.seed, "fill", batch.phase, batch.step))
        return self.fill(batch, mask, ids)

    def fill(self, batch: Batch, mask: Tensor, ids: Tensor) -> GeneratedText:
        """x′ as every role reads it: these ids [masked] in the places of a mask on the generator's reading."""
        own = batch.inputs["generator"]
        read = {
            role: masking.fill_masked_inputs(batch.inputs[role], at, ids)
            for role, at in self.masks_by_role(batch, mask).items()
        }
        return GeneratedText(read.pop("generator")["input_ids"], own["attention_mask"].bool(), mask, read)

    def student_step(self, batch: Batch, hard_weight: float, soft_weight: float, pseudo_weight: float) -> StepOutput:
        """The student's loss on x and x′, summed over the rows.

            hard_weight · hard(S(x), y) + τ² · (soft_weight · D(T(x), S(x)) + pseudo_weight · D(T(x′), S(x′)))

        D is the run's loss; the teacher's logits on x come with the batch. `flipped` is the share of rows whose
        teacher's class differs between x and x′.
        """
        assert batch.teacher_logits is not None
        assert self.context.loss is not None
        made, temperature, count = self.generate_text(batch), self.config.temperature, len(batch.ids)
        with torch.no_grad():
            read, taught = self.answering.teacher_targets(self.roles["teacher"], made.inputs)
        clean, pseudo = self._both(batch.inputs["student"], read["student"])
        scale = temperature**2
        soft = scale * self.context.loss(clean, batch.teacher_logits, temperature).sum()
        apart = scale * self.context.loss(pseudo, taught, temperature).sum()
        loss, terms = soft_weight * soft + pseudo_weight * apart, {"soft": soft.detach(), "pseudo": apart.detach()}
        if hard_weight:
            assert batch.labels is not None
            hard = self.context.hard_loss(clean, batch.labels).sum()
            loss, terms = loss + hard_weight * hard, {"hard": hard.detach()} | terms
        return StepOutput(loss, count, terms, self.student_metrics(batch, made, taught))

    def student_metrics(self, batch: Batch, made: GeneratedText, taught: Tensor) -> dict[str, Tensor]:
        """What a student step logs beside its losses, sums over the rows.

        Args:
            batch: the rows.
            made: x′.
            taught: the teacher's logits on it, as `batch.teacher_logits` are those on the rows.
        """
        assert batch.teacher_logits is not None
        if self.context.task.is_regression:
            return {}
        after, before = self.answering.class_logits(taught), self.answering.class_logits(batch.teacher_logits)
        return {"flipped": (after.argmax(dim=-1) != before.argmax(dim=-1)).sum()}

    def _both(self, own: dict[str, Tensor], made: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The student's logits on x and on x′: in one pass, where both are equally long."""
        student = self.roles["student"]
        if any(value.shape != made[name].shape for name, value in own.items()):
            return student(**own).logits, student(**made).logits
        both = {name: torch.cat([value, made[name]]) for name, value in own.items()}
        first, second = student(**both).logits.split(len(own["input_ids"]))
        return first, second

    def adversarial(self, batch: Batch, divergence: Divergence) -> tuple[Tensor, Tensor, Tensor]:
        """What a generator's turn is made of: how far teacher and student disagree on x′, with a gradient to it.

        x′ is the straight-through Gumbel-softmax sample, in each model's own embeddings; teacher and student are
        frozen, and the gradient passes through them.

        Returns:
            D(T(x′), S(x′)) per example, [batch] (squared error for a score, whatever `divergence` says); the
            generator's logits at the masked tokens, [masked, vocabulary]; the mask, [batch, length].
        """
        name = {Divergence.ce: "soft_ce", Divergence.kl: "kl"}[divergence]
        loss = registry.get("loss", "logit_mse" if self.context.task.is_regression else name).target
        mask, logits = self.mask_and_score(batch)
        stream = rng.numpy_stream(self.context.seed, "gumbel", batch.phase, batch.step)
        drawn = gumbel.gumbel(logits.shape[0], logits.shape[1], stream, logits.device)
        ids, soft = gumbel.sample(logits, drawn), gumbel.gumbel_softmax(logits, drawn, self.config.gumbel_temperature)
        places = self.masks_by_role(batch, mask)
        answers = {
            role: soft_tokens.soft_logits(self.roles[role], batch.inputs[role], places[role], ids, soft)
            for role in ("teacher", "student")
        }
        return loss(answers["student"], answers["teacher"], self.config.temperature), logits, mask
