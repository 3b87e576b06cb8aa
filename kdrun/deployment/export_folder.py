"""Files that travel with an exported model, written as one folder."""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from kdrun import processor
from kdrun.deployment.exported_folder import CLASSES, EXPORT, MULTI_LABEL, SCORE
from kdrun.deployment.onnx_model import OnnxModel
from kdrun.deployment.saved_model import SavedModel
from kdrun.errors import ConfigError
from kdrun.models.hub_files import silence_transformers
from kdrun.storage.files import refuse_link
from kdrun.version import __version__

SCRIPT, TOKENIZER = "predict.py", "tokenizer.json"
PACKAGES = ("torch", "transformers", "tokenizers", "onnx", "onnxscript", "onnxruntime")


def check_output(folder: Path) -> None:
    """Check that an export may be written into a folder: it is new, empty, or an earlier export.

    Raises:
        ConfigError: it holds something else, or its parent is missing.
        DataError: it is a link.
    """
    refuse_link(folder)
    if folder.exists() and not (folder.is_dir() and ((folder / EXPORT).is_file() or not any(folder.iterdir()))):
        kind = "holds other files" if folder.is_dir() else "is a file"
        raise ConfigError([f"output={folder} {kind}; name a new folder, an empty one, or that of an earlier export"])
    if not folder.absolute().parent.is_dir():
        raise ConfigError([f"output={folder}: the folder {folder.absolute().parent} does not exist; create it first"])


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Write a folder completely or not at all: a temporary one takes its place when the context ends without an error.

    Args:
        folder: one that passes `check_output`; an earlier export there is replaced.
    """
    work = folder.with_name(f".{folder.name}.tmp-{secrets.token_hex(8)}")
    work.mkdir()
    try:
        yield work
        refuse_link(folder)
        if folder.exists():
            old = work.with_name(f"{work.name}.old")
            folder.rename(old)
            shutil.rmtree(old)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_companions(saved: SavedModel, folder: Path) -> None:
    """Write tokenizer, labels and the script that predicts without kdrun.

    The tokenizer's `tokenizer.json` truncates and pads as the run did.
    """
    with silence_transformers():
        saved.tokenizer.save_pretrained(folder)
    tokenizer: Any = saved.tokenizer
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.enable_truncation(saved.max_length, strategy="longest_first", direction=tokenizer.truncation_side)
    backend.enable_padding(
        direction="right",
        pad_id=tokenizer.pad_token_id,
        pad_type_id=tokenizer.pad_token_type_id,
        pad_token=tokenizer.pad_token,
    )
    backend.save(str(folder / TOKENIZER))
    saved.model.config.save_pretrained(folder)
    shutil.copyfile(Path(__file__).with_name("standalone_predict.py"), folder / SCRIPT)


def export_facts(saved: SavedModel, file: Path, model: OnnxModel, more: dict[str, Any]) -> dict[str, Any]:
    """The content of export.json.

    Args:
        saved: the student.
        file: the exported file.
        model: the file, opened.
        more: further values, such as the comparison with PyTorch.
    """
    task, run = saved.task, saved.run
    kind = SCORE if task.is_regression else MULTI_LABEL if task.is_multi_label else CLASSES
    tokenizer: Any = saved.tokenizer
    weights = sum(path.stat().st_size for path in saved.folder.glob("*.safetensors"))
    return {
        "kdrun": __version__,
        "file": file.name,
        "bytes": file.stat().st_size,
        "pytorch_bytes": weights,
        "task": task.name,
        "kind": kind,
        "labels": saved.labels,
        "text": list(task.text),
        "num_texts": saved.num_texts,
        "max_length": saved.max_length,
        "split_special_tokens": bool(tokenizer.split_special_tokens),
        "inputs": model.inputs,
        "run_id": run.record["run_id"] if run else None,
        "command": run.record["command"] if run else None,
        **more,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "cpu": {"name": processor.processor(), "flags": processor.vector_flags(), "cores": os.cpu_count()},
    }


def write_facts(facts: dict[str, Any], folder: Path) -> None:
    """Write export.json."""
    (folder / EXPORT).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
