"""A causal language model that scores label words, compared with a loop over transformers without batches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from kdrun.config.prompt_template import PromptTemplate
from kdrun.config.task import TaskConfig
from kdrun.config.teacher import PromptedTeacherConfig
from kdrun.data.tokenization import TextTokenizer
from kdrun.errors import ModelError
from kdrun.models import prompted
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.label_words import lay_out, tokens_after
from tests.helpers.tiny_families import save_checkpoint, save_language_model, tokenizer_of

TEMPLATE = "Premise: {text}\nHypothesis: {text_pair}\nVerdict:"
WORDS = ["the cat", "a dog sees", "happy"]
ONE_PASS = ["the cat", "the dog sees", "happy"]
"""Words that one continuation scores."""
MNLI = TaskConfig(name="mnli", text=["a", "b"], labels=["entailment", "neutral", "contradiction"])
STSB = TaskConfig(name="stsb", text=["a", "b"], range=[0, 5])
ROWS = [
    ("The cat sees the dog.", "The garden is happy."),
    ("A river.", "the owner of the café, who is naïve, remembers {text} and crosses the mountain"),
    ("The teacher remembers the student, and the owner is happy.", ""),
]


def context(task: TaskConfig, max_length: int = 70) -> BuildContext:
    return BuildContext(
        role="teacher", task=task, corpus=lambda: pytest.fail("no corpus"), seed=1, max_length=max_length
    )


def build(folder: Path, task: TaskConfig = MNLI, **settings: Any) -> ModelBundle:
    settings = {"template": TEMPLATE, "label_words": WORDS, **settings}
    return prompted.build(PromptedTeacherConfig(path=str(folder), **settings), context(task))


def scores(bundle: ModelBundle, rows: Sequence[tuple[str, ...]], max_length: int = 70) -> np.ndarray:
    batch = TextTokenizer(bundle.tokenizer, max_length, bundle.prompts).batch(rows)
    with torch.inference_mode():
        return bundle.model(**batch).logits.numpy()


def reference(folder: Path, rows: Sequence[tuple[str, str]], words: Sequence[str] = WORDS) -> np.ndarray:
    """Log-likelihoods of the words, one forward pass of plain transformers per row and word."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    out = []
    for first, second in rows:
        prompt = f"Premise: {first}\nHypothesis: {second}\nVerdict:"
        start = tokenizer(prompt)["input_ids"]
        for word in words:
            whole = tokenizer(f"{prompt} {word}", return_tensors="pt")["input_ids"]
            with torch.inference_mode():
                log_p = model(whole).logits[0].log_softmax(dim=-1)
            total = sum(log_p[i - 1, whole[0, i]].item() for i in range(len(start), whole.shape[1]))
            out.append(total)
    return np.array(out).reshape(len(rows), len(words))


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_language_model(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.parametrize("words", [WORDS, ONE_PASS], ids=["cached", "one pass"])
def test_a_batch_gives_the_scores_of_a_loop_over_rows_and_words(folder: Path, words: list[str]) -> None:
    bundle = build(folder, label_words=words)
    assert bundle.model.uses_cache == (words is WORDS)
    together = scores(bundle, ROWS)
    assert together == pytest.approx(reference(folder, ROWS, words), abs=1e-4)
    alone = np.concatenate([scores(bundle, [row]) for row in ROWS])
    assert together == pytest.approx(alone, abs=1e-4)
    assert np.ptp(together) > 1  # otherwise equality would say little


def test_the_prompt_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = build(folder).model
    read = model.language_model.forward
    widths: list[int] = []

    def spied(input_ids: torch.Tensor, **inputs: Any) -> Any:
        widths.append(input_ids.shape[1])
        return read(input_ids=input_ids, **inputs)

    monkeypatch.setattr(model.language_model, "forward", spied)
    prompts = torch.arange(1, 21).reshape(2, 10)
    with torch.inference_mode():
        model(prompts, torch.ones_like(prompts))
    assert widths == [10, *map(len, model.words.continuations)]
    assert any(map(len, model.words.continuations))


def test_a_cache_that_gives_other_scores_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = prompted.pad_left
    monkeypatch.setattr(prompted, "pad_left", lambda ids, mask: (good(ids, mask)[0], torch.ones_like(mask)))
    bundle = build(folder)
    assert scores(bundle, ROWS) == pytest.approx(reference(folder, ROWS), abs=1e-4)
    assert "passes per row" in bundle.notes[-1]
    monkeypatch.undo()
    assert "1 pass over the prompt" in build(folder).notes[-1]


def test_temperature_and_calibration(folder: Path) -> None:
    plain, soft, calibrated = build(folder), build(folder, temperature=4.0), build(folder, calibrate=True)
    assert scores(soft, ROWS) == pytest.approx(scores(plain, ROWS) / 4, abs=1e-5)
    empty = scores(plain, [("", "")])
    assert scores(calibrated, ROWS) == pytest.approx(scores(plain, ROWS) - empty, abs=1e-4)
    prints = {bundle.fingerprint for bundle in (plain, soft, calibrated, build(folder, template=f"{TEMPLATE} so"))}
    assert len(prints) == 4
    assert plain.fingerprint == build(folder).fingerprint


def test_a_score_is_the_mean_of_the_numbers_that_words_name(folder: Path) -> None:
    words = ["0", "2.5", "5"]
    bundle = build(folder, STSB, label_words=words)
    as_classes = build(folder, label_words=words)
    shares = torch.from_numpy(scores(as_classes, ROWS)).softmax(dim=-1).numpy()
    assert scores(bundle, ROWS)[:, 0] == pytest.approx(shares @ [0, 2.5, 5], abs=1e-4)


def test_the_bundle_is_a_classifier_of_the_task(folder: Path) -> None:
    bundle = build(folder)
    assert bundle.has_head
    assert bundle.model.config.id2label == dict(enumerate(MNLI.labels))
    assert "a dog sees" in bundle.notes[-1]


def test_only_the_texts_of_a_long_row_are_cut(folder: Path) -> None:
    bundle, limit = build(folder), 48
    tokenizer = TextTokenizer(bundle.tokenizer, limit, bundle.prompts)
    rows = [("The cat sees the dog. " * 9, "A river."), ("a " * 40, "b " * 40)]
    tokens = tokenizer.tokenize(rows)
    assert tokens.num_truncated == 2
    for i in range(2):
        text = str(bundle.tokenizer.decode(tokens.ids(i), skip_special_tokens=True))
        assert text.strip().startswith("Premise:")
        assert text.endswith("Verdict:")
        assert limit - 4 <= tokens.lengths[i] <= limit
    assert "A river." in bundle.tokenizer.decode(tokens.ids(0))
    with pytest.raises(ModelError, match=r"data\.max_length=8 leaves no room"):
        TextTokenizer(bundle.tokenizer, 8, bundle.prompts).tokenize(rows)


def test_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="both directions"):
        build(save_checkpoint("bert", tmp_path, masked_lm=True))


def test_words_that_cannot_be_told_apart_are_named() -> None:
    tokenizer, template = tokenizer_of("gpt2"), PromptTemplate("{text} is")
    with pytest.raises(ModelError, match=r"'cat' and 'cat' have the same tokens"):
        tokens_after(template, ["cat", "dog", "cat"], tokenizer)
    with pytest.raises(ModelError, match=r"'the cat' begins with the tokens of 'the'"):
        tokens_after(template, ["the", "the cat"], tokenizer)


def test_words_of_one_token_take_one_pass() -> None:
    assert lay_out([[5], [6], [7]]).continuations == [()]
    layout = lay_out([[5, 6], [5, 7, 8], [9, 1], [4]])
    assert layout.continuations == [(5, 7), (9,)]
    assert layout.sources[:3] == [0, 0, 1]
