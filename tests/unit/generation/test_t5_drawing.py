"""Texts drawn without logits are those drawn with them."""

import torch

from kdrun import rng
from kdrun.generation import t5_drawing, t5_sampling
from kdrun.generation.t5_sampling import LengthLimits
from tests.helpers.tiny_t5 import WORDS, mask_of, prompt, rows, t5


def test_drawn_spans_equal_sampled_spans() -> None:
    model, inputs, mask = t5(), rows(), mask_of(".xx.x...", "xx...x..")
    for index in range(5):
        streams = [rng.numpy_stream(1, "w", index=index) for _ in range(2)]
        text = t5_sampling.infill(model, inputs, mask, prompt(), WORDS, streams[0])
        drawn = t5_drawing.draw_infilling(model, inputs, mask, prompt(), WORDS, streams[1])
        assert torch.equal(drawn.ids, text.ids)
        assert torch.equal(drawn.present, text.present)
        assert torch.equal(drawn.generated_ids, text.generated_ids)


def test_drawn_texts_equal_decoded_texts_that_end_at_different_tokens() -> None:
    model, lengths, spread = t5(), LengthLimits(2, 30), 0
    model.shared.weight.data.mul_(0.2)  # near even, so that texts reach their end token
    for index in range(10):
        streams = [rng.numpy_stream(1, "w", index=index) for _ in range(2)]
        text = t5_sampling.decode(model, rows(), prompt(), WORDS, lengths, streams[0])
        drawn = t5_drawing.draw_texts(model, rows(), prompt(), WORDS, lengths, streams[1])
        assert torch.equal(drawn.ids, text.ids)
        assert torch.equal(drawn.present, text.present)
        spread = max(spread, int(text.present.sum(dim=1).diff().abs()))
    assert spread > 3
