"""Load a language model that continues prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from kdrun.models import padding, prompted, weights
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.hub_files import download, read_config, read_tokenizer
from kdrun.models.parameters import model_fingerprint
from kdrun.models.text_limits import check_positions, check_vocabulary


def load_language_model(name: str, revision: str | None, context: BuildContext) -> ModelBundle:
    """Load a causal or text-to-text language model from a folder or the hub.

    Args:
        name: a folder, or a name at the hub.
        revision: commit or tag at the hub.
        context: longest text in tokens, prompt included.

    Raises:
        ModelError: the model cannot be loaded, is no language model, or has too few positions.
    """
    folder, where = Path(name).expanduser(), f"model={name}"
    if not folder.is_dir():
        folder = download(name, revision, context.role)
    config, tokenizer = read_config(folder, where), read_tokenizer(folder, where)
    check_vocabulary(config, tokenizer, where)
    check_positions(config, tokenizer, context.max_length, where)
    notes = padding.fit_padding_ids(config, tokenizer, where)
    is_text_to_text = bool(getattr(config, "is_encoder_decoder", False))
    auto = AutoModelForSeq2SeqLM if is_text_to_text else AutoModelForCausalLM
    model, info = weights.load_model(auto, folder, where, config, replace(context, role="generator"), "sdpa")
    weights.check_missing_weights(set(info["missing_keys"]) | weights.mismatched_weights(info), where)
    if not is_text_to_text:
        prompted.check_causal(model, where, "a causal language model (GPT-2, Llama, Qwen, …) is needed")
    model.eval()
    title = name.rpartition("/")[2] if folder != Path(name).expanduser() else folder.resolve().name
    return ModelBundle(model, tokenizer, title, model_fingerprint(model, tokenizer), False, notes)
