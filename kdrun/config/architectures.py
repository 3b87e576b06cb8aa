"""Facts about each model family, one entry per family, without torch.

`kdrun.models.families` applies them to models. A checkpoint from the hub may belong to another family, for which
`find_family` returns None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal


@dataclass(frozen=True)
class FamilySpec:
    """How models of one family are built and how their parts are named in transformers.

    Attributes:
        title: the family's name in messages.
        vocabulary: type of vocabulary that is trained for it.
        depth_keys: keys of a config that hold the number of layers.
        heads_key: key of a config that holds the number of attention heads.
        layer_list: name of the module list that holds the layers, in the names of the weights.
        positions: first position id of a text: 0, or the padding id plus 1; or relative positions without ids.
        output_layer: dotted name of a classifier's last linear layer; empty without one.
        mlm_head: names of the modules from last hidden states to logits over the vocabulary, in order; empty without
            such a head.
        token_types: whether its tokenizer assigns token types to the texts of a pair.
        is_text_to_text: whether models answer with text; all other families are encoders.
        special_ids: argument of the config class → attribute of the tokenizer, besides the padding id.
        sizes: arguments of the config class whose default is wrong for this family.
    """

    title: str
    vocabulary: Literal["wordpiece", "bpe"]
    depth_keys: tuple[str, ...]
    heads_key: str
    layer_list: str
    positions: Literal["from_zero", "after_padding", "relative"]
    output_layer: str = ""
    mlm_head: tuple[str, ...] = ()
    token_types: bool = False
    is_text_to_text: bool = False
    special_ids: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


class Architecture(Enum):
    """Families that `scratch` can build; the value is the `model_type` of transformers."""

    _value_: str
    spec: FamilySpec

    def __new__(cls, model_type: str, spec: FamilySpec) -> Architecture:
        """Create a member whose value is only the model type."""
        member = object.__new__(cls)
        member._value_, member.spec = model_type, spec
        return member

    bert = (
        "bert",
        FamilySpec(
            title="BERT",
            vocabulary="wordpiece",
            depth_keys=("num_hidden_layers",),
            heads_key="num_attention_heads",
            layer_list="layer",
            positions="from_zero",
            output_layer="classifier",
            mlm_head=("cls",),
            token_types=True,
        ),
    )
    distilbert = (
        "distilbert",
        FamilySpec(
            title="DistilBERT",
            vocabulary="wordpiece",
            depth_keys=("num_hidden_layers", "n_layers"),
            heads_key="n_heads",
            layer_list="layer",
            positions="from_zero",
            output_layer="classifier",
            mlm_head=("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),
        ),
    )
    roberta = (
        "roberta",
        FamilySpec(
            title="RoBERTa",
            vocabulary="bpe",
            depth_keys=("num_hidden_layers",),
            heads_key="num_attention_heads",
            layer_list="layer",
            positions="after_padding",
            output_layer="classifier.out_proj",
            mlm_head=("lm_head",),
            special_ids={"bos_token_id": "cls_token_id", "eos_token_id": "sep_token_id"},
            sizes={"type_vocab_size": 1},  # the class's default of two is BERT's
        ),
    )
    t5 = (
        "t5",
        FamilySpec(
            title="T5",
            vocabulary="wordpiece",
            depth_keys=("num_hidden_layers", "num_layers"),
            heads_key="num_heads",
            layer_list="block",
            positions="relative",
            is_text_to_text=True,
            special_ids={"eos_token_id": "eos_token_id", "decoder_start_token_id": "pad_token_id"},
        ),
    )


def find_family(model_type: object) -> FamilySpec | None:
    """The entry of a `model_type`; None for a family without one."""
    return next((member.spec for member in Architecture if member.value == model_type), None)


def titles(*, text_to_text: bool = False) -> str:
    """The names of the encoders, or of the text-to-text families, for messages: `A, B or C`."""
    names = [member.spec.title for member in Architecture if member.spec.is_text_to_text is text_to_text]
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
