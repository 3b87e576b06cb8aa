"""Domain embedding: values by hand; wrong domains that always differ from the right one."""

from __future__ import annotations

import math

import pytest
import torch

from kdrun import rng
from kdrun.methods.domain_teachers.meta import sample_wrong_domains
from kdrun.models.domain_embedding import DomainClassifier, mean_pool


def test_the_mean_leaves_out_padding_and_skipped_tokens() -> None:
    hidden = torch.tensor([[[9.0], [1.0], [3.0], [7.0]], [[4.0], [2.0], [50.0], [50.0]]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    assert mean_pool(hidden, mask).squeeze(1).tolist() == [5.0, 3.0]
    assert mean_pool(hidden, mask, skip=1).squeeze(1).tolist() == pytest.approx([11 / 3, 2.0])


def test_the_domain_embedding_by_hand() -> None:
    classifier = DomainClassifier(2, 3)
    with torch.no_grad():
        classifier.embedding.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        classifier.dense.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        classifier.dense.bias.fill_(0.5)
    vectors = classifier(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([1, 2]))
    expected = [[math.tanh(2.5), math.tanh(2.5)], [math.tanh(1.5), math.tanh(4.5)]]
    torch.testing.assert_close(vectors, torch.tensor(expected))


def test_dropout_applies_only_between_embedding_and_softmax() -> None:
    classifier = DomainClassifier(64, 3, dropout=0.5)
    content, domains = torch.randn(4, 64, generator=rng.stream(0, "test")), torch.tensor([0, 1, 2, 0])
    vectors = classifier(content, domains)
    torch.testing.assert_close(classifier(content, domains), vectors, rtol=0, atol=0)
    assert not torch.equal(classifier.logits(vectors), classifier.logits(vectors))
    classifier.eval()
    torch.testing.assert_close(classifier.logits(vectors), classifier.logits(vectors), rtol=0, atol=0)


def test_an_unseen_domain_takes_the_mean_of_the_seen() -> None:
    classifier = DomainClassifier(2, 3)
    with torch.no_grad():
        classifier.embedding.weight.copy_(torch.tensor([[2.0, 0.0], [4.0, 6.0], [9.0, 9.0]]))
    classifier.average_unseen(2, [0, 1])
    assert classifier.embedding.weight[2].tolist() == [3.0, 3.0]


def test_a_wrong_domain_is_uniform_over_the_other_domains() -> None:
    domains = torch.tensor([0, 2, 3]).repeat(3000)  # domain 1 is held out
    samples = sample_wrong_domains(domains, torch.tensor([0, 2, 3]), rng.stream(1, "corruption"))
    assert not (samples == domains).any()
    assert set(samples.tolist()) == {0, 2, 3}
    for k in (0, 2, 3):
        share = (samples[domains == k] == {0: 2, 2: 3, 3: 0}[k]).float().mean().item()
        assert share == pytest.approx(0.5, abs=0.05)


def test_a_single_domain_has_no_wrong_one() -> None:
    with pytest.raises(ValueError, match="at least two"):
        sample_wrong_domains(torch.tensor([1]), torch.tensor([1]), rng.stream(1, "corruption"))
