"""Gumbel-softmax and inverse-CDF sampling."""

import pytest
import torch

from kdrun import rng
from kdrun.generation import gumbel


@pytest.mark.parametrize("way", ["gumbel", "lookup"])
def test_both_ways_to_sample_follow_the_models_distribution(way: str) -> None:
    """The Gumbel trick, argmax of log p + g, and the lookup in the cumulative distribution."""
    expected = torch.tensor([0.0, 0.6, 0.0, 0.3, 0.1, 0.0])
    logits = expected.log().expand(20000, 6)
    if way == "gumbel":
        ids = gumbel.gumbel_argmax(
            logits, gumbel.gumbel_noise(20000, 6, rng.numpy_stream(1, "gumbel"), torch.device("cpu"))
        )
    else:
        ids = gumbel.sample_tokens(logits, rng.stream(1, "fill"))
    shares = torch.bincount(ids, minlength=6) / 20000
    torch.testing.assert_close(shares, expected, atol=0.015, rtol=0)
    assert not shares[expected == 0].any()


@pytest.mark.parametrize("size", [7, 127, 128, 129, 256, 1000])
def test_a_sample_inverts_the_cumulative_distribution(size: int) -> None:
    """As the plain form has it, in float64, but for draws so near to a border that rounding may decide them."""
    logits = 3 * torch.randn(2000, size, generator=rng.stream(1, "logits"))
    logits[:, ::5] = -torch.inf
    uniform = torch.rand(2000, generator=rng.stream(1, "uniform"))
    ends = logits.double().softmax(dim=-1).cumsum(dim=-1)
    plain = torch.searchsorted(ends, uniform[:, None].double() * ends[:, -1:], right=True)[:, 0]
    ids = gumbel.inverse_cdf_sample(logits, uniform)
    assert ids.dtype == torch.int64
    assert bool(logits.gather(1, ids[:, None]).isfinite().all())
    unlike = ids != plain
    assert int(unlike.sum()) <= 2
    borders = (ends - uniform[:, None].double()).abs().min(dim=1).values
    assert bool((borders[unlike] < 1e-6).all())


@pytest.mark.parametrize("size", [7, 128, 300])
@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_the_ends_of_the_uniform_numbers_give_no_id_of_probability_zero(size: int, uniform: float) -> None:
    logits = torch.full((3, size), -torch.inf)
    logits[0, size // 2], logits[1, 1:-1], logits[2, -1] = 0.0, 0.0, 5.0
    ids = gumbel.inverse_cdf_sample(logits, torch.full((3,), uniform))
    assert ids.tolist() == [size // 2, size - 2 if uniform else 1, size - 1]


def test_the_largest_uniform_number_stays_inside_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(500, 97, generator=rng.stream(1, "x")).log_softmax(dim=-1)
    logits[:, -3:] = -torch.inf
    logits = logits.log_softmax(dim=-1)
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.full(shape, 1 - 2**-24))
    assert int(gumbel.sample_tokens(logits, rng.stream(1, "fill")).max()) < 94
