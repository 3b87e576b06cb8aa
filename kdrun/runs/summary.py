"""Header and final report of a run on the console."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdrun import ranks, sharding
from kdrun.config import domains
from kdrun.config.data import FilesDataConfig
from kdrun.config.evaluation import AGREEMENT_ROWS
from kdrun.config.model import BAG_OF_WORDS
from kdrun.data import dataset
from kdrun.data.corpus import ood_text
from kdrun.data.dataset import TaskDataset
from kdrun.data.sources.generated_text import CARD
from kdrun.data.splits import TEXT_COLUMNS
from kdrun.formatting import SYNTHETIC_NOTE, named_rows, number, param_count, percent, plural
from kdrun.models import families, parameters
from kdrun.models.answer_decoder import AnswerDecoder
from kdrun.reporting import generated_text
from kdrun.runs import build, machine_report, recorded, teacher_origin, text_samples
from kdrun.runs.context import PreparedRun
from kdrun.runs.export.generated_text import plan
from kdrun.storage.json_reader import read_object
from kdrun.storage.run_result import GeneratedTextResult, RunResult, Scores, headline_score
from kdrun.tasks.agreement import AGREEMENT, TEACHER_KL, TEACHER_PEARSON
from kdrun.tasks.base import Outputs
from kdrun.training.teacher.quality import beats_baseline
from kdrun.version import __version__


def score_rows(teacher: Scores | None, student: Scores, baseline: Scores) -> list[list[str]]:
    """One row per split and metric: majority baseline, teacher, student, retention."""
    rows = []
    for split, values in student.items():
        for metric, value in values.items():
            teacher_score = teacher[split][metric] if teacher else None
            retention = percent(value / teacher_score if value is not None and teacher_score else None)
            scores = [baseline[split].get(metric), teacher_score, value]
            rows.append([f"{split} {metric}", *map(percent, scores), retention])
    return rows


def print_header(run: PreparedRun) -> None:
    """Print method, data, models and device, notes, and one example before and after tokenization."""
    config, data, console = run.config, run.data, run.console
    title = f"kdrun {__version__}: {config.method.name} on {data.display_name}, preset {config.preset}"
    console.key_values(title, _facts(run))
    if data.synthetic and data.generated is None and config.preset == run.evaluator.task_type.synthetic_preset:
        _print_real_commands(run)
    if data.source == "files" and config.preset == run.evaluator.task_type.synthetic_preset:
        real = f"{run.command} preset={run.evaluator.task_type.real_preset}"
        run.console.print(f"  Tiny models with a vocabulary of synthetic text. For real ones:\n    {real}")
    if run.requires.text_between:
        shared = "all models share one vocabulary: soft tokens and gradients pass between them"
        different = "the vocabularies differ: models exchange text, and the generator learns with REINFORCE gradients"
        console.note(shared if build.shares_vocabulary(run) else different)
    if run.layers:
        console.key_values("layers compared, student–teacher", run.layers)
    model_notes = [(role, note) for role in run.used_roles for note in run.roles[role].notes]
    teacher_notes = [("teacher", note) for note in [*recorded.notes_on(run), *teacher_origin.notes_on_origin(run)]]
    for note in [*data.notes, *(f"{role}: {note}" for role, note in [*teacher_notes, *model_notes])]:
        console.note(note)
    for warning in data.warnings:
        console.warning(warning)
    machine_report.warn_of_slow_bf16(run)
    if data.ood is not None:
        examples = ood_text.example_rows(data.ood, 3)
        console.key_values("out-of-domain text", [(row.get("kind", "text"), _text(row)) for row in examples])
    ids = run.tokens("student")["train"].batch(np.array([0]))["input_ids"][0].tolist()
    tokens = " ".join(run.roles["student"].tokenizer.convert_ids_to_tokens(ids))
    console.key_values("one example", [("text", _text(data.student_rows.row(0))), ("tokens", tokens)])


def _facts(run: PreparedRun) -> list[tuple[str, str]]:
    config, data, task_type = run.config, run.data, run.evaluator.task_type
    loss = f" (loss {task_type.loss_name(config.loss.name)})" if run.requires.teacher else " (no teacher)"
    counts = ", ".join(f"{name} {number_of}" for name, number_of in data.row_counts.items())
    synthetic = f" — {SYNTHETIC_NOTE}" if data.synthetic else ""
    facts = [
        ("method", config.method.name + loss),
        ("task", f"{data.display_name}: {task_type.describe_outputs()}; rows: {counts}"),
        ("data", f"{data.source}{_dev_source(run)}{synthetic}"),
        *([("reported", named_rows(config.task.report_split, rows))] if (rows := data.reported_rows) else []),
        *([("agreement", named_rows(AGREEMENT_ROWS, rows))] if (rows := data.agreement_text) else []),
    ]
    if any(data.rows_by_domain(name) for name in data.splits):
        facts.append(("domains", "; ".join(f"{name}: {_by_domain(data, name)}" for name in data.splits)))
    if run.recorded is not None:
        facts.append(("teacher", f"{run.recorded.name}, answers of {', '.join(run.recorded.files)}"))
    for role in run.used_roles:
        bundle = run.roles[role]
        facts.append((role, f"{bundle.name}, {param_count(parameters.count_parameters(bundle.model))} parameters"))
    device, precision = run.accelerator.device.type, config.runtime.precision.value
    threads = plural(torch.get_num_threads(), "thread")
    if ranks.size() > 1:
        threads = f"{ranks.size()} processes with {threads} each"
    divided = [role for role in run.used_roles if sharding.is_sharded(run.roles[role].model)]
    if divided:
        facts.append(("sharded", f"{' and '.join(divided)}, over {ranks.size()} processes"))
    facts.append(("runtime", f"{device}, {precision}, {threads}, seed {config.seed}"))
    on_gpu = machine_report.gpu_facts(run.accelerator.device, config.optim.name, ranks.size())
    return [*facts, *machine_report.precision_facts(run), *on_gpu]


def _print_real_commands(run: PreparedRun) -> None:
    """Print the commands of the same run on real data."""
    config, task_type = run.config, run.evaluator.task_type
    command = f"kdrun method={config.method.name} task={config.task.name}"
    run.console.print("  Tiny models on synthetic data. For real data:")
    if dataset.unsupported_source(config.task, "hub") is None:
        run.console.print(
            f"    {command} preset=paper                        the paper's models and data, from the hub"
        )
    in_glue = "label" in config.task.folder and "pool" not in config.task.folder
    folder = "GLUE_FOLDER" if in_glue else f"FOLDER_WITH_{config.task.folder['dir']}"
    run.console.print(
        f"    {command} preset={task_type.real_preset} data.dir={folder}    small models on real data, on a CPU"
    )


def _dev_source(run: PreparedRun) -> str:
    """The source of the dev rows, if it is not the source of the run's rows."""
    source = run.config.data.task_section.name
    return f" (dev rows: {source})" if source != run.data.source else ""


def _loading_code(run: PreparedRun, folder: Path) -> str:
    """The call of transformers that loads the student; the folder alone of a model that only kdrun loads."""
    model = run.roles["student"].model
    shape = model.config
    if shape.model_type == BAG_OF_WORDS:
        return f"{folder} (loaded by kdrun predict, cost and export)"
    name = "Seq2SeqLM" if families.is_text_to_text(shape) else "SequenceClassification"
    name = "CausalLM" if isinstance(model, AnswerDecoder) else name
    return f'AutoModelFor{name}.from_pretrained("{folder}")'


def print_notes(run: PreparedRun, role: str, outputs: Mapping[str, Outputs]) -> None:
    """Print remarks on a role's outputs for readers of its scores."""
    for split, values in outputs.items():
        texts = run.data.splits[split].table.column("text").to_pylist()
        for note in run.evaluator.task_type.notes_on(values, texts):
            run.console.note(f"{role} on {split}: {note}")


def _by_domain(data: TaskDataset, split: str) -> str:
    return ", ".join(f"{domain} {count}" for domain, count in data.rows_by_domain(split).items() if count)


def _is_near_baseline(result: RunResult) -> bool:
    """Whether the student is near the majority baseline on the headline metric."""
    split, metric = result["headline"]["split"], result["headline"]["metric"]
    score, baseline = headline_score(result["headline"], result["student"]), result["guess"][split][metric] or 0.0
    return not beats_baseline(score, baseline)


def _remedy(run: PreparedRun) -> str:
    if run.data.ood is not None:
        return "the out-of-domain text is too far from the task; use more of it, or another corpus"
    return "train it longer (optim.epochs or optim.steps), or change optim.lr"


def _text(row: dict[str, Any]) -> str:
    return " | ".join(str(row[key]) for key in TEXT_COLUMNS if row.get(key) is not None)


def print_summary(run: PreparedRun, result: RunResult, samples: list[dict[str, Any]]) -> None:
    """Print the scores, generated text and the next commands.

    Args:
        run: finished run.
        result: its result.
        samples: generated text of the last evaluation.
    """
    console = run.console
    teacher = result["teacher"]["metrics"] if result["teacher"] else None
    columns = ["score", "majority baseline", "teacher", "student", "retention"]
    title, scores, extra = (
        f"{result['method']} on {run.data.display_name}",
        result["student"]["metrics"],
        result.get("extra", {}),
    )
    own = {split: values for split, values in scores.items() if split not in extra}
    console.table(title, columns, score_rows(teacher, own, result["guess"]))
    if extra:
        rows = score_rows(teacher, {split: scores[split] for split in extra}, result["guess"])
        console.table("extra evaluation: nothing was trained on or chosen by these rows", columns, rows)
    for line in agreement_lines(result):
        console.print(line)
    console.print(_checkpoint_line(result))
    if _is_near_baseline(result):
        console.warning(f"the student scores like the majority baseline: {_remedy(run)}")
    if samples:
        console.print(f"text generated at step {samples[-1]['step']} (samples.jsonl has {len(samples)} per evaluation)")
        for line in text_samples.format_samples(samples):
            console.print(line)
    if result["generated"] is not None:
        _print_generated(run, result["generated"])
    console.key_values("next", _next_steps(run, result["generated"]))


def agreement_lines(result: RunResult) -> Iterator[str]:
    """The student's agreement with its teacher, one line per split."""
    for split, values in result.get("agreement", {}).items():
        rows = plural(result["data"]["rows"][split], "row")
        if AGREEMENT in values:
            divergence = values.get(TEACHER_KL)
            ending = "" if divergence is None else f", KL from the teacher {number(divergence)} nats"
            yield f"the student gives the teacher's answer on {percent(values[AGREEMENT])} of {split} ({rows}){ending}"
        else:
            yield f"correlation with the teacher's scores on {split} ({rows}): {number(values[TEACHER_PEARSON])}"


def _checkpoint_line(result: RunResult) -> str:
    checkpoint, seconds = result["checkpoint"], result["time"]
    line = f"checkpoint: {checkpoint['selected']}, step {checkpoint['step']}"
    if checkpoint["split"]:
        reported = result["headline"]["split"]
        is_same = checkpoint["split"] == reported
        line += f" (chosen on {checkpoint['split']}, {'the split' if is_same else reported} reported)"
    if result["compression"]:
        line += f"; {relative_size(result['compression'])} the teacher"
    return f"{line}; {seconds['total_s']:.0f} s, {number(seconds['examples_per_s'], 0)} training examples/s"


def relative_size(compression: float) -> str:
    """The student's size next to the teacher's, e.g. `3.0x smaller than`.

    Args:
        compression: teacher's parameters divided by the student's.
    """
    factor = max(compression, 1 / compression)
    if round(factor, 1) == 1.0:
        return "as large as"
    return f"{factor:.1f}x {'smaller' if compression > 1 else 'larger'} than"


def _print_generated(run: PreparedRun, generated: GeneratedTextResult) -> None:
    assert run.run_dir is not None
    file = (run.run_dir.path / generated["path"]).with_name(CARD)
    card = read_object(file.read_bytes(), {"examples": {"*": [dict]}}, str(file))
    run.console.key_values("generated text", generated_text.statistics_rows(generated["quality"]))
    run.console.key_values("examples, by the teacher's class", generated_text.example_rows(card["examples"]))
    for line in generated_text.warnings(generated):
        run.console.warning(line)


def _predict_command(path: Path, num_texts: int) -> str:
    """The command that answers a row with the student."""
    texts = ["some text", "another text"][:num_texts]
    return " ".join([shlex.join(["kdrun", "predict", str(path)]), *(f'"{text}"' for text in texts)])


def _next_steps(run: PreparedRun, generated: GeneratedTextResult | None) -> list[tuple[str, str]]:
    """Where the results are, and commands that build on them."""
    config = run.config
    assert run.run_dir is not None
    path = run.run_dir.path
    overrides = [arg for arg in shlex.split(run.command)[1:] if not arg.startswith(("seed=", "run_dir="))]
    if domains.target_domain(config.method) is not None:  # the baselines are students of all domains
        overrides = [arg for arg in overrides if not arg.startswith("method.domain=")]
        overrides.append(f"method.domain={domains.ALL}")
    steps = [
        ("result", str(path / "result.json")),
        ("student", _loading_code(run, path / "student")),
        *([] if config.task.is_text else [("predict", _predict_command(path, len(config.task.text)))]),
        ("compare", shlex.join(["kdrun", "compare", *overrides, "seeds=3"])),
    ]
    if generated is not None:
        steps.append(("generated", f"{generated['rows']} rows: {path / generated['path']}"))
        if not isinstance(config.data, FilesDataConfig):  # data=generated reads no dev rows of files
            steps.append(("train on it", shlex.join(["kdrun", *plan.overrides_to_train_on(config, path)])))
    return steps
