"""Masks: maskable tokens, mask rates, several tokenizations."""

import torch
from torch import Tensor

from kdrun import rng
from kdrun.generation import gumbel, masking, soft_tokens
from tests.helpers.masked_text import MASK, SPECIAL, VOCAB, masked, models, text


def test_only_free_tokens_are_masked_and_special_tokens_are_never_sampled() -> None:
    generator, *_ = models("bert")
    inputs = text()
    every = masking.draw_mask(masking.maskable(inputs, SPECIAL), 1.0, rng.stream(1, "mask"))
    assert torch.equal(every, masking.maskable(inputs, SPECIAL))
    assert not every[inputs["input_ids"] <= 4].any()
    logits = soft_tokens.masked_logits(generator, inputs, every, MASK, SPECIAL)
    assert torch.isneginf(logits[:, SPECIAL]).all()
    assert torch.isfinite(logits).sum() == logits.numel() - len(logits) * len(SPECIAL)
    for seed in range(20):
        noise = gumbel.gumbel_noise(len(logits), VOCAB, rng.numpy_stream(seed, "gumbel"), torch.device("cpu"))
        assert not torch.isin(gumbel.sample_tokens(logits, rng.stream(seed, "fill")), SPECIAL).any()
        ids = gumbel.gumbel_argmax(logits, noise)
        assert not torch.isin(ids, SPECIAL).any()
        filled = masking.fill_masked_ids(inputs["input_ids"], every, ids)
        assert torch.equal(filled[~every], inputs["input_ids"][~every])


def test_masks_have_the_asked_rate_and_are_functions_of_their_stream() -> None:
    free = torch.ones(100, 200, dtype=torch.bool)
    a, b = (masking.draw_mask(free, 0.3, rng.stream(1, "mask", "train", 5)) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, masking.draw_mask(free, 0.3, rng.stream(1, "mask", "train", 6)))
    assert abs(float(a.float().mean()) - 0.3) < 0.02


def tokenizations() -> dict[str, dict[str, Tensor]]:
    """Two texts as tokenized for an encoder, and for a model with prompts (8 and 9) that cuts the second text."""
    encoder = torch.tensor([[0, 10, 11, 2, 12, 13, 14, 2], [0, 15, 3, 16, 2, 17, 2, 1]])
    prompted = torch.tensor([[8, 8, 10, 11, 9, 12, 13, 2], [8, 8, 15, 3, 16, 9, 17, 2]])
    prompt = torch.isin(prompted, torch.tensor([8, 9])).long()
    return {
        "student": {"input_ids": encoder, "attention_mask": (encoder != 1).long()},
        "teacher": {"input_ids": prompted, "attention_mask": torch.ones_like(prompted), "prompt_mask": prompt},
    }


def test_common_tokens_of_two_tokenizations_by_hand() -> None:
    """Runs correspond in order, across an unknown token (3); a token that one tokenization cuts off is not common."""
    rows = tokenizations()
    free = masking.common_maskable(rows, SPECIAL, {})
    assert rows["student"]["input_ids"][free["student"]].tolist() == [10, 11, 12, 13, 15, 16, 17]
    assert rows["teacher"]["input_ids"][free["teacher"]].tolist() == [10, 11, 12, 13, 15, 16, 17]
    assert free["student"].sum(dim=1).tolist() == free["teacher"].sum(dim=1).tolist() == [4, 3]
    mask = torch.zeros_like(free["student"])
    mask[0, 4], mask[1, [1, 5]] = True, True
    actual = masking.transfer_mask(mask, free["student"], free["teacher"])
    assert rows["teacher"]["input_ids"][actual].tolist() == [12, 15, 17]
    assert torch.equal(masking.transfer_mask(actual, free["teacher"], free["student"]), mask)


def test_a_token_that_differs_between_tokenizations_is_not_maskable() -> None:
    rows = tokenizations()
    rows["teacher"]["input_ids"][1, 4] = 30
    free = masking.common_maskable(rows, SPECIAL, {})
    assert rows["student"]["input_ids"][free["student"]].tolist() == [10, 11, 12, 13, 15, 17]


def test_roles_with_the_same_tokens_share_one_mask() -> None:
    rows: dict[str, dict[str, Tensor]] = dict.fromkeys(("student", "teacher"), text())
    free = masking.common_maskable(rows, SPECIAL, {"student": "student", "teacher": "student"})
    assert free["student"] is free["teacher"]
    assert torch.equal(free["student"], masking.maskable(text(), SPECIAL))
    compared = masking.common_maskable(rows, SPECIAL, {})
    assert all(torch.equal(compared[role], free[role]) for role in rows)


def test_prompts_are_never_masked() -> None:
    inputs = text()
    prompts = torch.zeros_like(inputs["input_ids"])
    prompts[:, 1:3] = 1
    free = masking.maskable({**inputs, "prompt_mask": prompts}, SPECIAL)
    assert torch.equal(free, masking.maskable(inputs, SPECIAL) & ~prompts.bool())
    generator = models("bert")[0]
    mask = masking.draw_mask(free, 1.0, rng.stream(1, "mask"))
    with_prompts = soft_tokens.masked_logits(generator, {**inputs, "prompt_mask": prompts}, mask, MASK, SPECIAL)
    assert torch.equal(with_prompts, soft_tokens.masked_logits(generator, inputs, mask, MASK, SPECIAL))


def test_a_generator_may_have_entries_more_that_no_text_has() -> None:
    _, teacher, _ = models("bert")
    inputs = text()
    mask = masked(inputs)
    torch.manual_seed(3)
    soft = torch.rand(int(mask.sum()), VOCAB).softmax(dim=-1)
    ids = soft.argmax(dim=-1)
    wide = torch.cat([soft, torch.zeros(len(soft), 5)], dim=1)
    embeddings = [soft_tokens.soft_embeddings(teacher, inputs["input_ids"], mask, ids, s) for s in (soft, wide)]
    assert torch.equal(*embeddings)
