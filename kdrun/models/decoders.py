"""Load and build causal language models that write their answers."""

from __future__ import annotations

from pathlib import Path

from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, PreTrainedConfig, PreTrainedTokenizerBase

from kdrun.config.architectures import Architecture, titles
from kdrun.errors import ModelError
from kdrun.models import families, padding, text_tasks, weights
from kdrun.models.answer_decoder import AnswerDecoder, as_answer_decoder, check_reading
from kdrun.models.attention_choice import best_attention
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.parameters import model_fingerprint
from kdrun.models.text_limits import check_positions
from kdrun.rng import seeded_init


def load(
    folder: Path,
    where: str,
    config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    context: BuildContext,
    facts: tuple[str, bool, list[str]],
) -> ModelBundle:
    """Load a causal language model for a task that is answered with text.

    Args:
        folder: a folder that `save_pretrained` wrote.
        where: config key and folder, for messages.
        config: of the model.
        tokenizer: of the model.
        context: role, task, seed.
        facts: name on the console, whether it was trained on the task, and remarks.

    Raises:
        ModelError: it writes no text, has too few positions, or its answers depend on padding.
    """
    name, has_head, notes = facts
    _check_writes(config, where, context)
    check_positions(config, tokenizer, context.max_length + context.task.answer_tokens, where)
    notes = [*notes, *padding.fit_padding_ids(config, tokenizer, where)]
    plain, info = weights.load_model(AutoModelForCausalLM, folder, where, config, context, "sdpa")
    weights.check_missing_weights(set(info["missing_keys"]) | weights.mismatched_weights(info), where)
    model = as_answer_decoder(plain)
    model.configure_for_task(context.task, tokenizer)
    check_reading(model.eval(), where)
    return ModelBundle(model, tokenizer, name, model_fingerprint(model, tokenizer), has_head, notes)


def build(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, context: BuildContext) -> AnswerDecoder:
    """A causal language model with random weights for a task that is answered with text."""
    where = f"{context.role}.architecture"
    text_tasks.check_prompts(context.task, context.role)
    attention = best_attention(AutoModelForCausalLM, config, "sdpa", where)
    with seeded_init(context.seed, context.role):
        model = as_answer_decoder(AutoModelForCausalLM.from_config(config, attn_implementation=attention))
    model.configure_for_task(context.task, tokenizer)
    check_reading(model.eval(), where)
    return model


def _check_writes(config: PreTrainedConfig, where: str, context: BuildContext) -> None:
    """Check that a checkpoint is a causal language model, as far as its config tells.

    Raises:
        ModelError: it is an encoder, or has an encoder and a decoder.
    """
    family = families.family_of(config)
    is_decoder = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not config.is_encoder_decoder
    if is_decoder and (family is None or family.writes_text):
        return
    decoders = ", ".join(member.spec.title for member in Architecture if member.spec.reads == "last_token")
    raise ModelError(
        f"{where}: {config.model_type} is loaded as a classifier, which generates no text, and task "
        f"{context.task.name} is answered with text; give a {titles(text_to_text=True)} model, or a causal language "
        f"model ({decoders})"
    )
