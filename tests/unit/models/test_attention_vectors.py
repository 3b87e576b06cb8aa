"""Queries, keys and values of a layer, against the attention maps that they give."""

from typing import Any

import pytest
import torch

from kdrun.errors import ModelError
from kdrun.models.attention_vectors import check_projections, find_projections, read_vectors
from tests.helpers.tiny_families import config_of, random_model, tokenizer_of

IDS = torch.arange(8, 18).reshape(2, 5)
INPUTS = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


def random_encoder(model_type: str) -> Any:
    config = config_of(model_type, tokenizer_of(model_type))
    config._attn_implementation = "eager"  # which returns the maps to compare with
    return random_model(config)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "albert", "electra", "xlm"])
@pytest.mark.parametrize("layer", [1, 2])
def test_queries_and_keys_give_the_attention_of_the_layer(model_type: str, layer: int) -> None:
    model = random_encoder(model_type)
    projections = find_projections(model, layer, "teacher")
    check_projections(model, projections, "teacher")
    with torch.no_grad():
        vectors = read_vectors(model, INPUTS, projections)
        maps = model(**INPUTS, output_attentions=True).attentions[layer - 1]
    queries, keys = (x.view(2, 5, 2, 8).transpose(1, 2) for x in (vectors.queries, vectors.keys))
    torch.testing.assert_close((queries @ keys.transpose(2, 3) / 8**0.5).softmax(dim=-1), maps)
    assert vectors.values.shape == (2, 5, projections.width) == (2, 5, 16)
    assert not any(module._forward_hooks for module in projections.modules)


@pytest.mark.parametrize("model_type", ["mpnet", "deberta-v2", "roformer", "nomic_bert"])
def test_families_with_relative_positions_give_the_vectors_of_the_texts(model_type: str) -> None:
    """DeBERTa-v2 projects relative positions with the same weights, after the texts."""
    model = random_encoder(model_type)
    projections = find_projections(model, 2, "student")
    check_projections(model, projections, "student")
    with torch.no_grad():
        states = model(**INPUTS, output_hidden_states=True).hidden_states[1]
        vectors = read_vectors(model, INPUTS, projections)
        for projection, value in zip(projections.modules, (vectors.queries, vectors.keys, vectors.values), strict=True):
            torch.testing.assert_close(projection(states), value)


@pytest.mark.parametrize(
    ("model_type", "text"),
    [
        ("modernbert", "no layer 1 with one projection each to queries, keys and values"),
        ("deberta", "no layer 1 with one projection each"),
        ("eurobert", "no layer 1 with one projection each"),
        ("gpt2", "attends only to the left or has two stacks"),
        ("bart", "attends only to the left or has two stacks"),
    ],
)
def test_other_families_are_refused_by_name(model_type: str, text: str) -> None:
    model = random_encoder(model_type)
    with pytest.raises(ModelError, match=rf"the student \({type(model).__name__}\) .*{text}.*BERT, DistilBERT or"):
        find_projections(model, 1, "student")


def test_attention_over_windows_is_refused() -> None:
    model = random_encoder("longformer")
    projections = find_projections(model, 1, "teacher")
    with pytest.raises(ModelError, match=r"LongformerForSequenceClassification.*\[8, 2, 16\] for 2 texts of 3 tokens"):
        check_projections(model, projections, "teacher")


def test_a_layer_that_does_not_exist_is_named() -> None:
    with pytest.raises(ModelError, match="2 layers, and no layer 3"):
        find_projections(random_encoder("bert"), 3, "teacher")
