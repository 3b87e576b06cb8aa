"""Parameters, bytes and floating-point operations of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

PLAIN = "eager"
"""Attention by matrix products, which the counter sees; it misses the fused attention of a CPU."""


def params_without_embeddings(model: nn.Module) -> int:
    """Number of parameters outside embedding tables, of which a token reads one row only; tied ones count once.

    An output layer that shares its weights with an embedding counts as that embedding.
    """
    tables = {id(parameter) for module in model.modules() for parameter in _tables(module)}
    return sum(parameter.numel() for parameter in model.parameters() if id(parameter) not in tables)


def _tables(module: nn.Module) -> Iterator[Tensor]:
    if isinstance(module, nn.Embedding):
        yield module.weight


def weight_bytes(model: nn.Module) -> int:
    """Bytes of the weights in fp32; tied ones count once."""
    return 4 * sum(parameter.numel() for parameter in model.parameters())


def count_flops(model: PreTrainedModel, run: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions of a pass, two per multiply and add.

    Element-wise operations, norms and look-ups are not counted; they are a few percent.

    Args:
        model: runs with plain attention for this pass.
        run: runs the model once.
    """
    with _plain_attention(model), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@contextmanager
def _plain_attention(model: PreTrainedModel) -> Iterator[None]:
    config: Any = model.config
    before: str = config._attn_implementation
    model.set_attn_implementation(PLAIN)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
