"""A tiny T5 and a few rows, for generation tests."""

from typing import Any

import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from kdrun.generation.span_infilling import T5SpecialIds

VOCAB, SENTINELS = 30, [20, 21, 22]
PAD, END = 0, 2
WORDS = T5SpecialIds(torch.tensor(SENTINELS), torch.tensor([0, 1, 2, 3, *SENTINELS]), PAD, END)


def t5(seed: int = 0, vocab: int = VOCAB) -> T5ForConditionalGeneration:
    """A tiny T5 whose answers are far from even."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    sizes |= {"vocab_size": vocab, "pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": PAD}
    model = T5ForConditionalGeneration(T5Config(**sizes)).eval()
    for p in model.parameters():
        p.data.mul_(3)
    return model


class Tokenizer:
    """What `marks` asks of a tokenizer."""

    def __init__(self, entries: dict[str, int], special: list[int]) -> None:
        self.entries, self.all_special_ids, self.added_tokens_decoder = entries, special, {}

    def get_vocab(self) -> dict[str, int]:
        return self.entries

    def __len__(self) -> int:
        return len(self.entries)


def rows() -> dict[str, Tensor]:
    ids = torch.tensor([[4, 5, 6, 7, 8, 9, 2, 0], [10, 11, 12, 13, 14, 15, 16, 2]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def prompt() -> dict[str, Tensor]:
    return {"input_ids": torch.tensor([[17, 18], [19, 0]]), "attention_mask": torch.tensor([[1, 1], [1, 0]])}


def mask_of(*rows: str) -> Tensor:
    return torch.tensor([[letter == "x" for letter in row] for row in rows])
