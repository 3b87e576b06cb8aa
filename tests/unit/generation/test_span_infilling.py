"""Span infilling: gaps by hand, source spans, and ids that are no words."""

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForMaskedLM

from kdrun import rng
from kdrun.errors import ModelError
from kdrun.generation import span_infilling
from tests.helpers.tiny_t5 import WORDS, Tokenizer, mask_of, prompt, rows, t5


def test_gaps_by_hand() -> None:
    """T5's format: one sentinel per gap in the text; in the decoder each sentinel and the tokens of its gap."""
    inputs, mask = rows(), mask_of(".xx.x...", "x......x")
    mask[1, 7] = False
    cut = span_infilling.build_infilling_inputs(inputs["input_ids"], inputs["attention_mask"], mask, prompt(), WORDS)
    assert [row[attended == 1].tolist() for row, attended in zip(cut.ids, cut.attention, strict=True)] == [
        [17, 18, 4, 20, 7, 21, 9, 2],
        [19, 20, 11, 12, 13, 14, 15, 16, 2],
    ]
    assert cut.decoder_ids.tolist() == [[0, 20, 5, 6, 21, 8], [0, 20, 10, 0, 0, 0]]
    assert (cut.rows.tolist(), cut.columns.tolist()) == ([0, 0, 0, 1], [1, 2, 4, 1])


@pytest.mark.parametrize(("rate", "mean", "chosen", "spans"), [(0.5, 3.0, 10, 3), (0.15, 3.0, 3, 1), (1.0, 1.0, 19, 2)])
def test_spans_have_the_share_and_the_length(rate: float, mean: float, chosen: int, spans: int) -> None:
    free = torch.ones(50, 22, dtype=torch.bool)
    free[:, [0, -1]] = False
    mask = span_infilling.draw_spans(free, rate, mean, 99, rng.numpy_stream(1, "mask"))
    assert set(mask.sum(dim=1).tolist()) == {chosen}
    assert not mask[:, [0, -1]].any()
    starts = mask & ~nn.functional.pad(mask, (1, 0))[:, :-1]
    assert set(starts.sum(dim=1).tolist()) == {spans}
    if rate < 1:  # every place has its turn
        assert bool(mask[:, 1:-1].any(dim=0).all())


def test_every_row_with_a_free_token_gets_a_span_and_none_more_than_there_are_sentinels() -> None:
    free = mask_of("........", "...x....", "x.x.x.x.")
    mask = span_infilling.draw_spans(free, 1.0, 1.0, 3, rng.numpy_stream(1, "mask"))
    assert mask.sum(dim=1).tolist() == [0, 1, 3]


def test_marks_ban_what_no_text_holds() -> None:
    entries = {"[PAD]": 0, "[UNK]": 1, "</s>": 2, "a": 3, "[unused7]": 4, "<extra_id_1>": 6, "<extra_id_0>": 5, "b": 7}
    special_ids = span_infilling.t5_special_ids(t5(vocab=10), Tokenizer(entries, [0, 1, 2]), torch.tensor([7]))
    assert special_ids.sentinels.tolist() == [5, 6]
    assert special_ids.banned.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert (special_ids.start, special_ids.end) == (0, 2)


def test_other_models_are_refused_by_name() -> None:
    bert = BertForMaskedLM(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    with pytest.raises(ModelError, match="architecture is 'bert'"):
        span_infilling.t5_special_ids(bert, Tokenizer({}, []))
    with pytest.raises(ModelError, match="no sentinels"):
        span_infilling.t5_special_ids(t5(), Tokenizer({"a": 1}, []))
