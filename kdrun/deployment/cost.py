"""Measure the cost of teacher, student and exported files side by side."""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdrun import processor, progress
from kdrun.config.model import BAG_OF_WORDS
from kdrun.data.tokenization import PROMPT, TextTokenizer, TokenizedSplit
from kdrun.deployment import flops, timing
from kdrun.deployment.onnx_model import OnnxModel
from kdrun.deployment.peak_memory import measure_peak_memory
from kdrun.deployment.saved_model import SavedModel
from kdrun.generation.decoding import greedy_decode
from kdrun.models import saving
from kdrun.models.answer_decoder import AnswerDecoder
from kdrun.models.bundle import ModelBundle
from kdrun.models.families import is_text_to_text
from kdrun.models.t5_seq2seq import AnswerT5
from kdrun.storage.cache import cache_root
from kdrun.storage.cost_card import CostCard, Machine, ModelCost

MAX_TEXTS = 2000
"""Dev rows that are tokenized; the measured rows are spread over their lengths."""
FORMATS = {"model.onnx": "onnx fp32", "model.int8.onnx": "onnx int8"}


@dataclass(frozen=True)
class Subject:
    """A model whose cost is measured.

    Attributes:
        name: for people.
        form: `pytorch`, or the format of an exported file.
        run: runs it on a batch.
        tokens: the rows in its tokens.
        model: the PyTorch model that it is, or was exported from; decides parameters and operations.
        bytes: size of its weights.
        peak: measures peak and library memory on a batch in a separate process, or gives the reason why not.
    """

    name: str
    form: str
    run: timing.Run
    tokens: TokenizedSplit
    model: ModelBundle
    bytes: int
    peak: Callable[[Mapping[str, Tensor]], tuple[int, int] | str]


def student_subject(saved: SavedModel, texts: Sequence[tuple[str, ...]], name: str) -> Subject:
    """A saved student in PyTorch, in fp32 on the CPU; the name is for people."""
    size = sum(file.stat().st_size for file in saved.folder.glob("*.safetensors"))
    bundle = saved.bundle

    def peak(batch: Mapping[str, Tensor]) -> tuple[int, int] | str:
        return _peak(saved.folder, bundle, batch)

    return Subject(name, "pytorch", _torch_run(bundle), saved.tokenize(texts), bundle, size, peak)


def bundle_subject(bundle: ModelBundle, texts: Sequence[tuple[str, ...]], max_length: int) -> Subject:
    """A model in memory, such as a teacher, in fp32 on the CPU."""
    tokens = TextTokenizer(bundle.tokenizer, max_length, bundle.prompts).tokenize(texts)

    def peak(batch: Mapping[str, Tensor]) -> tuple[int, int] | str:
        cache_root().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cost-", dir=cache_root()) as folder:
            saving.save_pretrained(bundle, None, Path(folder))
            return _peak(Path(folder), bundle, batch)

    size = flops.weight_bytes(bundle.model)
    return Subject(bundle.name, "pytorch", _torch_run(bundle), tokens, bundle, size, peak)


def file_subject(file: Path, saved: SavedModel, texts: Sequence[tuple[str, ...]]) -> Subject:
    """An exported file of a student.

    Args:
        file: the file, in the folder of `kdrun export`.
        saved: the student that it was exported from.
        texts: the rows.
    """
    model = OnnxModel(file)

    def peak(batch: Mapping[str, Tensor]) -> tuple[int, int] | str:
        return measure_peak_memory(file, "onnx", _lists(batch), torch.get_num_threads())

    form, size = FORMATS.get(file.name, "onnx"), file.stat().st_size
    return Subject(f"{file.parent.name}/{file.name}", form, model, saved.tokenize(texts), saved.bundle, size, peak)


def _torch_run(bundle: ModelBundle) -> timing.Run:
    """One pass of a model; of a T5 that writes text, its whole answers."""
    model: Any = bundle.model
    model.to("cpu").float().eval()
    writes_text, decodes = isinstance(bundle.model, AnswerT5), isinstance(bundle.model, AnswerDecoder)

    def run(batch: Mapping[str, Tensor]) -> object:
        with torch.inference_mode():
            if decodes:
                return greedy_decode(model, batch, model.generation_config.max_new_tokens)
            if writes_text:
                return model.generate(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            return model(**batch)

    return run


def _peak(folder: Path, bundle: ModelBundle, batch: Mapping[str, Tensor]) -> tuple[int, int] | str:
    inputs = {name: values for name, values in _lists(batch).items() if name != PROMPT}
    threads = torch.get_num_threads()
    if isinstance(bundle.model, AnswerDecoder):
        return "the peak memory of a decoder that writes answers is not measured"
    if not is_text_to_text(bundle.model.config):
        form = "bag_of_words" if bundle.model.config.model_type == BAG_OF_WORDS else "classifier"
        return measure_peak_memory(folder, form, inputs, threads)
    settings: Any = bundle.model.generation_config
    return measure_peak_memory(folder, "text_to_text", inputs, threads, settings.max_new_tokens)


def _lists(batch: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: values.tolist() for name, values in batch.items()}


def measure(
    subjects: Mapping[str, Subject], rounds: int = timing.ROUNDS, *, reasons: Mapping[str, str] | None = None
) -> CostCard:
    """Measure models side by side on this machine's CPU.

    Args:
        subjects: name in the card → model, all with the same rows.
        rounds: number of times that each row is measured.
        reasons: why a model is missing in the card, by its key.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    order = np.argsort(next(iter(subjects.values())).tokens.lengths, kind="stable")
    timings, num_rows = timing.time_models({n: (s.run, s.tokens) for n, s in subjects.items()}, order, rounds)
    missing, models = dict(reasons or {}), {}
    with progress.track("measuring memory", len(subjects), "models") as activity:
        for name, subject in subjects.items():
            models[name] = _model_cost(name, subject, timings[name], order, missing)
            activity.advance(1)
    if load is None:
        missing["machine.load"] = "the system does not report it"
    machine = _machine(load, any(subject.form != "pytorch" for subject in subjects.values()))
    if machine["onnxruntime"] is None:
        missing["machine.onnxruntime"] = "no exported file was measured"
    if machine["flags"] is None:
        missing["machine.flags"] = "the system does not report them"
    return {
        "measured": secrets.token_hex(8),
        "machine": machine,
        "rows": num_rows,
        "rounds": rounds,
        "models": models,
        "reasons": missing,
    }


def _model_cost(
    name: str, subject: Subject, times: timing.Timing, order: np.ndarray, reasons: dict[str, str]
) -> ModelCost:
    tokens, model = subject.tokens, subject.model.model
    median = order[len(order) // 2 : len(order) // 2 + 1]
    memory = subject.peak(tokens.batch(order[-timing.BATCH_SIZE :]))
    if isinstance(memory, str):
        reasons[f"models.{name}.peak_memory"] = reasons[f"models.{name}.library_memory"] = memory
    run = _torch_run(subject.model)
    operations = flops.count_flops(model, lambda: run(tokens.batch(median)))
    return {
        "name": subject.name,
        "format": subject.form,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "params_without_embeddings": flops.params_without_embeddings(model),
        "bytes": subject.bytes,
        "flops_per_row": operations,
        "tokens_per_row": int(tokens.lengths[median[0]]),
        "latency_p50_ms": times.percentile_ms(50),
        "latency_p95_ms": times.percentile_ms(95),
        "rows_per_s": round(times.rows_per_s, 2),
        "peak_memory": None if isinstance(memory, str) else memory[0],
        "library_memory": None if isinstance(memory, str) else memory[1],
    }


def _machine(load: float | None, with_files: bool) -> Machine:
    return {
        "processor": processor.processor(),
        "flags": processor.vector_flags(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": None if load is None else round(load, 2),
        "torch": torch.__version__,
        "onnxruntime": importlib.metadata.version("onnxruntime") if with_files else None,
    }
