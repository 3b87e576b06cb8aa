"""Class-conditional text generation with a prompted T5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kdrun import rng
from kdrun.errors import ModelError
from kdrun.generation import masking, soft_tokens, span_infilling, t5_sampling
from kdrun.generation.t5_sampling import GeneratedTokens, LengthLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdrun.config.task import TaskConfig
    from kdrun.data.tokenization import TextTokenizer

READERS = ("teacher", "student")
"""Who reads what the generator writes."""
PROBE = ("a",)
"""A row that shows a role's frame: one letter, which every vocabulary has."""


@dataclass(frozen=True)
class Spans:
    """Writing into spans of the source: the share of its tokens that they cover, and their mean length in tokens."""

    rate: float
    mean_length: float


@dataclass(frozen=True)
class ReaderInputs:
    """A made text as a role reads it.

    Attributes:
        inputs: the keyword arguments of its model.
        mask: the made tokens in it, [batch, length] bool; None where the text was read as text.
    """

    inputs: dict[str, Tensor]
    mask: Tensor | None


class ConditionalGenerator:
    """Writes with a generator, and hands what it wrote to those who read it.

    Args:
        generator: a `T5ForConditionalGeneration`.
        readers: of generator, teacher and student.
        task: names the classes.
        style: into spans of the source, or new texts of such lengths.
        seed: of spans and words.
        special_ids: of the vocabulary that all share, ids that no text may hold; None where vocabularies differ, and
            text passes between the models.

    Raises:
        ModelError: the generator is no T5, has no sentinels, or reads the names of two classes alike.
    """

    def __init__(
        self,
        generator: nn.Module,
        readers: Mapping[str, TextTokenizer],
        task: TaskConfig,
        style: Spans | LengthLimits,
        seed: int,
        special_ids: Tensor | None,
    ) -> None:
        self.generator, self.readers, self.style, self.seed = generator, readers, style, seed
        self.num_texts = len(task.text)
        self.shared, tokenizer = special_ids is not None, readers["generator"].tokenizer
        self.marks = span_infilling.marks(generator, tokenizer, special_ids)
        said = [tokenizer(words, add_special_tokens=False)["input_ids"] for words in prompts(task)]
        _must_differ(prompts(task), said)
        width, device = max(map(len, said)), self.marks.banned.device
        padded = torch.tensor([ids + [-1] * (width - len(ids)) for ids in said], device=device)
        self._prompts = {
            "input_ids": padded.clamp(min=0),  # what stands where nothing is seen does not matter
            "attention_mask": (padded >= 0).long(),
        }

    def generate(
        self,
        inputs: Mapping[str, dict[str, Tensor]],
        wanted: Tensor,
        moment: tuple[str, int],
        temperature: float | None = None,
    ) -> GeneratedTokens:
        """Text of the wanted classes.

        Args:
            inputs: the source by role, as a batch has it.
            wanted: a class a row, [batch].
            moment: phase and step, which spans and words are a function of.
            temperature: τ of the Gumbel-softmax, where a gradient through soft tokens is wanted.
        """
        source = inputs["generator"]
        prompt = {name: values[wanted] for name, values in self._prompts.items()}
        draws = rng.numpy_stream(self.seed, "write", *moment)
        if isinstance(self.style, LengthLimits):
            return t5_sampling.decode(self.generator, source, prompt, self.marks, self.style, draws, temperature)
        # soft tokens must stand in every role's reading
        read_by = inputs if self.shared else {"generator": source}
        free = masking.common_maskable(read_by, self.marks.banned)["generator"]
        most, spans = len(self.marks.sentinels), rng.numpy_stream(self.seed, "mask", *moment)
        mask = span_infilling.draw_spans(free, self.style.rate, self.style.mean_length, most, spans)
        return t5_sampling.infill(self.generator, source, mask, prompt, self.marks, draws, temperature)

    def encode_for_readers(
        self, inputs: Mapping[str, dict[str, Tensor]], made: GeneratedTokens
    ) -> dict[str, ReaderInputs]:
        """What was written as teacher and student read it.

        Args:
            inputs: the source by role, as for `write`.
            made: from `write`.
        """
        if not self.shared:
            own, count = self.readers["generator"], self.num_texts
            texts = [
                own.decode_texts(ids[is_text].tolist(), count)
                for ids, is_text in zip(made.ids, made.present, strict=True)
            ]
            device = made.ids.device
            read = {role: self.readers[role].batch(texts) for role in READERS}
            return {
                r: ReaderInputs({name: part.to(device) for name, part in own.items()}, None) for r, own in read.items()
            }
        special = self.marks.banned
        if isinstance(self.style, LengthLimits):
            return {role: add_special_tokens(self.readers[role], made, special, role) for role in READERS}
        free = masking.common_maskable(inputs, special)
        masks = {role: masking.transfer_mask(made.generated_mask, free["generator"], free[role]) for role in READERS}
        read = {
            role: masking.fill_masked_inputs(inputs[role], mask, made.generated_ids) for role, mask in masks.items()
        }
        for own in read.values():
            own.pop("decoder_input_ids", None)  # the source's answer is none to what was made of it
        return {role: ReaderInputs(own, masks[role]) for role, own in read.items()}


def reader_logits(
    models: Mapping[str, nn.Module], readings: Mapping[str, ReaderInputs], made: GeneratedTokens, *, soft: bool
) -> dict[str, Tensor]:
    """Logits of the classes that readers give to what was written, [batch, classes] each.

    Args:
        models: a classifier for each reader.
        readings: from `Writer.readings`.
        made: from `Writer.write`.
        soft: whether a gradient is to reach the generator through them, as far as they read its tokens.
    """
    found = {}
    with torch.set_grad_enabled(soft):
        for role, reading in readings.items():
            if made.soft is None or reading.mask is None:
                found[role] = models[role](**reading.inputs).logits
            else:
                found[role] = soft_tokens.soft_logits(
                    models[role], reading.inputs, reading.mask, made.generated_ids, made.soft
                )
    return found


def prompts(task: TaskConfig) -> list[str]:
    """What stands before a source text, for each class: `<task> <class>:`."""
    return [f"{task.name} {word}:" for word in task.label_words or task.classes]


def _must_differ(words: list[str], said: list[list[int]]) -> None:
    """The generator can write for a class only what its prompt tells apart from the others."""
    seen: dict[tuple[int, ...], str] = {}
    for prompt, ids in zip(words, said, strict=True):
        if tuple(ids) in seen:
            raise ModelError(
                f"the generator is told what to write by a prompt, and in its vocabulary the prompts "
                f"{seen[tuple(ids)]!r} and {prompt!r} are the same; name the classes otherwise (task.label_words)"
            )
        seen[tuple(ids)] = prompt


def add_special_tokens(reader: TextTokenizer, made: GeneratedTokens, special_ids: Tensor, role: str) -> ReaderInputs:
    """A text of its own in a role's frame: the special tokens or the prompt that a text stands between there.

    Args:
        reader: the role's; of the vocabulary that the text was written in.
        made: from `kdrun.generation.t5_sampling.decode`.
        special_ids: as `kdrun.generation.masking.maskable` takes them.
        role: for messages.

    Raises:
        ModelError: with its frame the longest text is longer than the role reads.
    """
    probe = {name: values.to(made.ids.device) for name, values in reader.batch([PROBE]).items()}
    places = masking.maskable(probe, special_ids)[0].nonzero()[:, 0]
    if not len(places):
        raise ModelError(f"the {role}'s vocabulary has no token for {PROBE[0]!r}, so nothing shows its frame")
    first, behind = int(places[0]), int(places[-1]) + 1
    if (whole := probe["input_ids"].shape[1] - (behind - first) + made.ids.shape[1]) > reader.max_length:
        raise ModelError(
            f"made texts have up to {made.ids.shape[1]} tokens, which the {role} reads as {whole}, and "
            f"data.max_length is {reader.max_length}; lower method.max_tokens or raise data.max_length"
        )
    count = len(made.ids)
    around = [
        torch.ones(count, n, dtype=torch.bool, device=made.ids.device)
        for n in (first, len(probe["input_ids"][0]) - behind)
    ]
    kept = torch.cat([around[0], made.present, around[1]], dim=1)
    inside = torch.cat([~around[0], made.present, ~around[1]], dim=1)
    order, width = span_infilling.left_pack_order(kept)
    inputs = {}
    for name, values in probe.items():
        content = made.ids if name == "input_ids" else values[:, first, None].expand_as(made.ids)
        row = torch.cat([values[:, :first].expand(count, -1), content, values[:, behind:].expand(count, -1)], dim=1)
        filler = reader.tokenizer.pad_token_id if name == "input_ids" else 0
        inputs[name] = row.masked_fill(~kept, filler).gather(1, order)[:, :width]
    return ReaderInputs(inputs, inside.gather(1, order)[:, :width])
