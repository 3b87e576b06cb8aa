"""Families of models as values of a config."""

import copy
import pickle

import pytest

from kdrun.config.architectures import Architecture, find_family, titles


@pytest.mark.parametrize("architecture", Architecture)
def test_a_member_is_its_model_type(architecture: Architecture) -> None:
    assert architecture.value == {"deberta_v3": "deberta-v2"}.get(architecture.name, architecture.name)
    assert Architecture(architecture.value) is architecture
    assert copy.deepcopy(architecture) is pickle.loads(pickle.dumps(architecture)) is architecture
    assert find_family(architecture.value) is architecture.spec


@pytest.mark.parametrize("model_type", ["layoutlm", "", None])
def test_other_model_types_have_no_family(model_type: str | None) -> None:
    assert find_family(model_type) is None


def test_titles_separate_encoders_from_text_to_text_families() -> None:
    assert titles() == "BERT, DistilBERT or RoBERTa"
    assert titles(text_to_text=True) == "T5"


@pytest.mark.parametrize("architecture", Architecture)
def test_encoders_have_a_classifier_and_a_masked_language_head(architecture: Architecture) -> None:
    spec = architecture.spec
    assert bool(spec.output_layer) == (not spec.is_text_to_text)
    assert bool(spec.mlm_head) == (not spec.is_text_to_text and spec.reads == "masked")
