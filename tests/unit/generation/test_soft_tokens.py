"""Soft masked text against the textbook form, for every model family."""

import pytest
import torch
from torch import nn
from transformers import (
    NystromformerConfig,
    NystromformerForMaskedLM,
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
from tests.helpers.masked_text import FAMILIES, MASK, SPECIAL, VOCAB, masked, models, text

TASK = TaskConfig(name="rte", labels=["a", "b"], metrics=["accuracy"], headline="accuracy")
WORDS = SharedVocabulary(MASK, SPECIAL)


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
    examples = Batch(torch.arange(3), dict.fromkeys(roles, inputs), gold, taught, "train", 0)
    loss = method.step(examples, Turn(turn)).loss / 3  # as the loop has it: the mean over the rows

    mask, _ = method.mask_and_score(examples)
    if turn == "generator":
        noise = gumbel.gumbel_noise(
            int(mask.sum()), VOCAB, rng.numpy_stream(1, "gumbel", "train", 0), torch.device("cpu")
        )
    else:  # noise that leaves no choice but the tokens that were drawn
        noise = 1e6 * nn.functional.one_hot(method.generate_text(examples).ids[mask], VOCAB)
    everywhere = torch.zeros(3, 18, VOCAB)
    everywhere[:, :9][mask] = noise.float()
    paper = Textbook(roles, MASK, SPECIAL, temperature=0.7)
    long, wide = padded(inputs, 18, pad_id=1), nn.functional.pad(mask, (0, 9))
    if turn == "generator":
        expected = paper.generator_loss(long, wide, everywhere, mlm_weight=float(name == "zskd"))
    else:
        expected = paper.student_loss(long, gold, wide, everywhere)
    expected = expected / 3
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)

    parameters = list(roles[turn].parameters())
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    expected_gradients = torch.autograd.grad(expected, parameters, allow_unused=True)
    reached = [(a, b) for a, b in zip(grads, expected_gradients, strict=True) if a is not None]
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
    noise = gumbel.gumbel_noise(len(logits), VOCAB, rng.numpy_stream(3, "gumbel"), torch.device("cpu"))
    ids = gumbel.gumbel_argmax(logits, noise)
    embeds = soft_tokens.soft_embeddings(
        student, inputs["input_ids"], mask, ids, gumbel.gumbel_softmax(logits, noise, 1.0)
    )
    soft = student(**soft_tokens.soft_inputs(student, inputs, embeds)).logits
    hard = student(**{**inputs, "input_ids": masking.fill_masked_ids(inputs["input_ids"], mask, ids)}).logits
    torch.testing.assert_close(soft, hard, atol=1e-5, rtol=1e-5)


def test_a_text_without_masked_tokens_is_left_as_it_is() -> None:
    generator, _, student = models("bert")
    inputs = text()
    none = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    logits = soft_tokens.masked_logits(generator, inputs, none, MASK, SPECIAL)
    assert logits.shape == (0, VOCAB)
    ids = gumbel.gumbel_argmax(logits, logits)
    embeds = soft_tokens.soft_embeddings(student, inputs["input_ids"], none, ids, logits.softmax(dim=-1))
    assert torch.equal(embeds, student.get_input_embeddings()(inputs["input_ids"]))


def test_an_unknown_architecture_is_named() -> None:
    model = NystromformerForMaskedLM(
        NystromformerConfig(vocab_size=VOCAB, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    )
    inputs = text()
    with pytest.raises(ModelError, match=r"'nystromformer' .*BERT, DistilBERT or RoBERTa"):
        soft_tokens.masked_logits(model, inputs, masked(inputs), MASK, SPECIAL)
