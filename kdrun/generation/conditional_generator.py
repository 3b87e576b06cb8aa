"""Class-conditional text generation with a prompted T5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kdrun import rng
from kdrun.data.transfer import to_device
from kdrun.errors import ModelError
from kdrun.generation import masking, soft_tokens, span_infilling, t5_drawing, t5_sampling
from kdrun.generation.generated_tokens import DrawnTokens, GeneratedTokens
from kdrun.generation.t5_sampling import LengthLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from kdrun.config.task import TaskConfig
    from kdrun.data.batch import Batch
    from kdrun.data.tokenization import TextTokenizer

READER_ROLES = ("teacher", "student")
"""Roles that read generated text."""
PROBE_TEXT = ("a",)
"""A row that shows the special tokens a role adds around a text: one letter, which every vocabulary has."""


@dataclass(frozen=True)
class Spans:
    """Infilling of spans of the source: the share of its tokens that they cover, and their mean length in tokens."""

    rate: float
    mean_length: float


@dataclass(frozen=True)
class ReaderInputs:
    """Generated text as a role reads it.

    Attributes:
        inputs: keyword arguments of the role's model.
        mask: the generated tokens among them, [batch, length] bool; None if the text was tokenized again.
    """

    inputs: dict[str, Tensor]
    mask: Tensor | None


class ConditionalGenerator:
    """Generator of text of given classes, encoded for the roles that read it.

    Args:
        generator: a `T5ForConditionalGeneration`.
        tokenizers: of generator, teacher and student.
        task: names the classes.
        style: infilling of spans, or new texts within length limits.
        seed: decides spans and tokens.
        special_ids: ids of the shared vocabulary that no text may contain; None if vocabularies differ, so that plain
            text passes between the models.

    Raises:
        ModelError: the generator is no T5, has no sentinels, or encodes the prompts of two classes alike.
    """

    def __init__(
        self,
        generator: nn.Module,
        tokenizers: Mapping[str, TextTokenizer],
        task: TaskConfig,
        style: Spans | LengthLimits,
        seed: int,
        special_ids: Tensor | None,
    ) -> None:
        self.generator, self.tokenizers, self.style, self.seed = generator, tokenizers, style, seed
        self.num_texts = len(task.text)
        self.shared, tokenizer = special_ids is not None, tokenizers["generator"].tokenizer
        self.special_ids = span_infilling.t5_special_ids(generator, tokenizer, special_ids)
        encoded = [tokenizer(prompt, add_special_tokens=False)["input_ids"] for prompt in class_prompts(task)]
        _check_prompts_differ(class_prompts(task), encoded)
        width, device = max(map(len, encoded)), self.special_ids.banned.device
        padded = torch.tensor([ids + [-1] * (width - len(ids)) for ids in encoded], device=device)
        # padding is masked, so any id serves
        self._prompts = {"input_ids": padded.clamp(min=0), "attention_mask": (padded >= 0).long()}

    def generate(
        self,
        batch: Batch,
        target_classes: Tensor,
        temperature: float | None = None,
    ) -> GeneratedTokens:
        """Generate text of the target classes.

        Args:
            batch: the source text. Spans and tokens are functions of its phase, its step and the seed.
            target_classes: one class per row, [batch].
            temperature: τ of the Gumbel-softmax, for a gradient through soft tokens; None for no relaxation.
        """
        source, prompt, stream = self._parts(batch, target_classes)
        if isinstance(self.style, LengthLimits):
            return t5_sampling.decode(self.generator, source, prompt, self.special_ids, self.style, stream, temperature)
        mask = self._spans(batch, self.style)
        return t5_sampling.infill(self.generator, source, mask, prompt, self.special_ids, stream, temperature)

    def draw(self, batch: Batch, target_classes: Tensor) -> DrawnTokens:
        """Text of the target classes without a gradient: the tokens of `generate` without a temperature."""
        source, prompt, stream = self._parts(batch, target_classes)
        if isinstance(self.style, LengthLimits):
            return t5_drawing.draw_texts(self.generator, source, prompt, self.special_ids, self.style, stream)
        mask = self._spans(batch, self.style)
        return t5_drawing.draw_infilling(self.generator, source, mask, prompt, self.special_ids, stream)

    def _parts(
        self, batch: Batch, target_classes: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], np.random.Generator]:
        """Source text, prompts, and the random stream of the tokens."""
        prompt = {name: values[target_classes] for name, values in self._prompts.items()}
        return batch.inputs["generator"], prompt, rng.numpy_stream(self.seed, "write", batch.phase, batch.step)

    def _spans(self, batch: Batch, style: Spans) -> Tensor:
        """Tokens of the source to replace, [batch, length] bool."""
        # soft tokens need a place in the inputs of every role
        inputs = batch.inputs if self.shared else {"generator": batch.inputs["generator"]}
        candidates = masking.common_maskable(inputs, self.special_ids.banned, batch.tokenization)
        max_spans, span_stream = (
            len(self.special_ids.sentinels),
            rng.numpy_stream(self.seed, "mask", batch.phase, batch.step),
        )
        return span_infilling.draw_spans(candidates["generator"], style.rate, style.mean_length, max_spans, span_stream)

    def encode_for_readers(self, batch: Batch, generated: DrawnTokens) -> dict[str, ReaderInputs]:
        """Inputs of teacher and student for the generated text.

        Args:
            batch: the source text, as for `generate`.
            generated: from `generate` or `draw`.
        """
        if not self.shared:
            return self._tokenize_again(generated)
        special = self.special_ids.banned
        if isinstance(self.style, LengthLimits):
            return {role: add_special_tokens(self.tokenizers[role], generated, special, role) for role in READER_ROLES}
        maskable = masking.common_maskable(batch.inputs, special, batch.tokenization)
        encoded = {}
        for role in READER_ROLES:
            mask = masking.transfer_mask(generated.generated_mask, maskable["generator"], maskable[role])
            filled = masking.fill_masked_inputs(batch.inputs[role], mask, generated.generated_ids)
            filled.pop("decoder_input_ids", None)  # the answer of the source text is not that of the generated text
            encoded[role] = ReaderInputs(filled, mask)
        return encoded

    def _tokenize_again(self, generated: DrawnTokens) -> dict[str, ReaderInputs]:
        """Inputs by role, tokenized from the decoded text."""
        tokenizer, device = self.tokenizers["generator"], generated.ids.device
        texts = [
            tokenizer.decode_texts(ids[is_text].tolist(), self.num_texts)
            for ids, is_text in zip(generated.ids, generated.present, strict=True)
        ]
        batches = {role: self.tokenizers[role].batch(texts) for role in READER_ROLES}
        return {
            role: ReaderInputs({name: to_device(values, device) for name, values in batch.items()}, None)
            for role, batch in batches.items()
        }


def reader_logits(
    models: Mapping[str, nn.Module],
    reader_inputs: Mapping[str, ReaderInputs],
    generated: GeneratedTokens,
    *,
    soft: bool,
) -> dict[str, Tensor]:
    """Class logits of each reader on generated text, [batch, classes] each.

    Args:
        models: a classifier per reader.
        reader_inputs: from `ConditionalGenerator.encode_for_readers`.
        generated: from `ConditionalGenerator.generate`.
        soft: whether a gradient reaches the generator through the soft tokens.
    """
    logits = {}
    with torch.set_grad_enabled(soft):
        for role, encoded in reader_inputs.items():
            if generated.soft is None or encoded.mask is None:
                logits[role] = models[role](**encoded.inputs).logits
            else:
                logits[role] = soft_tokens.soft_logits(
                    models[role], encoded.inputs, encoded.mask, generated.generated_ids, generated.soft
                )
    return logits


def class_prompts(task: TaskConfig) -> list[str]:
    """Prompt per class that precedes a source text: `<task> <class>:`."""
    return [f"{task.name} {word}:" for word in task.label_words or task.classes]


def _check_prompts_differ(prompts: list[str], encoded: list[list[int]]) -> None:
    """Check that the generator can distinguish the prompts of all classes."""
    seen: dict[tuple[int, ...], str] = {}
    for prompt, ids in zip(prompts, encoded, strict=True):
        if tuple(ids) in seen:
            raise ModelError(
                f"the generator's vocabulary encodes the prompts {seen[tuple(ids)]!r} and {prompt!r} alike, so it "
                "cannot tell their classes apart; rename the classes (task.label_words)"
            )
        seen[tuple(ids)] = prompt


def add_special_tokens(
    tokenizer: TextTokenizer, generated: DrawnTokens, special_ids: Tensor, role: str
) -> ReaderInputs:
    """Add the special tokens or the prompt that a role expects around a text.

    Args:
        tokenizer: of the role, with the vocabulary that the text was generated in.
        generated: from `kdrun.generation.t5_sampling.decode`.
        special_ids: as for `kdrun.generation.masking.maskable`.
        role: for messages.

    Raises:
        ModelError: with its special tokens the longest text exceeds the role's maximum length.
    """
    probe = {name: values.to(generated.ids.device) for name, values in tokenizer.batch([PROBE_TEXT]).items()}
    places = masking.maskable(probe, special_ids)[0].nonzero()[:, 0]
    if not len(places):
        raise ModelError(
            f"the {role}'s vocabulary has no token for {PROBE_TEXT[0]!r}, so its special tokens cannot be located; "
            "take a model with another vocabulary"
        )
    start, end = int(places[0]), int(places[-1]) + 1
    length = probe["input_ids"].shape[1] - (end - start) + generated.ids.shape[1]
    if length > tokenizer.max_length:
        raise ModelError(
            f"generated texts have up to {generated.ids.shape[1]} tokens, {length} with the special tokens of the "
            f"{role}, and data.max_length is {tokenizer.max_length}; lower method.max_tokens or raise data.max_length"
        )
    count = len(generated.ids)
    before, after = (
        torch.ones(count, n, dtype=torch.bool, device=generated.ids.device)
        for n in (start, len(probe["input_ids"][0]) - end)
    )
    keep = torch.cat([before, generated.present, after], dim=1)
    is_generated = torch.cat([~before, generated.present, ~after], dim=1)
    order, width = span_infilling.left_pack_order(keep)
    inputs = {}
    for name, values in probe.items():
        content = generated.ids if name == "input_ids" else values[:, start, None].expand_as(generated.ids)
        row = torch.cat([values[:, :start].expand(count, -1), content, values[:, end:].expand(count, -1)], dim=1)
        padding = tokenizer.tokenizer.pad_token_id if name == "input_ids" else 0
        inputs[name] = row.masked_fill(~keep, padding).gather(1, order)[:, :width]
    return ReaderInputs(inputs, is_generated.gather(1, order)[:, :width])
