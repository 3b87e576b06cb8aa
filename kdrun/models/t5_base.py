"""T5 as teacher, student or generator: base class, new weights, output scale."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerBase, T5Config, T5ForConditionalGeneration

from kdrun.config.task import TaskConfig

ATTENTION = "sdpa"
"""Attention of every T5: `kdrun.models.attention_maps` does not know T5's position bias."""

POSITION_STD = 2.0
"""Standard deviation of the position biases of a new model."""


class TaskT5(T5ForConditionalGeneration):
    """A T5 model as teacher or student of a task, which its config names; saved as T5ForConditionalGeneration."""

    @property
    def prompts(self) -> list[str]:
        """The prompt of each text of a row."""
        return list(self.config.prompts)

    @property
    def vocabulary_positions(self) -> int:
        """Decoder positions per row whose logits over the vocabulary are in memory at once, known before a batch."""
        return 0

    def configure_for_task(
        self, task: TaskConfig, tokenizer: PreTrainedTokenizerBase, label_mass_weight: float = 1.0
    ) -> None:
        """Set up the model for a task, before the first pass; `label_mass_weight` is for classifiers only."""
        raise NotImplementedError

    def set_generation(self, max_new_tokens: int, tokenizer: PreTrainedTokenizerBase) -> None:
        """Let `generate` write the answers that kdrun scores: greedy ones, up to the end token.

        Settings of the checkpoint, such as beams or penalties, are dropped: they would give other answers, or be
        refused by transformers when the model is saved.
        """
        self.generation_config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            decoder_start_token_id=self.config.decoder_start_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    def save_pretrained(self, save_directory: Any, **options: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Save it as a plain T5ForConditionalGeneration, which loads without this class."""
        super().save_pretrained(save_directory, **options)
        self.config.architectures = [T5ForConditionalGeneration.__name__]
        saved = copy.deepcopy(self.config)
        vars(saved).pop("task_specific_params", None)  # settings of `generate` for other tasks, which pipelines apply
        saved.save_pretrained(save_directory)


def init_t5(model_class: type[T5ForConditionalGeneration], config: T5Config) -> T5ForConditionalGeneration:
    """A model with random weights, in eval mode.

    All that a T5 knows of positions is one bias per distance and head. The bias is drawn with a standard deviation of 2
    [ours] instead of transformers' width^-1/2, with which a tiny model needs thousands of steps before a word's
    neighbors differ from other words (embedded SST-2, 800 steps: 0.83 with transformers' value, 0.98 with 2).
    """
    model = model_class._from_config(config, attn_implementation=ATTENTION).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("relative_attention_bias.weight"):
                weight.normal_(std=POSITION_STD)
    return model


def scale_decoder_states(config: Any, states: Tensor) -> Tensor:
    """Decoder states as the language-model head reads them.

    A T5 whose head shares the embedding table scales them by width^-1/2; a T5 v1.1 does not.

    Args:
        config: the model's.
        states: last hidden states of the decoder, [..., width].
    """
    return states * config.d_model**-0.5 if config.scale_decoder_outputs else states
