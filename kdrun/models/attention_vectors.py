"""Queries, keys and values of a layer, by hooks on its projections.

They do not depend on how the layer computes its attention, so that fused attention stays in use.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kdrun.config.architectures import titles
from kdrun.errors import ModelError
from kdrun.models import families

NAMES = (
    ("query", "key", "value"),  # BERT and most of its descendants
    ("q_lin", "k_lin", "v_lin"),  # DistilBERT, XLM
    ("q", "k", "v"),  # MPNet
    ("query_proj", "key_proj", "value_proj"),  # DeBERTa-v2
    ("q_proj", "k_proj", "v_proj"),  # EuroBERT
)
"""Names of the three projections in an attention module."""


@dataclass(frozen=True)
class AttentionVectors:
    """Queries, keys and values of all tokens, [batch, length, width] each: all heads next to each other."""

    queries: Tensor
    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class Projections:
    """The projections of one layer to queries, keys and values.

    Attributes:
        modules: three linear layers.
        pass_number: which of their calls in a forward pass belongs to the layer, from 0. Other calls are those of
            other layers with the same weights, or of relative positions.
    """

    modules: tuple[nn.Linear, nn.Linear, nn.Linear]
    pass_number: int = 0

    @property
    def width(self) -> int:
        """Width of queries, keys and values alike."""
        return self.modules[0].out_features


def find_projections(model: Any, layer: int, role: str) -> Projections:
    """The projections of a layer.

    Args:
        model: an encoder.
        layer: counted from 1.
        role: of the model, for messages.

    Raises:
        ModelError: the layer does not have three projections of one width, or attends only to the left.
    """
    name, depth, family = type(model).__name__, families.depth(model.config), families.family_of(model.config)
    if not 1 <= layer <= depth:
        raise ModelError(f"the {role} ({name}) has {depth} layers, and no layer {layer}")
    if family is not None and family.reads != "masked":
        raise ModelError(
            f"the {role} ({name}) attends only to the left or has two stacks, and relations between all tokens of a "
            f"text are compared; take a {titles()} model"
        )
    is_shared = family is not None and family.shared_layers
    pattern = families.layer_pattern(model.config)
    found: list[tuple[nn.Linear, nn.Linear, nn.Linear]] = []
    for path, module in model.named_modules():
        match = pattern.fullmatch(f"{path}.")
        if is_shared or (match is not None and int(match["index"]) == layer - 1):
            found += _own_projections(module)
    widths = {linear.out_features for linear in found[0]} if found else set()
    if len(found) != 1 or len(widths) != 1:
        raise ModelError(
            f"the {role} ({name}) has no layer {layer} with one projection each to queries, keys and values, of one "
            f"width; take a {titles()} model"
        )
    return Projections(found[0], layer - 1 if is_shared else 0)


def _own_projections(module: nn.Module) -> list[tuple[nn.Linear, nn.Linear, nn.Linear]]:
    """Those that are children of the module itself; empty without."""
    children = dict(module.named_children())
    for names in NAMES:
        query, key, value = (children.get(name) for name in names)
        if isinstance(query, nn.Linear) and isinstance(key, nn.Linear) and isinstance(value, nn.Linear):
            return [(query, key, value)]
    return []


def check_projections(model: nn.Module, projections: Projections, role: str) -> None:
    """Check on a short text that the projections give one vector per token.

    Args:
        model: the projections' model, on the CPU.
        projections: of one of its layers.
        role: of the model, for messages.

    Raises:
        ModelError: they are called on other shapes, as in attention over windows of a text.
    """
    ids = torch.ones(2, 3, dtype=torch.long)
    with torch.inference_mode():
        vectors = read_vectors(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, projections)
    if vectors.queries.shape != (2, 3, projections.width):
        raise ModelError(
            f"the {role} ({type(model).__name__}) computes queries, keys and values in another form than one per "
            f"token: {list(vectors.queries.shape)} for 2 texts of 3 tokens; take a {titles()} model"
        )


def read_vectors(model: nn.Module, inputs: dict[str, Tensor], projections: Projections) -> AttentionVectors:
    """Run a model, and return the queries, keys and values of a layer.

    Args:
        model: the projections' model.
        inputs: keyword arguments of the model.
        projections: of the layer.
    """
    outputs: list[list[Tensor]] = [[], [], []]

    def recorder(calls: list[Tensor]) -> Callable[[nn.Module, Any, Tensor], None]:
        def record(_module: nn.Module, _args: Any, output: Tensor) -> None:
            calls.append(output)

        return record

    with ExitStack() as stack:
        for module, calls in zip(projections.modules, outputs, strict=True):
            stack.callback(module.register_forward_hook(recorder(calls)).remove)
        model(**inputs)
    return AttentionVectors(*(calls[projections.pass_number] for calls in outputs))
