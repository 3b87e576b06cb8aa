"""Fit padding to a model: padding ids, and batches without padding.

Whether padding or embeddings change a model's output is measured on short texts when the model is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kdrun.config.architectures import titles
from kdrun.data.tokenization import TextTokenizer
from kdrun.errors import ModelError
from kdrun.models import families
from kdrun.models.hub_files import first_line, silence_transformers
from kdrun.models.row_groups import group_rows, grouping_of, ungroup_rows

SENTENCE = "The second half of this film is slower than the first one, and it's still the better half of the two."
WORDS = SENTENCE.split()
TEXTS = [(" ".join(WORDS[:count]),) for count in (1, 2, 3, 4, 5, 6, len(WORDS))]
"""Rows on which a model is measured: many lengths, odd and even, next to each other and far apart."""

TOLERANCE = 1e-3
"""Largest difference between two outputs that counts as rounding, relative to the largest output."""

MAX_LENGTH = 64
"""Tokens of a measured row at most."""

FORWARD_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, AttributeError, NotImplementedError)
"""Errors of a forward pass that a model's class does not support."""


def fit_padding_ids(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, where: str) -> list[str]:
    """Give tokenizer and config one padding token, in place; both are saved with the model.

    Args:
        config: of the model, before it is built.
        tokenizer: rows are padded with its padding token.
        where: config key and folder, for messages.

    Returns:
        Notes on changes.

    Raises:
        ModelError: there is no token to pad with, or a model that counts positions from its padding id has another.
    """
    notes = _set_padding_token(config, tokenizer, where)
    family, pad, old = families.family_of(config), tokenizer.pad_token_id, config.pad_token_id
    if old == pad:
        return notes
    if family is not None and family.positions == "after_padding":
        raise ModelError(
            f"{where}: the tokenizer pads with {tokenizer.pad_token!r} (id {pad}), and config.json has pad_token_id "
            f"{old}, from which {family.title} counts positions, so they belong to different checkpoints; put the "
            "right tokenizer files into the folder"
        )
    if family is not None and (family.reads == "masked" or family.is_text_to_text):
        return notes  # the attention mask alone tells padding from text
    config.pad_token_id = pad
    if not notes:
        notes.append(
            f"pad_token_id set to {pad} ({tokenizer.pad_token!r}), with which the tokenizer pads; config.json has {old}"
        )
    return notes


def _set_padding_token(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, where: str) -> list[str]:
    if tokenizer.pad_token_id is not None:
        return []
    pad, eos = config.pad_token_id, tokenizer.eos_token
    if isinstance(pad, int) and 0 <= pad < len(tokenizer):
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad)  # pyright: ignore[reportAttributeAccessIssue]
        origin = f"pad_token_id {pad} of config.json"
    elif eos is not None:
        tokenizer.pad_token = eos
        origin = "its end-of-text token"
    else:
        raise ModelError(
            f"{where}: neither the tokenizer nor config.json has a padding token, and there is no end-of-text token to "
            "pad with; add one to the tokenizer (pad_token in tokenizer_config.json)"
        )
    return [f"the tokenizer has no padding token: rows are padded with {tokenizer.pad_token!r}, {origin}"]


@silence_transformers()
def fit_batches(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int, where: str) -> list[str]:
    """Make a classifier give each row the same output in every batch, in place.

    Args:
        model: a classifier in eval mode.
        tokenizer: of the model.
        max_length: tokens per row.
        where: config key and folder, for messages.

    Returns:
        Notes on changes.

    Raises:
        ModelError: the model's output on a row is random, or cannot be computed.
    """
    texts = TextTokenizer(tokenizer, min(max_length, MAX_LENGTH))
    alone = [texts.batch([text]) for text in TEXTS]
    _group_by_end_token(model, alone, where)
    if "attention_mask" not in inspect.signature(type(model).forward).parameters:
        group_rows(model, "length")
    try:
        expected = torch.cat([_logits(model, row) for row in alone])
        if not _close(_logits(model, alone[-1]), expected[-1:]):
            raise ModelError(
                f"{where}: {type(model).__name__} gives two outputs for one text, since its attention draws random "
                f"numbers; take a {titles()} model"
            )
        if _depends_on_padding(model, texts, expected):
            group_rows(model, "length")
        elif grouping_of(model) is None and _embedding_problem(model, texts.batch(TEXTS)):
            _try_embeddings_in_groups(model, texts.batch(TEXTS))
    except FORWARD_ERRORS as error:
        raise ModelError(
            f"{where}: {type(model).__name__} cannot classify short texts ({first_line(error)}); take a {titles()} "
            "model"
        ) from None
    if grouping_of(model) != "length":
        return []
    return [
        f"padding changes the output of a {type(model).__name__}: rows share a pass only with rows of the same length, "
        "which is slower"
    ]


def _try_embeddings_in_groups(model: PreTrainedModel, batch: dict[str, Tensor]) -> None:
    """Group rows of embeddings by length if that gives the output on ids, as in models that read the last token."""
    group_rows(model, "length_of_embeddings")
    if _embedding_problem(model, batch):
        ungroup_rows(model)


def _depends_on_padding(model: PreTrainedModel, texts: TextTokenizer, expected: Tensor) -> bool:
    """Whether outputs differ from the expected ones in one batch, or next to a text that is one word longer."""
    if not expected.any() or not _close(_logits(model, texts.batch(TEXTS)), expected):
        return True  # a new head of zeros shows nothing
    pairs = range(len(TEXTS) - 1)
    return any(not _close(_logits(model, texts.batch(TEXTS[i : i + 2])), expected[i : i + 2]) for i in pairs)


def _group_by_end_token(model: PreTrainedModel, rows: list[dict[str, Tensor]], where: str) -> None:
    """Group rows by their number of end tokens, for a model that reads the last one's state.

    Such a model refuses a batch whose rows differ in that number, as they do if a text contains the token.
    """
    family, end = families.family_of(model.config), model.config.eos_token_id
    if family is None or family.reads != "end_token":
        return
    if any(not bool((row["input_ids"] == end).any()) for row in rows):
        raise ModelError(
            f"{where}: {family.title} reads its answer at the end-of-text token (eos_token_id {end} in config.json), "
            "and its tokenizer ends no row with that token; put the right tokenizer files into the folder"
        )
    assert isinstance(end, int)
    group_rows(model, "end_tokens", end)


@silence_transformers()
def check_embeddings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, role: str, method: str) -> None:
    """Check that a classifier gives the same output on a text's embeddings as on its ids.

    Args:
        model: a classifier.
        tokenizer: of the model.
        role: of the model, for messages.
        method: which passes embeddings, for messages.

    Raises:
        ModelError: the model takes no embeddings, or gives another output on them.
    """
    was_training = model.training
    problem = _embedding_problem(model.eval(), TextTokenizer(tokenizer, MAX_LENGTH).batch(TEXTS))
    model.train(was_training)
    if problem:
        raise ModelError(
            f"method={method} passes embeddings instead of token ids to the {role}, and {type(model).__name__} "
            f"{problem}; take a {titles()} model, or another method"
        )


def check_states(model: PreTrainedModel, role: str, setting: str) -> None:
    """Check that a classifier gives one hidden state per token of a batch.

    Args:
        model: a classifier.
        role: of the model, for messages.
        setting: `key=value` that needs hidden states, for messages.

    Raises:
        ModelError: padding changes the model's output, or it is an encoder-decoder.
    """
    reasons = {"length": "and padding changes those of", "end_tokens": "and there are two stacks of them in"}
    reason = reasons.get(str(grouping_of(model)))
    if reason is not None:
        raise ModelError(
            f"{setting} reads hidden states, {reason} the {role} ({type(model).__name__}); take a {titles()} model, or "
            "another method"
        )


def _embedding_problem(model: PreTrainedModel, batch: dict[str, Tensor]) -> str:
    """Why a model cannot read embeddings; empty if its output on them is that on the ids."""
    batch = {name: value.to(model.device) for name, value in batch.items()}
    ids = batch["input_ids"]
    inputs = {name: value for name, value in batch.items() if name != "input_ids"}
    inputs |= families.explicit_positions(model.config, ids)
    try:
        with torch.no_grad():
            embeddings: Callable[[Tensor], Tensor] = model.get_input_embeddings()
            inputs["inputs_embeds"] = embeddings(ids)
        logits, expected = _logits(model, inputs), _logits(model, batch)
    except FORWARD_ERRORS as error:
        return f"does not take them ({first_line(error)})"
    return "" if _close(logits, expected) else "gives another output on them than on the same tokens"


def _logits(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**inputs).logits.float()


def _close(first: Tensor, second: Tensor) -> bool:
    """Whether two outputs differ by rounding only; outputs that are not finite are another check's task."""
    if not bool(torch.isfinite(second).all()):
        return True
    return float((first - second).abs().max()) <= TOLERANCE * float(second.abs().max())
