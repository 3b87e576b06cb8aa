"""Text from a tiny T5, against T5's own pass and a teacher-forced pass."""

import numpy as np
import pytest
import torch

from kdrun import rng
from kdrun.generation import gumbel, span_infilling, t5_sampling
from kdrun.generation.t5_sampling import LengthLimits
from tests.helpers.tiny_t5 import END, VOCAB, WORDS, mask_of, prompt, rows, t5


def test_gap_logits_equal_t5s_logits() -> None:
    """The head at the tokens of the gaps alone, against the full forward pass, row by row without padding."""
    model, inputs, mask = t5(), rows(), mask_of(".xx.x...", "xx...x..")
    cut = span_infilling.build_infilling_inputs(inputs["input_ids"], inputs["attention_mask"], mask, prompt(), WORDS)
    all_logits, place = t5_sampling.infill_logits(model, cut, WORDS.banned), 0
    sources = [[17, 18, 4, 20, 7, 21, 9, 2], [19, 20, 12, 13, 14, 21, 16, 2]]
    targets, positions = [[0, 20, 5, 6, 21, 8], [0, 20, 10, 11, 21, 15]], [[1, 2, 4], [1, 2, 4]]
    for source, target, columns in zip(sources, targets, positions, strict=True):
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([target])).logits[0, columns]
        gap_logits = all_logits[place : place + len(columns)]
        place += len(columns)
        free = torch.ones(VOCAB, dtype=torch.bool)
        free[WORDS.banned] = False
        torch.testing.assert_close(gap_logits[:, free], logits[:, free], rtol=1e-5, atol=1e-5)
        assert bool((gap_logits[:, ~free] == -torch.inf).all())
    assert place == len(all_logits)


def test_special_tokens_are_never_generated() -> None:
    model, inputs = t5(), rows()
    mask = mask_of("xxxxxx..", "xxxxxxx.")
    for step in range(20):
        text = t5_sampling.infill(model, inputs, mask, prompt(), WORDS, rng.numpy_stream(1, "w", index=step))
        assert not torch.isin(text.generated_ids, WORDS.banned).any()
        assert torch.equal(text.ids[~mask], inputs["input_ids"][~mask])
        new = t5_sampling.decode(
            model, inputs, prompt(), WORDS, LengthLimits(1, 6), rng.numpy_stream(1, "w", index=step)
        )
        assert not torch.isin(new.generated_ids, WORDS.banned).any()


def test_infill_draws_each_word_from_its_own_distribution() -> None:
    model, inputs, mask = t5(), rows(), mask_of("........", "xx......")
    counts, exact = torch.zeros(2, VOCAB), None
    for step in range(400):
        text = t5_sampling.infill(model, inputs, mask, prompt(), WORDS, rng.numpy_stream(1, "w", index=step))
        counts[[0, 1], text.generated_ids] += 1
        exact = text.logits.softmax(dim=-1)
    assert exact is not None
    assert float((counts / 400 - exact).detach().abs().max()) < 0.08  # three standard deviations of a share near a half


@pytest.mark.parametrize("temperature", [None, 0.7])
def test_decoding_with_kept_states_equals_one_teacher_forced_pass(temperature: float | None) -> None:
    """The logits of each step, as if nothing were kept and every token were known from the beginning."""
    model, other = t5(), t5(1)
    lengths = LengthLimits(2, 7)
    text = t5_sampling.decode(model, rows(), prompt(), WORDS, lengths, rng.numpy_stream(1, "w"), temperature)
    torch.testing.assert_close(text.rescore_with(model), text.logits, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(text.rescore_with(other), text.logits, atol=1e-2)
    assert text.generated_mask.sum(dim=1).min() >= 2
    assert (text.soft is None) == (temperature is None)


def test_a_decoded_text_has_the_probability_of_its_tokens_and_its_end() -> None:
    model = t5()
    model.shared.weight.data.mul_(0.2)  # near even, so that texts reach their end token
    lengths = LengthLimits(2, 60)
    text = t5_sampling.decode(model, rows(), prompt(), WORDS, lengths, rng.numpy_stream(1, "w", index=0))
    counts = text.present.sum(dim=1)
    assert counts.max() < 60
    assert counts[0] != counts[1]
    sources = [[17, 18, 4, 5, 6, 7, 8, 9, 20, 2], [19, 10, 11, 12, 13, 14, 15, 16, 20, 2]]
    for i, source in enumerate(sources):
        tokens, total = text.ids[i][text.present[i]].tolist(), 0.0
        decoder = torch.tensor([[0, 20, *tokens]])
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=decoder).logits[0, 1:].detach()
        for place, token in enumerate([*tokens, END]):
            banned = [b for b in WORDS.banned.tolist() if b != END or place < lengths.min_tokens]
            total += float(logits[place].index_fill(0, torch.tensor(banned), -torch.inf).log_softmax(-1)[token])
        assert float(text.log_prob[i].detach()) == pytest.approx(total, rel=1e-4)


def test_a_text_that_is_cut_pays_for_no_end() -> None:
    text = t5_sampling.decode(t5(), rows(), prompt(), WORDS, LengthLimits(4, 4), rng.numpy_stream(1, "w"))
    assert text.present.all()
    assert text.end_log_prob.tolist() == [0.0, 0.0]


def test_numpys_uniform_numbers_stay_inside_the_vocabulary() -> None:
    top = torch.tensor([np.nextafter(np.float32(1), np.float32(0))])
    assert gumbel.inverse_cdf_sample(torch.zeros(1, 7), top).tolist() == [6]
