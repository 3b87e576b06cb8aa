"""Decoders that write: padding and the cache change no answer, and a folder is that of the plain model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertLMHeadModel,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from kdrun.config.task import TaskConfig, TaskKind
from kdrun.errors import ModelError
from kdrun.generation.decoding import greedy_decode
from kdrun.models import text_tasks
from kdrun.models.answer_decoder import AnswerDecoder, as_answer_decoder, check_reading

VOCAB, END, PAD = 40, 2, 1
SIZES: dict[str, Any] = {"vocab_size": VOCAB, "bos_token_id": END, "eos_token_id": END, "pad_token_id": PAD}
LAYERS: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
CONFIGS: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(
        n_embd=16, n_layer=2, n_head=2, n_positions=40, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, **SIZES
    ),
    "llama": LlamaConfig(num_key_value_heads=2, max_position_embeddings=40, **LAYERS, **SIZES),
    "qwen3": Qwen3Config(num_key_value_heads=2, head_dim=4, max_position_embeddings=40, **LAYERS, **SIZES),
}
TASK = TaskConfig(
    name="own", text=["question"], kind=TaskKind.text, prompts=["q:"], metrics=["rouge_l"], headline="rouge_l",
    answer_tokens=8,
)  # fmt: skip
PROMPTS = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, PAD, PAD, PAD, PAD], [13, 14, 15, 16, PAD, PAD]])
MASK = torch.tensor([[1] * 6, [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]])
ANSWERS = torch.tensor([[END, 20, 21, 22], [END, 23, END, PAD], [END, 24, 25, END]])
LENGTHS = (4, 2, 3)
"""Tokens of each answer, with its end where it is not truncated."""


class Tokenizer:
    eos_token_id, pad_token_id = END, PAD


@pytest.fixture(params=CONFIGS)
def decoder(request: pytest.FixtureRequest) -> AnswerDecoder:
    """A tiny model in float64 whose distributions are far from even."""
    torch.manual_seed(3)
    model: Any = AutoModelForCausalLM.from_config(CONFIGS[request.param], attn_implementation="sdpa")
    for parameter in model.parameters():
        parameter.data.mul_(4)
    writer = as_answer_decoder(model.double().eval())
    writer.configure_for_task(TASK, Tokenizer())  # type: ignore[arg-type]
    return writer


def forward(model: AnswerDecoder, rows: slice, width: int = 6, length: int = 4) -> Tensor:
    return model(
        input_ids=PROMPTS[rows, :width], attention_mask=MASK[rows, :width], decoder_input_ids=ANSWERS[rows, :length]
    ).logits


def test_logits_of_a_batch_are_those_of_single_rows_and_of_the_plain_model(decoder: AnswerDecoder) -> None:
    together, plain = forward(decoder, slice(None)), type(decoder).__mro__[2].forward
    assert together.shape == (3, 4, VOCAB)
    for row, length in enumerate(LENGTHS):
        width = int(MASK[row].sum())
        alone = forward(decoder, slice(row, row + 1), width, length)
        torch.testing.assert_close(together[row, :length], alone[0])
        assert bool(together[row, length:].isnan().all())
        ids = torch.cat([PROMPTS[row, :width], ANSWERS[row, 1:length]])[None]
        torch.testing.assert_close(alone[0], plain(decoder, input_ids=ids).logits[0, width - 1 :])


def test_gradients_of_a_batch_are_those_of_single_rows(decoder: AnswerDecoder) -> None:
    logits = forward(decoder, slice(None))
    logits[~logits.isnan()].square().sum().backward()
    together = {name: p.grad.clone() for name, p in decoder.named_parameters() if p.grad is not None}
    decoder.zero_grad()
    for row, length in enumerate(LENGTHS):
        forward(decoder, slice(row, row + 1), int(MASK[row].sum()), length).square().sum().backward()
    assert len(together) > 10
    for name, p in decoder.named_parameters():
        torch.testing.assert_close(p.grad, together[name])


@torch.no_grad()
def test_answers_do_not_depend_on_other_rows_or_the_cache(decoder: AnswerDecoder) -> None:
    ids, ended = greedy_decode(decoder, {"input_ids": PROMPTS, "attention_mask": MASK}, 8)
    for row in range(3):
        width = int(MASK[row].sum())
        single = {"input_ids": PROMPTS[row : row + 1, :width], "attention_mask": MASK[row : row + 1, :width]}
        alone, _ = greedy_decode(decoder, single, 8)
        answer = alone[0].tolist()
        assert ids[row, : len(answer)].tolist() == answer
        assert set(ids[row, len(answer) :].tolist()) <= {PAD}
        assert bool(ended[row]) == (END in answer)
        written: list[int] = []
        while len(written) < 8 and END not in written:  # without a cache, from the beginning for each token
            start = torch.tensor([[END, *written]])
            written.append(int(decoder(**single, decoder_input_ids=start).logits[0, -1].argmax()))
        assert written == answer
        generated = decoder.generate(**single)  # pyright: ignore
        assert generated[0, width:].tolist() == answer
    assert len({tuple(row) for row in ids.tolist()}) > 1


def test_reading_is_checked(decoder: AnswerDecoder) -> None:
    check_reading(decoder, "student.path=x")
    bert = BertConfig(max_position_embeddings=40, **LAYERS, **SIZES)
    encoder = as_answer_decoder(BertLMHeadModel(bert).eval())
    with pytest.raises(ModelError, match=r"student\.path=x.*BertLMHeadModel depends on"):
        check_reading(encoder, "student.path=x")


def test_a_saved_folder_is_that_of_the_plain_model(decoder: AnswerDecoder, tmp_path: Path) -> None:
    decoder.float().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert config["architectures"] == [type(loaded).__name__]
    assert not isinstance(loaded, AnswerDecoder)
    assert text_tasks.was_trained_on(loaded.config, TASK)
    assert loaded.generation_config.max_new_tokens == TASK.answer_tokens
    for name, weight in loaded.state_dict().items():
        assert torch.equal(weight, decoder.state_dict()[name])
