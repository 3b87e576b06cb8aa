"""Cache the teacher's most likely tokens at every token of the answers.

The logits over the whole vocabulary take 4 bytes per entry, 129 kB per token with 32 000 entries. Kept are the log
probabilities of the k most likely tokens, and that of all others together, which is spread evenly over them:
k · 4 + 2 bytes per token of an answer, k · 6 + 2 with more than 65 536 entries. The sum of the probabilities stays 1.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdrun.config.teacher import TeacherOptions
from kdrun.data.samplers import longest_first_batches
from kdrun.data.target_sequences import TargetSequences
from kdrun.data.token_columns import row_offsets
from kdrun.data.tokenization import TokenizedSplit
from kdrun.data.transfer import to_device
from kdrun.errors import DataError
from kdrun.formatting import num_bytes
from kdrun.models.bundle import ModelBundle
from kdrun.progress import track_batches
from kdrun.storage import cache
from kdrun.training.teacher import answers
from kdrun.training.teacher.finetune import TeacherEvaluation

log = logging.getLogger(__name__)

BATCH = 16
LOWEST = -60000.0
"""Replaces the logarithm of a probability below the range of half precision; minus infinity times 0 is no number."""
MAX_SHARE = 0.9
"""Share of the free disk space that the files may take."""


@dataclass(frozen=True)
class TopLogitsShape:
    """Size of the files.

    Attributes:
        num_tokens: tokens of all answers.
        k: tokens kept at each of them.
        vocab_size: width of the teacher's logits.
    """

    num_tokens: int
    k: int
    vocab_size: int

    @property
    def id_type(self) -> type[np.unsignedinteger]:
        """The smallest type of token ids."""
        return np.uint16 if self.vocab_size <= 1 << 16 else np.uint32

    @property
    def num_bytes(self) -> int:
        """Bytes of all arrays."""
        return self.num_tokens * (self.k * (np.dtype(self.id_type).itemsize + 2) + 2)


class CachedTopLogits:
    """The teacher's logits at every token of the answers, from its most likely tokens.

    Args:
        folder: holds `ids.npy` [Σ length, k] and `log_probs.npy` [Σ length, k + 1]; the last column is the logarithm of
            the probability of all other tokens.
        lengths: tokens of each answer, [rows].
        vocab_size: width of the teacher's logits.
    """

    def __init__(self, folder: Path, lengths: np.ndarray, vocab_size: int) -> None:
        self._ids = np.load(folder / "ids.npy", mmap_mode="r")
        self._log_probs = np.load(folder / "log_probs.npy", mmap_mode="r")
        self._lengths, self._first, self._vocab_size = lengths, row_offsets(lengths), vocab_size

    def batch(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """The logits of these rows, NaN behind an answer's end: [batch, answer length, vocabulary], float32."""
        lengths = self._lengths[rows]
        present = to_device(torch.from_numpy(np.arange(int(lengths.max())) < lengths[:, None]), device)
        tokens = np.concatenate([np.arange(*self._first[row : row + 2].tolist()) for row in rows])
        ids = to_device(torch.from_numpy(self._ids[tokens].astype(np.int64)), device)
        log_probs = to_device(torch.from_numpy(self._log_probs[tokens].astype(np.float32)), device)
        logits = torch.full((*present.shape, self._vocab_size), torch.nan, device=device)
        logits[present] = spread(ids, log_probs, self._vocab_size)
        return logits


def spread(ids: Tensor, log_probs: Tensor, vocab_size: int) -> Tensor:
    """Logits from the most likely tokens: the rest of the probability is spread evenly over the other tokens.

    Args:
        ids: token ids, [tokens, k], int64.
        log_probs: their log probabilities, and that of all other tokens together, [tokens, k + 1].
        vocab_size: width of the logits.

    Returns:
        Log probabilities of all tokens, [tokens, vocabulary].
    """
    others = max(1, vocab_size - ids.shape[1])
    rest = log_probs[:, -1:] - float(np.log(others))
    return rest.expand(-1, vocab_size).scatter(1, ids, log_probs[:, :-1])


def most_likely(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The most likely tokens, as `spread` takes them.

    Args:
        logits: [tokens, vocabulary].
        k: at most the size of the vocabulary.
    """
    log_probs = torch.log_softmax(logits.float(), dim=-1)
    top = log_probs.topk(k, dim=-1)
    rest = log_probs.scatter(1, top.indices, -torch.inf).logsumexp(dim=-1, keepdim=True)
    return top.indices, torch.cat([top.values, rest], dim=-1).clamp(min=LOWEST)


def cached_top_logits(
    bundle: ModelBundle, tokens: TokenizedSplit, targets: TargetSequences, evaluation: TeacherEvaluation
) -> CachedTopLogits:
    """The `teacher.top_k` most likely tokens on all answers, computed once per (teacher, rows, answers, k).

    Args:
        bundle: the teacher, frozen.
        tokens: the teacher's inputs.
        targets: the answers.
        evaluation: gives the config and the device.

    Raises:
        DataError: the disk has too little free space.
    """
    options: TeacherOptions = evaluation.config.teacher
    assert options.top_k is not None
    lengths = np.minimum(targets.tokens.lengths, targets.limit)
    vocab_size = int(bundle.model.config.vocab_size)
    shape = TopLogitsShape(int(lengths.sum(dtype=np.int64)), min(options.top_k, vocab_size), vocab_size)
    key = {"format": 1, "teacher": bundle.fingerprint, "tokens": tokens.fingerprint, "answers": targets.fingerprint}
    key |= {"k": shape.k, "precision": evaluation.config.runtime.precision.value}
    key |= {"device": evaluation.accelerator.device.type}

    def build(folder: Path) -> None:
        _check_disk_space(shape, folder)
        sizes = (shape.k, shape.num_tokens, num_bytes(shape.num_bytes))
        log.info("the teacher's %d most likely tokens at each of %d answer tokens, once: %s on disk", *sizes)
        arrays = {
            "ids": (shape.id_type, (shape.num_tokens, shape.k)),
            "log_probs": (np.float16, (shape.num_tokens, shape.k + 1)),
        }
        files = {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=size)
            for name, (dtype, size) in arrays.items()
        }
        forward = answers.teacher_forward(bundle.model, evaluation.accelerator)
        _fill(files, lengths, shape.k, lambda rows: _logits(rows, forward, tokens, targets, evaluation))
        for file in files.values():
            file.flush()

    return cache.fetch("top_logits", key, build, lambda folder: CachedTopLogits(folder, lengths, vocab_size))[0]


def _check_disk_space(shape: TopLogitsShape, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if shape.num_bytes > MAX_SHARE * free:
        raise DataError(
            f"teacher.top_k={shape.k}: the most likely tokens at {shape.num_tokens} answer tokens need "
            f"{num_bytes(shape.num_bytes)}, but {folder.parent} has {num_bytes(free)} free: lower teacher.top_k, "
            "compute all logits for each batch instead (teacher.top_k=null), or move the cache (KDRUN_CACHE=FOLDER)"
        )


def _logits(
    rows: np.ndarray,
    forward: Callable[[dict[str, Tensor]], Tensor],
    tokens: TokenizedSplit,
    targets: TargetSequences,
    evaluation: TeacherEvaluation,
) -> Tensor:
    """All of the teacher's logits on some rows, [batch, answer length, vocabulary]."""
    inputs = {**tokens.batch(rows), "decoder_input_ids": targets.batch(rows)[1]}
    return forward({name: to_device(values, evaluation.accelerator.device) for name, values in inputs.items()})


def _fill(files: Mapping[str, np.ndarray], lengths: np.ndarray, k: int, logits: Callable[[np.ndarray], Tensor]) -> None:
    first = row_offsets(lengths)
    batches = longest_first_batches(lengths, BATCH)
    for rows in track_batches(batches, "computing the teacher's most likely tokens"):
        for row, row_logits in zip(rows, logits(rows), strict=True):
            ids, log_probs = most_likely(row_logits[: lengths[row]], k)
            files["ids"][first[row] : first[row + 1]] = ids.cpu().numpy()
            files["log_probs"][first[row] : first[row + 1]] = log_probs.cpu().numpy()
