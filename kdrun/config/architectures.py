"""Facts about each model family, one entry per family, without torch.

`kdrun.models.families` applies them to models. A checkpoint may belong to a family without an entry, for which
`find_family` returns None.
"""

from __future__ import annotations

from enum import Enum

from kdrun.config.checkpoint_families import CHECKPOINT_FAMILIES
from kdrun.config.family_spec import FamilySpec, decoder

DECODER_IDS = {"bos_token_id": "eos_token_id", "eos_token_id": "eos_token_id"}
"""Special ids of a decoder with a vocabulary of the corpus, whose rows begin with text."""
ONE_KEY_PER_HEAD = {"num_key_value_heads": None}
"""Plain attention; the default of Qwen's classes is the number of heads of one checkpoint."""


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
            output_layer="classifier",
            mlm_head=("cls",),
            token_types=True,
            fits_every_method=True,
        ),
    )
    distilbert = (
        "distilbert",
        FamilySpec(
            title="DistilBERT",
            depth_keys=("num_hidden_layers", "n_layers"),
            heads_key="n_heads",
            output_layer="classifier",
            mlm_head=("vocab_transform", "activation", "vocab_layer_norm", "vocab_projector"),
            size_names={"intermediate_size": "hidden_dim"},
            fits_every_method=True,
        ),
    )
    roberta = (
        "roberta",
        FamilySpec(
            title="RoBERTa",
            vocabulary="bpe",
            positions="after_padding",
            output_layer="classifier.out_proj",
            mlm_head=("lm_head",),
            special_ids={"bos_token_id": "cls_token_id", "eos_token_id": "sep_token_id"},
            sizes={"type_vocab_size": 1},  # the class's default of two is BERT's
            fits_every_method=True,
        ),
    )
    electra = (
        "electra",
        FamilySpec(
            title="ELECTRA",
            output_layer="classifier.out_proj",
            mlm_head=("generator_predictions", "generator_lm_head"),
            token_types=True,
        ),
    )
    albert = (
        "albert",
        FamilySpec(
            title="ALBERT",
            shared_layers=True,
            output_layer="classifier",
            mlm_head=("predictions",),
            token_types=True,
            special_ids={"bos_token_id": "cls_token_id", "eos_token_id": "sep_token_id"},
        ),
    )
    deberta_v3 = (
        "deberta-v2",  # transformers has one class for both
        FamilySpec(
            title="DeBERTa-v3",
            output_layer="classifier",
            mlm_head=("cls",),
            sizes={  # of the checkpoints of version 3, besides their width and depth
                "relative_attention": True,
                "pos_att_type": ["p2c", "c2p"],
                "position_buckets": 256,
                "norm_rel_ebd": "layer_norm",
                "share_att_key": True,
                "position_biased_input": False,
            },
        ),
    )
    modernbert = (
        "modernbert",
        FamilySpec(
            title="ModernBERT",
            layer_list="layers",
            output_layer="classifier",
            mlm_head=("head", "decoder"),
            special_ids={
                "bos_token_id": "cls_token_id",
                "eos_token_id": "sep_token_id",
                "cls_token_id": "cls_token_id",
                "sep_token_id": "sep_token_id",
            },
        ),
    )
    mpnet = (
        "mpnet",
        FamilySpec(
            title="MPNet",
            vocabulary="bpe",
            positions="after_padding",
            output_layer="classifier.out_proj",
            mlm_head=("lm_head",),
            special_ids={"bos_token_id": "cls_token_id", "eos_token_id": "sep_token_id"},
            padding_id=1,
        ),
    )
    gpt2 = (
        "gpt2",
        decoder(
            "GPT-2",
            "h",
            "n_layer",
            vocabulary="bpe",
            heads_key="n_head",
            output_layer="score",
            special_ids=DECODER_IDS,
            size_names={"intermediate_size": "n_inner"},
        ),
    )
    llama = ("llama", decoder("Llama", vocabulary="bpe", output_layer="score", special_ids=DECODER_IDS))
    qwen3 = (
        "qwen3",
        decoder("Qwen3", vocabulary="bpe", output_layer="score", special_ids=DECODER_IDS, sizes=ONE_KEY_PER_HEAD),
    )
    t5 = (
        "t5",
        FamilySpec(
            title="T5",
            depth_keys=("num_hidden_layers", "num_layers"),
            decoder_depth_key="num_decoder_layers",
            heads_key="num_heads",
            layer_list="block",
            positions="relative",
            is_text_to_text=True,
            special_ids={"eos_token_id": "eos_token_id", "decoder_start_token_id": "pad_token_id"},
            size_names={"intermediate_size": "d_ff"},
        ),
    )


def all_families() -> list[FamilySpec]:
    """Every entry: families that `scratch` can build, then those of checkpoints."""
    return [*(member.spec for member in Architecture), *CHECKPOINT_FAMILIES.values()]


def find_family(model_type: object) -> FamilySpec | None:
    """The entry of a `model_type`; None for a family without one."""
    scratch = next((member.spec for member in Architecture if member.value == model_type), None)
    return scratch or CHECKPOINT_FAMILIES.get(str(model_type))


def titles(*, text_to_text: bool = False) -> str:
    """Names of the encoders that every method takes, or of the text-to-text families: `A, B or C`."""
    specs = [member.spec for member in Architecture]
    names = [spec.title for spec in specs if (spec.is_text_to_text if text_to_text else spec.fits_every_method)]
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
