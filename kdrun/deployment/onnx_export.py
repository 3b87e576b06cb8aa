"""Write a classifier as an ONNX file, and quantize one to int8."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun.deployment.extras import check_onnx_installed
from kdrun.deployment.onnx_model import OUTPUT, PROBABILITIES
from kdrun.deployment.saved_model import SavedModel
from kdrun.errors import ModelError
from kdrun.models import row_groups
from kdrun.models.padding import TEXTS
from kdrun.models.t5_base import TaskT5
from kdrun.tasks.task_types import task_type_of

MAX_BYTES = 2_000_000_000
"""Size of weights that one ONNX file can hold, a protobuf message of at most 2 GiB."""
NOISY_LOGGERS = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export", "torch._dynamo", "root")
NO_ONNX = "export needs one pass per batch; use kdrun predict, or a student of another family"


class _Outputs(nn.Module):
    """The logits of a classifier, and the probabilities of its classes."""

    def __init__(self, saved: SavedModel, names: list[str]) -> None:
        super().__init__()
        self.model, self.names, self.task = saved.model, names, saved.task

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits [rows, outputs] of the columns of a batch, in the order of `names`; of classes also probabilities."""
        logits: Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        if self.task.is_regression:
            return logits
        return logits, logits.sigmoid() if self.task.is_multi_label else logits.softmax(dim=-1)


def check_exportable(saved: SavedModel) -> None:
    """Check that a student answers in one pass per batch, with logits.

    Raises:
        ModelError: it is a text-to-text model, depends on padding, or is too large for one file.
    """
    model: Any = saved.model
    name = type(model).__name__
    if task_type_of(saved.task).generates_text or isinstance(model, TaskT5):
        raise ModelError(
            f"{saved.folder}: format=onnx exports classifiers, and {name} is a text-to-text model, whose answers need "
            "a decoder and prompts; use kdrun predict, or distill into an encoder"
        )
    grouping = row_groups.grouping_of(model)
    if grouping in ("length", "end_tokens"):
        rows = "of one length" if grouping == "length" else "with one number of end-of-text tokens"
        raise ModelError(
            f"{saved.folder}: the output of {name} depends on the other rows of a batch, so kdrun runs rows {rows} "
            f"together; format=onnx {NO_ONNX}"
        )
    size = sum(weight.numel() * 4 for weight in model.parameters())
    if size > MAX_BYTES:
        raise ModelError(f"{saved.folder}: {size / 1e9:.1f} GB of weights; one ONNX file holds at most 2 GB")


def write_onnx(saved: SavedModel, file: Path) -> None:
    """Write the student of a run as one ONNX file, in fp32, for any number of rows and tokens.

    Inputs are the columns of `TokenizedSplit.batch`, int64 [rows, length]. Outputs are `logits` and, for classes,
    `probabilities`, float32 [rows, outputs].

    Args:
        saved: a student that passes `check_exportable`.
        file: the file.

    Raises:
        ConfigError: a package of the extra `onnx` is missing.
        ModelError: torch cannot export the model.
    """
    check_onnx_installed()
    row_groups.ungroup_rows(saved.model)  # groups for embeddings, of which the file has none
    texts = [text * (saved.num_texts or 1) for text in (TEXTS[2], TEXTS[4])]
    batch = saved.tokenize(texts).batch(np.arange(len(texts)))
    names = list(batch)
    rows, length = torch.export.Dim("rows"), torch.export.Dim("length", max=saved.max_length)
    with _quiet():
        try:
            program: Any = torch.onnx.export(
                _Outputs(saved, names).eval(),
                tuple(batch.values()),
                dynamo=True,
                verbose=False,
                input_names=names,
                output_names=[OUTPUT] if saved.task.is_regression else [OUTPUT, PROBABILITIES],
                dynamic_shapes=(tuple({0: rows, 1: length} for _ in names),),
            )
        except torch.onnx.OnnxExporterError as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"{saved.folder}: torch cannot export {type(saved.model).__name__} to ONNX ({type(error).__name__}: "
                f"{reason}); use kdrun predict, or a student of another family"
            ) from error
        _strip_notes(program.model)
        program.save(str(file), external_data=False)


def _strip_notes(model: Any) -> None:
    """Remove the exporter's notes on the origin of each node: source lines, and paths of this machine."""
    graphs = [model.graph, *model.functions.values()]
    for holder in (model, *graphs):
        holder.metadata_props.clear()
        holder.doc_string = None
    for graph in graphs:
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None


def quantize_int8(file: Path, target: Path, *, reduce_range: bool) -> None:
    """Write an ONNX file with int8 weights; activations are quantized at run time.

    Args:
        file: the fp32 file.
        target: the new file.
        reduce_range: use 7 of the 8 bits. Processors without VNNI add pairs of products in 16 bits, which overflow
            with 8 bits, so that the file would give other answers there.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(file, target, weight_type=QuantType.QInt8, reduce_range=reduce_range)


@contextmanager
def _quiet() -> Iterator[None]:
    """Turn off warnings and log lines of the exporters, which are notes for their developers."""
    levels = {name: logging.getLogger(name).level for name in NOISY_LOGGERS}
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
