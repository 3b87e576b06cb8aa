"""Masking for masked language modeling."""

import pytest
import torch

from kdrun import rng
from kdrun.models import masked_lm


def test_masking_follows_80_10_10_and_spares_special_tokens() -> None:
    ids = torch.randint(5, 100, (200, 50), generator=rng.stream(0, "test"))
    ids[:, 0], ids[:, -1] = 2, 0
    maskable = ids >= 5
    words = torch.arange(5, 100)
    changed, targets = masked_lm.mask_tokens(ids, maskable, 0.3, 4, words, rng.stream(1, "mask"))
    chosen = targets != -100
    assert not chosen[:, [0, -1]].any()
    assert torch.equal(targets[chosen], ids[chosen])
    assert torch.equal(changed[~chosen], ids[~chosen])
    rate = chosen.sum() / maskable.sum()
    assert rate.item() == pytest.approx(0.3, abs=0.02)
    masked = (changed[chosen] == 4).float().mean().item()
    unchanged_share = (changed[chosen] == ids[chosen]).float().mean().item()
    assert masked == pytest.approx(0.8, abs=0.03)
    assert unchanged_share == pytest.approx(0.1, abs=0.03)
    assert changed[chosen].min() >= 4


def test_a_batch_always_has_a_target() -> None:
    ids = torch.tensor([[2, 7, 3]])
    _, targets = masked_lm.mask_tokens(ids, ids == 7, 1e-9, 4, torch.tensor([7, 8]), rng.stream(0, "mask"))
    assert targets.tolist() == [[-100, 7, -100]]
