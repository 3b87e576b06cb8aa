"""Texts that a language model writes after a prompt."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from kdrun.config.architectures import Architecture
from kdrun.generation.written_text import Sampling, complete_text, continuations
from tests.helpers.tiny_models import build_context, make, scratch_config


@pytest.mark.parametrize(
    ("continuation", "text"),
    [
        ('a moving film" and more', "a moving film"),
        ('two\nlines" end', "two lines"),
        ("the first line\nthe second", "the first line"),
        ("One sentence. Another one. And a pie", "One sentence. Another one."),
        ("no end in sight", ""),
        ('"', ""),
        ("short.", ""),
    ],
)
def test_a_text_ends_at_a_quote_a_line_end_or_a_full_stop(continuation: str, text: str) -> None:
    assert complete_text(continuation, min_words=2) == text


def test_draws_depend_on_seed_purpose_and_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path))
    bundle = make(scratch_config(Architecture.gpt2), build_context())
    tokenizer: Any = bundle.tokenizer
    shape = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(shape).eval()

        def draw(purpose: str = "a", seed: int = 1) -> list[list[str]]:
            sampling = Sampling(6, 0.9, 1.0, 3, seed)
            return list(islice(continuations(model, tokenizer, "The cat sees", purpose, sampling), 2))

        first = draw()
        assert [len(batch) for batch in first] == [3, 3]
        assert draw() == first
        assert first[0] != first[1]
        assert draw("b") != first != draw(seed=2)
        assert not any("The cat sees" in text for batch in first for text in batch)
