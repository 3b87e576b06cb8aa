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
from kdrun.tasks.base import softmax_by_name

ROWS = 8
"""Rows whose generated text is kept at each evaluation, the same throughout a run."""
SHOWN = 3
ROLES = ("teacher", "student")

Sample = dict[str, Any]


def sample_texts(run: PreparedRun, method: Method, loader: BatchLoader, step: int) -> list[Sample]:
    """What the method makes of a few training rows now, and what teacher and student say before and after.

    Returns:
        One sample a row: step, original, text, changed (indices of words of `text`), and per role the classes
        `before` and `after`; of a task that is answered with a text also `answers`, what each role writes of `text`.
    """
    rows = rng.numpy_stream(run.config.seed, "samples").permutation(loader.num_rows)[:ROWS]
    batch = loader.load_batch(np.sort(rows), "samples", step)
    for module in method.roles.values():
        module.eval()
    with torch.no_grad(), run.accelerator.autocast():
        made = method.generate_text(batch)
        said = {role: _before_and_after(run, method, batch, made, role) for role in ROLES}
        answers = {role: _answers(run, made, role) for role in ROLES} if run.evaluator.task_type.generates_text else {}
    tokenizer: Any = run.roles["generator"].tokenizer
    source = batch.inputs["generator"]
    samples = []
    for i in range(len(made.ids)):
        kept = made.present[i]
        text, words = decode_row(tokenizer, made.ids[i][kept].tolist(), made.generated_mask[i][kept].tolist())
        before = source["input_ids"][i][source["attention_mask"][i].bool()].tolist()
        original, _ = decode_row(tokenizer, before, [False] * len(before))
        classes = {role: {"before": before[i], "after": after[i]} for role, (before, after) in said.items()}
        sample: Sample = {"step": step, "original": original, "text": text, "changed": words, **classes}
        samples.append(sample | ({"answers": {r: texts[i] for r, texts in answers.items()}} if answers else {}))
    return samples


def _before_and_after(
    run: PreparedRun, method: Method, batch: Batch, made: GeneratedText, role: str
) -> list[list[dict[str, float]]]:
    task, found = run.config.task, []
    model = method.context.class_view().as_classifier(method.roles[role])
    for inputs in (batch.inputs[role], made.inputs[role]):
        logits = model(**inputs).logits.float().cpu().numpy()
        if task.is_regression:
            found.append([{"score": float(value)} for value in logits[:, 0]])
        else:
            found.append(softmax_by_name(logits, task.classes))
    return found


def _answers(run: PreparedRun, made: GeneratedText, role: str) -> list[str]:
    """What a model writes of made texts."""
    from kdrun.generation.greedy import greedy_decode

    built: Any = run.roles[role]
    ids, _ = greedy_decode(built.model, made.inputs[role], run.config.task.answer_tokens)
    return built.tokenizer.batch_decode(ids, skip_special_tokens=True)


def decode_row(tokenizer: Any, ids: list[int], changed: list[bool]) -> tuple[str, list[int]]:
    """A row without special tokens, ` | ` between its two texts, and which of its words hold a changed token."""
    texts, found, offset = [], [], 0
    for first, end in text_spans(tokenizer, ids):
        text, words = changed_words(tokenizer.decode, ids[first:end], changed[first:end])
        found += [offset + word for word in words]
        offset += len(text.split()) + 1
        texts.append(text.strip())
    return " | ".join(texts), found


def text_spans(tokenizer: Any, ids: list[int]) -> list[tuple[int, int]]:
    """Where the texts of a row begin and end among its tokens: between special ones, of which unknown is none."""
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    found, start = [], 0
    for is_special, run in groupby(ids, key=lambda token: token in special):
        end = start + len(list(run))
        if not is_special:
            found.append((start, end))
        start = end
    return found


def changed_words(decode: Callable[[list[int]], str], ids: list[int], changed: list[bool]) -> tuple[str, list[int]]:
    """A text and which of its words hold a changed token.

    Works for every tokenizer: a token's characters are those by which it makes the decoded text longer.

    Args:
        decode: of the tokenizer.
        ids: tokens of the text.
        changed: for each, whether it was changed.

    Returns:
        The decoded text, and indices into its words as `str.split` gives them.
    """
    text = decode(ids)
    starts = [i for i, letter in enumerate(text) if letter != " " and (i == 0 or text[i - 1] == " ")]
    found: set[int] = set()
    for i in (i for i, is_changed in enumerate(changed) if is_changed):
        before, after = len(decode(ids[:i]).rstrip()), len(decode(ids[: i + 1]).rstrip())
        # words that begin before the token's end and do not end before its beginning
        found |= {w for w, s in enumerate(starts) if s < after and s + len(text[s:].split(" ", 1)[0]) > before}
    return text, sorted(found)


def format_samples(samples: list[Sample]) -> list[str]:
    """A few of the last samples for the screen, those first whose teacher changed its answer; changed words in *…*."""
    last = [s for s in samples if s["step"] == samples[-1]["step"]] if samples else []
    last.sort(key=lambda s: top(s["teacher"]["before"]) == top(s["teacher"]["after"]))
    shown = []
    for sample in last[:SHOWN]:
        words = sample["text"].split()
        marked = " ".join(f"*{word}*" if i in sample["changed"] else word for i, word in enumerate(words))
        shown.append(f"  from  {sample['original']}")
        shown.append(f"  made  {marked}")
        told = (f"{role} {_said(sample[role]['before'])} -> {_said(sample[role]['after'])}" for role in ROLES)
        shown.append(f"        {'; '.join(told)}")
        shown += [f"        {role} writes  {text}" for role, text in sample.get("answers", {}).items()]
    return shown


def top(answer: dict[str, float]) -> str:
    """The class with the largest probability."""
    return max(answer, key=lambda name: answer[name])


def _said(answer: dict[str, float]) -> str:
    return f"{top(answer)} {answer[top(answer)]:.2f}"
