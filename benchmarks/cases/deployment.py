"""Prediction of files, and ONNX files, against PyTorch alone."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, BertConfig

from benchmarks.cases.base import SCALE, TASK, Case, Side, on_device
from benchmarks.cases.words import texts, word_pieces
from kdrun.config.runtime import Device
from kdrun.data.samplers import longest_first_batches
from kdrun.deployment.file_job import FileJob, checked_chunks
from kdrun.deployment.onnx_export import write_onnx
from kdrun.deployment.onnx_model import OnnxModel
from kdrun.deployment.predict import SavedPredictor, predict_file
from kdrun.deployment.row_stream import open_stream
from kdrun.deployment.saved_model import SavedModel, load_saved

PREDICTED = 4096
"""Rows of the predicted file."""
SINGLE = 64
"""Rows that are answered one at a time."""


def saved_student(shape: Mapping[str, Any], folder: Path) -> SavedModel:
    """Save a BERT with random weights and its tokenizer, and load it as `kdrun predict` does."""
    tokenizer = word_pieces()
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), pad_token_id=0, **shape)
    config.id2label = dict(enumerate(TASK.labels))
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_saved(folder, SCALE.max_length)


def prediction(shape: str, with_tokenizer: bool, side: str) -> Side:
    """Predict a CSV file into JSON lines, or run bare forward passes on batches sorted by length.

    Args:
        shape: attribute of `SCALE` with the sizes of the model.
        with_tokenizer: whether the reference also tokenizes; otherwise its batches are ready before it starts.
        side: `kdrun` or `reference`.
    """
    folder = Path(tempfile.mkdtemp(prefix="kdrun-bench-"))
    student = saved_student(getattr(SCALE, shape), folder / "student")
    corpus = texts(PREDICTED)
    predictor = SavedPredictor(student, SCALE.batch, Device(SCALE.device), None)
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in corpus)])

    def ours(steps: int) -> None:
        for _ in range(steps):
            with ExitStack() as stack:
                stream = open_stream(folder / "rows.csv", "csv", stack)
                chunks = checked_chunks(stream, ["text"], allow_bad=False)
                predict_file(predictor, FileJob(stream, chunks, ["text"], folder / "out.jsonl", "jsonl"))

    def batches() -> Iterator[Mapping[str, Tensor]]:
        tokens = student.tokenize_columns([corpus])
        for rows in longest_first_batches(tokens.lengths, SCALE.batch):
            yield on_device(tokens.batch(rows))

    ready = list(batches())

    def bare_passes(steps: int) -> None:
        for _ in range(steps):
            with torch.inference_mode():
                for batch in batches() if with_tokenizer else ready:
                    student.model(**batch)

    return Side(ours if side == "kdrun" else bare_passes, steps=1)


def single_rows(shape: str, side: str) -> Side:
    """Answer rows one at a time: by the exported fp32 file, or by PyTorch, on the CPU."""
    folder = Path(tempfile.mkdtemp(prefix="kdrun-bench-"))
    student = saved_student(getattr(SCALE, shape), folder / "student")
    tokens = student.tokenize([(text,) for text in texts(SINGLE)])
    rows = [tokens.batch(np.array([row])) for row in range(SINGLE)]
    if side == "kdrun":
        write_onnx(student, folder / "model.onnx")
        answer: Any = OnnxModel(folder / "model.onnx")
    else:
        answer = student.model.eval()

    def run(steps: int) -> None:
        with torch.inference_mode():
            for _ in range(steps):
                for batch in rows:
                    answer(batch) if side == "kdrun" else answer(**batch)

    return Side(run, steps=2)


CASES = [
    Case("predict a CSV file", "bare forward passes", partial(prediction, "large", False), "≥ 0.95x"),
    Case("predict a CSV file (tokenizer)", "tokenizer and forward passes", partial(prediction, "large", True)),
    Case("predict a CSV file, encoder", "bare forward passes", partial(prediction, "encoder", False), "≥ 0.95x"),
    Case("predict a CSV file, small student", "bare forward passes", partial(prediction, "small", False)),
    Case(
        "predict a CSV file, small student (tokenizer)",
        "tokenizer and forward passes",
        partial(prediction, "small", True),
        "≥ 0.95x",
    ),
    Case("ONNX fp32, 1 row", "PyTorch", partial(single_rows, "large"), "≥ 1x"),
    Case("ONNX fp32, 1 row, small student", "PyTorch", partial(single_rows, "small"), "≥ 1x"),
]
