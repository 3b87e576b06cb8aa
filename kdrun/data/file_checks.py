"""Check the files of a run before anything expensive starts.

The checks come before torch is imported and before the run's folder is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kdrun import registry
from kdrun.config.data import GeneratedDataConfig
from kdrun.config.model import ModelConfig
from kdrun.config.requirements import Requirements, requirements_of
from kdrun.config.schema import RunConfig
from kdrun.data import seen_rows
from kdrun.data.recorded import teacher as recorded_teacher
from kdrun.data.sources import generated_text
from kdrun.errors import DataError, did_you_mean


def check_run_files(config: RunConfig) -> None:
    """Check that the files and folders of a run exist, and that data files have the task's columns.

    Rows are checked later, where they are read.

    Raises:
        DataError: every problem found.
    """
    problems = list(_problems(config, requirements_of(config)))
    if len(problems) == 1:
        raise DataError(problems[0])
    if problems:
        raise DataError(f"{len(problems)} problems with files:\n" + "\n".join(f"  - {text}" for text in problems))


def _problems(config: RunConfig, needs: Requirements) -> Iterator[str]:
    try:
        _check_rows(config, needs)
    except DataError as error:
        yield str(error)
    except OSError as error:
        yield f"{error.filename} cannot be read: {error.strerror}"
    if needs.teacher:
        try:
            recorded_teacher.check_files(config)
        except DataError as error:
            yield str(error)
    for role in ("teacher", "student", "generator"):
        takes_part = {"teacher": needs.teacher or config.student.starts_from_teacher, "generator": needs.generator}
        section = getattr(config, role)
        if takes_part.get(role, True) and isinstance(section, ModelConfig) and section.path is not None:
            yield from _model_problems(role, section.path)
            if (text := seen_rows.conflict(config, role, section.path)) is not None:
                yield text


def _check_rows(config: RunConfig, needs: Requirements) -> None:
    """Check the files of the task's rows, of generated text and of the corpus."""
    section, task = config.data.task_section, config.task
    reads_train = not needs.data_free and not isinstance(config.data, GeneratedDataConfig)
    check = registry.get("data", section.name).check
    if check is not None:
        reads_train |= task.held_out_split is not None or config.evaluation.agreement_rows is not None
        task = task.without_held_out()
        check(section, task, [*(["train"] if reads_train else []), *task.dev_splits])
    path = config.data.path if isinstance(config.data, GeneratedDataConfig) else config.ood.path
    if path is not None:
        generated_text.find_file(Path(path).expanduser())
    check = registry.get("corpus", config.corpus.name).check
    if check is not None:
        check(config.corpus)


def _model_problems(role: str, path: str) -> Iterator[str]:
    """A model's folder that does not exist or holds no model."""
    folder = Path(path).expanduser()
    if not folder.is_dir():
        names = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
        problem = "it is a file" if folder.exists() else f"no such folder{did_you_mean(folder.name, names)}"
        yield f"{role}.path={path}: {problem}; give a folder that save_pretrained wrote"
    elif not (folder / "config.json").is_file():
        names = ", ".join(sorted(entry.name for entry in folder.iterdir())[:12]) or "nothing"
        yield f"{role}.path={path}: config.json is missing (it holds {names}); give a folder save_pretrained wrote"
