"""T5 that writes its answer token by token."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.modeling_outputs import Seq2SeqLMOutput

from kdrun.config.task import TaskConfig
from kdrun.models import text_tasks
from kdrun.models.t5_base import TaskT5, scale_decoder_states


class AnswerT5(TaskT5):
    """A T5 whose `logits` are [batch, answer length, vocabulary], for `decoder_input_ids` [batch, answer length].

    The logits are NaN behind the end of an answer, where nothing is trained. Logits over a vocabulary of 30 000
    cost more than all layers of a small T5, and most positions of a batch are behind the end of short answers.
    """

    def configure_for_task(
        self, task: TaskConfig, tokenizer: PreTrainedTokenizerBase, label_mass_weight: float = 1.0
    ) -> None:
        """Set the task and its prompts in the config, and the end of an answer in that of `generate`."""
        text_tasks.sign(self.config, task)
        self.set_generation(task.answer_tokens, tokenizer)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        prompt_mask: Tensor | None = None,
        **generation: Any,
    ) -> Any:
        """Logits at every token of an answer, with teacher forcing.

        Args:
            input_ids: prompt and text, [batch, length].
            inputs_embeds: their embeddings, instead of ids, [batch, length, width].
            attention_mask: 1 on tokens, 0 on padding, [batch, length].
            decoder_input_ids: the answers, shifted right behind the start token, [batch, answer length].
            prompt_mask: ignored, accepted so that a whole batch can be passed.
            **generation: arguments from `generate`; the pass is then that of a plain T5.
        """
        del prompt_mask
        ids, answers = cast("Any", input_ids), cast("Any", decoder_input_ids)
        if generation or decoder_input_ids is None:
            return super().forward(ids, attention_mask, answers, inputs_embeds=inputs_embeds, **generation)
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
        positions = self._answer_positions(decoder_input_ids)
        answer_logits = self.lm_head(decoded.flatten(0, 1)[positions])
        logits = answer_logits.new_full((decoded.shape[0] * decoded.shape[1], answer_logits.shape[-1]), torch.nan)
        return Seq2SeqLMOutput(logits=logits.index_copy(0, positions, answer_logits).unflatten(0, decoded.shape[:2]))

    def _answer_positions(self, decoder_input_ids: Tensor) -> Tensor:
        """Flat indices into [batch · answer length] up to the end of each answer; the start may equal the end token."""
        ends = decoder_input_ids == cast("int", self.config.eos_token_id)
        ends[:, 0] = False
        return (ends.cumsum(dim=1) == 0).flatten().nonzero().squeeze(1)
