"""The teacher's most likely tokens on disk."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from kdrun import losses
from kdrun.data.target_sequences import TargetSequences, tokenize_targets
from kdrun.errors import DataError
from kdrun.models.t5_seq2seq import AnswerT5
from kdrun.training.teacher import answers, top_logits
from kdrun.training.teacher.top_logits import CachedTopLogits, TopLogitsShape, cached_top_logits
from tests.helpers import tiny_t5

VOCAB = 60
ROWS = np.array([2, 0, 1])


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PreTrainedTokenizerFast:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    entries = {"[PAD]": tiny_t5.PAD, "[UNK]": 1, "[END]": tiny_t5.END, **{f"w{i}": i for i in range(3, VOCAB)}}
    backend = Tokenizer(models.WordLevel(entries, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    end = [("[END]", tiny_t5.END)]
    backend.post_processor = processors.TemplateProcessing(single="$A [END]", special_tokens=end)  # type: ignore[assignment]
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", eos_token="[END]")


@pytest.fixture
def case(tokenizer: PreTrainedTokenizerFast) -> tuple[Any, Any, TargetSequences]:
    """A teacher, the tokens of three rows and their answers, of which the last is cut."""
    model = AnswerT5(tiny_t5.t5(vocab=VOCAB).config).eval()
    model.load_state_dict(tiny_t5.t5(vocab=VOCAB).state_dict())
    tokens = tokenize_targets(["w3 w4", "w9", "w5 w6 w7"], tokenizer)
    targets = TargetSequences(tokenize_targets(["w8 w9", "w7", "w5 w6 w7 w8 w9"], tokenizer), tiny_t5.PAD, 4, True)
    return SimpleNamespace(model=model, fingerprint="teacher"), tokens, targets


def evaluation(top_k: int) -> Any:
    config = SimpleNamespace(
        teacher=SimpleNamespace(top_k=top_k), runtime=SimpleNamespace(precision=SimpleNamespace(value="fp32"))
    )
    return SimpleNamespace(config=config, accelerator=Accelerator(cpu=True))


def all_logits(case: tuple[Any, Any, TargetSequences], model: Any) -> Tensor:
    _, tokens, targets = case
    forward = answers.teacher_forward(model, Accelerator(cpu=True))
    return forward({**tokens.batch(ROWS), "decoder_input_ids": targets.batch(ROWS)[1]})


def top(case: tuple[Any, Any, TargetSequences], k: int) -> Tensor:
    return cached_top_logits(*case, evaluation(k)).batch(ROWS, torch.device("cpu"))


def test_all_tokens_give_the_loss_of_the_full_logits(case: tuple[Any, Any, TargetSequences]) -> None:
    full, kept = all_logits(case, case[0].model), top(case, 1000)
    assert kept.shape == full.shape == (3, 4, VOCAB)
    assert torch.equal(kept.isnan(), full.isnan())
    assert kept.isnan().any()
    torch.testing.assert_close(kept, full.log_softmax(-1), rtol=1e-3, atol=1e-3, equal_nan=True)


def test_the_loss_error_falls_with_k(case: tuple[Any, Any, TargetSequences]) -> None:
    student = all_logits(case, AnswerT5(tiny_t5.t5(1, VOCAB).config).eval())
    full = all_logits(case, case[0].model)
    loss = losses.per_token(losses.kl_divergence)
    errors = [(loss(student, top(case, k), 1.0) - loss(student, full, 1.0)).abs().max().item() for k in (1, 8, VOCAB)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3
    for temperature in (1.0, 4.0):
        assert loss(student, top(case, 1), temperature).isfinite().all()


def test_the_rest_of_the_probability_is_spread_evenly() -> None:
    probabilities = torch.tensor([[0.5, 0.02, 0.3, 0.08, 0.1], [0.0, 0.0, 1.0, 0.0, 0.0]])
    kept = top_logits.spread(*top_logits.most_likely(probabilities.log(), 2), 5)
    torch.testing.assert_close(kept[0].exp(), torch.tensor([0.5, 0.2 / 3, 0.3, 0.2 / 3, 0.2 / 3]))
    assert kept[1].exp().tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
    assert losses.kl_divergence(torch.zeros(2, 5), kept).isfinite().all()
    full = top_logits.spread(*top_logits.most_likely(probabilities[:1].log(), 5), 5)
    torch.testing.assert_close(full.exp(), probabilities[:1])


def test_files_have_the_size_that_is_logged(
    case: tuple[Any, Any, TargetSequences], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        top(case, 8)
        top(case, 8)
    assert caplog.messages == ["the teacher's 8 most likely tokens at each of 9 answer tokens, once: 1 MiB on disk"]
    files = list((tmp_path / "cache" / "top_logits").glob("*/*.npy"))
    arrays = {file.stem: np.load(file) for file in files}
    assert {name: (array.dtype, array.shape) for name, array in arrays.items()} == {
        "ids": (np.uint16, (9, 8)),
        "log_probs": (np.float16, (9, 9)),
    }
    assert sum(array.nbytes for array in arrays.values()) == TopLogitsShape(9, 8, VOCAB).num_bytes


@pytest.mark.parametrize(("vocab_size", "size"), [(1 << 16, 100 * 258), ((1 << 16) + 1, 100 * 386)])
def test_ids_are_as_wide_as_the_vocabulary_needs(vocab_size: int, size: int) -> None:
    assert TopLogitsShape(100, 64, vocab_size).num_bytes == size


def test_a_full_disk_is_an_error_before_the_teacher_runs(
    case: tuple[Any, Any, TargetSequences], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=300))
    monkeypatch.setattr(answers, "teacher_forward", None)
    with pytest.raises(DataError, match=r"teacher\.top_k=8: .* 9 answer tokens .*KDRUN_CACHE"):
        cached_top_logits(*case, evaluation(8))


def test_rows_may_repeat_and_come_in_any_order(case: tuple[Any, Any, TargetSequences]) -> None:
    cached: CachedTopLogits = cached_top_logits(*case, evaluation(5))
    single = [cached.batch(np.array([row]), torch.device("cpu"))[0] for row in range(3)]
    for place, row in enumerate((1, 1, 0)):
        batch = cached.batch(np.array([1, 1, 0]), torch.device("cpu"))
        assert torch.equal(batch[place, : len(single[row])], single[row])
