"""Soft masked text against the textbook form, for every family of models."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
)

from benchmarks.reference_steps import Textbook, padded
from kdrun import losses, rng
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.errors import ModelError
from kdrun.generation import gumbel, masking, soft_tokens
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import MethodContext
from kdrun.methods.mate_kd import MateKD, MateKDConfig
from kdrun.methods.phases import Turn
from kdrun.methods.shared.pseudo_text import Divergence
from kdrun.methods.zskd import ZSKD, ZSKDConfig

VOCAB, MASK, SPECIAL = 40, 4, torch.tensor([0, 1, 2, 3, 4])
TASK = TaskConfig(name="rte", labels=["a", "b"], metrics=["accuracy"], headline="accuracy")
WORDS = SharedVocabulary(MASK, SPECIAL)
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
    made = [mlm(config), classifier(config), classifier(config)]
    for model in made:
        for p in model.parameters():
            p.data.mul_(8)
        model.eval()
    for model in made[1:]:
        model.requires_grad_(False)
    return made


def text() -> dict[str, Tensor]:
    """Three rows of unequal length, [CLS]-like 0 first, separator 2 last, padding 1."""
    torch.manual_seed(2)
    ids = torch.randint(5, VOCAB, (3, 9))
    ids[:, 0], ids[0, 8], ids[1, 5], ids[2, 7] = 0, 2, 2, 2
    ids[1, 6:], ids[2, 8:] = 1, 1
    return {"input_ids": ids, "attention_mask": ids.ne(1).long()}


def masked(inputs: dict[str, Tensor]) -> Tensor:
    return masking.draw_mask(masking.maskable(inputs, SPECIAL), 0.5, rng.stream(1, "mask"))


@pytest.mark.parametrize("turn", ["generator", "student"])
@pytest.mark.parametrize("name", ["mate_kd", "zskd"])
@pytest.mark.parametrize("family", FAMILIES)
def test_both_turns_are_the_textbooks(family: str, name: str, turn: str) -> None:
    """Loss and gradients of a step, against the form on paper at twice the length, with one mask and noise."""
    generator, teacher, student = models(family)
    roles = {"generator": generator, "teacher": teacher, "student": student}
    for role, model in roles.items():
        model.requires_grad_(role == turn)
    inputs, labels = text(), torch.tensor([0, 1, 1])
    with torch.no_grad():
        taught = teacher(**inputs).logits
    parts = MethodContext(roles, TASK, losses.kl_divergence, losses.hard_loss(False), 1, torch.device("cpu"), WORDS)
    cls, config = {"mate_kd": (MateKD, MateKDConfig), "zskd": (ZSKD, ZSKDConfig)}[name]
    method = cls(config(mask_rate=0.5, gumbel_temperature=0.7, divergence=Divergence.kl), parts)
    gold = labels if cls.requires.labels else None
    given = Batch(torch.arange(3), dict.fromkeys(roles, inputs), gold, taught, "train", 0)
    found = method.step(given, Turn(turn)).loss / 3  # as the loop has it: the mean over the rows

    mask, _ = method.mask_and_score(given)
    if turn == "generator":
        noise = gumbel.gumbel(int(mask.sum()), VOCAB, rng.numpy_stream(1, "gumbel", "train", 0), torch.device("cpu"))
    else:  # noise that leaves no choice but the tokens that were drawn
        noise = 1e6 * nn.functional.one_hot(method.generate_text(given).ids[mask], VOCAB)
    everywhere = torch.zeros(3, 18, VOCAB)
    everywhere[:, :9][mask] = noise.float()
    paper = Textbook(roles, MASK, SPECIAL, temperature=0.7)
    long, wide = padded(inputs, 18, pad_id=1), nn.functional.pad(mask, (0, 9))
    if turn == "generator":
        expected = paper.generator_loss(long, wide, everywhere, mlm_weight=float(name == "zskd"))
    else:
        expected = paper.student_loss(long, gold, wide, everywhere)
    expected = expected / 3
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)

    own = list(roles[turn].parameters())
    grads = torch.autograd.grad(found, own, allow_unused=True)
    wanted = torch.autograd.grad(expected, own, allow_unused=True)
    reached = [(a, b) for a, b in zip(grads, wanted, strict=True) if a is not None]
    assert len(reached) > 5
    assert max(float(a.abs().max()) for a, _ in reached) > 1e-4
    for a, b in reached:
        assert b is not None
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_soft_path_gives_the_logits_of_the_discrete_text(family: str) -> None:
    generator, _, student = models(family)
    inputs = text()
    mask = masked(inputs)
    logits = soft_tokens.masked_logits(generator, inputs, mask, MASK, SPECIAL)
    noise = gumbel.gumbel(len(logits), VOCAB, rng.numpy_stream(3, "gumbel"), torch.device("cpu"))
    ids = gumbel.sample(logits, noise)
    embeds = soft_tokens.soft_embeddings(
        student, inputs["input_ids"], mask, ids, gumbel.gumbel_softmax(logits, noise, 1.0)
    )
    soft = student(**soft_tokens.soft_inputs(student, inputs, embeds)).logits
    hard = student(**{**inputs, "input_ids": masking.fill_masked_ids(inputs["input_ids"], mask, ids)}).logits
    torch.testing.assert_close(soft, hard, atol=1e-5, rtol=1e-5)


def test_only_free_tokens_are_masked_and_special_ones_never_come_out() -> None:
    generator, *_ = models("bert")
    inputs = text()
    every = masking.draw_mask(masking.maskable(inputs, SPECIAL), 1.0, rng.stream(1, "mask"))
    assert torch.equal(every, masking.maskable(inputs, SPECIAL))
    assert not every[inputs["input_ids"] <= 4].any()
    logits = soft_tokens.masked_logits(generator, inputs, every, MASK, SPECIAL)
    assert torch.isneginf(logits[:, SPECIAL]).all()
    assert torch.isfinite(logits).sum() == logits.numel() - len(logits) * len(SPECIAL)
    for seed in range(20):
        noise = gumbel.gumbel(len(logits), VOCAB, rng.numpy_stream(seed, "gumbel"), torch.device("cpu"))
        assert not torch.isin(gumbel.sample_tokens(logits, rng.stream(seed, "fill")), SPECIAL).any()
        ids = gumbel.sample(logits, noise)
        assert not torch.isin(ids, SPECIAL).any()
        filled = masking.fill_masked_ids(inputs["input_ids"], every, ids)
        assert torch.equal(filled[~every], inputs["input_ids"][~every])


def test_masks_have_the_asked_rate_and_are_functions_of_their_stream() -> None:
    free = torch.ones(100, 200, dtype=torch.bool)
    a, b = (masking.draw_mask(free, 0.3, rng.stream(1, "mask", "train", 5)) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, masking.draw_mask(free, 0.3, rng.stream(1, "mask", "train", 6)))
    assert abs(float(a.float().mean()) - 0.3) < 0.02


@pytest.mark.parametrize("way", ["gumbel", "lookup"])
def test_both_ways_to_sample_follow_the_models_distribution(way: str) -> None:
    """The Gumbel trick, argmax of log p + g, and the lookup in the cumulative distribution."""
    wanted = torch.tensor([0.0, 0.6, 0.0, 0.3, 0.1, 0.0])
    logits = wanted.log().expand(20000, 6)
    if way == "gumbel":
        ids = gumbel.sample(logits, gumbel.gumbel(20000, 6, rng.numpy_stream(1, "gumbel"), torch.device("cpu")))
    else:
        ids = gumbel.sample_tokens(logits, rng.stream(1, "fill"))
    shares = torch.bincount(ids, minlength=6) / 20000
    torch.testing.assert_close(shares, wanted, atol=0.015, rtol=0)
    assert not shares[wanted == 0].any()


@pytest.mark.parametrize("size", [7, 127, 128, 129, 256, 1000])
def test_a_draw_is_a_look_up_in_the_cumulative_distribution(size: int) -> None:
    """As the plain form has it, in float64, but for draws so near to a border that rounding may decide them."""
    logits = 3 * torch.randn(2000, size, generator=rng.stream(1, "logits"))
    logits[:, ::5] = -torch.inf
    uniform = torch.rand(2000, generator=rng.stream(1, "uniform"))
    ends = logits.double().softmax(dim=-1).cumsum(dim=-1)
    plain = torch.searchsorted(ends, uniform[:, None].double() * ends[:, -1:], right=True)[:, 0]
    drawn = gumbel.inverse_cdf_sample(logits, uniform)
    assert drawn.dtype == torch.int64
    assert bool(logits.gather(1, drawn[:, None]).isfinite().all())
    unlike = drawn != plain
    assert int(unlike.sum()) <= 2
    borders = (ends - uniform[:, None].double()).abs().min(dim=1).values
    assert bool((borders[unlike] < 1e-6).all())


@pytest.mark.parametrize("size", [7, 128, 300])
@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-24])
def test_the_ends_of_the_uniform_numbers_give_no_id_of_probability_zero(size: int, uniform: float) -> None:
    logits = torch.full((3, size), -torch.inf)
    logits[0, size // 2], logits[1, 1:-1], logits[2, -1] = 0.0, 0.0, 5.0
    drawn = gumbel.inverse_cdf_sample(logits, torch.full((3,), uniform))
    assert drawn.tolist() == [size // 2, size - 2 if uniform else 1, size - 1]


def test_the_largest_uniform_number_stays_inside_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.randn(500, 97, generator=rng.stream(1, "x")).log_softmax(dim=-1)
    logits[:, -3:] = -torch.inf
    logits = logits.log_softmax(dim=-1)
    monkeypatch.setattr(torch, "rand", lambda *shape, generator: torch.full(shape, 1 - 2**-24))
    assert int(gumbel.sample_tokens(logits, rng.stream(1, "fill")).max()) < 94


def test_a_text_without_masked_tokens_is_left_as_it_is() -> None:
    generator, _, student = models("bert")
    inputs = text()
    none = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    logits = soft_tokens.masked_logits(generator, inputs, none, MASK, SPECIAL)
    assert logits.shape == (0, VOCAB)
    ids = gumbel.sample(logits, logits)
    embeds = soft_tokens.soft_embeddings(student, inputs["input_ids"], none, ids, logits.softmax(dim=-1))
    assert torch.equal(embeds, student.get_input_embeddings()(inputs["input_ids"]))


def test_an_unknown_architecture_is_named() -> None:
    model = ElectraForMaskedLM(ElectraConfig(vocab_size=VOCAB, hidden_size=16, num_hidden_layers=1, embedding_size=16))
    inputs = text()
    with pytest.raises(ModelError, match="'electra' is not known here; known: bert"):
        soft_tokens.masked_logits(model, inputs, masked(inputs), MASK, SPECIAL)


def readings() -> dict[str, dict[str, Tensor]]:
    """Two texts as an encoder reads them, and as a model with prompts (8 and 9) does, which cuts the second pair."""
    encoder = torch.tensor([[0, 10, 11, 2, 12, 13, 14, 2], [0, 15, 3, 16, 2, 17, 2, 1]])
    prompted = torch.tensor([[8, 8, 10, 11, 9, 12, 13, 2], [8, 8, 15, 3, 16, 9, 17, 2]])
    prompt = torch.isin(prompted, torch.tensor([8, 9])).long()
    return {
        "student": {"input_ids": encoder, "attention_mask": (encoder != 1).long()},
        "teacher": {"input_ids": prompted, "attention_mask": torch.ones_like(prompted), "prompt_mask": prompt},
    }


def test_what_two_readings_have_in_common_by_hand() -> None:
    """Run answers to run, through an unknown token (3); what one reading cuts off is in neither's share."""
    rows = readings()
    free = masking.common_maskable(rows, SPECIAL)
    assert rows["student"]["input_ids"][free["student"]].tolist() == [10, 11, 12, 13, 15, 16, 17]
    assert rows["teacher"]["input_ids"][free["teacher"]].tolist() == [10, 11, 12, 13, 15, 16, 17]
    assert free["student"].sum(dim=1).tolist() == free["teacher"].sum(dim=1).tolist() == [4, 3]
    mask = torch.zeros_like(free["student"])
    mask[0, 4], mask[1, [1, 5]] = True, True
    found = masking.transfer_mask(mask, free["student"], free["teacher"])
    assert rows["teacher"]["input_ids"][found].tolist() == [12, 15, 17]
    assert torch.equal(masking.transfer_mask(found, free["teacher"], free["student"]), mask)


def test_a_token_that_two_readings_have_differently_is_no_ones_to_change() -> None:
    rows = readings()
    rows["teacher"]["input_ids"][1, 4] = 30
    free = masking.common_maskable(rows, SPECIAL)
    assert rows["student"]["input_ids"][free["student"]].tolist() == [10, 11, 12, 13, 15, 17]


def test_roles_that_read_alike_share_one_mask() -> None:
    rows: dict[str, dict[str, Tensor]] = dict.fromkeys(("student", "teacher"), text())
    free = masking.common_maskable(rows, SPECIAL)
    assert free["student"] is free["teacher"]
    assert torch.equal(free["student"], masking.maskable(text(), SPECIAL))


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
    found = [soft_tokens.soft_embeddings(teacher, inputs["input_ids"], mask, ids, s) for s in (soft, wide)]
    assert torch.equal(*found)
