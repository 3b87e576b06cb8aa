"""Task types: token losses by hand, padding without effect, text outputs."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import one_hot

from kdrun import losses, registry
from kdrun.config.task import TaskConfig
from kdrun.errors import TrainingError
from kdrun.generation.decoding import greedy_decode
from kdrun.tasks.classification import ClassificationTask
from kdrun.tasks.evaluator import Evaluator, prediction_rows
from kdrun.tasks.extraction import ExtractionTask
from kdrun.tasks.predictor import Predictor
from kdrun.tasks.task_types import task_type_of
from kdrun.tasks.text_answers import GeneratedAnswer
from tests.helpers.tiny_t5 import rows, t5

CLASSES = TaskConfig(name="t", labels=["no", "yes"], metrics=["accuracy"], headline="accuracy", rows={"dev": 1})
NAMES = TaskConfig(
    name="n",
    text=["sentence"],
    entities=["person", "location"],
    metrics=["entity_f1", "entity_recall"],
    headline="entity_f1",
    rows={"dev": 2},
    answer_tokens=3,
)
KIND = ExtractionTask(NAMES)


def test_the_kind_follows_from_the_task() -> None:
    assert isinstance(task_type_of(CLASSES), ClassificationTask)
    assert isinstance(task_type_of(NAMES), ExtractionTask)
    assert not NAMES.is_regression


def test_the_hard_loss_is_a_mean_over_tokens_by_hand() -> None:
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0], [9.0, -9.0]], [[0.0, 0.0], [5.0, 0.0], [5.0, 0.0]]])
    labels = torch.tensor([[1, 0, -100], [1, -100, -100]])
    # row 0: −log(3/4) and −log(1/2); row 1: −log(1/2)
    expected = [(math.log(4 / 3) + math.log(2)) / 2, math.log(2)]
    torch.testing.assert_close(KIND.hard_loss(logits, labels), torch.tensor(expected))


def test_a_row_without_tokens_has_no_loss() -> None:
    assert KIND.hard_loss(torch.zeros(1, 2, 3), torch.full((1, 2), -100)).tolist() == [0.0]


def without_padding(logits: Tensor, labels: Tensor) -> Tensor:
    """As a writer gives them: NaN where no token is."""
    return logits.masked_fill((labels == -100)[..., None], torch.nan)


@pytest.mark.parametrize("name", [n for n, entry in registry.entries("loss").items() if not entry.sees_batch])
def test_the_soft_loss_is_the_registered_one_at_each_token_and_padding_is_like_deletion(name: str) -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 4, 5, dtype=torch.float64), torch.randn(2, 4, 5, dtype=torch.float64)
    labels = torch.tensor([[1, 2, 3, 4], [1, 2, -100, -100]])
    actual = KIND.soft_loss(name)(student, without_padding(teacher, labels), 2.0)
    plain = registry.get("loss", name).target
    expected = [plain(student[0], teacher[0], 2.0).mean(), plain(student[1, :2], teacher[1, :2], 2.0).mean()]
    torch.testing.assert_close(actual, torch.stack(expected))


def test_whoever_forgets_about_padding_gets_no_number() -> None:
    padded = without_padding(torch.zeros(1, 2, 3), torch.tensor([[1, -100]]))
    assert losses.kl_divergence(torch.zeros(1, 2, 3), padded).isnan().tolist() == [[False, True]]


def test_gradients_reach_the_tokens_that_are_there_alone() -> None:
    student = torch.randn(1, 3, 4, requires_grad=True)
    taught = without_padding(torch.randn(1, 3, 4), torch.tensor([[1, 2, -100]]))
    KIND.soft_loss(None)(student, taught, 1.0).sum().backward()
    assert student.grad is not None
    assert student.grad[0].abs().sum(dim=-1).gt(0).tolist() == [True, True, False]


@pytest.mark.parametrize("wrong", [torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, dtype=torch.long)])
def test_labels_that_do_not_fit_are_refused(wrong: Tensor) -> None:
    with pytest.raises(ValueError, match=r"logits \[2.*labels \[2"):
        KIND.hard_loss(torch.zeros(2, 4, 5), wrong)


class Parrot(nn.Module):
    """Writes the row's number as so many tokens, then the end (id 1), as a T5 model does with its cache."""

    config = SimpleNamespace(decoder_start_token_id=0, eos_token_id=1, pad_token_id=0)

    def encoder(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return input_ids

    def forward(
        self, encoder_outputs: Tensor, decoder_input_ids: Tensor, past_key_values: int | None, **how: Any
    ) -> Any:
        assert how["use_cache"]
        assert not self.training
        place = past_key_values or 0
        assert place == 0 or set(decoder_input_ids[:, 0].tolist()) <= {0, 1, 5}
        token = torch.where(encoder_outputs[:, 0] > place, 5, 1)
        return SimpleNamespace(logits=one_hot(token, 6)[:, None].float(), past_key_values=place + 1)


class Speller:
    """Decodes to how many tokens there are."""

    def batch_decode(self, ids: Tensor, skip_special_tokens: bool) -> list[str]:
        assert skip_special_tokens
        return [f"person: {int((row == 5).sum())}" for row in ids]


class Rows:
    """Rows of one number each, of different lengths."""

    num_rows = 5
    lengths = np.array([1, 4, 2, 3, 1])

    def batch(self, rows: np.ndarray) -> dict[str, Tensor]:
        ids = torch.from_numpy(rows)[:, None]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "prompt_mask": torch.zeros_like(ids)}


def predicted_texts(limit: int | None = None) -> list[tuple[str, bool]]:
    evaluator = Evaluator(NAMES, {}, Predictor(Accelerator(cpu=True), 2))
    built: Any = SimpleNamespace(model=Parrot().train(), tokenizer=Speller())
    outputs = evaluator.outputs(built, Rows(), limit)  # type: ignore[arg-type]
    assert built.model.training
    return [(answer.text, answer.finished) for answer in outputs]


def test_answers_are_in_row_order_with_their_end() -> None:
    # at most 3 tokens: two words and the end
    assert predicted_texts() == [
        ("person: 0", True), ("person: 1", True), ("person: 2", True), ("person: 3", False), ("person: 3", False),
    ]  # fmt: skip


def test_a_dry_run_limits_the_number_of_batches() -> None:
    assert [text for text, _ in predicted_texts(limit=1)] == ["", "person: 1", "", "person: 3", ""]


def test_scores_and_baseline() -> None:
    outputs = np.array([GeneratedAnswer("person : ann", True), GeneratedAnswer("none", True)], dtype=object)
    gold = np.array(["person: Ann; location: Rome", "person: Bo"], dtype=object)
    assert KIND.score(outputs, gold, None) == {"entity_f1": 2 / 4, "entity_recall": 1 / 3}
    assert KIND.majority_baseline(gold, None) == {"entity_f1": 0.0, "entity_recall": 0.0}


def test_prediction_rows_are_spelled_as_the_sentence() -> None:
    outputs = np.array([GeneratedAnswer("person : ann u. lee ; location : oslo", False)], dtype=object)
    columns = {"text": ["Ann U. Lee left ."], "label": ["person: Ann U. Lee"]}
    (row,) = prediction_rows(NAMES, "dev", columns, outputs, outputs)
    assert row == {
        "id": 0,
        "split": "dev",
        "text": "Ann U. Lee left .",
        "gold": "person: Ann U. Lee",
        "prediction": "person: Ann U. Lee; location: oslo",
        "written": "person : ann u. lee ; location : oslo",
        "cut": True,
        "teacher_prediction": "person: Ann U. Lee; location: oslo",
        "teacher_written": "person : ann u. lee ; location : oslo",
        "teacher_cut": True,
    }
    assert KIND.notes_on(outputs, columns["text"]) == [
        "1 of 1 answers did not end within task.answer_tokens=3 and were truncated",
        "1 of 2 predicted entities have words that are not in the sentence",
    ]


class Diverged(Parrot):
    """Gives NaN."""

    def forward(self, *given: Any, **named: Any) -> Any:
        out = super().forward(*given, **named)
        return SimpleNamespace(logits=out.logits * torch.nan, past_key_values=out.past_key_values)


def test_a_model_that_has_diverged_is_named() -> None:
    ids = torch.zeros(1, 1, dtype=torch.long)
    with pytest.raises(TrainingError, match=r"logits.*not finite"):
        greedy_decode(Diverged().eval(), {"input_ids": ids, "attention_mask": ids}, 3)


@torch.no_grad()
def test_greedy_tokens_are_those_of_generate() -> None:
    inputs, model = rows(), t5(seed=22)
    tokens, finished = greedy_decode(model, inputs, 12)
    expected = model.generate(**inputs, max_new_tokens=12, do_sample=False, num_beams=1)[:, 1:]  # pyright: ignore
    assert torch.equal(tokens, expected)
    assert torch.equal(finished, (expected == model.config.eos_token_id).any(dim=1))
    assert finished.tolist() == [True, False]
