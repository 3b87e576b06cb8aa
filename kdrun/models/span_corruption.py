"""T5 span corruption objective.

Each span of a text is replaced by one sentinel; the target lists the sentinels, each followed by its span.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, T5Config, T5ForConditionalGeneration

from kdrun import rng
from kdrun.config.model import PretrainConfig
from kdrun.errors import ModelError
from kdrun.losses import IGNORE_INDEX
from kdrun.models.t5_base import init_t5
from kdrun.models.tokenizers import sentinel_ids


class SpanCorruptionObjective:
    """Write the spans that were replaced by sentinels.

    Attributes:
        unit: unit of the mean loss, in words.
        term: name of the loss term.
        source: what is learned from a teacher, in words; empty.

    Raises:
        ModelError: the tokenizer has no sentinels, or no end of a text.
    """

    unit, term, source = "per target token", "cross_entropy", ""

    def __init__(self, config: PretrainConfig, tokenizer: PreTrainedTokenizerBase, role: str) -> None:
        self.sentinels = np.array(sentinel_ids(tokenizer))
        if not len(self.sentinels) or tokenizer.eos_token_id is None:
            raise ModelError(
                f"{role}.pretrain needs a tokenizer with sentinels (<extra_id_0> …) and an end of text; "
                f"set {role}.tokenizer=corpus"
            )
        self.config, self.pad, self.end = config, int(tokenizer.pad_token_id), int(tokenizer.eos_token_id)  # pyright: ignore[reportArgumentType]

    def settings(self, config: PretrainConfig) -> dict[str, Any]:
        """The settings of pretraining that matter; part of the cache key."""
        names = ("steps", "batch_size", "max_length", "mask_rate", "mean_span", "lr")
        return {name: getattr(config, name) for name in names}

    def new(self, settings: T5Config) -> PreTrainedModel:
        """A model with random weights."""
        return init_t5(T5ForConditionalGeneration, settings)

    def loss(self, model: PreTrainedModel, ids: Tensor, seed: int, phase: str, step: int) -> tuple[Tensor, int]:
        """Cross-entropy of the tokens that the model has to write.

        Args:
            model: on any device.
            ids: rows that end in the end of text, padded to one length, [batch, length], on the CPU.
            seed: decides which spans are replaced, together with the next two.
            phase: name of the random streams.
            step: number of the batch.

        Returns:
            The sum over the tokens in nats, and their number.
        """
        generator, pairs = rng.numpy_stream(seed, "mask", phase, step), []
        for row in ids.numpy():
            text = row[(row != self.pad) & (row != self.end)]
            mask = span_mask(len(text), self.config.mask_rate, self.config.mean_span, generator, len(self.sentinels))
            pairs.append(corrupt(text, mask, self.sentinels, self.end))
        sources, targets = _padded([s for s, _ in pairs], self.pad), _padded([t for _, t in pairs], IGNORE_INDEX)
        count = int((targets != IGNORE_INDEX).sum())
        sources, targets = sources.to(model.device), targets.to(model.device)
        decoder_inputs = model.prepare_decoder_input_ids_from_labels(targets)  # type: ignore[operator]
        logits = model(
            input_ids=sources, attention_mask=sources.ne(self.pad).long(), decoder_input_ids=decoder_inputs
        ).logits
        loss = nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
        )
        return loss, count


def span_mask(
    length: int, rate: float, mean_span: float, draws: np.random.Generator, max_spans: int = 100
) -> np.ndarray:
    """Choose about `rate` of a text's tokens, in spans that do not touch, at random positions.

    The number of tokens is rounded from length and rate, the number of spans from tokens and mean length; both are at
    least one. Lengths and positions are uniform among all that give these numbers. (T5's own code ends every text in a
    span.)

    Args:
        length: tokens of the text, at least one.
        rate: share of the tokens.
        mean_span: mean length of a span.
        draws: the random stream.
        max_spans: largest number of spans.

    Returns:
        True for tokens in a span, [length] bool.
    """
    masked = min(max(1, round(length * rate)), max(1, length - 1))
    spans = min(max(1, round(masked / mean_span)), masked, length - masked + 1, max_spans)
    inside = _random_parts(masked, spans, draws)
    # the first and the last gap may be empty
    gaps = _random_parts(length - masked + 2, spans + 1, draws)
    gaps[[0, -1]] -= 1
    lengths = np.zeros(2 * spans + 1, np.int64)
    lengths[::2], lengths[1::2] = gaps, inside
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def _random_parts(total: int, count: int, draws: np.random.Generator) -> np.ndarray:
    """Split a total into `count` integers of at least one; all splits are equally likely."""
    cuts = np.sort(draws.choice(total - 1, count - 1, replace=False)) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))


def corrupt(text: np.ndarray, mask: np.ndarray, sentinels: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Replace the spans of a text by sentinels.

    Args:
        text: token ids without an end, [length].
        mask: the tokens in spans, [length] bool.
        sentinels: ids in order; at least as many as spans.
        end: id at the end of source and target.

    Returns:
        Source and target: `a <0> d <1> end` and `<0> b c <1> e end` for a text `a b c d e` with b, c and e in spans.
    """
    starts = mask & ~np.concatenate([[False], mask[:-1]])
    number = np.cumsum(starts) - 1
    source = np.where(starts, sentinels[number.clip(min=0)], text)[~mask | starts]
    positions = np.flatnonzero(mask)
    firsts = np.flatnonzero(starts[positions])
    target = np.insert(text[positions], firsts, sentinels[: len(firsts)])
    return np.append(source, end), np.append(target, end)


def _padded(rows: list[np.ndarray], fill: int) -> Tensor:
    padded = np.full((len(rows), max(map(len, rows))), fill, np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return torch.from_numpy(padded)
