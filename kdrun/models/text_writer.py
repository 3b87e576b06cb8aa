"""T5 as a writer of entities: it answers with a text, and is trained on each token of it."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from kdrun.data.config import TaskConfig
from kdrun.models.text_to_text import TextToText


class TextWriter(TextToText):
    """T5 as it is: given `decoder_input_ids` [batch, answer length], `logits` [batch, answer length, vocabulary]."""

    def take_on(self, task: TaskConfig, tokenizer: PreTrainedTokenizerBase, stray_weight: float = 1.0) -> None:
        """Write the types of entities and the prompts into the config, and into `generate`'s how an answer ends."""
        self.config.entities, self.config.prompts = list(task.entities), list(task.prompts)
        generation: Any = self.generation_config
        generation.max_new_tokens = task.answer_tokens
        generation.decoder_start_token_id = self.config.decoder_start_token_id
        generation.eos_token_id, generation.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, *args: Any, prompt_mask: Tensor | None = None, use_cache: bool = False, **kwargs: Any
    ) -> Any:
        """T5's own pass; `prompt_mask` is taken so that a batch can be passed whole, not read.

        Keys and values are kept only where they are asked for, as `generate` does: training has no use for them.
        """
        del prompt_mask
        return super().forward(*args, use_cache=use_cache, **kwargs)
