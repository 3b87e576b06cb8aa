"""Check that tokenizer, model and longest text fit each other."""

from __future__ import annotations

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from kdrun.errors import ModelError
from kdrun.models import families

MIN_VOCABULARY_SHARE = 0.5
"""Least entries of a tokenizer per embedding. Models round their embeddings up, by a few percent at most; without its
files a tokenizer class of transformers makes up a vocabulary of a few special tokens."""


def check_vocabulary(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, where: str) -> None:
    """Check that a tokenizer has about as many entries as its model has embeddings.

    Raises:
        ModelError: it has more, or far fewer.
    """
    embeddings = getattr(config, "vocab_size", None)
    if isinstance(embeddings, int) and len(tokenizer) > embeddings:
        raise ModelError(
            f"{where}: the tokenizer has {len(tokenizer)} entries, the model {embeddings} embeddings, so they belong "
            "to different checkpoints; put the right tokenizer files into the folder"
        )
    if isinstance(embeddings, int) and len(tokenizer) < MIN_VOCABULARY_SHARE * embeddings:
        raise ModelError(
            f"{where}: the tokenizer has only {len(tokenizer)} entries for {embeddings} embeddings, so most "
            "words would be unknown; put the files of the model's own tokenizer into the folder (tokenizer.json)"
        )


def check_positions(
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    where: str,
    key: str = "data.max_length",
) -> None:
    """Check that a model has as many positions as texts have tokens; otherwise its first long text fails inside it.

    Args:
        config: the model's.
        tokenizer: the model's.
        max_length: tokens of the longest text.
        where: the model, for messages.
        key: setting that decides the length of texts.

    Raises:
        ModelError: there are too few positions.
    """
    room = position_limit(config, tokenizer)
    if room is not None and max_length > room:
        raise ModelError(f"{where} has room for {room} tokens, {key} is {max_length}; set {key}={room}")


def position_limit(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Most tokens for which a model has positions; None if its config names no limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return None
    return positions - families.first_position(config, tokenizer)
