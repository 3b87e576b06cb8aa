"""Choose and transfer token masks between tokenizations of one text."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

Inputs = Mapping[str, Tensor]


def maskable(inputs: Inputs, special_ids: Tensor) -> Tensor:
    """Which tokens may be changed: neither padding, special nor of a prompt, [batch, length] bool.

    Args:
        inputs: `input_ids` and `attention_mask`, [batch, length], and `prompt_mask` where rows have prompts.
        special_ids: ids that never change, [k].
    """
    free = inputs["attention_mask"].bool() & ~torch.isin(inputs["input_ids"], special_ids)
    return free & ~inputs["prompt_mask"].bool() if "prompt_mask" in inputs else free


def common_maskable(rows: Mapping[str, Inputs], special_ids: Tensor) -> dict[str, Tensor]:
    """The maskable tokens that several readings of one text have in common, in each of them.

    Models of one vocabulary may frame a text differently: an encoder's special tokens, a text-to-text model's prompts,
    and so another place where a long text is cut. Runs of maskable tokens answer to one another in order, and within a
    run its first token to the first.

    Args:
        rows: by role, `input_ids` and `attention_mask`, [batch, length] each (lengths may differ).
        special_ids: ids that never change, [k].

    Returns:
        By role, [batch, length] bool; a row has as many in every reading, the same tokens in the same order.
    """
    readings = {id(inputs): inputs for inputs in rows.values()}
    free = {key: maskable(inputs, special_ids) for key, inputs in readings.items()}
    if len(readings) > 1:
        tokens = {key: _by_run(inputs["input_ids"], free[key]) for key, inputs in readings.items()}
        runs = max(found.shape[1] for found, _ in tokens.values())
        width = max(found.shape[2] for found, _ in tokens.values())
        # a token that one reading lacks, or that another has differently, is in no reading's share
        grids = [
            nn.functional.pad(found, (0, width - found.shape[2], 0, runs - found.shape[1]), value=-1)
            for found, _ in tokens.values()
        ]
        same = (torch.stack(grids) == grids[0]).all(dim=0) & (grids[0] >= 0)
        for key, (_, (batch, run, place, column)) in tokens.items():
            free[key] = torch.zeros_like(free[key])
            free[key][batch, column] = same[batch, run, place]
    return {role: free[id(inputs)] for role, inputs in rows.items()}


def _by_run(ids: Tensor, free: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Free tokens by run and place in it, [batch, runs, longest], −1 elsewhere; of each its row, run, place, column."""
    starts = free & ~nn.functional.pad(free, (1, 0))[:, :-1]
    columns = torch.arange(free.shape[1], device=free.device).expand_as(free)
    first = torch.where(starts, columns, 0).cummax(dim=1).values
    batch, column = free.nonzero(as_tuple=True)
    run, place = (starts.cumsum(dim=1) - 1)[batch, column], (columns - first)[batch, column]
    shape = (len(ids), int(run.max()) + 1, int(place.max()) + 1) if len(run) else (len(ids), 1, 1)
    grid = ids.new_full(shape, -1)
    grid[batch, run, place] = ids[batch, column]
    return grid, (batch, run, place, column)


def transfer_mask(mask: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """A mask on one reading of a text as a mask on another.

    Args:
        mask: among the tokens `own`, [batch, length] bool.
        own: the tokens that both readings have in common, in the first, from `maskable_in_all`.
        other: the same tokens in the second, [batch, other length] bool.
    """
    if own is other:
        return mask
    found = torch.zeros_like(other)
    found[other] = mask[own]
    return found


def draw_mask(free: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Each free token independently with probability `rate`, [batch, length] bool.

    Args:
        free: from `maskable`, [batch, length].
        rate: between 0 and 1.
        generator: a CPU stream (`kdrun.rng.stream`), so that the mask is the same on every device.
    """
    drawn = torch.rand(free.shape, generator=generator) < rate
    return drawn.to(free.device) & free


def fill_masked_ids(input_ids: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
    """The text with the masked positions filled by `ids` [masked], [batch, length]."""
    return input_ids.masked_scatter(mask, ids)


def fill_masked_inputs(inputs: Inputs, mask: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """A model's inputs with the masked positions of their text filled by `ids` [masked]."""
    return {**inputs, "input_ids": fill_masked_ids(inputs["input_ids"], mask, ids)}
