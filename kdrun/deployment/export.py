"""Export the student of a run, and check the file against PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun import progress
from kdrun.console import Console
from kdrun.deployment import export_folder, onnx_export
from kdrun.deployment.dev_rows import read_dev_rows
from kdrun.deployment.onnx_model import OnnxModel
from kdrun.deployment.parity import Parity, ParityCheck
from kdrun.deployment.saved_folder import SavedFolder
from kdrun.deployment.saved_model import load_saved
from kdrun.errors import ModelError
from kdrun.formatting import percent

FP32_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"
TOLERANCE = 1e-4
"""Largest difference of fp32 logits from PyTorch's, relative to the largest logit."""


@dataclass(frozen=True)
class ExportSettings:
    """Settings of an export.

    Attributes:
        int8: whether the file has int8 weights.
        reduce_range: see `kdrun.deployment.onnx_export.quantize_int8`.
        keep: least share of PyTorch's metric that an int8 file keeps.
    """

    int8: bool = False
    reduce_range: bool = True
    keep: float = 0.99


def export_onnx(found: SavedFolder, output: Path, settings: ExportSettings, console: Console) -> dict[str, Any]:
    """Write the student of a run as an ONNX file into a folder, with everything that is needed to use it.

    The written file is opened in a new session and compared with PyTorch on all dev rows of the run.

    Args:
        found: the run.
        output: folder that passes `kdrun.deployment.export_folder.check_output`.
        settings: of the export.
        console: for the comparison.

    Returns:
        The content of export.json.

    Raises:
        ModelError: the student cannot be exported, or the file does not answer like PyTorch; nothing is written.
        DataError: the predictions of the run are damaged.
    """
    assert found.run is not None
    headline = found.run.result()["headline"]
    with progress.track("loading the student"):
        saved = load_saved(found)
        onnx_export.check_exportable(saved)
        dev = read_dev_rows(found.run, saved.task_type)
    check = ParityCheck(saved, dev, headline["metric"], headline["split"])
    with export_folder.new_folder(output) as folder:
        file = folder / FP32_FILE
        with progress.track("exporting to ONNX"):
            onnx_export.write_onnx(saved, file)
        parities = {"fp32": _compare(check, file, "fp32", console)}
        _check_fp32(parities["fp32"])
        if settings.int8:
            fp32, file = file, folder / INT8_FILE
            with progress.track("quantizing to int8"):
                onnx_export.quantize_int8(fp32, file, reduce_range=settings.reduce_range)
            fp32.unlink()
            parities["int8"] = _compare(check, file, "int8", console)
            _check_int8(parities["int8"], settings.keep)
        export_folder.write_companions(saved, folder)
        more = {
            "format": "onnx",
            "quantize": "int8" if settings.int8 else None,
            "reduce_range": settings.reduce_range if settings.int8 else None,
            "keep": settings.keep if settings.int8 else None,
            "parity": {name: parity.plain() for name, parity in parities.items()},
        }
        facts = export_folder.export_facts(saved, file, OnnxModel(file), more)
        export_folder.write_facts(facts, folder)
    return facts


def _compare(check: ParityCheck, file: Path, precision: str, console: Console) -> Parity:
    parity = check.compare(OnnxModel(file), f"the {precision} file")
    same = "" if parity.same_answer is None else f"same answer on {_exact_percent(parity.same_answer)}, "
    console.print(
        f"{precision}: {parity.rows} dev rows, largest difference of logits {parity.max_difference:.2g} "
        f"({parity.relative_difference:.1g} of the largest logit), {same}{parity.split} {parity.metric} "
        f"{percent(parity.score)} (PyTorch {percent(parity.torch_score)})"
    )
    return parity


def _exact_percent(share: float) -> str:
    """A share in percent; 100 % only if there is no exception."""
    return percent(share) if share == 1 or share < 0.9995 else f"more than {percent(0.999)}"


def _check_fp32(parity: Parity) -> None:
    if parity.relative_difference <= TOLERANCE:
        return
    values = ", ".join(f"{name} {value:.2g}" for name, value in parity.differences.items())
    raise ModelError(
        f"the ONNX file answers other than PyTorch: its logits differ by up to {parity.relative_difference:.2g} of the "
        f"largest logit, and {TOLERANCE} is allowed ({values}); the file was not kept. Use kdrun predict, or a student "
        "of another family"
    )


def _check_int8(parity: Parity, keep: float) -> None:
    if keep == 0 or parity.keeps(keep):
        return
    raise ModelError(
        f"the int8 file has {parity.split} {parity.metric} {percent(parity.score)}, PyTorch "
        f"{percent(parity.torch_score)}, and keep={keep} asks for {keep:.1%} of it; the file was not kept. Export "
        "without quantize=int8, or allow the loss with a lower keep= (keep=0 accepts any)"
    )
