"""Gumbel-softmax and inverse-CDF sampling at masked positions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BLOCK = 128
"""Ids of a vocabulary that are summed up together for a draw."""
ROWS_AT_ONCE = 16


def gumbel(count: int, size: int, generator: np.random.Generator, device: torch.device) -> Tensor:
    """Standard Gumbel noise −log(−log u), [count, size] float32, from a CPU stream (`kdrun.rng.numpy_stream`).

    −log u is an exponential variate, which NumPy draws five times faster than torch does; it is kept off zero, as
    the authors' 1e-20 inside both logarithms does.
    """
    exponential = torch.from_numpy(generator.standard_exponential((count, size), dtype=np.float32))
    return exponential.clamp_min_(torch.finfo(torch.float32).tiny).log_().neg_().to(device)


def sample(logits: Tensor, noise: Tensor) -> Tensor:
    """The token ids that Gumbel-softmax chooses: argmax of logit plus noise, [masked] int64."""
    return (logits + noise).argmax(dim=-1)


def sample_tokens(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Token ids from the same distribution as `sample`, where no gradient is wanted: [masked] int64.

    Args:
        logits: [masked, vocabulary].
        generator: a CPU stream (`kdrun.rng.stream`), so that the draw is the same on every device up to rounding.
    """
    return inverse_cdf_sample(logits, torch.rand(len(logits), generator=generator))


def inverse_cdf_sample(logits: Tensor, uniform: Tensor) -> Tensor:
    """The tokens that uniform numbers choose, looked up in the cumulative distribution: [masked] int64.

    One number a token, in place of a vocabulary's worth of Gumbel noise: all that a student turn needs of the
    straight-through sample. Ids of probability 0 are never given.

    Args:
        logits: [masked, vocabulary].
        uniform: in [0, 1), with at most 24 bits, [masked].
    """
    uniform = uniform.to(logits.device)
    if not len(logits):
        return uniform.long()
    # a few rows at a time, which stay in the processor's cache
    parts = zip(logits.split(ROWS_AT_ONCE), uniform.split(ROWS_AT_ONCE), strict=True)
    return torch.cat([_looked_up(some, wanted[:, None])[:, 0] for some, wanted in parts])


def _looked_up(logits: Tensor, uniform: Tensor) -> Tensor:
    """`drawn_at` for [rows, 1]: first the block of ids, by the blocks' sums, then the id in it, [rows, 1].

    A running sum over a whole vocabulary cannot be taken side by side, and costs more than all the rest.
    """
    size, blocks = logits.shape[1], logits.shape[1] // BLOCK
    weights = (logits - logits.amax(dim=1, keepdim=True)).exp_()
    whole = weights[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK)).sum(dim=-1)
    ends = torch.cat([whole, weights[:, blocks * BLOCK :].sum(dim=-1, keepdim=True)], dim=1).cumsum(dim=1)
    # a uniform number is at most 1 - 2^-24, so its product stays below the total, and the lookup inside the blocks
    wanted = uniform * ends[:, -1:]
    block = torch.searchsorted(ends, wanted, right=True)
    before = torch.where(block > 0, ends.gather(1, (block - 1).clamp(min=0)), 0.0)
    ids = block * BLOCK + torch.arange(BLOCK, device=logits.device)
    inside = weights.gather(1, ids.clamp(max=size - 1)).masked_fill(ids >= size, 0.0).cumsum(dim=1)
    # rounding must not lead out of the block, nor to an id of probability 0
    below = torch.nextafter(inside[:, -1:], inside.new_zeros(()))
    return block * BLOCK + torch.searchsorted(
        inside, torch.minimum((wanted - before).clamp(min=0.0), below), right=True
    )


def gumbel_softmax(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """The Gumbel-softmax relaxation softmax((logit + g) / τ), [masked, vocabulary]."""
    return ((logits + noise) / temperature).softmax(dim=-1)
