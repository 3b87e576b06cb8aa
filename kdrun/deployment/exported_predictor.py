"""Answer texts with an exported student."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kdrun.data.tokenization import TextTokenizer, TokenizedSplit
from kdrun.deployment.exported_folder import ExportedFolder
from kdrun.deployment.onnx_model import OnnxModel
from kdrun.deployment.predict import RowPredictor
from kdrun.deployment.row_model import logits_in_order
from kdrun.deployment.saved_model import trimmed
from kdrun.errors import ModelError
from kdrun.models.hub_files import read_tokenizer
from kdrun.tasks.task_types import task_type_of


class ExportedPredictor(RowPredictor):
    """Answers texts with an ONNX file, on the CPU.

    Args:
        found: the export.
        batch_size: rows per batch.
        max_length: tokens per row; None for that of the export.

    Raises:
        ConfigError: onnxruntime is missing.
        ModelError: model or tokenizer cannot be opened.
    """

    def __init__(self, found: ExportedFolder, batch_size: int, max_length: int | None = None) -> None:
        super().__init__(task_type_of(found.task))
        tokenizer: Any = read_tokenizer(found.folder, str(found.folder))
        tokenizer.model_input_names, tokenizer.split_special_tokens = found.inputs, found.split_special_tokens
        self._tokenizer = TextTokenizer(tokenizer, max_length or found.max_length)
        self._model, self._file, self._batch_size = OnnxModel(found.file), found.file, batch_size

    def tokenize(self, texts: Sequence[Sequence[str]]) -> TokenizedSplit:
        """The tokens of rows as the run tokenized them."""
        return self._tokenizer.tokenize_columns(trimmed(texts))

    def outputs(self, tokens: TokenizedSplit) -> np.ndarray:
        """Logits in row order, [rows, outputs] float32.

        Raises:
            ModelError: a logit is not finite.
        """
        logits = logits_in_order(self._model, tokens, self._batch_size, "scoring")
        if not np.isfinite(logits).all():
            raise ModelError(f"{self._file} gives logits that are not finite; export the run again")
        return logits
