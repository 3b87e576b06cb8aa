"""`kdrun export`: write a student for another runtime."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from kdrun.config.fields import setting
from kdrun.errors import ConfigError


class Format(Enum):
    """Format of the file."""

    onnx = "onnx"


class Quantize(Enum):
    """Numbers of the weights."""

    none = "none"
    int8 = "int8"


@dataclass
class ExportOptions:
    """Options of `kdrun export`, besides the run directory."""

    format: Format = setting(Format.onnx, "format of the file")
    quantize: Quantize = setting(Quantize.none, "int8 stores weights in 8 bits: a smaller file, other answers")
    output: str | None = setting(None, "folder to write; default: onnx or onnx-int8 in the run directory")
    keep: float = setting(0.99, "least share of the metric that an int8 file keeps; 0 accepts any", ge=0, le=1)
    reduce_range: bool = setting(
        True, "int8 with 7 bits, which gives the same answers on processors without VNNI; false uses 8 bits"
    )


OPTIONS = ExportOptions
EXAMPLE = "kdrun export outputs/kd/sst2/RUN"


def main(args: list[str]) -> int:
    """Export the student of a run to ONNX: kdrun export RUN_DIR [format=onnx] [quantize=int8] [output=FOLDER].

    Writes a folder with the model, its tokenizer, config.json with the labels, and predict.py, a script that needs only
    numpy, onnxruntime and tokenizers. The file is opened again and compared with PyTorch on all dev rows of the run; a
    file with other answers is not kept. The figures are in export.json.
    """
    from kdrun import progress
    from kdrun.cli.path_arguments import split_paths
    from kdrun.cli.verbosity import run_console
    from kdrun.config.options import parse_options
    from kdrun.deployment.dev_rows import check_predictions
    from kdrun.deployment.extras import check_onnx_installed
    from kdrun.deployment.saved_folder import find_saved

    paths, others = split_paths(args, ExportOptions)
    options, _ = parse_options(ExportOptions, others)
    if len(paths) != 1:
        names = ", ".join(paths) or "none"
        raise ConfigError([f"kdrun export takes one run directory, got {names}: kdrun export RUN_DIR"])
    found = find_saved(Path(paths[0]))
    if found.run is None:
        raise ConfigError(
            [f"{found.folder} is a model folder without a run; kdrun export RUN_DIR compares the file on its dev rows"]
        )
    is_int8 = options.quantize is Quantize.int8
    output = Path(options.output) if options.output else found.run.path / ("onnx-int8" if is_int8 else "onnx")
    found.run.result()
    check_predictions(found.run)
    check_onnx_installed()
    console = run_console()
    with progress.show_on(console):
        with progress.track("loading PyTorch and transformers"):
            from kdrun.deployment import export, export_folder
        export_folder.check_output(output)
        settings = export.ExportSettings(is_int8, options.reduce_range, options.keep)
        facts = export.export_onnx(found, output, settings, console)
    size, before = (f"{facts[key] / 1e6:.2f} MB" for key in ("bytes", "pytorch_bytes"))
    console.print(f"exported to {output}: {facts['file']} {size} (PyTorch {before}), tokenizer, labels, predict.py")
    texts = ['"some text"'] * (facts["num_texts"] or 1)
    console.print(f"next: python {shlex.quote(str(output / 'predict.py'))} {' '.join(texts)}")
    return 0
