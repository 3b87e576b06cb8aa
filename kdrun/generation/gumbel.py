"""Gumbel-softmax and inverse-CDF sampling at masked positions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kdrun.data.transfer import to_device

BLOCK = 128
"""Ids per block of the two-level inverse-CDF lookup."""
ROWS_AT_ONCE = 16


def gumbel_noise(count: int, size: int, generator: np.random.Generator, device: torch.device) -> Tensor:
    """Standard Gumbel noise −log(−log u), [count, size] float32, from a CPU stream (`kdrun.rng.numpy_stream`).

    −log u is an exponential variate. It is clamped above zero, like the 1e-20 inside both logarithms of the authors'
    code.
    """
    exponential = exponential_variates(count, size, generator, device)
    return exponential.clamp_min_(torch.finfo(torch.float32).tiny).log_().neg_()


def exponential_variates(count: int, size: int, generator: np.random.Generator, device: torch.device) -> Tensor:
    """Exponential variates, [count, size] float32; arguments as for `gumbel_noise`.

    There is one number per masked token and entry of the vocabulary, so a GPU draws its own numbers, which depend on
    the stream too but differ from those of a CPU. On the CPU, NumPy draws five times faster than torch.
    """
    if device.type == "cuda":
        own_stream = torch.Generator(device).manual_seed(int(generator.integers(2**63)))
        return torch.empty(count, size, device=device).exponential_(generator=own_stream)
    return exponential_variates_of_cpu(count, size, generator, device)


def exponential_variates_of_cpu(count: int, size: int, generator: np.random.Generator, device: torch.device) -> Tensor:
    """The numbers that a CPU draws, on any device."""
    return to_device(torch.from_numpy(generator.standard_exponential((count, size), dtype=np.float32)), device)


def gumbel_argmax(logits: Tensor, noise: Tensor) -> Tensor:
    """Token ids that Gumbel-softmax samples: argmax of logit plus noise, [masked] int64."""
    return (logits + noise).argmax(dim=-1)


def sample_tokens(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Token ids from the same distribution as `gumbel_argmax`, without a relaxation, [masked] int64.

    Args:
        logits: [masked, vocabulary].
        generator: a CPU stream (`kdrun.rng.stream`), so that the draw is the same on every device up to rounding.
    """
    return inverse_cdf_sample(logits, torch.rand(len(logits), generator=generator))


def inverse_cdf_sample(logits: Tensor, uniform: Tensor) -> Tensor:
    """Inverse-CDF sampling: look uniform numbers up in the cumulative distribution, [masked] int64.

    It needs one number per token instead of Gumbel noise for the whole vocabulary, and is sufficient where no gradient
    reaches the generator. Ids of probability 0 are never sampled.

    Args:
        logits: [masked, vocabulary].
        uniform: in [0, 1), with at most 24 bits, [masked].
    """
    uniform = to_device(uniform, logits.device)
    if not len(logits):
        return uniform.long()
    # a few rows at a time, so that they stay in the processor's cache
    chunks = zip(logits.split(ROWS_AT_ONCE), uniform.split(ROWS_AT_ONCE), strict=True)
    return torch.cat([_two_level_lookup(rows, numbers[:, None])[:, 0] for rows, numbers in chunks])


def _two_level_lookup(logits: Tensor, uniform: Tensor) -> Tensor:
    """Inverse-CDF sampling in two levels: the block of ids by the sums of blocks, then the id in the block, [rows, 1].

    A running sum over the whole vocabulary is sequential and would cost more than everything else.
    """
    size, blocks = logits.shape[1], logits.shape[1] // BLOCK
    weights = (logits - logits.amax(dim=1, keepdim=True)).exp_()
    whole = weights[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK)).sum(dim=-1)
    ends = torch.cat([whole, weights[:, blocks * BLOCK :].sum(dim=-1, keepdim=True)], dim=1).cumsum(dim=1)
    # a uniform number is at most 1 - 2^-24, so its product stays below the total, and the lookup inside the blocks
    threshold = uniform * ends[:, -1:]
    block = torch.searchsorted(ends, threshold, right=True)
    before = torch.where(block > 0, ends.gather(1, (block - 1).clamp(min=0)), 0.0)
    ids = block * BLOCK + torch.arange(BLOCK, device=logits.device)
    inside = weights.gather(1, ids.clamp(max=size - 1)).masked_fill(ids >= size, 0.0).cumsum(dim=1)
    # rounding must lead neither out of the block nor to an id of probability 0
    below = torch.nextafter(inside[:, -1:], inside.new_zeros(()))
    return block * BLOCK + torch.searchsorted(
        inside, torch.minimum((threshold - before).clamp(min=0.0), below), right=True
    )


def gumbel_softmax(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """The Gumbel-softmax relaxation softmax((logit + g) / τ), [masked, vocabulary]."""
    return ((logits + noise) / temperature).softmax(dim=-1)
