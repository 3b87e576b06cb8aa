"""Compare vocabularies and list special and sentinel ids."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterable
from functools import cache

from transformers import PreTrainedModel, PreTrainedTokenizerBase

NON_WORD_ENTRIES = re.compile(r"\[unused\d+\]|<extra_id_\d+>")
"""Entries of a vocabulary that occur in no text: BERT's unused ones, and T5's sentinels of masked spans."""


def same_vocabulary(first: PreTrainedTokenizerBase, second: PreTrainedTokenizerBase) -> bool:
    """Whether both give every word, and every special token that both have, the same id.

    Entries that occur in no text do not count: BERT's unused ones, which T5 models with BERT's vocabulary use for the
    sentinels of masked spans, and those sentinels. T5 has no classification and no mask token.
    """
    if first is second:
        return True
    roles = ("pad", "unk", "cls", "sep", "mask", "eos")
    pairs = [tuple(getattr(tokenizer, f"{role}_token_id") for tokenizer in (first, second)) for role in roles]
    return _word_ids(first) == _word_ids(second) and all(
        one == other for one, other in pairs if None not in (one, other)
    )


def all_same_vocabulary(vocabularies: Iterable[PreTrainedTokenizerBase]) -> bool:
    """Whether all tokenizers have the vocabulary of the first."""
    first, *others = vocabularies
    return all(same_vocabulary(first, other) for other in others)


def _word_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    return {entry: index for entry, index in tokenizer.get_vocab().items() if not NON_WORD_ENTRIES.fullmatch(entry)}


def special_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Sorted ids of all tokens that are not text: those with a role, and all others that were added as special ones."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return sorted(added | set(tokenizer.all_special_ids))


@cache
def _accepted(model_class: type) -> frozenset[str]:
    return frozenset(inspect.signature(model_class.forward).parameters)  # type: ignore[attr-defined]


def fitting_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """The tokenizer, or a copy without token types if the model has none."""
    types = getattr(model.config, "type_vocab_size", None)  # XLNet has no such size, and compares types
    has_types = _takes_types(model) and (types is None or types > 1)
    if "token_type_ids" not in tokenizer.model_input_names or has_types:
        return tokenizer
    fitted = copy.deepcopy(tokenizer)
    fitted.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    return fitted


def _takes_types(model: PreTrainedModel) -> bool:
    return "token_type_ids" in _accepted(type(model))


SENTINELS = [f"<extra_id_{number}>" for number in range(100)]
"""T5's tokens for masked spans, in order."""


def sentinel_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of T5's sentinels, in order; empty if the vocabulary has none."""
    entries = tokenizer.get_vocab()
    return [entries[name] for name in SENTINELS if name in entries]
