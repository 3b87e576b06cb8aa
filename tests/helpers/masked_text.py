"""Tiny masked language models and classifiers, and a batch of text to mask."""

from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
)

from kdrun import rng
from kdrun.generation import masking

VOCAB, MASK, SPECIAL = 40, 4, torch.tensor([0, 1, 2, 3, 4])
SHAPE: dict[str, Any] = {"vocab_size": VOCAB, "pad_token_id": 1}
BERT: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
DISTIL: dict[str, Any] = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
FAMILIES: dict[str, tuple[type, type, Any]] = {
    "bert": (BertForMaskedLM, BertForSequenceClassification, BertConfig(**SHAPE, **BERT)),
    "distilbert": (DistilBertForMaskedLM, DistilBertForSequenceClassification, DistilBertConfig(**SHAPE, **DISTIL)),
    "roberta": (
        RobertaForMaskedLM,
        RobertaForSequenceClassification,
        RobertaConfig(**SHAPE, **BERT, max_position_embeddings=24, type_vocab_size=1),
    ),
}


def models(family: str) -> Any:
    """Generator, teacher, student: teacher and student frozen, as in a generator turn; larger weights than usual."""
    mlm, classifier, config = FAMILIES[family]
    torch.manual_seed(1)
    roles = [mlm(config), classifier(config), classifier(config)]
    for model in roles:
        for p in model.parameters():
            p.data.mul_(8)
        model.eval()
    for model in roles[1:]:
        model.requires_grad_(False)
    return roles


def text() -> dict[str, Tensor]:
    """Three rows of unequal length, [CLS]-like 0 first, separator 2 last, padding 1."""
    torch.manual_seed(2)
    ids = torch.randint(5, VOCAB, (3, 9))
    ids[:, 0], ids[0, 8], ids[1, 5], ids[2, 7] = 0, 2, 2, 2
    ids[1, 6:], ids[2, 8:] = 1, 1
    return {"input_ids": ids, "attention_mask": ids.ne(1).long()}


def masked(inputs: dict[str, Tensor]) -> Tensor:
    return masking.draw_mask(masking.maskable(inputs, SPECIAL), 0.5, rng.stream(1, "mask"))
