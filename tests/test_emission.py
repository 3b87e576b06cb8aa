"""Text from a tiny T5: gaps by hand, one pass against T5's own, token by token against a teacher-forced pass."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, T5Config, T5ForConditionalGeneration

from kdrun import emission, relax, rng
from kdrun.emission import Lengths, Marks
from kdrun.errors import ModelError

VOCAB, SENTINELS = 30, [20, 21, 22]
PAD, END = 0, 2
WORDS = Marks(torch.tensor(SENTINELS), torch.tensor([0, 1, 2, 3, *SENTINELS]), PAD, END)


def t5(seed: int = 0, vocab: int = VOCAB) -> T5ForConditionalGeneration:
    """A tiny T5 whose answers are far from even."""
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    config = T5Config(vocab_size=vocab, pad_token_id=PAD, eos_token_id=END, **sizes)
    config.decoder_start_token_id = PAD
    model = T5ForConditionalGeneration(config).eval()
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


def test_gaps_by_hand() -> None:
    """T5's own format: one sentinel a gap in the text; in the decoder each sentinel and the words of its gap."""
    given, mask = rows(), mask_of(".xx.x...", "x......x")
    mask[1, 7] = False
    cut = emission.gaps(
        given["input_ids"], given["attention_mask"], mask, prompt()["input_ids"], prompt()["attention_mask"], WORDS
    )
    assert [row[seen == 1].tolist() for row, seen in zip(cut.ids, cut.attention, strict=True)] == [
        [17, 18, 4, 20, 7, 21, 9, 2],
        [19, 20, 11, 12, 13, 14, 15, 16, 2],
    ]
    assert cut.decoder_ids.tolist() == [[0, 20, 5, 6, 21, 8], [0, 20, 10, 0, 0, 0]]
    assert (cut.rows.tolist(), cut.columns.tolist()) == ([0, 0, 0, 1], [1, 2, 4, 1])


def test_the_logits_of_a_gap_are_t5s_own() -> None:
    """The head at the words of the gaps alone, against the whole model's forward pass, row by row without padding."""
    model, given, mask = t5(), rows(), mask_of(".xx.x...", "xx...x..")
    cut = emission.gaps(
        given["input_ids"], given["attention_mask"], mask, prompt()["input_ids"], prompt()["attention_mask"], WORDS
    )
    found, place = emission.infill_logits(model, cut, WORDS.banned), 0
    sources = [[17, 18, 4, 20, 7, 21, 9, 2], [19, 20, 12, 13, 14, 21, 16, 2]]
    targets, wanted = [[0, 20, 5, 6, 21, 8], [0, 20, 10, 11, 21, 15]], [[1, 2, 4], [1, 2, 4]]
    for source, target, columns in zip(sources, targets, wanted, strict=True):
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target])).logits[0, columns]
        own = found[place : place + len(columns)]
        place += len(columns)
        free = torch.ones(VOCAB, dtype=torch.bool)
        free[WORDS.banned] = False
        torch.testing.assert_close(own[:, free], logits[:, free], rtol=1e-5, atol=1e-5)
        assert bool((own[:, ~free] == -torch.inf).all())
    assert place == len(found)


@pytest.mark.parametrize(("rate", "mean", "chosen", "spans"), [(0.5, 3.0, 10, 3), (0.15, 3.0, 3, 1), (1.0, 1.0, 20, 1)])
def test_spans_have_the_share_and_the_length(rate: float, mean: float, chosen: int, spans: int) -> None:
    free = torch.ones(50, 22, dtype=torch.bool)
    free[:, [0, -1]] = False
    mask = emission.draw_spans(free, rate, mean, 99, rng.numpy_stream(1, "mask"))
    assert set(mask.sum(dim=1).tolist()) == {chosen}
    assert not mask[:, [0, -1]].any()
    starts = mask & ~nn.functional.pad(mask, (1, 0))[:, :-1]
    assert set(starts.sum(dim=1).tolist()) == {spans}
    if rate < 1:  # every place has its turn
        assert bool(mask[:, 1:-1].any(dim=0).all())


def test_every_row_with_a_free_token_gets_a_span_and_none_more_than_there_are_sentinels() -> None:
    free = mask_of("........", "...x....", "x.x.x.x.")
    mask = emission.draw_spans(free, 1.0, 1.0, 3, rng.numpy_stream(1, "mask"))
    assert mask.sum(dim=1).tolist() == [0, 1, 3]


def test_no_special_token_is_ever_written() -> None:
    model, given = t5(), rows()
    mask = mask_of("xxxxxx..", "xxxxxxx.")
    for step in range(20):
        made = emission.infill(model, given, mask, prompt(), WORDS, rng.numpy_stream(1, "w", index=step))
        assert not torch.isin(made.chosen, WORDS.banned).any()
        assert torch.equal(made.ids[~mask], given["input_ids"][~mask])
        new = emission.decode(model, given, prompt(), WORDS, Lengths(1, 6), rng.numpy_stream(1, "w", index=step))
        assert not torch.isin(new.chosen, WORDS.banned).any()


def test_infill_draws_each_word_from_its_own_distribution() -> None:
    model, given, mask = t5(), rows(), mask_of("........", "xx......")
    counts, exact = torch.zeros(2, VOCAB), None
    for step in range(400):
        made = emission.infill(model, given, mask, prompt(), WORDS, rng.numpy_stream(1, "w", index=step))
        counts[[0, 1], made.chosen] += 1
        exact = made.logits.softmax(dim=-1)
    assert exact is not None
    assert float((counts / 400 - exact).detach().abs().max()) < 0.08  # three standard deviations of a share near a half


@pytest.mark.parametrize("temperature", [None, 0.7])
def test_decoding_with_kept_states_equals_one_teacher_forced_pass(temperature: float | None) -> None:
    """The logits of each step, as if nothing were kept and every token were known from the beginning."""
    model, other = t5(), t5(1)
    lengths = Lengths(2, 7)
    made = emission.decode(model, rows(), prompt(), WORDS, lengths, rng.numpy_stream(1, "w"), temperature)
    torch.testing.assert_close(made.said_by(model), made.logits, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(made.said_by(other), made.logits, atol=1e-2)
    assert made.made.sum(dim=1).min() >= 2
    assert (made.soft is None) == (temperature is None)


def test_a_decoded_text_has_the_probability_of_its_tokens_and_its_end() -> None:
    model = t5()
    model.shared.weight.data.mul_(0.2)  # near even, so that texts end by themselves
    lengths = Lengths(2, 60)
    made = emission.decode(model, rows(), prompt(), WORDS, lengths, rng.numpy_stream(1, "w", index=0))
    counts = made.present.sum(dim=1)
    assert counts.max() < 60
    assert counts[0] != counts[1]
    sources = [[17, 18, 4, 5, 6, 7, 8, 9, 20, 2], [19, 10, 11, 12, 13, 14, 15, 16, 20, 2]]
    for i, source in enumerate(sources):
        own, total = made.ids[i][made.present[i]].tolist(), 0.0
        decoder = torch.tensor([[0, 20, *own]])
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=decoder).logits[0, 1:].detach()
        for place, token in enumerate([*own, END]):
            banned = [b for b in WORDS.banned.tolist() if b != END or place < lengths.shortest]
            total += float(logits[place].index_fill(0, torch.tensor(banned), -torch.inf).log_softmax(-1)[token])
        assert float(made.log_prob[i].detach()) == pytest.approx(total, rel=1e-4)


def test_a_text_that_is_cut_pays_for_no_end() -> None:
    made = emission.decode(t5(), rows(), prompt(), WORDS, Lengths(4, 4), rng.numpy_stream(1, "w"))
    assert made.present.all()
    assert made.end_log_prob.tolist() == [0.0, 0.0]


def test_marks_ban_what_no_text_holds() -> None:
    entries = {"[PAD]": 0, "[UNK]": 1, "</s>": 2, "a": 3, "[unused7]": 4, "<extra_id_1>": 6, "<extra_id_0>": 5, "b": 7}
    found = emission.marks(t5(vocab=10), Tokenizer(entries, [0, 1, 2]), torch.tensor([7]))
    assert found.sentinels.tolist() == [5, 6]
    assert found.banned.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert (found.start, found.end) == (0, 2)


def test_other_models_are_refused_by_name() -> None:
    bert = BertForMaskedLM(BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    with pytest.raises(ModelError, match="architecture 'bert'"):
        emission.marks(bert, Tokenizer({}, []))
    with pytest.raises(ModelError, match="no sentinels"):
        emission.marks(t5(), Tokenizer({"a": 1}, []))


def test_numpys_uniform_numbers_stay_inside_the_vocabulary() -> None:
    top = torch.tensor([np.nextafter(np.float32(1), np.float32(0))])
    assert relax.drawn_at(torch.zeros(1, 7), top).tolist() == [6]
