"""`kdrun glue`: predictions for the GLUE leaderboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdrun.config.fields import setting
from kdrun.errors import ConfigError, DataError, KdrunError

if TYPE_CHECKING:
    from kdrun.console import Console
    from kdrun.deployment.glue_submission import Sheet
    from kdrun.deployment.saved_folder import SavedFolder, SavedRun

DIR = "data.dir="
HUB = "nyu-mll/glue"


@dataclass
class GlueOptions:
    """Options of `kdrun glue`, besides the RUNS."""

    output: str = setting(doc="the zip file to write")
    dir: str | None = setting(
        None, "folder that holds CoLA/test.tsv and so on, also written data.dir=; null is the data of each run"
    )
    offline: bool = setting(False, "open no socket: test sets of the hub must be in its cache")


OPTIONS = GlueOptions


def main(args: list[str]) -> int:
    """Write the zip file for the GLUE leaderboard from the students of finished runs.

    kdrun glue RUN… output=submission.zip dir=GLUE_FOLDER

    RUNS are run directories, one per task; the run on mnli also predicts AX. The test rows come from dir=, or from
    where each run read its rows. All eleven files are written and checked: header, number of rows, labels. A file
    without a run is filled with the most frequent class, and named.
    """
    from kdrun.cli.path_arguments import split_paths
    from kdrun.config.options import parse_options
    from kdrun.console import Console
    from kdrun.storage import hub_offline

    renamed = [arg.replace(DIR, "dir=", 1) if arg.startswith(DIR) else arg for arg in args]
    names, others = split_paths(renamed, GlueOptions)
    options, _ = parse_options(GlueOptions, others)
    runs = _runs([Path(name) for name in names], options)
    console = Console()
    with hub_offline.offline_mode(options.offline):
        texts = _read_texts(runs, options)
        answers = _predict(runs, texts, console)
    _write(Path(options.output), answers, runs, console)
    return 0


def _runs(paths: Sequence[Path], options: GlueOptions) -> dict[str, SavedFolder]:
    """The run of each task.

    Raises:
        ConfigError: no run is named, a folder holds no finished run on GLUE, or two are on one task; all are named.
    """
    from kdrun.deployment.glue_submission import TASKS
    from kdrun.deployment.saved_folder import find_saved

    problems = [] if paths else ["name the run directories, one per task: kdrun glue RUN… output=FILE.zip"]
    target = Path(options.output)
    if target.suffix != ".zip":
        problems.append(f"output={target} must end in .zip")
    elif not target.parent.is_dir():
        problems.append(f"output={target}: there is no folder {target.parent}")
    if options.dir is not None and not Path(options.dir).expanduser().is_dir():
        problems.append(f"{DIR}{options.dir}: no such folder; name the folder that holds CoLA/test.tsv and so on")
    runs: dict[str, SavedFolder] = {}
    for path in paths:
        try:
            saved = find_saved(path)
            if saved.run is None:
                problems.append(f"{path} is no run directory, so its task is not known; name the directory of a run")
                continue
            saved.run.result()  # refuses a run that has not ended
        except KdrunError as error:
            problems.append(str(error))
            continue
        task = saved.task.name
        if task not in TASKS:
            problems.append(f"{path} is a run on task={task}; GLUE's tasks are {', '.join(TASKS)}")
        elif task in runs:
            problems.append(f"{path} and {runs[task].folder.parent} are both runs on task={task}; name one of them")
        else:
            runs[task] = saved
    if problems:
        raise ConfigError(problems)
    return runs


def _read_texts(runs: Mapping[str, SavedFolder], options: GlueOptions) -> dict[str, list[tuple[str, ...]]]:
    """The texts of each file that a run predicts; all problems of the test sets are in one report."""
    from kdrun.deployment.glue_submission import SHEETS

    texts, problems = {}, []
    for sheet in (sheet for sheet in SHEETS if sheet.task in runs):
        run = runs[sheet.task].run
        assert run is not None
        try:
            texts[sheet.name] = _texts_of(sheet, run, options)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(problems)
    return texts


def _texts_of(sheet: Sheet, run: SavedRun, options: GlueOptions) -> list[tuple[str, ...]]:
    from kdrun.data.sources import glue_test_files

    data: dict[str, Any] = run.record["config"]["data"]
    root = options.dir or (data.get("dir") if data.get("name") in ("folder", "generated") else None)
    if root is not None:
        folder = Path(root).expanduser()
        return glue_test_files.read_test_file(glue_test_files.find_test_file(folder, sheet.test), sheet.test)
    if data.get("name") == "hub" and data.get("repo", HUB) == HUB:
        return glue_test_files.read_hub_test_rows(HUB, data.get("revision"), sheet.test)
    raise DataError(
        f"{sheet.name}: {run.path} has data={data.get('name')}, which has no test rows of GLUE; name the folder that "
        f"holds {sheet.test.folder[0]} with {DIR}PATH"
    )


def _predict(
    runs: Mapping[str, SavedFolder], texts: Mapping[str, list[tuple[str, ...]]], console: Console
) -> dict[str, list[str]]:
    """The predictions of all eleven files."""
    from kdrun import progress
    from kdrun.deployment.glue_submission import SHEETS, filled

    answers = {sheet.name: filled(sheet) for sheet in SHEETS}
    with progress.show_on(console):
        with progress.track("loading PyTorch and transformers"):
            from kdrun.deployment import glue_predictions, saved_model
        for task, folder in runs.items():
            saved = saved_model.load_saved(folder)
            for sheet in (sheet for sheet in SHEETS if sheet.task == task):
                answers[sheet.name] = glue_predictions.answers(sheet, saved, texts[sheet.name])
    return answers


def _write(
    target: Path, answers: Mapping[str, Sequence[str]], runs: Mapping[str, SavedFolder], console: Console
) -> None:
    """Write the zip file and print what is in it."""
    from kdrun.deployment.glue_submission import SHEETS, make_zip
    from kdrun.formatting import join_words
    from kdrun.storage.files import write_atomic

    content = make_zip(answers)
    write_atomic(target, content)
    rows, missing = [], []
    for sheet in SHEETS:
        run = runs[sheet.task].run if sheet.task in runs else None
        if run is None:
            missing.append(sheet.name)
        origin = f"filled with {sheet.filler}" if run is None else str(run.path)
        rows.append([sheet.name, str(len(answers[sheet.name])), _shares(sheet, answers[sheet.name]), origin])
    console.table("GLUE submission", ["file", "rows", "predictions", "run"], rows)
    if missing:
        console.warning(
            f"no run predicts {join_words(missing)}: every row has the most frequent class of the training set, or its "
            "mean score; the scores of these tasks are not those of a model"
        )
    synthetic = [str(one.run.path) for one in runs.values() if one.run and one.run.result()["data"]["synthetic"]]
    if synthetic:
        console.warning(f"trained on synthetic rows, made by a grammar: {', '.join(synthetic)}")
    console.print(f"{target}: {len(SHEETS)} files, {len(content)} bytes")


def _shares(sheet: Sheet, values: Sequence[str]) -> str:
    if not sheet.answers:
        numbers = [float(value) for value in values]
        return f"{min(numbers):.3f} to {max(numbers):.3f}"
    counts = Counter(values)
    return ", ".join(f"{value} {100 * counts[value] / len(values):.0f} %" for value in sheet.answers.values())
