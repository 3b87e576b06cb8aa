"""Every entry of the family table against the classes of transformers; families without an entry."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, LayoutLMConfig, LayoutLMForMaskedLM, XLMRobertaConfig

from kdrun.config.architectures import Architecture, find_family, titles
from kdrun.config.validation.layers import num_layers
from kdrun.errors import ModelError
from kdrun.models import families
from kdrun.models.bundle import BuildContext
from tests.helpers.tiny_models import MNLI, SIZES, make, scratch_config

Context = Callable[..., BuildContext]
CLASSIFIERS = [architecture for architecture in Architecture if not architecture.spec.is_text_to_text]
ENCODERS = [architecture for architecture in CLASSIFIERS if architecture.spec.mlm_head]
TABLE_OF_POSITIONS = [
    architecture
    for architecture in CLASSIFIERS
    if architecture.name not in ("deberta_v3", "modernbert", "llama", "qwen3")  # relative positions have no end
]
LAYERS = 3


@pytest.mark.parametrize("architecture", Architecture)
def test_an_entry_agrees_with_the_model_it_builds(architecture: Architecture, context: Context) -> None:
    bundle = make(scratch_config(architecture), context())
    config: Any = bundle.model.config
    family = architecture.spec
    assert families.family_of(config) is family is find_family(architecture.value)
    assert isinstance(config, families.config_class(architecture))
    assert families.is_text_to_text(config) == family.is_text_to_text == config.is_encoder_decoder
    assert getattr(config, family.heads_key) == config.num_attention_heads == 2
    assert num_layers(scratch_config(architecture)) == config.num_hidden_layers == LAYERS
    assert all(getattr(config, key) == LAYERS for key in family.depth_keys)
    for argument, attribute in family.special_ids.items():
        assert getattr(config, argument) == getattr(bundle.tokenizer, attribute)
    assert ("token_type_ids" in bundle.tokenizer.model_input_names) == family.token_types
    assert hasattr(config, "max_position_embeddings") == (family.positions != "relative")


@pytest.mark.parametrize("architecture", [a for a in Architecture if not a.spec.shared_layers])
def test_the_layer_pattern_finds_the_weights_of_every_layer(architecture: Architecture, context: Context) -> None:
    model = make(scratch_config(architecture), context()).model
    pattern = families.layer_pattern(model.config)
    matches = [match for name in model.state_dict() if (match := pattern.fullmatch(name))]
    assert {int(match["index"]) for match in matches} == set(range(LAYERS))
    assert min(Counter(match["index"] for match in matches).values()) >= 5


@pytest.mark.parametrize("architecture", CLASSIFIERS)
def test_the_output_layer_gives_the_logits(architecture: Architecture, context: Context) -> None:
    bundle = make(scratch_config(architecture), context())
    holder, name = families.output_layer(bundle.model)
    layer: nn.Linear = getattr(holder, name)
    assert layer.out_features == MNLI.num_outputs
    nn.init.zeros_(layer.weight)
    if layer.bias is None:
        assert architecture.spec.reads == "last_token"
        expected = [0.0, 0.0, 0.0]
    else:
        expected = [1.0, 2.0, 3.0]
        layer.bias.data = torch.tensor(expected)
    logits = bundle.model(**bundle.tokenizer("the cat", return_tensors="pt")).logits
    assert logits.tolist() == [expected]


@pytest.mark.parametrize("architecture", ENCODERS)
def test_the_mlm_head_equals_the_models_own_logits(architecture: Architecture, context: Context) -> None:
    bundle = make(scratch_config(architecture), context("generator"))
    batch = bundle.tokenizer("the cat", return_tensors="pt")
    logits = families.mlm_head(bundle.model)(bundle.model.base_model(**batch)[0])
    assert torch.equal(logits, bundle.model(**batch).logits)


@pytest.mark.parametrize("architecture", ENCODERS)
def test_embeddings_with_explicit_positions_equal_ids(architecture: Architecture, context: Context) -> None:
    bundle = make(scratch_config(architecture), context())
    batch = dict(bundle.tokenizer(["the cat", "the dog sees the horse"], padding=True, return_tensors="pt"))
    from_ids = bundle.model(**batch, output_hidden_states=True).hidden_states[-1]
    ids = batch.pop("input_ids")
    batch |= {"inputs_embeds": bundle.model.get_input_embeddings()(ids)}
    batch |= families.explicit_positions(bundle.model.config, ids)
    assert torch.equal(bundle.model(**batch, output_hidden_states=True).hidden_states[-1], from_ids)


@pytest.mark.parametrize("architecture", TABLE_OF_POSITIONS)
def test_the_last_position_is_used_and_no_more(architecture: Architecture, context: Context) -> None:
    config = scratch_config(architecture, sizes=SIZES[architecture] | {"max_position_embeddings": 40})
    bundle = make(config, context(max_length=20))
    room = 40 - families.first_position(bundle.model.config, bundle.tokenizer)
    bundle.model(**bundle.tokenizer("cat " * 60, truncation=True, max_length=room, return_tensors="pt"))
    with pytest.raises((IndexError, RuntimeError)):
        bundle.model(**bundle.tokenizer("cat " * 60, truncation=True, max_length=room + 1, return_tensors="pt"))


def test_a_t5_has_no_head_of_an_encoder(context: Context) -> None:
    model = make(scratch_config(Architecture.t5), context()).model
    with pytest.raises(ModelError, match=f"T5LabelScorer .*{titles()}"):
        families.output_layer(model)
    with pytest.raises(ModelError, match=f"'t5' .*{titles()}"):
        families.mlm_head(model)


def test_a_family_without_an_entry_is_served_by_its_names(context: Context) -> None:
    config = LayoutLMConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    config.num_labels = 4
    model = AutoModelForSequenceClassification.from_config(config)
    assert families.family_of(config) is None
    assert not families.is_text_to_text(config)
    holder, name = families.output_layer(model)
    assert getattr(holder, name) is model.classifier
    pattern = families.layer_pattern(config)
    assert {int(match["index"]) for key in model.state_dict() if (match := pattern.fullmatch(key))} == {0, 1}
    tokenizer = make(scratch_config(), context()).tokenizer
    assert families.first_position(config, tokenizer) == 0
    assert families.first_position(XLMRobertaConfig(pad_token_id=1), tokenizer) == 2
    with pytest.raises(ModelError, match=f"'layoutlm' .*{titles()}"):
        families.mlm_head(LayoutLMForMaskedLM(config))


def test_titles() -> None:
    assert titles() == "BERT, DistilBERT or RoBERTa"
    assert titles(text_to_text=True) == "T5"
