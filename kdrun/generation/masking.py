"""Choose and transfer token masks between tokenizations of one text."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kdrun.data.transfer import to_device

Inputs = Mapping[str, Tensor]


def maskable(inputs: Inputs, special_ids: Tensor) -> Tensor:
    """Tokens that may be masked: neither padding, special nor part of a prompt, [batch, length] bool.

    Args:
        inputs: `input_ids` and `attention_mask`, [batch, length], and `prompt_mask` if rows have prompts.
        special_ids: ids that never change, [k].
    """
    free = inputs["attention_mask"].bool() & ~torch.isin(inputs["input_ids"], special_ids)
    return free & ~inputs["prompt_mask"].bool() if "prompt_mask" in inputs else free


def common_maskable(
    inputs_by_role: Mapping[str, Inputs], special_ids: Tensor, tokenization: Mapping[str, str]
) -> dict[str, Tensor]:
    """Maskable tokens that the tokenizations of one text for several roles have in common.

    Models with one vocabulary may add different special tokens or prompts, and therefore truncate a long text at
    different places. Runs of maskable tokens correspond to each other in order, and so do the tokens within a run.

    Args:
        inputs_by_role: by role, `input_ids` and `attention_mask`, [batch, length] each (lengths may differ).
        special_ids: ids that never change, [k].
        tokenization: role → first role with the same tokens, from `Batch.tokenization`. A role without an entry shares
            its tokens with none.

    Returns:
        By role, [batch, length] bool. A row has the same tokens in the same order for every role. Roles with the same
        tokens share one tensor.
    """
    keys = {role: tokenization.get(role, role) for role in inputs_by_role}
    tokenizations = {key: inputs_by_role[role] for role, key in keys.items()}
    free = {key: maskable(inputs, special_ids) for key, inputs in tokenizations.items()}
    if len(tokenizations) > 1:
        tokens = {key: _by_run(inputs["input_ids"], free[key]) for key, inputs in tokenizations.items()}
        runs = max(grid.shape[1] for grid, _ in tokens.values())
        width = max(grid.shape[2] for grid, _ in tokens.values())
        # a token that is missing or different for one role is maskable for none
        grids = [
            nn.functional.pad(grid, (0, width - grid.shape[2], 0, runs - grid.shape[1]), value=-1)
            for grid, _ in tokens.values()
        ]
        same = (torch.stack(grids) == grids[0]).all(dim=0) & (grids[0] >= 0)
        for key, (_, (batch, run, place, column)) in tokens.items():
            free[key] = torch.zeros_like(free[key])
            free[key][batch, column] = same[batch, run, place]
    return {role: free[key] for role, key in keys.items()}


def _by_run(ids: Tensor, free: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Free tokens by run and place, [batch, runs, longest], −1 elsewhere; and row, run, place and column of each."""
    starts = free & ~nn.functional.pad(free, (1, 0))[:, :-1]
    columns = torch.arange(free.shape[1], device=free.device).expand_as(free)
    first = torch.where(starts, columns, 0).cummax(dim=1).values
    batch, column = free.nonzero(as_tuple=True)
    run, place = (starts.cumsum(dim=1) - 1)[batch, column], (columns - first)[batch, column]
    shape = (len(ids), int(run.max()) + 1, int(place.max()) + 1) if len(run) else (len(ids), 1, 1)
    grid = ids.new_full(shape, -1)
    grid[batch, run, place] = ids[batch, column]
    return grid, (batch, run, place, column)


def transfer_mask(mask: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Transfer a mask from one tokenization of a text to another.

    Args:
        mask: a subset of `source`, [batch, length] bool.
        source: tokens that both tokenizations have in common, in the first, from `common_maskable`.
        target: the same tokens in the second, [batch, other length] bool.
    """
    if source is target:
        return mask
    transferred = torch.zeros_like(target)
    transferred[target] = mask[source]
    return transferred


def draw_mask(maskable_tokens: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Mask each maskable token independently with probability `rate`, [batch, length] bool.

    Args:
        maskable_tokens: from `maskable`, [batch, length].
        rate: between 0 and 1.
        generator: a CPU stream (`kdrun.rng.stream`), so that the mask is the same on every device.
    """
    drawn = torch.rand(maskable_tokens.shape, generator=generator) < rate
    return to_device(drawn, maskable_tokens.device) & maskable_tokens


def fill_masked_ids(input_ids: Tensor, mask: Tensor, ids: Tensor) -> Tensor:
    """Text whose masked positions are filled with `ids` [masked], [batch, length]."""
    return input_ids.masked_scatter(mask, ids)


def fill_masked_inputs(inputs: Inputs, mask: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """Inputs of a model whose masked positions are filled with `ids` [masked]."""
    return {**inputs, "input_ids": fill_masked_ids(inputs["input_ids"], mask, ids)}
