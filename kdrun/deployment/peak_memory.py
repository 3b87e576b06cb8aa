"""Peak memory of a model in a separate process.

Memory cannot be measured next to other models: freed memory of one is used by the next. So a fresh process imports the
libraries, loads one model with plain transformers or onnxruntime, scores one batch and reports its memory.
This module is the program of that process: it imports neither torch nor kdrun before the measurement starts.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
TIMEOUT = 600.0
PROGRAM = "kdrun.deployment.peak_memory"
PACKAGE_PARENT = Path(__file__).resolve().parents[2]


def measure_peak_memory(
    path: Path, form: str, batch: Mapping[str, Any], threads: int, max_new_tokens: int = 1
) -> tuple[int, int] | str:
    """Peak memory of a process that loads a model and scores a batch.

    Args:
        path: folder of the model, or the exported file.
        form: `classifier`, `bag_of_words`, `text_to_text` or `onnx`.
        batch: inputs of the model, as lists.
        threads: CPU threads.
        max_new_tokens: length of the answers of a text-to-text model.

    Returns:
        Largest resident memory, and resident memory before the model was loaded, in bytes; or the reason why it could
        not be measured.
    """
    task = {
        "path": str(path.resolve()),
        "form": form,
        "batch": dict(batch),
        "threads": threads,
        "max_new_tokens": max_new_tokens,
    }
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    environment = {**os.environ, **offline, "PYTHONPATH": os.pathsep.join(_search_path())}
    command = [sys.executable, "-P", "-m", PROGRAM]
    try:
        done = subprocess.run(
            command, input=json.dumps(task), capture_output=True, text=True, timeout=TIMEOUT, env=environment
        )
    except subprocess.TimeoutExpired:
        return f"the process took longer than {TIMEOUT:.0f} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return f"the process failed: {lines[-1][:200]}"
    values = json.loads(done.stdout.splitlines()[-1])
    return values["peak"], values["libraries"]


def _search_path() -> list[str]:
    """The folder of this package, so that a package that is not installed is found, and PYTHONPATH."""
    return [str(PACKAGE_PARENT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes.

    Linux counts the memory of the parent into `ru_maxrss` of a new process, so its own peak is read from /proc.
    """
    if STATUS.exists():
        return 1024 * _status("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _status(key: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1])


def _run_onnx(task: dict[str, Any]) -> int:
    import numpy as np
    import onnxruntime

    before = peak_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task["threads"], 1
    session = onnxruntime.InferenceSession(task["path"], options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    session.run(None, {name: np.array(task["batch"][name], np.int64) for name in names})
    return before


def _run_torch(task: dict[str, Any]) -> int:
    import torch
    from transformers import AutoConfig
    from transformers.models.auto import modeling_auto

    if task["form"] == "bag_of_words":  # which transformers does not have
        from kdrun.models import bag_of_words

        bag_of_words.register_classes()
    torch.set_num_threads(task["threads"])
    is_text = task["form"] == "text_to_text"
    classes: Any = modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    if not is_text:
        classes = modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    model_class = classes[type(AutoConfig.from_pretrained(task["path"]))]  # imports the code of the family
    batch = {name: torch.tensor(values) for name, values in task["batch"].items()}
    before = peak_memory()
    model: Any = model_class.from_pretrained(task["path"]).eval()
    with torch.inference_mode():
        if is_text:
            model.generate(**batch, max_new_tokens=task["max_new_tokens"])
        else:
            model(**batch)
    return before


def main() -> None:
    """Measure the model that standard input describes, and print its memory as JSON."""
    task = json.load(sys.stdin)
    libraries = _run_onnx(task) if task["form"] == "onnx" else _run_torch(task)
    print(json.dumps({"peak": peak_memory(), "libraries": libraries}))


if __name__ == "__main__":
    main()
