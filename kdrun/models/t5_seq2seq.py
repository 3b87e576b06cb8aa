"""T5 that writes its answer token by token."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.modeling_outputs import Seq2SeqLMOutput

from kdrun.config.task import TaskConfig
from kdrun.models.t5_base import TaskT5, scale_decoder_states


class AnswerT5(TaskT5):
    """T5 as it is: given `decoder_input_ids` [batch, answer length], `logits` [batch, answer length, vocabulary].

    They are NaN behind the end of an answer, where nothing is learnt: a vocabulary of 30 000 costs more than all layers
    of a small T5, and most places of a batch are behind the end of short answers.
    """

    def configure_for_task(
        self, task: TaskConfig, tokenizer: PreTrainedTokenizerBase, stray_weight: float = 1.0
    ) -> None:
        """Write the types of entities and the prompts into the config, and into `generate`'s how an answer ends."""
        self.config.entities, self.config.prompts = list(task.entities), list(task.prompts)
        generation: Any = self.generation_config
        generation.max_new_tokens = task.answer_tokens
        generation.decoder_start_token_id = self.config.decoder_start_token_id
        generation.eos_token_id, generation.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        prompt_mask: Tensor | None = None,
        **generating: Any,
    ) -> Any:
        """`logits` at every token of an answer, teacher-forced.

        Args:
            input_ids: prompt and text, [batch, length]; or
            inputs_embeds: their embeddings, [batch, length, width].
            attention_mask: 1 on tokens, 0 on padding, [batch, length].
            decoder_input_ids: the answers, one place later behind the start token, [batch, answer length].
            prompt_mask: taken so that a batch can be passed whole, not read.
            **generating: what T5's own `generate` passes; then this is T5's own pass.
        """
        del prompt_mask
        ids, answers = cast("Any", input_ids), cast("Any", decoder_input_ids)
        if generating or decoder_input_ids is None:
            return super().forward(ids, attention_mask, answers, inputs_embeds=inputs_embeds, **generating)
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds
        ).last_hidden_state
        decoded = self.decoder(
            input_ids=decoder_input_ids,
            encoder_hidden_states=hidden,
            encoder_attention_mask=attention_mask,
            use_cache=False,
        ).last_hidden_state
        decoded = scale_decoder_states(self.config, decoded)
        places = self._in_answers(decoder_input_ids)
        found = self.lm_head(decoded.flatten(0, 1)[places])
        logits = found.new_full((decoded.shape[0] * decoded.shape[1], found.shape[-1]), torch.nan)
        return Seq2SeqLMOutput(logits=logits.index_copy(0, places, found).unflatten(0, decoded.shape[:2]))

    def _in_answers(self, read: Tensor) -> Tensor:
        """Numbers of the places [batch · answer length] before which no end was read; the start may be such a token."""
        ends = read == cast("int", self.config.eos_token_id)
        ends[:, 0] = False
        return (ends.cumsum(dim=1) == 0).flatten().nonzero().squeeze(1)
