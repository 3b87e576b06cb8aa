"""Form of a family entry, and entries that families share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class FamilySpec:
    """How models of one family are built and how their parts are named in transformers.

    Attributes:
        title: the family's name in messages.
        vocabulary: type of vocabulary that is trained for it.
        depth_keys: keys of a config that hold the number of layers.
        decoder_depth_key: key of a config that holds the number of decoder layers; empty for a model with one stack.
        heads_key: key of a config that holds the number of attention heads.
        layer_list: name of the module list that holds the layers, in the names of the weights; a regular expression.
        shared_layers: whether all layers have one set of weights.
        positions: first position id of a text: 0, or the padding id plus 1; or relative positions without ids.
        reads: tokens whose state a classifier reads: those that the attention mask marks, the last token before
            padding, or the last end-of-text token.
        output_layer: dotted name of a classifier's last linear layer; empty where its shape identifies the layer.
        mlm_head: names of the modules from last hidden states to logits over the vocabulary, in order; empty without
            such a head.
        token_types: whether its tokenizer assigns token types to the texts of a pair.
        is_text_to_text: whether models answer with text only; all other families are classifiers.
        special_ids: argument of the config class → attribute of the tokenizer, besides the padding id.
        sizes: arguments of the config class whose default is wrong for this family.
        size_names: name of a size in other families → its name in this one's config class, for `scratch`.
        padding_id: id that the family's code takes for padding; None where it reads the config.
        fits_every_method: whether every method for encoders takes its models; such families are named as a remedy.
        exact: settings of a checkpoint to replace, because they make the output of a row depend on the batch's length.
    """

    title: str
    vocabulary: Literal["wordpiece", "bpe"] = "wordpiece"
    depth_keys: tuple[str, ...] = ("num_hidden_layers",)
    decoder_depth_key: str = ""
    heads_key: str = "num_attention_heads"
    layer_list: str = "layer"
    shared_layers: bool = False
    positions: Literal["from_zero", "after_padding", "relative"] = "from_zero"
    reads: Literal["masked", "last_token", "end_token"] = "masked"
    output_layer: str = ""
    mlm_head: tuple[str, ...] = ()
    token_types: bool = False
    is_text_to_text: bool = False
    special_ids: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)
    size_names: dict[str, str] = field(default_factory=dict)
    padding_id: int | None = None
    fits_every_method: bool = False
    exact: dict[str, str] = field(default_factory=dict)

    @property
    def writes_text(self) -> bool:
        """Whether models can write answers: text-to-text models and decoders."""
        return self.is_text_to_text or self.reads == "last_token"


def like_roberta(title: str, mlm_head: tuple[str, ...] = ()) -> FamilySpec:
    """The entry of a family that counts positions from its padding id."""
    return FamilySpec(title, positions="after_padding", mlm_head=mlm_head)


def decoder(title: str, layer_list: str = "layers", *depth_keys: str, **more: Any) -> FamilySpec:
    """The entry of a decoder, whose classifier reads the last token."""
    keys = ("num_hidden_layers", *depth_keys)
    return FamilySpec(title, layer_list=layer_list, depth_keys=keys, reads="last_token", **more)


def encoder_decoder(title: str, **exact: str) -> FamilySpec:
    """The entry of a BART, whose classifier reads the last end-of-text token."""
    return FamilySpec(
        title,
        layer_list="layers",
        depth_keys=("num_hidden_layers", "encoder_layers"),
        decoder_depth_key="decoder_layers",
        reads="end_token",
        exact=exact,
    )


def like_mt5(title: str) -> FamilySpec:
    """The entry of an mT5 as a classifier."""
    return FamilySpec(
        title,
        layer_list="block",
        depth_keys=("num_hidden_layers", "num_layers"),
        decoder_depth_key="num_decoder_layers",
        positions="relative",
        reads="end_token",
    )
