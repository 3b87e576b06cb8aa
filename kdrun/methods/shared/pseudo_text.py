"""Base of methods that train on text filled in by a generator."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from kdrun import registry, rng
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.generation.types import GeneratedText
from kdrun.lazy import lazy_module
from kdrun.methods.base import Method, MethodContext, StepOutput
from kdrun.methods.phases import Turn
from kdrun.methods.shared import labeled_text
from kdrun.methods.shared.generated_text_settings import confidence_problems
from kdrun.methods.shared.labeled_text import LabeledText
from kdrun.methods.shared.soft_targets import temperature_at
from kdrun.methods.shared.text_reuse import WINDOW_SOURCES, TextWindow

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

    With `config.reuse` a text and the teacher's answer serve several student steps of one turn
    (`kdrun.methods.shared.text_reuse`). With `config.min_confidence` the student learns from the texts whose class the
    teacher gives at least this probability. With `config.candidates` it learns the hardest of several texts per row.

    Every maskable token is masked with probability `config.mask_rate`, drawn again at each step, and filled from the
    generator's distribution. Subclasses define the generator's loss, if it trains. Masks and noise are functions of
    (seed, stream of the role's batches, step).

    In student turns no gradient passes through generator or teacher: x′ is plain ids, and x and x′ pass through the
    student as one batch.
    """

    generates_text = True
    trains_generator: ClassVar[bool] = True
    """Whether the generator changes between two turns of the student."""

    def __init__(self, config: Any, context: MethodContext) -> None:
        super().__init__(config, context)
        self.class_view = context.class_view()
        # logits at every token of an answer are large
        max_sources = 1 if context.task.is_text else WINDOW_SOURCES
        self._texts: TextWindow[list[LabeledText]] = TextWindow(config.reuse, max_sources)
        self.num_candidates: int = getattr(config, "candidates", 1)

    @classmethod
    def config_problems(cls, config: Any, task: TaskConfig) -> list[str]:
        """A limit of confidence for a task whose teacher gives no probabilities."""
        return confidence_problems(config, task)

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

    def student_step(
        self, batch: Batch, turn: Turn, hard_weight: float, soft_weight: float, pseudo_weight: float
    ) -> StepOutput:
        """Loss of the student on x and x′, summed over the rows.

            hard_weight · hard(S(x), y) + τ² · (soft_weight · D(T(x), S(x)) + pseudo_weight · D(T(x′), S(x′)))

        D is the run's loss; the teacher's logits on x are those of the batch. x′ is of the same rows, or with
        `config.reuse` of those of an earlier step; if their number differs, its term counts as a mean over its rows.
        Rows of x′ below `config.min_confidence` add nothing to it. `flipped` is the share of generated texts whose
        teacher's class differs from that of their source row.
        """
        assert batch.teacher_logits is not None
        assert self.context.loss is not None
        turn_steps = turn.steps if self.trains_generator else None
        texts, is_new = self._texts.text(batch, turn_steps, self.label_texts)
        temperature, count = self.temperature(batch), len(batch.ids)
        text = self._hardest(texts, temperature)
        if is_new:
            self.on_new_text(text)
        inputs, teacher_logits = text.confident_rows()
        clean_logits, pseudo_logits = self._student_logits(batch.inputs["student"], inputs, teacher_logits)
        scale, share = temperature**2, count / text.num_rows
        soft = scale * self.context.loss(clean_logits, batch.teacher_logits, temperature).sum()
        pseudo = scale * self.context.loss(pseudo_logits, teacher_logits, temperature).sum() * share
        loss, terms = soft_weight * soft + pseudo_weight * pseudo, {"soft": soft.detach(), "pseudo": pseudo.detach()}
        if hard_weight:
            assert batch.labels is not None
            hard = self.context.hard_loss(clean_logits, batch.labels).sum()
            loss, terms = loss + hard_weight * hard, {"hard": hard.detach()} | terms
        return StepOutput(loss, count, terms, {n: value * share for n, value in self.student_metrics(text).items()})

    def temperature(self, batch: Batch) -> float:
        """Temperature of a role's step: with `config.temperature_end` linear over the steps of the role."""
        return temperature_at(self.config.temperature, self.config.temperature_end, batch.progress)

    def label_texts(self, batch: Batch) -> list[LabeledText]:
        """Candidates of x′ for each row, labeled by the teacher; they differ in masks and noise."""
        assert batch.teacher_logits is not None
        texts = []
        for number in range(self.num_candidates):
            source = replace(batch, phase=f"{batch.phase}/candidate {number}") if number else batch
            generated = self.generate_text(source)
            with torch.no_grad():
                inputs, logits = self.class_view.teacher_targets(self.roles["teacher"], generated.inputs)
            limit = self.config.min_confidence
            confident = self.class_view.confidence(logits) >= limit if limit else None
            texts.append(LabeledText(generated, inputs["student"], batch.teacher_logits, logits, confident))
        return texts

    def _hardest(self, texts: list[LabeledText], temperature: float) -> LabeledText:
        """Per row the candidate on which teacher and student disagree most."""
        if len(texts) == 1:
            return texts[0]
        loss, student, divergences = self.context.loss, self.roles["student"], []
        assert loss is not None
        was_training = student.training
        student.eval()  # without dropout, whose noise would decide between similar candidates
        with torch.no_grad():
            for text in texts:
                logits = student(**text.inputs).logits
                divergences.append(loss(logits, text.teacher_logits, temperature))
        student.train(was_training)
        return labeled_text.hardest(texts, divergences)

    def on_new_text(self, text: LabeledText) -> None:
        """Update statistics of generated text; called once per text, in the step whose rows it is generated from."""

    def student_metrics(self, text: LabeledText) -> dict[str, Tensor]:
        """Metrics of generated text that a student step logs with its losses, sums over the rows."""
        metrics = {} if text.confident is None else {"confident": text.confident.sum()}
        if self.context.task.is_regression:
            return metrics
        return {"flipped": self.class_view.flipped(text.source_logits, text.teacher_logits).sum()} | metrics

    def _student_logits(
        self, clean: dict[str, Tensor], pseudo: dict[str, Tensor], teacher_logits: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits of the student on x and x′, in one pass if both have one length; of the teacher's shape without x′."""
        student = self.roles["student"]
        if not len(teacher_logits):
            return student(**clean).logits, torch.zeros_like(teacher_logits)
        if any(value.shape[1:] != pseudo[name].shape[1:] for name, value in clean.items()):
            return student(**clean).logits, student(**pseudo).logits
        both = {name: torch.cat([value, pseudo[name]]) for name, value in clean.items()}
        clean_logits, pseudo_logits = student(**both).logits.split([len(clean["input_ids"]), len(pseudo["input_ids"])])
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
        return loss(outputs["student"], outputs["teacher"], self.temperature(batch)), logits, mask

    def mlm_loss(self, batch: Batch, logits: Tensor, mask: Tensor) -> Tensor:
        """L_MLM: −log p(token), averaged over the masked tokens of a row and summed over the rows.

        Args:
            batch: rows with their text.
            logits: of the generator at the masked tokens, [masked, vocabulary].
            mask: [batch, length].
        """
        targets = batch.inputs["generator"]["input_ids"][mask]
        token_losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        counts = mask.sum(dim=1).clamp(min=1)
        return (token_losses / counts.repeat_interleave(mask.sum(dim=1))).sum()
