"""Checkpoints of many model families with random weights, and their tokenizers."""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from kdrun.models.tokenizer_training import BYTE_BPE, WORDPIECE, _set_template, train
from tests.helpers.tiny_models import MNLI, tiny_corpus

LAYERS = 2
SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "intermediate_size": 32,
    "max_position_embeddings": 80,
    "type_vocab_size": 2,
}
SEQ2SEQ: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}
MT5: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": LAYERS, "num_heads": 2}
MT5 |= {"num_decoder_layers": LAYERS, "decoder_start_token_id": 1}
GPT: dict[str, Any] = {"n_embd": 16, "n_layer": LAYERS, "n_head": 2, "n_positions": 80}
XLM: dict[str, Any] = {"emb_dim": 16, "n_layers": LAYERS, "n_heads": 2}
PARTS = ("q", "k", "v", "post_attention", "intermediate", "output")
GROUPS: dict[str, Any] = {f"{part}_groups": 1 for part in PARTS}
DEBERTA: dict[str, Any] = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "pooler_hidden_size": 16}

BPE_ENCODERS: dict[str, dict[str, Any]] = {
    "roberta": {},
    "xlm-roberta": {},
    "camembert": {},
    "data2vec-text": {},
    "roberta-prelayernorm": {},
    "xlm-roberta-xl": {},
    "mpnet": {},
    "longformer": {"attention_window": 8},
    "ibert": {},
}
WORDPIECE_ENCODERS: dict[str, dict[str, Any]] = {
    "bert": {},
    "distilbert": {"dim": 16, "n_layers": LAYERS, "n_heads": 2, "hidden_dim": 32},
    "albert": {"embedding_size": 8},
    "electra": {"embedding_size": 8},
    "ernie": {},
    "megatron-bert": {},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8},
    "nomic_bert": {},
    "eurobert": {},
    "deberta": DEBERTA | {"max_relative_positions": 32},
    "deberta-v2": DEBERTA | {"position_buckets": 8, "share_att_key": True, "position_biased_input": False},
    "squeezebert": GROUPS | {"embedding_size": 16},
    "roformer": {"embedding_size": 16},
    "big_bird": {},
    "nystromformer": {},
    "rembert": {"input_embedding_size": 8, "output_embedding_size": 16},
    "xlm": XLM,
    "flaubert": XLM,
    "mobilebert": {
        "embedding_size": 16,
        "true_hidden_size": 16,
        "intra_bottleneck_size": 16,
        "num_feedforward_networks": 1,
    },
    "xlnet": {"d_model": 16, "n_layer": LAYERS, "n_head": 2, "d_inner": 32},
    "fnet": {},
    "convbert": {"embedding_size": 16, "head_ratio": 2},
    "funnel": {"block_sizes": [1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32},
    "yoso": {},
}
DECODERS: dict[str, dict[str, Any]] = {
    "gpt2": GPT,
    "openai-gpt": GPT,
    "gpt_neo": {"num_layers": LAYERS, "num_heads": 2, "attention_types": [[["global"], LAYERS]]},
    "gpt_neox": {},
    "gptj": GPT | {"rotary_dim": 4},
    "bloom": {"n_layer": LAYERS, "n_head": 2},
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 16},
    "llama": {},
    "mistral": {},
    "qwen2": {},
    "qwen3": {},
    "gemma": {},
    "gemma2": {},
    "phi": {},
    "falcon": {},
}
ENCODER_DECODERS: dict[str, dict[str, Any]] = {
    "bart": SEQ2SEQ,
    "mbart": SEQ2SEQ,
    "mvp": SEQ2SEQ,
    "mt5": MT5,
    "umt5": MT5,
}
REFORMER: dict[str, Any] = {
    "axial_pos_shape": [8, 8],
    "axial_pos_embds_dim": [8, 8],
    "attn_layers": ["local", "lsh"],
    "local_attn_chunk_length": 8,
    "lsh_attn_chunk_length": 8,
    "attention_head_size": 8,
    "is_decoder": False,
}
FAMILIES = BPE_ENCODERS | WORDPIECE_ENCODERS | DECODERS | ENCODER_DECODERS
"""Arguments of the config class besides `SIZES`, by model type."""


@cache
def _backend(bpe: bool) -> str:
    return train(tiny_corpus(), "bpe" if bpe else "wordpiece", 400 if bpe else 250, processes=1).to_str()


def tokenizer_of(model_type: str) -> PreTrainedTokenizerBase:
    """A tokenizer with the special tokens of a family."""
    bpe = model_type not in WORDPIECE_ENCODERS
    backend = Tokenizer.from_str(_backend(bpe))
    special = {f"{role}_token": token for role, token in (BYTE_BPE if bpe else WORDPIECE).items()}
    inputs = ["input_ids", "attention_mask"]
    if model_type in DECODERS:
        _set_template(backend, "$A", "$A $B", [])
        special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    elif model_type in ENCODER_DECODERS:
        special["eos_token"] = "</s>"
    elif model_type == "xlnet":
        _set_template(backend, "$A [SEP] [CLS]:2", "$A [SEP] $B:1 [SEP]:1 [CLS]:2", ["[SEP]", "[CLS]"])
    if not bpe and model_type not in ("distilbert", "xlm", "flaubert", "modernbert", "eurobert"):
        inputs.append("token_type_ids")
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_input_names=inputs, **special)


def config_of(model_type: str, tokenizer: PreTrainedTokenizerBase, **more: Any) -> PreTrainedConfig:
    """A tiny config for the classes of MNLI."""
    cls = CONFIG_MAPPING[model_type]
    keys = {*inspect.signature(cls.__init__).parameters, *inspect.signature(cls).parameters, *cls.attribute_map}
    sizes = {key: value for key, value in (SIZES | FAMILIES.get(model_type, REFORMER)).items() if key in keys}
    ids: dict[str, Any] = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    ids |= {"bos_token_id": tokenizer.convert_tokens_to_ids("<s>"), "eos_token_id": tokenizer.eos_token_id}
    config = cls(**{**sizes, **ids, **more})
    config.num_labels = len(MNLI.labels)
    config.id2label, config.label2id = dict(enumerate(MNLI.labels)), {n: i for i, n in enumerate(MNLI.labels)}
    return config


def random_model(config: PreTrainedConfig, auto: Any = AutoModelForSequenceClassification) -> PreTrainedModel:
    """A model whose outputs differ from row to row, in eval mode."""
    model = auto.from_config(config).eval()
    stream = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            parameter.data.normal_(std=0.3, generator=stream)
    return model


def save_language_model(model_type: str, folder: Path, **more: Any) -> Path:
    """Save a random causal language model with its tokenizer."""
    return save_checkpoint(model_type, folder, auto=AutoModelForCausalLM, **more)


def save_checkpoint(model_type: str, folder: Path, *, masked_lm: bool = False, auto: Any = None, **more: Any) -> Path:
    """Save a random model of a family with its tokenizer."""
    tokenizer = tokenizer_of(model_type)
    auto = auto or (AutoModelForMaskedLM if masked_lm else AutoModelForSequenceClassification)
    random_model(config_of(model_type, tokenizer, **more), auto).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
