"""Load a saved student as its run evaluated it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kdrun.config.task import TaskConfig
from kdrun.data.corpus.corpora import Corpus
from kdrun.data.splits import pc
from kdrun.data.tokenization import TextTokenizer, TokenizedSplit
from kdrun.deployment.saved_folder import SavedFolder, SavedRun, find_saved
from kdrun.errors import ModelError
from kdrun.models import from_checkpoint, label_alignment, text_limits
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.hub_files import read_config, read_tokenizer
from kdrun.tasks.base import TaskType
from kdrun.tasks.task_types import task_type_of

MAX_LENGTH = 512
"""Most tokens per row of a folder without a run, unless its model or tokenizer names fewer."""


@dataclass(frozen=True)
class SavedModel:
    """A saved student with everything that decides its answers.

    Attributes:
        folder: the folder of the model.
        bundle: model (eval mode, fp32, on the CPU), tokenizer, and notes for the reader.
        task: its task; of a folder without a run, its labels only.
        max_length: tokens per row.
        num_texts: texts per row; None if a row may have one or two.
        run: the run that trained it; None for any other folder.
    """

    folder: Path
    bundle: ModelBundle
    task: TaskConfig
    max_length: int
    num_texts: int | None
    run: SavedRun | None

    @property
    def model(self) -> PreTrainedModel:
        """The model; a padding-dependent one groups its rows (`kdrun.models.row_groups`)."""
        return self.bundle.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer."""
        return self.bundle.tokenizer

    @property
    def labels(self) -> list[str]:
        """Names of the outputs: the classes, `score`, or the types of entities."""
        return list(self.task.entities) or label_alignment.task_names(self.task)

    @property
    def task_type(self) -> TaskType:
        """The task type, which turns outputs into answers."""
        return task_type_of(self.task)

    @cached_property
    def _text_tokenizer(self) -> TextTokenizer:
        return TextTokenizer(self.tokenizer, self.max_length, self.bundle.prompts)

    def tokenize(self, texts: Sequence[tuple[str, ...]]) -> TokenizedSplit:
        """Rows of one or two texts as the run tokenized them: trimmed, with prompts, cut at `max_length`."""
        return self.tokenize_columns(list(zip(*texts, strict=True)))

    def tokenize_columns(self, texts: Sequence[Sequence[str]]) -> TokenizedSplit:
        """Like `tokenize`, from a column per text."""
        return self._text_tokenizer.tokenize_columns(trimmed(texts))


def trimmed(texts: Sequence[Sequence[str]]) -> list[pa.Array]:
    """Columns of texts without blanks at both ends, as in `kdrun.data.splits.make_split`."""
    return [pc.utf8_trim_whitespace(pa.array(column, pa.string())) for column in texts]


def load_saved(path: Path | str | SavedFolder, max_length: int | None = None) -> SavedModel:
    """Load the student of a run directory, or any folder that `save_pretrained` wrote with a classification head.

    Args:
        path: run directory or model folder, or what `find_saved` has found there.
        max_length: tokens per row; by default those of the run, and without a run the limit of model and tokenizer,
            at most `MAX_LENGTH`.

    Raises:
        ModelError: there is no model, it cannot be loaded, or it has no head.
        ConfigError, DataError: see `find_saved`.
    """
    saved = path if isinstance(path, SavedFolder) else find_saved(Path(path))
    where, length = str(saved.folder), max_length or saved.max_length
    if length is None:
        length = _default_length(saved.folder, where)
    context = BuildContext("student", saved.task, _no_corpus, seed=0, max_length=length, label_mass_weight=0.0)
    bundle = from_checkpoint.from_folder(saved.folder, context, replace_head=False, where=where)
    if not bundle.has_head:
        raise ModelError(
            f"{where}: the model has no trained head for {', '.join(label_alignment.task_names(saved.task))}; name the "
            "folder of a model that was trained on its task"
        )
    # about a student at the start of its training
    notes = [note for note in bundle.notes if not note.startswith("the student starts")]
    bundle = dataclasses.replace(bundle, notes=notes)
    return SavedModel(saved.folder, bundle, saved.task, length, saved.num_texts, saved.run)


def _default_length(folder: Path, where: str) -> int:
    config, tokenizer = read_config(folder, where), read_tokenizer(folder, where)
    limit = text_limits.position_limit(config, tokenizer)
    return min(limit or MAX_LENGTH, tokenizer.model_max_length, MAX_LENGTH)


def _no_corpus() -> Corpus:
    raise AssertionError("a saved model is loaded, not trained")
