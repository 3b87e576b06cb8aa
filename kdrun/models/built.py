"""What a builder returns and is given, and what can be asked of any model."""

from __future__ import annotations

import copy
import hashlib
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdrun import rng
from kdrun.cache import digest
from kdrun.data.config import TaskConfig
from kdrun.data.corpus import Corpus
from kdrun.data.tokens import tokenizer_fingerprint
from kdrun.keeper import Keeper
from kdrun.models.files import quiet

VOLATILE = ("_name_or_path", "transformers_version", "architectures", "dtype")
"""Entries of a model's config that say where it came from, not what it computes."""

UNUSED = re.compile(r"\[unused\d+\]|<extra_id_\d+>")
"""Entries of a vocabulary that no text has: BERT's unused ones, and T5's sentinels of masked spans."""


@dataclass
class Built:
    """A model of one role, ready for the task, with its tokenizer.

    Attributes:
        model: a sequence classifier (T5 as one by label words); for a generator a masked language model or T5 as it
            is; fp32, on the CPU.
        tokenizer: a fast tokenizer.
        name: what the screen calls it, e.g. `bert 2x128 (scratch)`.
        fingerprint: hash of weights, config and tokenizer, 64 hex digits; decides cache keys.
        has_head: the checkpoint came with a classification head for this very task.
        notes: what a reader of the run should know, one sentence each.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    fingerprint: str
    has_head: bool
    notes: list[str] = field(default_factory=list)

    @property
    def prompts(self) -> list[str]:
        """What stands before each text of the rows that it reads; empty for all but a classifier by label words."""
        return list(getattr(self.model, "prompts", ()))


@dataclass(frozen=True)
class BuildContext:
    """What a builder may know beside its own section.

    Attributes:
        role: teacher, student or generator.
        task: decides the head of a teacher and a student.
        corpus: opens the general text; called only when something is trained on it.
        seed: decides new weights and pretraining.
        teacher: the teacher before its fine-tuning, where there is one.
        attn_implementation: that of `kdrun.models.attention` when a method reads attention maps, else `sdpa`.
        max_length: tokens per example, special tokens included.
        device: where pretraining takes place; models are returned on the CPU.
        tell: is given a line about what takes a while.
        stray_weight: that of a text-to-text teacher or student.
        keeper: of the checkpoints that an interrupted pretraining goes on from; they go when it has ended.
    """

    role: str
    task: TaskConfig
    corpus: Callable[[], Corpus]
    seed: int
    teacher: Built | None = None
    attn_implementation: str = "sdpa"
    max_length: int = 128
    device: str = "cpu"
    tell: Callable[[str], None] = lambda _: None
    stray_weight: float = 1.0
    keeper: Keeper | None = None


@contextmanager
def seeded(seed: int, role: str) -> Iterator[None]:
    """New weights drawn inside are a function of (seed, role); the global generator is left as it was.

    Models initialise themselves from torch's global CPU generator; only that one is seeded, because
    `torch.manual_seed` would reach the generators of every GPU too.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(rng.derive(seed, "init", role))
        yield


def head_prefix(model: PreTrainedModel) -> str:
    """What the names of a model's body begin with, e.g. `bert.`; all other weights belong to its head."""
    return f"{model.base_model_prefix}."


def count_parameters(model: nn.Module) -> int:
    """Number of weights; tied ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def model_fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of the weights' bytes, the config and the tokenizer, 64 hex digits."""
    sums = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sums.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        # any dtype, bf16 included, has a view as bytes; NumPy would refuse some of them
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        sums.update(memoryview(flat.view(torch.uint8).numpy()))
    settings = {key: value for key, value in model.config.to_dict().items() if key not in VOLATILE}
    settings = {str(key): repr(value) for key, value in settings.items()}
    return digest({"weights": sums.hexdigest(), "config": settings, "tokenizer": tokenizer_fingerprint(tokenizer)})


def same_vocabulary(first: PreTrainedTokenizerBase, second: PreTrainedTokenizerBase) -> bool:
    """Whether both give every word the same id, and special tokens that both have.

    Entries that no text has do not count: BERT's unused ones, which T5 models with BERT's vocabulary use for the
    sentinels of masked spans, and those sentinels. T5 has no classification and no mask token.
    """
    if first is second:
        return True
    roles = ("pad", "unk", "cls", "sep", "mask", "eos")
    pairs = [tuple(getattr(tokenizer, f"{role}_token_id") for tokenizer in (first, second)) for role in roles]
    return _words(first) == _words(second) and all(one == other for one, other in pairs if None not in (one, other))


def _words(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    return {entry: index for entry, index in tokenizer.get_vocab().items() if not UNUSED.fullmatch(entry)}


def special_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids of all tokens that are no text, sorted: those with a role, and all others added as special ones."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return sorted(added | set(tokenizer.all_special_ids))


@cache
def _accepted(model_class: type) -> frozenset[str]:
    return frozenset(inspect.signature(model_class.forward).parameters)  # type: ignore[attr-defined]


def forward_inputs(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a batch that a model's `forward` names.

    DistilBERT has no token types and swallows `token_type_ids` in silence.
    """
    return {name: tensor for name, tensor in batch.items() if name in _accepted(type(model))}


def fitting_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> PreTrainedTokenizerBase:
    """The tokenizer, or where it makes token types that the model does not have, a copy that makes none."""
    types = getattr(model.config, "type_vocab_size", 0) or 0
    if "token_type_ids" not in tokenizer.model_input_names or (types > 1 and _takes_types(model)):
        return tokenizer
    fitted = copy.deepcopy(tokenizer)
    fitted.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    return fitted


def _takes_types(model: PreTrainedModel) -> bool:
    return "token_type_ids" in _accepted(type(model))


def save(built: Any, tokenizer: PreTrainedTokenizerBase | None, folder: Path) -> None:
    """Write a model and its tokenizer as `from_pretrained` reads them: safetensors in fp32, with label names.

    Args:
        built: a model, or a `Built` (then its own tokenizer serves where none is given).
        tokenizer: the tokenizer to put beside it.
        folder: made if it is not there.
    """
    model = built.model if isinstance(built, Built) else built
    if tokenizer is None and isinstance(built, Built):
        tokenizer = built.tokenizer
    with quiet():
        model.save_pretrained(folder, state_dict=_plain_state(model))
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)


def _plain_state(model: PreTrainedModel) -> dict[str, Tensor]:
    """The weights in fp32 on the CPU; tied ones stay one tensor, so that they are written once."""
    done: dict[tuple[int, torch.Size], Tensor] = {}
    state = {}
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape)
        if place not in done:
            plain = tensor.detach().cpu()
            done[place] = plain.float() if plain.is_floating_point() else plain
        state[name] = done[place]
    return state
