"""Entries that families share, and the families that are only loaded."""

import re

import pytest
from transformers import CONFIG_MAPPING

from kdrun.config.architectures import Architecture
from kdrun.config.checkpoint_families import CHECKPOINT_FAMILIES
from kdrun.config.family_spec import decoder, encoder_decoder, like_mt5, like_roberta


def test_shared_entries_differ_in_the_tokens_that_are_read() -> None:
    entries = [like_roberta("A"), decoder("A"), encoder_decoder("A"), like_mt5("A")]
    assert [entry.reads for entry in entries] == ["masked", "last_token", "end_token", "end_token"]
    assert [entry.positions for entry in entries] == ["after_padding", "from_zero", "from_zero", "relative"]
    assert [bool(entry.decoder_depth_key) for entry in entries] == [False, False, True, True]


def test_settings_of_an_entry_are_kept() -> None:
    assert decoder("A", "h", "n_layer").depth_keys == ("num_hidden_layers", "n_layer")
    assert encoder_decoder("A", attention_type="full").exact == {"attention_type": "full"}
    assert like_roberta("A", ("lm_head",)).mlm_head == ("lm_head",)


def test_families_of_checkpoints_are_known_to_transformers_and_not_built() -> None:
    assert set(CHECKPOINT_FAMILIES) <= set(CONFIG_MAPPING.keys())
    assert not set(CHECKPOINT_FAMILIES) & {architecture.value for architecture in Architecture}
    titles = [spec.title for spec in CHECKPOINT_FAMILIES.values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(("name", "layer"), [("xlm", "ffns"), ("bloom", "h"), ("mt5", "block")])
def test_names_of_layer_lists_are_patterns(name: str, layer: str) -> None:
    assert re.fullmatch(CHECKPOINT_FAMILIES[name].layer_list, layer)
