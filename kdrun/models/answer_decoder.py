"""Causal language model that writes its answer after a prompt."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import CausalLMOutput

from kdrun.config.prompt_template import PromptTemplate, default_template
from kdrun.config.task import TaskConfig
from kdrun.errors import ModelError
from kdrun.models import text_tasks
from kdrun.models.hub_files import first_line

TOLERANCE = 1e-3
"""Largest difference of a logit that padding or the cache may cause, relative to the largest logit."""


class AnswerDecoder(PreTrainedModel):
    """A causal language model whose `logits` are those of an answer, as of `kdrun.models.t5_seq2seq.AnswerT5`.

    A batch has the same form: the prompts as `input_ids`, padded on the right, and the answers as `decoder_input_ids`
    behind a first column that is not read. The logits of the first token are those at the end of the prompt. Inside,
    prompts are padded on the left, so that all answers begin at one position; positions are counted from the first
    token of each prompt.

    Made of a loaded model by `as_answer_decoder`: weights, names and saved files are those of the plain model.
    """

    template: PromptTemplate

    @property
    def answer_start_id(self) -> int:
        """Id of the first column of decoder inputs, which is not read."""
        return self._end_id

    @property
    def _end_id(self) -> int:
        end: Any = self.config.eos_token_id
        return end

    def configure_for_task(self, task: TaskConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        """Set the task and its prompts in the config, and the end of an answer in that of `generate`."""
        template = default_template(task)
        assert template is not None, "check_prompts requires prompts"
        self.template = template
        settings: Any = self.config
        settings.eos_token_id, settings.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
        text_tasks.sign(settings, task)
        self.generation_config = GenerationConfig(
            max_new_tokens=task.answer_tokens,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        **more: Any,
    ) -> Any:
        """Logits at every token of an answer, with teacher forcing, NaN behind its end: [batch, length, vocabulary].

        Without answers the pass is that of the plain model.

        Args:
            input_ids: prompts, padded on the right, [batch, prompt length].
            attention_mask: 1 on tokens, [batch, prompt length].
            decoder_input_ids: the answers, shifted right by one column, [batch, length].
            position_ids: of the plain model.
            past_key_values: likewise.
            more: further arguments of the plain model.
        """
        if decoder_input_ids is None:
            more |= {} if position_ids is None else {"position_ids": position_ids}
            more |= {} if past_key_values is None else {"past_key_values": past_key_values}
            return super().forward(input_ids=input_ids, attention_mask=attention_mask, **more)  # pyright: ignore
        assert input_ids is not None
        assert attention_mask is not None
        ids, mask = pad_left(input_ids, attention_mask)
        ends = decoder_input_ids == self._end_id
        ends[:, 0] = False
        present = ends.cumsum(dim=1) == 0
        ids = torch.cat([ids, decoder_input_ids[:, 1:]], dim=1)
        mask = torch.cat([mask, present[:, 1:].to(mask.dtype)], dim=1)
        length = decoder_input_ids.shape[1]
        logits = self._read(ids, mask, _positions(mask), use_cache=False, **self._last(length)).logits[:, -length:]
        return CausalLMOutput(logits=logits.masked_fill(~present[..., None], torch.nan))

    def reader(self, inputs: Mapping[str, Tensor]) -> Callable[[Tensor | None], Tensor]:
        """Read prompts, and then their answers token by token.

        Args:
            inputs: `input_ids` and `attention_mask`, padded on the right, [batch, length].

        Returns:
            A function from the last token of each row, [batch], None before the first one, to the logits of the next,
            [batch, vocabulary].
        """
        ids, mask = pad_left(inputs["input_ids"], inputs["attention_mask"])
        memory: Any = None

        def read(token: Tensor | None) -> Tensor:
            nonlocal mask, memory
            if token is None:
                out = self._read(ids, mask, _positions(mask), use_cache=True, **self._last(1))
            else:
                mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
                positions = _positions(mask)[:, -1:]
                out = self._read(token[:, None], mask, positions, use_cache=True, past_key_values=memory)
            memory = out.past_key_values
            return out.logits[:, -1]

        return read

    def _read(self, ids: Tensor, mask: Tensor, positions: Tensor, **more: Any) -> Any:
        """One pass of the plain model; in models without positions these follow from the mask."""
        if "position_ids" in _arguments(type(self)):
            more["position_ids"] = positions
        return self(input_ids=ids, attention_mask=mask, **more)

    def _last(self, count: int) -> dict[str, int]:
        """The argument that spares the logits before the last `count` tokens, where the model has it."""
        return {"logits_to_keep": count} if "logits_to_keep" in _arguments(type(self)) else {}


def as_answer_decoder(model: PreTrainedModel) -> AnswerDecoder:
    """The same model as an `AnswerDecoder`, in place."""
    model.__class__ = _answer_class(type(model))
    assert isinstance(model, AnswerDecoder)
    return model


@cache
def _answer_class(plain: type[PreTrainedModel]) -> type[PreTrainedModel]:
    """The class of a family's model that writes; it has the plain one's name, which transformers saves."""
    return type(plain.__name__, (AnswerDecoder, plain), {"__module__": plain.__module__, "plain": plain})


@cache
def _arguments(answer_class: Any) -> frozenset[str]:
    """Arguments of the plain model's pass."""
    return frozenset(inspect.signature(answer_class.plain.forward).parameters)


def pad_left(input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Rows that are padded on the right, with their padding moved to the left."""
    width, lengths = input_ids.shape[1], attention_mask.sum(dim=1, keepdim=True)
    sources = (torch.arange(width, device=input_ids.device) + lengths) % width
    return input_ids.gather(1, sources), attention_mask.gather(1, sources)


def _positions(mask: Tensor) -> Tensor:
    """Position of each token among the tokens of its row, [batch, length]; 0 on padding."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


@torch.no_grad()
def check_reading(model: AnswerDecoder, where: str) -> None:
    """Check on two made-up rows that padding and the cache do not change an answer, and that no token sees a later one.

    Raises:
        ModelError: they do.
    """
    config: Any = model.config
    size, end = int(config.get_text_config().vocab_size), model.answer_start_id
    numbers = torch.arange(2, 24) % size
    ids = torch.where(numbers == end, (end + 1) % size, numbers)[:22].reshape(2, 11)
    prompts, answers = ids[:, :7], torch.cat([torch.full_like(ids[:, :1], end), ids[:, 7:]], dim=1)
    mask = torch.ones_like(prompts)
    mask[1, 4:] = 0
    together = _logits(model, prompts, mask, answers)
    rows = [(slice(0, 1), 7), (slice(1, 2), 4)]
    alone = torch.cat([_logits(model, prompts[row, :n], mask[row, :n], answers[row]) for row, n in rows])
    reason, read = "", model.reader({"input_ids": prompts, "attention_mask": mask})
    tokens = [None, *answers[:, 1:].T]
    try:
        stepwise = torch.stack([read(token) for token in tokens], dim=1).float()
    except (RuntimeError, TypeError, ValueError) as error:  # of a model without a cache
        stepwise, reason = torch.full_like(alone, torch.nan), f" ({first_line(error)})"
    limit = TOLERANCE * float(alone.abs().max())
    for name, logits in {"the length of other rows": together, "its cache, or a later token": stepwise}.items():
        if not float((logits - alone).abs().max()) <= limit:
            raise ModelError(
                f"{where}: an answer of {type(model).__name__} depends on {name}{reason}, so it is no causal language "
                "model that kdrun can let write (GPT-2, Llama and Qwen are)"
            )


def _logits(model: AnswerDecoder, prompts: Tensor, mask: Tensor, answers: Tensor) -> Tensor:
    return model(input_ids=prompts, attention_mask=mask, decoder_input_ids=answers).logits.float()
