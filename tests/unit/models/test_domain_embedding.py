"""The domain branch: values by hand, and domains that are wrong without exception."""

from __future__ import annotations

import math

import pytest
import torch

from kdrun import rng
from kdrun.methods.domain_teachers.meta import sample_wrong_domains
from kdrun.models.domain_embedding import DomainClassifier, mean_pool


def test_the_mean_leaves_out_padding_and_what_is_skipped() -> None:
    hidden = torch.tensor([[[9.0], [1.0], [3.0], [7.0]], [[4.0], [2.0], [50.0], [50.0]]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    assert mean_pool(hidden, mask).squeeze(1).tolist() == [5.0, 3.0]
    assert mean_pool(hidden, mask, skip=1).squeeze(1).tolist() == pytest.approx([11 / 3, 2.0])


def test_the_domain_vector_by_hand() -> None:
    branch = DomainClassifier(2, 3)
    with torch.no_grad():
        branch.embedding.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        branch.dense.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        branch.dense.bias.fill_(0.5)
    found = branch(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([1, 2]))
    wanted = [[math.tanh(2.5), math.tanh(2.5)], [math.tanh(1.5), math.tanh(4.5)]]
    torch.testing.assert_close(found, torch.tensor(wanted))


def test_dropout_stands_between_vector_and_softmax_alone() -> None:
    branch = DomainClassifier(64, 3, dropout=0.5)
    content, domains = torch.randn(4, 64, generator=rng.stream(0, "test")), torch.tensor([0, 1, 2, 0])
    vectors = branch(content, domains)
    torch.testing.assert_close(branch(content, domains), vectors, rtol=0, atol=0)
    assert not torch.equal(branch.logits(vectors), branch.logits(vectors))
    branch.eval()
    torch.testing.assert_close(branch.logits(vectors), branch.logits(vectors), rtol=0, atol=0)


def test_an_unseen_domain_takes_the_mean_of_the_seen() -> None:
    branch = DomainClassifier(2, 3)
    with torch.no_grad():
        branch.embedding.weight.copy_(torch.tensor([[2.0, 0.0], [4.0, 6.0], [9.0, 9.0]]))
    branch.average_unseen(2, [0, 1])
    assert branch.embedding.weight[2].tolist() == [3.0, 3.0]


def test_a_wrong_domain_is_never_the_own_one_and_each_other_is_as_likely() -> None:
    own = torch.tensor([0, 2, 3]).repeat(3000)  # domain 1 is not shown
    drawn = sample_wrong_domains(own, torch.tensor([0, 2, 3]), rng.stream(1, "corruption"))
    assert not (drawn == own).any()
    assert set(drawn.tolist()) == {0, 2, 3}
    for k in (0, 2, 3):
        share = (drawn[own == k] == {0: 2, 2: 3, 3: 0}[k]).float().mean().item()
        assert share == pytest.approx(0.5, abs=0.05)


def test_a_single_domain_has_no_wrong_one() -> None:
    with pytest.raises(ValueError, match="at least two"):
        sample_wrong_domains(torch.tensor([1]), torch.tensor([1]), rng.stream(1, "corruption"))
