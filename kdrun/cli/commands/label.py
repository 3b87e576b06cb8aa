"""`kdrun label`: write a teacher's answers to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kdrun.config.fields import setting


@dataclass
class LabelOptions:
    """Options of `kdrun label`; all other arguments are overrides of the run whose teacher labels its rows."""

    output: str = setting(doc="file of the answers, .jsonl or .parquet")
    split: list[str] = setting([], "splits to label, such as train,dev; empty is all splits of the run")
    input: str | None = setting(
        None,
        "texts to label instead of the run's rows (.csv, .tsv, .jsonl, .json, .parquet, .txt), or - for the input",
    )
    text: list[str] = setting([], "text column of input=, or two for a pair; empty to infer it")


OPTIONS = LabelOptions
EXAMPLE = "kdrun label task=sst2 output=answers.jsonl"


def main(args: list[str]) -> int:
    """Write a teacher's answers on a run's rows, or on other texts, to a file.

    The teacher is that of a run with the same overrides, fine-tuned on the task if it has no head. A run with
    teacher=recorded teacher.path=FILE then trains the student that the teacher itself would have trained, on a machine
    without the teacher:
    kdrun label task=sst2 preset=mini data.dir=GLUE_FOLDER teacher.path=LARGE_MODEL output=answers.parquet
    kdrun method=kd task=sst2 preset=mini data.dir=GLUE_FOLDER teacher=recorded teacher.path=answers.parquet
    """
    from kdrun import progress
    from kdrun.cli.subcommands import current_overrides
    from kdrun.cli.verbosity import run_console
    from kdrun.config import compose, options
    from kdrun.config.validation.teacher_models import label_problems
    from kdrun.data.file_checks import check_run_files
    from kdrun.data.recorded.writer import check_output
    from kdrun.deployment.row_stream import input_format
    from kdrun.errors import ConfigError

    settings, overrides = options.parse_options(LabelOptions, current_overrides(args), others=True)
    console, config = run_console(), compose.load_config(overrides)
    output = Path(settings.output).expanduser()
    problems = [*label_problems(config), *check_output(output)]
    if problems:
        raise ConfigError(problems)
    input_file = Path(settings.input).expanduser() if settings.input is not None else None
    if input_file is not None:
        input_format(input_file, "txt")
    elif settings.text:
        raise ConfigError([f"text={','.join(settings.text)} names columns of input=FILE, which is missing"])
    check_run_files(config)
    with progress.show_on(console), progress.track("loading PyTorch and transformers"):
        from kdrun.runs import label
    label.label(config, console, label.LabelRequest(output, settings.split, input_file, settings.text, overrides))
    return 0
