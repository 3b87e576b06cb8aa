"""Find a saved student and the facts of its run.

Nothing here imports torch, so that a wrong path is an error at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdrun.config.task import TaskConfig
from kdrun.deployment.task_facts import task_of_model, task_of_run
from kdrun.errors import DataError, ModelError, did_you_mean
from kdrun.storage.json_reader import Rule, Shape, read_object, shape_problems
from kdrun.storage.run_record import RECORD, read_record
from kdrun.storage.run_result import RESULT, RunResult, read_result

STUDENT = "student"
"""Folder of the saved student in a run directory."""
CONFIG = "config.json"
RECORD_SHAPE: dict[str, Shape] = {
    "task": dict,
    "data": {"max_length": Rule("a number of tokens, > 0", lambda value: type(value) is int and value > 0)},
    "runtime?": {"precision?": Rule("fp32 or bf16", lambda value: value in ("fp32", "bf16"))},
}
"""Keys of a run's config that decide how its student is used."""


@dataclass(frozen=True)
class SavedRun:
    """The run that trained a student.

    Attributes:
        path: its directory.
        record: content of `run.json`; its config has current keys.
        precision: arithmetic of its evaluation, `fp32` or `bf16`.
    """

    path: Path
    record: dict[str, Any]
    precision: str

    def result(self) -> RunResult:
        """Content of `result.json`.

        Raises:
            ModelError: the run has not ended.
            DataError: the file was not written by kdrun.
        """
        if not (self.path / RESULT).is_file():
            raise ModelError(
                f"{self.path} has no {RESULT}: the run has not ended; resume it with kdrun resume {self.path}"
            )
        return read_result(self.path / RESULT)


@dataclass(frozen=True)
class SavedFolder:
    """A saved model and what is known about it before it is loaded.

    Attributes:
        folder: the folder that `save_pretrained` wrote.
        task: its task; of a folder without a run, its labels only.
        max_length: tokens per row in its run; None for a folder without a run.
        num_texts: texts per row; None if a row may have one or two.
        run: the run that trained it; None for any other folder.
    """

    folder: Path
    task: TaskConfig
    max_length: int | None
    num_texts: int | None
    run: SavedRun | None


def find_saved(path: Path) -> SavedFolder:
    """Find the model of a path: a run directory, or a folder that `save_pretrained` wrote.

    Raises:
        ModelError: there is no model in it.
        ConfigError: its `run.json` was not written by a run.
        DataError: the task in its `run.json` or its `config.json` has another form.
    """
    if not path.is_dir():
        names = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        problem = "it is a file" if path.exists() else f"no such folder{did_you_mean(path.name, names)}"
        raise ModelError(f"{path}: {problem}; name a run directory or a folder that save_pretrained wrote")
    run_dir = path.parent if path.name == STUDENT and (path.parent / RECORD).is_file() else path
    record = read_record(run_dir)
    if record is None:
        return _plain_folder(path)
    folder = run_dir / STUDENT
    if not (folder / CONFIG).is_file():
        raise ModelError(_why_no_student(run_dir))
    where = str(run_dir / RECORD)
    config = record["config"]
    problems = list(shape_problems(config, RECORD_SHAPE, "config"))
    if problems:
        raise DataError(f"{where} was not written by a run: {'; '.join(problems[:5])}")
    task = task_of_run(config["task"], where)
    precision = (config.get("runtime") or {}).get("precision", "fp32")
    run = SavedRun(run_dir, record, precision)
    return SavedFolder(folder, task, config["data"]["max_length"], len(task.text) or None, run)


def _plain_folder(folder: Path) -> SavedFolder:
    if not (folder / CONFIG).is_file():
        names = ", ".join(sorted(entry.name for entry in folder.iterdir())[:12]) or "nothing"
        raise ModelError(
            f"{folder} is no run directory ({RECORD} is missing) and no model folder ({CONFIG} is missing); it holds "
            f"{names}"
        )
    config = read_object((folder / CONFIG).read_bytes(), {}, str(folder / CONFIG))
    task = task_of_model(config, folder.resolve().name, str(folder))
    return SavedFolder(folder, task, None, len(task.prompts) or None, None)


def _why_no_student(run_dir: Path) -> str:
    students = sorted(run_dir.glob(f"domains/*/{STUDENT}/{CONFIG}"))
    if students:
        folders = ", ".join(str(path.parent.parent) for path in students)
        return f"{run_dir} has a student per domain; name the folder of one: {folders}"
    if (run_dir / RESULT).is_file():
        return f"{run_dir} has no folder {STUDENT}: it was removed; repeat the run to train the student again"
    return f"{run_dir} has no folder {STUDENT}: {_unfinished(run_dir)}"


def _unfinished(run_dir: Path) -> str:
    return f"the run has not ended; resume it with kdrun resume {run_dir}"
