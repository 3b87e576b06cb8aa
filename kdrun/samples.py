"""A look at the text that a method makes: samples.jsonl in the run's folder, a few lines on the screen."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import torch

from kdrun import rng
from kdrun.assembly import Run
from kdrun.data.feed import Feed
from kdrun.evaluation import answers
from kdrun.method import Method

ROWS = 8
"""Rows whose made text is kept at each evaluation: the same ones all through a run."""
SHOWN = 3

Sample = dict[str, Any]


def take(this: Run, method: Method, feed: Feed, step: int) -> list[Sample]:
    """What the method makes of a few training rows now, and what teacher and student say before and after.

    Returns:
        One sample a row: step, original, text, changed (indices of words of `text`), and per role the answers
        `before` and `after`.
    """
    rows = rng.numpy_stream(this.config.seed, "samples").permutation(feed.num_rows)[:ROWS]
    batch = feed.batch(np.sort(rows), "samples", step)
    for module in method.roles.values():
        module.eval()
    with torch.no_grad(), this.accelerator.autocast():
        ids, changed = method.made_text(batch)
        said = {role: _before_and_after(this, method, batch.inputs[role], role, ids) for role in ("teacher", "student")}
    tokenizer: Any = this.roles["student"].tokenizer
    own, present = batch.inputs["student"], batch.inputs["student"]["attention_mask"].bool()
    originals = own["input_ids"]
    if "prompt_mask" in own:  # no part of the text: like the special tokens around it
        ids, originals = (i.masked_fill(own["prompt_mask"].bool(), tokenizer.eos_token_id) for i in (ids, originals))
    samples = []
    for i in range(len(ids)):
        kept = present[i]
        places = changed[i][kept].tolist()
        text, words = readable(tokenizer, ids[i][kept].tolist(), places)
        original, _ = readable(tokenizer, originals[i][kept].tolist(), places)
        answers_of = {role: {"before": before[i], "after": after[i]} for role, (before, after) in said.items()}
        samples.append({"step": step, "original": original, "text": text, "changed": words, **answers_of})
    return samples


def _before_and_after(
    this: Run, method: Method, inputs: dict[str, torch.Tensor], role: str, ids: torch.Tensor
) -> list[list[dict[str, float]]]:
    model, found = method.roles[role], []
    for text in (inputs["input_ids"], ids):
        logits = model(**{**inputs, "input_ids": text}).logits.float().cpu().numpy()
        found.append([a.get("probabilities") or {"score": a["prediction"]} for a in answers(this.config.task, logits)])
    return found


def readable(tokenizer: Any, ids: list[int], changed: list[bool]) -> tuple[str, list[int]]:
    """A row without special tokens, ` | ` between its two texts, and which of its words hold a changed token."""
    special, texts, found, offset = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}, [], [], 0
    for is_special, run in groupby(zip(ids, changed, strict=True), key=lambda pair: pair[0] in special):
        if is_special:
            continue
        own, places = zip(*run, strict=True)
        text, words = changed_words(tokenizer.decode, list(own), list(places))
        found += [offset + word for word in words]
        offset += len(text.split()) + 1
        texts.append(text.strip())
    return " | ".join(texts), found


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


def lines(samples: list[Sample]) -> list[str]:
    """A few of the last samples for the screen, those first whose teacher changed its answer; changed words in *…*."""
    last = [s for s in samples if s["step"] == samples[-1]["step"]] if samples else []
    last.sort(key=lambda s: top(s["teacher"]["before"]) == top(s["teacher"]["after"]))
    shown = []
    for sample in last[:SHOWN]:
        words = sample["text"].split()
        marked = " ".join(f"*{word}*" if i in sample["changed"] else word for i, word in enumerate(words))
        shown.append(f"  from  {sample['original']}")
        shown.append(f"  made  {marked}")
        told = (
            f"{role} {_said(sample[role]['before'])} -> {_said(sample[role]['after'])}"
            for role in ("teacher", "student")
        )
        shown.append(f"        {'; '.join(told)}")
    return shown


def top(answer: dict[str, float]) -> str:
    """The class with the largest probability."""
    return max(answer, key=lambda name: answer[name])


def _said(answer: dict[str, float]) -> str:
    return f"{top(answer)} {answer[top(answer)]:.2f}"
