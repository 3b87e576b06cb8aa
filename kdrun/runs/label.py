"""Write a teacher's answers on rows or texts to a file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdrun import progress, registry
from kdrun.config.overrides import key_of
from kdrun.config.schema import RunConfig
from kdrun.console import Console, log_to
from kdrun.data.dataset import TaskDataset
from kdrun.data.recorded import writer
from kdrun.data.splits import UNLABELED, Split
from kdrun.data.tokenization import TokenizedSplit, tokenize
from kdrun.deployment import text_input
from kdrun.formatting import plural
from kdrun.models.bundle import ModelBundle
from kdrun.runs import build, setup, teacher_stage
from kdrun.runs.context import PreparedRun, TeacherResult
from kdrun.storage import hub_offline
from kdrun.training.teacher import logits
from kdrun.version import __version__


@dataclass(frozen=True)
class LabelRequest:
    """Rows to label, and the file of their answers.

    Attributes:
        output: the file.
        splits: names of splits; empty is all splits of the run.
        input_file: texts to label instead of the run's rows.
        text: its text columns; empty to infer them.
        overrides: overrides of the run.
    """

    output: Path
    splits: Sequence[str] = ()
    input_file: Path | None = None
    text: Sequence[str] = ()
    overrides: Sequence[str] = ()

    @property
    def command(self) -> str:
        """Command line of the request, for the file's header."""
        options = [f"output={self.output}", *([f"split={','.join(self.splits)}"] if self.splits else [])]
        options += [f"input={self.input_file}"] if self.input_file is not None else []
        options += [f"text={','.join(self.text)}"] if self.text else []
        return shlex.join(["kdrun", "label", *self.overrides, *options])

    @property
    def training_command(self) -> str:
        """Command of a run that learns from the file."""
        rest = [arg for arg in self.overrides if key_of(arg).partition(".")[0] != "teacher"]
        return shlex.join(["kdrun", *rest, "teacher=recorded", f"teacher.path={self.output}"])


def label(config: RunConfig, console: Console, request: LabelRequest) -> None:
    """Build the teacher of a run, fine-tune it if the run would, and write its answers to a file.

    The answers are those that the student of this run would learn from: a run with the file as its recorded teacher
    trains the same student. The logits of the rows are kept in the cache, so a repeated command resumes.

    Args:
        config: config of a run, valid for `label_problems`.
        console: where to print.
        request: rows and file.

    Raises:
        KdrunError: the teacher cannot be built, is too weak, or the files cannot be read or written.
    """
    with hub_offline.offline_mode(config.offline), log_to(console), progress.show_on(console):
        context = setup.start_run(config, console, request.command, None, is_check=True)
        data, evaluator = setup.load_data(context)
        names = writer.names_of(data.all_splits, request.splits)
        try:
            with progress.track("building the teacher"):
                build_context = build.make_build_context(context, "teacher")
                bundle: ModelBundle = registry.build("teacher", config.teacher.name, config.teacher, build_context)
            bundle.model.to(context.accelerator.device)
            run = PreparedRun(**vars(context), data=data, evaluator=evaluator, roles={"teacher": bundle})
            _print_header(run)
            _write(run, request, names)
        finally:
            setup.release()


def _print_header(run: PreparedRun) -> None:
    bundle = run.roles["teacher"]
    run.console.key_values(f"label {run.data.display_name}", [("teacher", bundle.name)])
    for note in [*run.data.notes, *(f"teacher: {note}" for note in bundle.notes)]:
        run.console.note(note)


def _write(run: PreparedRun, request: LabelRequest, names: Sequence[str]) -> None:
    prepared = teacher_stage.prepare_teacher(run)
    bundle = prepared.bundle
    assert bundle is not None
    run, total = run.with_teacher(bundle), 0
    teacher = teacher_stage.score_held_out(run, prepared)
    assert teacher is not None
    facts = {"teacher": bundle.name, "fingerprint": bundle.fingerprint, "metrics": teacher.scores}
    facts |= {"kdrun": __version__, "command": request.command}
    with writer.open_writer(request.output, run.config.task, facts) as file:
        for name, rows, outputs in _answers(run, bundle, teacher, request, names):
            file.write(rows, name, outputs)
            total += rows.num_rows
            count = rows.num_rows if name else total
            run.console.print(f"  {name or request.input_file}: {plural(count, 'answer')} written")
    run.console.print(f"{plural(total, 'answer')} of {bundle.name}: {request.output}")
    if request.input_file is None:
        run.console.key_values("next", [("train", request.training_command)])


def _answers(
    run: PreparedRun, bundle: ModelBundle, teacher: TeacherResult, request: LabelRequest, names: Sequence[str]
) -> Iterator[tuple[str, Split, np.ndarray]]:
    """Name of the split, rows and logits of each part of the file; the name is empty for texts of a file."""
    if request.input_file is not None:
        for rows in text_input.read_chunks(request.input_file, request.text, run.config.task):
            yield "", rows, _logits(run, bundle, _tokens(run, bundle, rows))
        return
    for name in names:
        rows, place = run.data.all_splits[name], _place_in_student_rows(run.data, name)
        if name in teacher.outputs:
            yield name, rows, teacher.outputs[name]
        elif place is not None:
            # the tokens of a run, so that the logits are those of its cache
            yield name, rows, _logits(run, bundle, run.tokens("teacher")["train"])[place]
        else:
            yield name, rows, _logits(run, bundle, _tokens(run, bundle, rows))


def _place_in_student_rows(data: TaskDataset, name: str) -> slice | None:
    """Place of a split among the rows that the student trains on; None if the student does not train on it."""
    rows = data.all_splits[name]
    if data.mixed is None:
        return slice(None) if rows is data.student_rows else None
    count = data.train.num_rows
    return {"train": slice(count), UNLABELED: slice(count, None)}.get(name)


def _tokens(run: PreparedRun, bundle: ModelBundle, rows: Split) -> TokenizedSplit:
    return tokenize(rows, bundle.tokenizer, run.config.data.max_length, bundle.prompts)


def _logits(run: PreparedRun, bundle: ModelBundle, tokens: TokenizedSplit) -> np.ndarray:
    """The teacher's logits, from the cache if available, [rows, outputs]."""
    return np.asarray(logits.cached_logits(bundle, tokens, build.teacher_evaluation(run)))
