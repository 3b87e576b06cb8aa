"""`kdrun predict`: answer texts with a saved student."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdrun.config.fields import setting
from kdrun.config.runtime import Device, Precision
from kdrun.errors import ConfigError

if TYPE_CHECKING:
    from kdrun.console import Console
    from kdrun.deployment.exported_folder import ExportedFolder
    from kdrun.deployment.predict import RowPredictor
    from kdrun.deployment.row_stream import RowStream
    from kdrun.deployment.saved_folder import SavedFolder

MAX_SHOWN = 5
"""Probabilities of a text on the console."""


class StreamFormat(Enum):
    """Format of standard input and output."""

    txt = "txt"
    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"


class BadRows(Enum):
    """Treatment of a row without a text."""

    error = "error"
    empty = "empty"


@dataclass
class PredictOptions:
    """Options of `kdrun predict`, besides the model and texts."""

    input: str | None = setting(None, "file to predict (.csv, .tsv, .jsonl, .json, .parquet, .txt), or - for the input")
    output: str = setting("-", "file to write (.jsonl, .csv, .tsv, .parquet), or - for the output")
    text: list[str] = setting([], "text column of the file, or two for a pair; empty to infer it")
    columns: list[str] = setting(["*"], "input columns to repeat in the output; * is all, [] none")
    bad_rows: BadRows = setting(BadRows.error, "a row without a text: error stops, empty leaves its answer empty")
    format: StreamFormat = setting(StreamFormat.txt, "format of - ; with txt the output is JSON lines")
    pair: bool = setting(False, "two texts per row, for a model folder without a run")
    batch_size: int = setting(32, "rows per batch", gt=0)
    max_length: int | None = setting(None, "tokens per row; null is that of the run, or the limit of the model", gt=2)
    device: Device = setting(Device.auto, "device to run on")
    precision: Precision | None = setting(None, "arithmetic; null is that of the run")


OPTIONS = PredictOptions
EXAMPLE = 'kdrun predict outputs/kd/sst2/RUN "a fine film"'


def main(args: list[str]) -> int:
    """Answer texts with the student of a run, its export, or any classifier that save_pretrained wrote.

    kdrun predict RUN_DIR "some text"                       one text; two for a task of pairs
    kdrun predict RUN_DIR input=new.csv output=answers.csv  the rows of a file, in order and constant memory
    kdrun predict RUN_DIR/onnx input=new.csv output=a.csv   the same by an exported file, with onnxruntime
    cat texts | kdrun predict RUN_DIR input=-               one text per line, JSON lines as output

    Texts are tokenized as in the run. Answers have probabilities by label. A row without a text is an error that names
    file and row, and no output file is written.
    """
    from kdrun.cli.path_arguments import split_paths
    from kdrun.config.options import parse_options
    from kdrun.deployment.exported_folder import ExportedFolder, find_export
    from kdrun.deployment.saved_folder import find_saved

    names, others = split_paths(args, PredictOptions)
    options, _ = parse_options(PredictOptions, others)
    if not names:
        raise ConfigError(["name a run directory, an export or a model folder: kdrun predict RUN_DIR …"])
    if (options.input is None) == (len(names) == 1):
        problem = (
            "either texts or input=FILE"
            if len(names) > 1
            else 'texts, as in kdrun predict RUN_DIR "some text", or input=FILE'
        )
        raise ConfigError([f"kdrun predict takes {problem}"])
    found = find_export(Path(names[0])) or find_saved(Path(names[0]))
    if isinstance(found, ExportedFolder):
        _check_export(found, options)
    num_texts = found.num_texts or (2 if options.pair else 1)
    if options.pair and num_texts == 1:
        raise ConfigError([f"pair=true: task {found.task.name} of {found.folder} reads one text per row"])
    if options.input is None:
        return _print_answers(found, options, names[1:], num_texts)
    return _predict_file(found, options, num_texts)


def _check_export(found: ExportedFolder, options: PredictOptions) -> None:
    """Check that the options fit an exported file, and that onnxruntime is installed.

    Raises:
        ConfigError: every problem found.
    """
    from kdrun.deployment.extras import ONNX_RUNTIME, check_onnx_installed

    problems = []
    if options.device is Device.cuda:
        problems.append(f"device=cuda: {found.file} runs on the CPU; leave device= out")
    if options.precision is not None:
        problems.append(f"precision={options.precision.value}: {found.file} has its own; leave precision= out")
    if options.max_length is not None and options.max_length > found.max_length:
        problems.append(f"max_length={options.max_length}: {found.file} was exported for {found.max_length} tokens")
    if problems:
        raise ConfigError(problems)
    check_onnx_installed(ONNX_RUNTIME)


def _predictor(found: SavedFolder | ExportedFolder, options: PredictOptions, console: Console) -> RowPredictor:
    from kdrun import progress
    from kdrun.deployment.exported_folder import ExportedFolder

    if isinstance(found, ExportedFolder):
        with progress.track("loading PyTorch, transformers and the file"):
            from kdrun.deployment.exported_predictor import ExportedPredictor

            return ExportedPredictor(found, options.batch_size, options.max_length)
    with progress.track("loading PyTorch and transformers"):
        from kdrun.deployment.predict import SavedPredictor
        from kdrun.deployment.saved_model import load_saved
    with progress.track("loading the student"):
        saved = load_saved(found, options.max_length)
        predictor = SavedPredictor(saved, options.batch_size, options.device, options.precision)
    for note in saved.bundle.notes:
        console.note(note)
    if saved.run is None and options.max_length is None:
        console.note(f"texts are cut at {saved.max_length} tokens, the limit of the model (max_length=)")
    return predictor


def _print_answers(
    found: SavedFolder | ExportedFolder, options: PredictOptions, texts: list[str], num_texts: int
) -> int:
    from kdrun import progress
    from kdrun.console import Console

    if len(texts) % num_texts:
        raise ConfigError([f"task {found.task.name} reads {num_texts} texts per row, got {len(texts)}"])
    blank = [f"text {number} is blank" for number, text in enumerate(texts, 1) if not text.strip()]
    if blank:
        raise ConfigError(blank)
    console = Console()
    rows = [tuple(texts[start : start + num_texts]) for start in range(0, len(texts), num_texts)]
    with progress.show_on(console):
        answers = _predictor(found, options, console).answers(list(zip(*rows, strict=True)))
    for row, answer in zip(rows, answers.records(), strict=True):
        console.print(f"{_shown(answer)}  {' | '.join(row) if len(rows) > 1 else ''}".rstrip())
    return 0


def _shown(answer: dict[str, Any]) -> str:
    """An answer in one line: the label and the largest probabilities."""
    from kdrun.formatting import percent

    prediction = answer["prediction"]
    text = (
        f"{prediction:.4g}"
        if isinstance(prediction, float)
        else ", ".join(prediction)
        if isinstance(prediction, list)
        else prediction
    )
    shares = sorted(answer.get("probabilities", {}).items(), key=lambda item: -item[1])
    listing = ", ".join(f"{name} {percent(share)}" for name, share in shares[:MAX_SHOWN])
    return f"{text or 'none'}  ({listing}{', …' if len(shares) > MAX_SHOWN else ''})" if shares else str(text or "none")


def _predict_file(found: SavedFolder | ExportedFolder, options: PredictOptions, num_texts: int) -> int:
    """Predict a file; the console is on stderr where the answers go to the output."""
    import sys

    from rich.console import Console as RichConsole

    from kdrun import progress
    from kdrun.cli.verbosity import run_console
    from kdrun.console import Console
    from kdrun.deployment.answer_writer import STDOUT, output_format
    from kdrun.deployment.file_job import FileJob, checked_chunks
    from kdrun.deployment.row_stream import input_format, open_stream
    from kdrun.deployment.text_columns import choose_columns, choose_text_columns
    from kdrun.formatting import plural

    source, output = Path(options.input or "-"), Path(options.output)
    file_format = input_format(source, options.format.value)
    written_format = output_format(output, options.format.value)
    to_stdout = output == STDOUT
    console = Console(RichConsole(file=sys.stderr, highlight=False, soft_wrap=True)) if to_stdout else run_console()
    with ExitStack() as stack, progress.show_on(console):
        stream: RowStream = open_stream(source, file_format, stack)
        text = choose_text_columns(stream.origin, stream.names, options.text, num_texts, found.task)
        columns = choose_columns(stream, options.columns, found.task)
        if not options.text and stream.names != text:
            console.note(f"text of {stream.origin}: {' and '.join(text)} (text=)")
        chunks = checked_chunks(stream, text, allow_bad=options.bad_rows is BadRows.empty)
        predictor = _predictor(found, options, console)
        from kdrun.deployment.predict import predict_file

        num_rows, num_bad = predict_file(predictor, FileJob(stream, chunks, columns, output, written_format))
    bad = f", {num_bad} of them without a text and without an answer" if num_bad else ""
    console.print(f"{plural(num_rows, 'row')} predicted{bad}{'' if to_stdout else f': {output}'}")
    return 0
