"""Domain embeddings and the domain classifier of Meta-KD."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mean_pool(hidden: Tensor, mask: Tensor, skip: int = 0) -> Tensor:
    """Mean of hidden states over the tokens of each row.

    Args:
        hidden: [batch, length, width].
        mask: attention mask, [batch, length]; 1 for tokens.
        skip: number of tokens to leave out at the front: 1 leaves out `[CLS]`.

    Returns:
        [batch, width] float32.
    """
    weights = mask[:, skip:, None].float()
    return (hidden[:, skip:].float() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


class DomainEmbedding(nn.Module):
    """u(x) = tanh(W · (e_k + content(x)) + b): e_k embeds the row's domain, content(x) is the encoder's.

    Args:
        width: width of the encoder, of e_k and of u(x).
        domains: number of domains, K.
        std: standard deviation of the new weights, the encoder's `initializer_range`.
    """

    def __init__(self, width: int, domains: int, std: float = 0.02) -> None:
        super().__init__()
        self.embedding = nn.Embedding(domains, width)
        self.dense = nn.Linear(width, width)
        nn.init.normal_(self.embedding.weight, std=std)
        _init_linear(self.dense, std)

    def forward(self, content: Tensor, domains: Tensor) -> Tensor:
        """Compute u(x), [batch, width], from content(x) [batch, width] and domain indices [batch]."""
        return torch.tanh(self.dense(content + self.embedding(domains)))


class DomainClassifier(DomainEmbedding):
    """A domain embedding u(x) with a softmax over domains on top.

    Args:
        width: see `DomainEmbedding`.
        domains: see `DomainEmbedding`.
        dropout: dropout between u(x) and the softmax.
        std: see `DomainEmbedding`.
    """

    def __init__(self, width: int, domains: int, dropout: float = 0.1, std: float = 0.02) -> None:
        super().__init__(width, domains, std)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, domains)
        _init_linear(self.output, std)

    def logits(self, vectors: Tensor) -> Tensor:
        """Logits of the softmax over domains, [batch, K], from u(x) [batch, width]."""
        return self.output(self.dropout(vectors))

    def average_unseen(self, domain: int, seen: list[int]) -> None:
        """Set the untrained embedding of an unseen domain to the mean of the seen domains' embeddings [ours]."""
        with torch.no_grad():
            self.embedding.weight[domain] = self.embedding.weight[seen].mean(dim=0)


def _init_linear(layer: nn.Linear, std: float) -> None:
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
