"""Facts about each model family, one entry per family, without torch.

`kdrun.models.families` applies them to models. A checkpoint may belong to a family without an entry, for which
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
        is_text_to_text: whether models answer with text; all other families are classifiers.
        special_ids: argument of the config class → attribute of the tokenizer, besides the padding id.
        sizes: arguments of the config class whose default is wrong for this family.
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
    sizes: dict[str, int] = field(default_factory=dict)
    exact: dict[str, str] = field(default_factory=dict)


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
        ),
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
        ),
    )


def _like_roberta(title: str, mlm_head: tuple[str, ...] = ()) -> FamilySpec:
    return FamilySpec(title, positions="after_padding", mlm_head=mlm_head)


def _decoder(title: str, layer_list: str = "layers", *depth_keys: str) -> FamilySpec:
    return FamilySpec(title, layer_list=layer_list, depth_keys=("num_hidden_layers", *depth_keys), reads="last_token")


def _encoder_decoder(title: str, **exact: str) -> FamilySpec:
    return FamilySpec(
        title,
        layer_list="layers",
        depth_keys=("num_hidden_layers", "encoder_layers"),
        decoder_depth_key="decoder_layers",
        reads="end_token",
        exact=exact,
    )


def _mt5(title: str) -> FamilySpec:
    return FamilySpec(
        title,
        layer_list="block",
        depth_keys=("num_hidden_layers", "num_layers"),
        decoder_depth_key="num_decoder_layers",
        positions="relative",
        reads="end_token",
    )


_XLM_LISTS = "attentions|layer_norm1|ffns|layer_norm2"

CHECKPOINT_FAMILIES: dict[str, FamilySpec] = {
    "albert": FamilySpec("ALBERT", shared_layers=True, mlm_head=("predictions",)),
    "bart": _encoder_decoder("BART"),
    "big_bird": FamilySpec("BigBird", exact={"attention_type": "original_full"}),
    "bigbird_pegasus": _encoder_decoder("BigBird-Pegasus", attention_type="original_full"),
    "biogpt": _decoder("BioGPT"),
    "bloom": _decoder("BLOOM", "h", "n_layer"),
    "camembert": _like_roberta("CamemBERT", ("lm_head",)),
    "convbert": FamilySpec("ConvBERT"),
    "ctrl": _decoder("CTRL", "h", "n_layer"),
    "data2vec-text": _like_roberta("Data2Vec"),
    "deberta": FamilySpec("DeBERTa"),
    "deberta-v2": FamilySpec("DeBERTa-v2"),
    "electra": FamilySpec("ELECTRA", mlm_head=("generator_predictions", "generator_lm_head")),
    "ernie": FamilySpec("ERNIE"),
    "esm": _like_roberta("ESM"),
    "eurobert": FamilySpec("EuroBERT", layer_list="layers"),
    "falcon": _decoder("Falcon", "h"),
    "flaubert": FamilySpec("FlauBERT", layer_list=_XLM_LISTS, depth_keys=("num_hidden_layers", "n_layers")),
    "fnet": FamilySpec("FNet"),
    "funnel": FamilySpec("Funnel", layer_list="numbered_by_block_and_layer"),
    "gemma": _decoder("Gemma"),
    "gemma2": _decoder("Gemma 2"),
    "gpt2": _decoder("GPT-2", "h", "n_layer"),
    "gpt_bigcode": _decoder("GPT BigCode", "h", "n_layer"),
    "gpt_neo": _decoder("GPT Neo", "h", "num_layers"),
    "gpt_neox": _decoder("GPT-NeoX"),
    "gptj": _decoder("GPT-J", "h", "n_layer"),
    "ibert": _like_roberta("I-BERT"),
    "llama": _decoder("Llama"),
    "longformer": _like_roberta("Longformer"),
    "luke": _like_roberta("LUKE"),
    "mbart": _encoder_decoder("mBART"),
    "megatron-bert": FamilySpec("Megatron-BERT"),
    "mistral": _decoder("Mistral"),
    "mobilebert": FamilySpec("MobileBERT"),
    "modernbert": FamilySpec("ModernBERT", layer_list="layers", mlm_head=("head", "decoder")),
    "mpnet": _like_roberta("MPNet", ("lm_head",)),
    "mpt": _decoder("MPT", "blocks", "n_layers"),
    "mt5": _mt5("mT5"),
    "mvp": _encoder_decoder("MVP"),
    "nomic_bert": FamilySpec("Nomic BERT", layer_list="layers"),
    "nystromformer": FamilySpec("Nyströmformer"),
    "olmo": _decoder("OLMo"),
    "openai-gpt": _decoder("OpenAI GPT", "h", "n_layer"),
    "opt": _decoder("OPT"),
    "phi": _decoder("Phi"),
    "phi3": _decoder("Phi-3"),
    "plbart": _encoder_decoder("PLBART"),
    "qwen2": _decoder("Qwen2"),
    "qwen3": _decoder("Qwen3"),
    "rembert": FamilySpec("RemBERT"),
    "roberta-prelayernorm": _like_roberta("RoBERTa-PreLayerNorm"),
    "roformer": FamilySpec("RoFormer"),
    "squeezebert": FamilySpec("SqueezeBERT", layer_list="layers"),
    "stablelm": _decoder("StableLM"),
    "umt5": _mt5("UMT5"),
    "xlm": FamilySpec("XLM", layer_list=_XLM_LISTS, depth_keys=("num_hidden_layers", "n_layers")),
    "xlm-roberta": _like_roberta("XLM-RoBERTa", ("lm_head",)),
    "xlm-roberta-xl": _like_roberta("XLM-RoBERTa-XL"),
    "xlnet": FamilySpec("XLNet", depth_keys=("num_hidden_layers", "n_layer")),
    "xmod": _like_roberta("X-MOD"),
}
"""Families of checkpoints that `scratch` cannot build, by `model_type`."""


def all_families() -> list[FamilySpec]:
    """Every entry: families that `scratch` can build, then those of checkpoints."""
    return [*(member.spec for member in Architecture), *CHECKPOINT_FAMILIES.values()]


def find_family(model_type: object) -> FamilySpec | None:
    """The entry of a `model_type`; None for a family without one."""
    scratch = next((member.spec for member in Architecture if member.value == model_type), None)
    return scratch or CHECKPOINT_FAMILIES.get(str(model_type))


def titles(*, text_to_text: bool = False) -> str:
    """Names of the encoders, or of the text-to-text families, that `scratch` can build: `A, B or C`."""
    names = [member.spec.title for member in Architecture if member.spec.is_text_to_text is text_to_text]
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
