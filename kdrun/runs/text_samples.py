"""Sample generated text at every evaluation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import torch

from kdrun import rng
from kdrun.data.batch import Batch
from kdrun.data.loader import BatchLoader
from kdrun.generation.types import GeneratedText
from kdrun.methods.base import Method
from kdrun.runs.context import PreparedRun

NUM_SAMPLES = 8
"""Rows whose generated text is sampled at each evaluation, the same throughout a run."""
NUM_PRINTED = 3
"""Samples that are printed at the end of a run."""
ROLES = ("teacher", "student")

Sample = dict[str, Any]


def sample_texts(run: PreparedRun, method: Method, loader: BatchLoader, step: int) -> list[Sample]:
    """Generate text from a few training rows, with teacher and student predictions before and after.

    Returns:
        One sample per row: `step`; `original` and generated `text`; `changed`, the indices of changed words of `text`;
        per role the class probabilities `before` and `after`. For a task that is answered with text, also `answers`,
        the answer of each role to `text`.
    """
    rows = rng.numpy_stream(run.config.seed, "samples").permutation(loader.num_rows)[:NUM_SAMPLES]
    batch = loader.load_batch(np.sort(rows), "samples", step)
    for module in method.roles.values():
        module.eval()
    with torch.no_grad(), run.accelerator.autocast():
        generated = method.generate_text(batch)
        predictions = {role: _before_and_after(run, method, batch, generated, role) for role in ROLES}
        has_answers = run.evaluator.task_type.generates_text
        answers = {role: _answers(run, generated, role) for role in ROLES} if has_answers else {}
    tokenizer: Any = run.roles["generator"].tokenizer
    source = batch.inputs["generator"]
    samples = []
    for i in range(len(generated.ids)):
        present = generated.present[i]
        is_changed = generated.generated_mask[i][present].tolist()
        text, words = decode_row(tokenizer, generated.ids[i][present].tolist(), is_changed)
        original_ids = source["input_ids"][i][source["attention_mask"][i].bool()].tolist()
        original, _ = decode_row(tokenizer, original_ids, [False] * len(original_ids))
        classes = {role: {"before": before[i], "after": after[i]} for role, (before, after) in predictions.items()}
        sample: Sample = {"step": step, "original": original, "text": text, "changed": words, **classes}
        samples.append(sample | ({"answers": {r: texts[i] for r, texts in answers.items()}} if answers else {}))
    return samples


def _before_and_after(
    run: PreparedRun, method: Method, batch: Batch, generated: GeneratedText, role: str
) -> list[list[dict[str, float]]]:
    """Predictions of a role on the source rows and on the generated text, one list of rows each."""
    predictions: list[list[dict[str, float]]] = []
    model = method.context.class_view().as_classifier(method.roles[role])
    for inputs in (batch.inputs[role], generated.inputs[role]):
        logits = model(**inputs).logits.float().cpu().numpy()
        predictions.append(run.evaluator.task_type.probability_records(logits))
    return predictions


def _answers(run: PreparedRun, generated: GeneratedText, role: str) -> list[str]:
    """The answers of a role to generated texts."""
    from kdrun.generation.decoding import greedy_decode

    bundle: Any = run.roles[role]
    ids, _ = greedy_decode(bundle.model, generated.inputs[role], run.config.task.answer_tokens)
    return bundle.tokenizer.batch_decode(ids, skip_special_tokens=True)


def decode_row(tokenizer: Any, ids: list[int], changed: list[bool]) -> tuple[str, list[int]]:
    """Decode a row.

    Args:
        tokenizer: tokenizer of the row.
        ids: tokens of the row, special tokens included.
        changed: for each token, whether it was changed.

    Returns:
        The texts of the row without special tokens, joined by ` | `; indices of the words that have a changed token.
    """
    texts, changed_indices, offset = [], [], 0
    for first, end in text_spans(tokenizer, ids):
        text, words = changed_words(tokenizer.decode, ids[first:end], changed[first:end])
        changed_indices += [offset + word for word in words]
        offset += len(text.split()) + 1
        texts.append(text.strip())
    return " | ".join(texts), changed_indices


def text_spans(tokenizer: Any, ids: list[int]) -> list[tuple[int, int]]:
    """Token spans `(first, end)` of the texts of a row, which special tokens separate; the unknown token is text."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    spans, start = [], 0
    for is_special, group in groupby(ids, key=lambda token: token in special):
        end = start + len(list(group))
        if not is_special:
            spans.append((start, end))
        start = end
    return spans


def changed_words(decode: Callable[[list[int]], str], ids: list[int], changed: list[bool]) -> tuple[str, list[int]]:
    """Decode a text and find its words that have a changed token.

    Works for every tokenizer: the characters of a token are those that it adds to the decoded text.

    Args:
        decode: decodes token ids, from the tokenizer.
        ids: tokens of the text.
        changed: for each token, whether it was changed.

    Returns:
        The decoded text; indices of the changed words in `text.split()`.
    """
    text = decode(ids)
    starts = [i for i, letter in enumerate(text) if letter != " " and (i == 0 or text[i - 1] == " ")]
    changed_indices: set[int] = set()
    for i in (i for i, is_changed in enumerate(changed) if is_changed):
        before, after = len(decode(ids[:i]).rstrip()), len(decode(ids[: i + 1]).rstrip())
        # words that overlap the token: they start before its end, and end after its start
        changed_indices |= {
            word
            for word, start in enumerate(starts)
            if start < after and start + len(text[start:].split(" ", 1)[0]) > before
        }
    return text, sorted(changed_indices)


def format_samples(samples: list[Sample]) -> list[str]:
    """Lines for the console: a few of the last samples, with changed words in *…*.

    Samples whose teacher prediction changed come first.
    """
    last = [s for s in samples if s["step"] == samples[-1]["step"]] if samples else []
    last.sort(key=lambda s: top(s["teacher"]["before"]) == top(s["teacher"]["after"]))
    lines = []
    for sample in last[:NUM_PRINTED]:
        words = sample["text"].split()
        marked = " ".join(f"*{word}*" if i in sample["changed"] else word for i, word in enumerate(words))
        lines.append(f"  source     {sample['original']}")
        lines.append(f"  generated  {marked}")
        changes = (
            f"{role} {_format_class(sample[role]['before'])} -> {_format_class(sample[role]['after'])}"
            for role in ROLES
        )
        lines.append(f"             {'; '.join(changes)}")
        lines += [f"             {role} answers  {text}" for role, text in sample.get("answers", {}).items()]
    return lines


def top(probabilities: dict[str, float]) -> str:
    """The class with the largest probability."""
    return max(probabilities, key=lambda name: probabilities[name])


def _format_class(probabilities: dict[str, float]) -> str:
    name = top(probabilities)
    return f"{name} {probabilities[name]:.2f}"
