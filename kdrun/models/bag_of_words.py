"""Linear classifier over hashed n-grams of tokens, as a transformers model."""

from __future__ import annotations

from typing import Any

import torch
import transformers.initialization as init
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from kdrun.config.model import BAG_OF_WORDS

PRIME = 2**31 - 1
MULTIPLIER, MIXER = 1_000_003, 1_540_483_477
"""Hashing modulo a prime below 2^31: products stay below 2^62, so int64 never overflows and every machine agrees."""
SHARED, COUNT = 2, 3
"""Groups of n-grams in both texts of a row; groups 0 and 1 are those of the first and the second text."""
GROUPS = 4


class BagOfWordsConfig(PreTrainedConfig):
    """Sizes of a bag of words.

    Attributes:
        vocab_size: entries of the tokenizer.
        ngrams: longest n-gram, in tokens.
        buckets: weights per output.
        num_texts: texts per row, 1 or 2.
        prefix_tokens: special tokens in front of a row; the next special token ends its first text.
        special_ids: ids of tokens that are no text.
    """

    model_type = BAG_OF_WORDS
    vocab_size: int = 2
    ngrams: int = 2
    buckets: int = 2**18
    num_texts: int = 1
    prefix_tokens: int = 1
    special_ids: list[int] | None = None
    pad_token_id: int | None = None
    eos_token_id: int | None = None
    num_hidden_layers: int = 0


class BagOfWordsForSequenceClassification(PreTrainedModel):
    """A linear layer over the n-grams of a row:

        logits = b + (1/√N) · Σ over the n-grams g of the row of W[hash(g, text of g)]

    N is the number of n-grams of the row, of 1 to `ngrams` adjacent tokens of one text. Each text of a pair has its own
    weights. For each n-gram that the other text has too, W[hash(g, both)] + W[hash(n, both)] is added. The order of the
    tokens matters within an n-gram only. Padding and special tokens are left out. W and b start at 0: the loss is
    convex in them.
    """

    config_class = BagOfWordsConfig
    base_model_prefix = "body"  # there is none: every weight belongs to the classifier
    main_input_name = "input_ids"
    _supports_sdpa = True  # without attention, any implementation will do
    is_text: Tensor

    def __init__(self, config: BagOfWordsConfig) -> None:
        super().__init__(config)
        assert config.num_labels is not None
        self.classifier = nn.Linear(config.buckets, config.num_labels)
        self.register_buffer("is_text", torch.ones(config.vocab_size, dtype=torch.bool))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif module is self:
            table = torch.ones(self.config.vocab_size, dtype=torch.bool)
            table[self.config.special_ids or []] = False
            init.copy_(self.is_text, table)

    def get_input_embeddings(self) -> nn.Module:
        """Refuse: there are none."""
        raise NotImplementedError(
            "a bag of words has no embeddings; with another vocabulary than the teacher's, such as "
            "student.tokenizer=corpus, texts are passed where the method can"
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> SequenceClassifierOutput:
        """Logits of rows of tokens.

        Args:
            input_ids: [rows, length].
            attention_mask: 1 for tokens of the row, 0 for padding, [rows, length]; by default nothing is padding.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        buckets, values = self._features(input_ids, mask.bool())
        weights = F.embedding(buckets, self.classifier.weight.t())
        logits = torch.bmm(values.to(weights.dtype).unsqueeze(1), weights).squeeze(1) + self.classifier.bias
        return SequenceClassifierOutput(logits=logits)  # pyright: ignore[reportArgumentType]

    def _features(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The weights that a row uses, and their factors, both [rows, features]."""
        length, n_max = ids.shape[1], self.config.ngrams
        text = mask & self.is_text[ids]
        boundary = mask & ~text & (torch.arange(length, device=ids.device) >= self.config.prefix_tokens)
        segment = (boundary.cumsum(dim=1) > 0).long() if self.config.num_texts > 1 else torch.zeros_like(ids)
        # shifted copies of the row; beyond its end there is no text
        next_ids, next_text = F.pad(ids, (0, n_max - 1)), F.pad(text, (0, n_max - 1))
        code, is_ngram = torch.zeros_like(ids), torch.ones_like(text)
        buckets, values, counts = [], [], []
        for n in range(1, n_max + 1):
            code = (code * MULTIPLIER + next_ids[:, n - 1 : n - 1 + length] + 1) % PRIME
            is_ngram = is_ngram & next_text[:, n - 1 : n - 1 + length]
            buckets.append(self._bucket(code, segment + GROUPS * n))
            values.append(is_ngram)
            counts.append(is_ngram.sum(dim=1))
            if self.config.num_texts > 1:
                both = is_ngram & _in_other_text(code, is_ngram, segment)
                buckets += [self._bucket(code, SHARED + GROUPS * n), self._bucket(code * 0, COUNT + GROUPS * n)]
                values += [both, both]
        scale = torch.stack(counts).sum(dim=0).clamp(min=1).float().rsqrt()
        return torch.cat(buckets, dim=1), torch.cat(values, dim=1) * scale.unsqueeze(1)

    def _bucket(self, code: Tensor, group: Tensor | int) -> Tensor:
        return ((code + group * MULTIPLIER) * MIXER % PRIME) % self.config.buckets


def _in_other_text(code: Tensor, is_ngram: Tensor, segment: Tensor) -> Tensor:
    """Whether each n-gram also occurs in the other text of its row, [rows, length]."""
    same = (code.unsqueeze(2) == code.unsqueeze(1)) & (segment.unsqueeze(2) != segment.unsqueeze(1))
    return (same & is_ngram.unsqueeze(1)).any(dim=2)


def register_classes() -> None:
    """Let transformers' Auto classes load a saved bag of words."""
    AutoConfig.register(BAG_OF_WORDS, BagOfWordsConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(BagOfWordsConfig, BagOfWordsForSequenceClassification, exist_ok=True)
