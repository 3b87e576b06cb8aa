"""Run an ONNX file with onnxruntime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdrun.deployment.extras import ONNX_RUNTIME, check_onnx_installed
from kdrun.errors import ModelError

PROVIDER = "CPUExecutionProvider"
OUTPUT, PROBABILITIES = "logits", "probabilities"
"""Outputs of a file; one with a score has only the first."""
WARNING_LEVEL = 3
"""Errors only: onnxruntime's warnings on graphs are notes for its developers."""


class OnnxModel:
    """An ONNX file of `kdrun export`, called like the model that it was exported from.

    Args:
        file: the file.
        threads: CPU threads; those of torch by default.

    Raises:
        ConfigError: onnxruntime is missing.
        ModelError: onnxruntime cannot open the file.
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        check_onnx_installed(ONNX_RUNTIME)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads or torch.get_num_threads(), 1
        options.log_severity_level = WARNING_LEVEL
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=[PROVIDER])
        except Exception as error:  # the errors of onnxruntime have no other base class in common
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"{file}: onnxruntime cannot open it ({reason}); export the run again") from error
        self.inputs = [value.name for value in self._session.get_inputs()]

    def __call__(self, batch: Mapping[str, Tensor]) -> np.ndarray:
        """The logits of a batch as from `TokenizedSplit.batch`, [rows, outputs] float32."""
        values: list[np.ndarray] = self._session.run([OUTPUT], {name: batch[name].numpy() for name in self.inputs})  # pyright: ignore[reportAssignmentType]
        return values[0]
