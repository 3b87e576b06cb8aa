"""Run the rows of a batch in groups, one pass per group."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

Key = Literal["length", "length_of_embeddings", "end_tokens"]
"""Which rows a pass may have in common: rows of one length, such rows if the batch has embeddings instead of ids, or
rows with one number of end-of-text tokens."""


@dataclass
class GroupedForward:
    """A forward pass in groups of rows, in place of a model's own; gradients pass through it.

    Attributes:
        forward: the model's own.
        key: rows that a pass may have in common.
        end_id: end-of-text token, for the key `end_tokens`.
        takes_mask: whether the model has an attention mask.
    """

    forward: Callable[..., Any]
    key: Key
    end_id: int = -1
    takes_mask: bool = True

    def __call__(self, **inputs: Any) -> Any:
        """The model's output; of a batch with several groups its logits alone, in the order of the rows."""
        groups = self._groups(inputs)
        if groups is None:
            return self._run(inputs)
        parts, rows = [], []
        for group, width in groups:
            batch = {
                name: value[group][:, :width] if isinstance(value, Tensor) and value.dim() >= 2 else value
                for name, value in inputs.items()
            }
            parts.append(self._run(batch).logits)
            rows.append(group)
        order = torch.cat(rows).argsort()
        return SequenceClassifierOutput(logits=torch.cat(parts)[order])

    def _run(self, inputs: dict[str, Any]) -> Any:
        if not self.takes_mask:
            inputs = {name: value for name, value in inputs.items() if name != "attention_mask"}
        return self.forward(**inputs)

    def _groups(self, inputs: dict[str, Any]) -> list[tuple[Tensor, int]] | None:
        """Rows and width of each group; None if the batch is one group as it is."""
        mask: Tensor | None = inputs.get("attention_mask")
        needed = {"length_of_embeddings": "inputs_embeds", "end_tokens": "input_ids"}.get(self.key)
        if mask is None or (needed is not None and inputs.get(needed) is None):
            return None
        width = mask.shape[1]
        if self.key == "end_tokens":
            keys = ((inputs["input_ids"] == self.end_id) & mask.bool()).sum(dim=1)
            sizes = dict.fromkeys(keys.unique().tolist(), width)
        else:
            keys = mask.sum(dim=1)
            sizes = {length: length for length in keys.unique().tolist()}
        if list(sizes.values()) == [width]:
            return None
        return [((keys == key).nonzero().squeeze(1), size) for key, size in sizes.items()]


def group_rows(model: PreTrainedModel, key: Key, end_id: int = -1) -> None:
    """Make a classifier run its rows in groups, in place. A second call replaces the key of the first.

    Args:
        model: a classifier, whose rows are padded on the right.
        key: rows that a pass may have in common.
        end_id: end-of-text token, for the key `end_tokens`.
    """
    plain = model.forward.forward if isinstance(model.forward, GroupedForward) else model.forward
    takes_mask = "attention_mask" in inspect.signature(plain).parameters
    model.forward = GroupedForward(plain, key, end_id, takes_mask)


def ungroup_rows(model: PreTrainedModel) -> None:
    """Restore a model's own forward pass, in place."""
    if isinstance(model.forward, GroupedForward):
        model.forward = model.forward.forward


def grouping_of(model: Any) -> Key | None:
    """How a model groups its rows; None for a model that takes a batch as it is."""
    return model.forward.key if isinstance(getattr(model, "forward", None), GroupedForward) else None
