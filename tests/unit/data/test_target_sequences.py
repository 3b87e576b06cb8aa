"""Batches of target sequences: labels, decoder inputs, loader."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from kdrun.data.loader import BatchLoader
from kdrun.data.target_sequences import TargetSequences, tokenize_targets

WORDS = ["[PAD]", "[UNK]", "[END]", "a", "b", "c"]
START, PAD, END = 0, 0, 2


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PreTrainedTokenizerFast:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path))
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # type: ignore[assignment]
    backend.post_processor = processors.TemplateProcessing(single="$A [END]", special_tokens=[("[END]", END)])  # type: ignore[assignment]
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", eos_token="[END]")


def targets(tokenizer: PreTrainedTokenizerFast, limit: int = 8, gold: bool = True) -> TargetSequences:
    return TargetSequences(tokenize_targets(["a b", "c", "a b c a b c"], tokenizer), START, limit, gold)


def test_decoder_inputs_are_the_labels_shifted_right(tokenizer: PreTrainedTokenizerFast) -> None:
    labels, decoder_ids = targets(tokenizer).batch(np.array([1, 0]))
    assert labels.tolist() == [[5, END, -100], [3, 4, END]]
    assert decoder_ids.tolist() == [[START, 5, END], [START, 3, 4]]


def test_an_answer_beyond_the_limit_is_truncated_and_has_no_end(tokenizer: PreTrainedTokenizerFast) -> None:
    short = targets(tokenizer, limit=3)
    labels, decoder_ids = short.batch(np.array([2, 1]))
    assert labels.tolist() == [[3, 4, 5], [5, END, -100]]
    assert decoder_ids.tolist() == [[START, 3, 4], [START, 5, END]]
    assert short.num_truncated == 1
    assert targets(tokenizer, limit=7).num_truncated == 0
    assert short.fingerprint != targets(tokenizer).fingerprint


@pytest.mark.parametrize("gold", [True, False])
def test_the_loader_counts_gold_targets_as_labels(tokenizer: PreTrainedTokenizerFast, gold: bool) -> None:
    tokens = tokenize_targets(["a", "b", "c"], tokenizer)
    calls = []

    def teacher_forward(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        calls.append(inputs["decoder_input_ids"])
        return torch.zeros(2, 3, len(WORDS))

    roles = {"student": tokens, "teacher": tokens}
    loader = BatchLoader(
        roles, None, torch.device("cpu"), targets=targets(tokenizer, gold=gold), teacher_forward=teacher_forward
    )
    batch = loader.load_batch(np.array([0, 1]), "train", 0)
    for role in roles:
        assert batch.inputs[role]["decoder_input_ids"].tolist() == [[START, 3, 4], [START, 5, END]]
    (decoder_ids,) = calls
    assert decoder_ids is batch.inputs["teacher"]["decoder_input_ids"]
    assert batch.teacher_logits is not None
    assert batch.teacher_logits.shape == (2, 3, len(WORDS))
    assert (batch.labels is not None) is gold
    assert batch.labels is None or batch.labels.tolist() == [[3, 4, END], [5, END, -100]]
    assert loader.num_labels_seen == (2 if gold else 0)


def test_targets_of_other_rows_are_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(ValueError, match="target sequences"):
        BatchLoader(
            {"student": tokenize_targets(["a"], tokenizer)}, None, torch.device("cpu"), targets=targets(tokenizer)
        )
