"""Header and final report of a run on the console."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from kdrun import __version__
from kdrun.config import domains
from kdrun.data import dataset
from kdrun.data.corpus import ood_text
from kdrun.data.dataset import TaskDataset
from kdrun.data.sources.generated_text import CARD
from kdrun.data.splits import TEXT_COLUMNS
from kdrun.formatting import number, param_count, plural
from kdrun.models import families, parameters
from kdrun.reporting import generated_text
from kdrun.runs import build, text_samples
from kdrun.runs.context import RunContext
from kdrun.runs.export.generated_text import plan
from kdrun.storage.run_result import RunResult, Scores
from kdrun.tasks.base import Outputs
from kdrun.training.teacher.quality import MIN_GAIN_OVER_BASELINE


def score_rows(teacher: Scores | None, student: Scores, guess: dict[str, dict[str, float | None]]) -> list[list[str]]:
    """One row a split and metric: constant guess, teacher, student, share kept."""
    rows = []
    for split, values in student.items():
        for metric, value in values.items():
            top = teacher[split][metric] if teacher else None
            kept = f"{100 * value / top:.1f} %" if value is not None and top else "n/a"
            rows.append(
                [
                    f"{split} {metric}",
                    number(guess[split].get(metric)),
                    number(top),
                    number(value),
                    kept,
                ]
            )
    return rows


def print_header(run: RunContext) -> None:
    """Say what is about to run, with one example before and after tokenisation."""
    config, data, console = run.config, run.data, run.console
    kind = run.evaluator.task_type
    taught = f" (loss {kind.loss_name(config.loss.name)})" if run.requires.teacher else " (no teacher)"
    rows = ", ".join(f"{name} {split.num_rows}" for name, split in data.all_splits.items())
    synthetic = " — synthetic, made by a grammar; no number here is a GLUE score" if data.synthetic else ""
    facts = [
        ("method", config.method.name + taught),
        ("task", f"{data.display_name}: {kind.describe_outputs()}; rows: {rows}"),
        ("data", f"{data.source}{_scored_on(run)}{synthetic}"),
    ]
    if any(data.rows_by_domain(name) for name in data.splits):
        facts.append(("domains", "; ".join(f"{name}: {_by_domain(data, name)}" for name in data.splits)))
    for role in run.used_roles:
        built = run.roles[role]
        facts.append((role, f"{built.name}, {param_count(parameters.count_parameters(built.model))} parameters"))
    device, precision = run.accelerator.device.type, config.runtime.precision.value
    facts.append(("runtime", f"{device}, {precision}, {plural(torch.get_num_threads(), 'thread')}, seed {config.seed}"))
    console.key_values(
        f"kdrun {__version__}: {config.method.name} on {data.display_name}, preset {config.preset}", facts
    )
    if data.synthetic and data.generated is None and config.preset == kind.synthetic_preset:
        words = f"kdrun method={config.method.name} task={config.task.name}"
        console.print("  Tiny models on synthetic data. The real thing:")
        if dataset.unsupported_source(config.task, "hub") is None:
            console.print(f"    {words} preset=paper                        the paper's models and data, from the hub")
        in_glue = "label" in config.task.folder and "pool" not in config.task.folder
        place = "GLUE_FOLDER" if in_glue else f"FOLDER_WITH_{config.task.folder['dir']}"
        console.print(f"    {words} preset={kind.real_preset} data.dir={place}    small models on real data, on a CPU")
    if run.requires.text_between:
        shared = "all models share one vocabulary: soft tokens can pass between them, and a gradient through them"
        apart = "vocabularies differ: text passes between the models, and the generator learns by a score function"
        console.note(shared if build.shares_vocabulary(run) else apart)
    if run.requires.paired_layers:
        console.key_values("layers compared, student–teacher", build.layer_facts(run))
    for note in [*data.notes, *(f"{role}: {note}" for role in run.used_roles for note in run.roles[role].notes)]:
        console.note(note)
    if data.ood is not None:
        console.key_values(
            "out-of-domain text", [(row.get("kind", "text"), _text(row)) for row in ood_text.example_rows(data.ood, 3)]
        )
    text = _text(data.student_rows.row(0))
    ids = run.tokens("student")["train"].batch(np.array([0]))["input_ids"][0].tolist()
    shown = " ".join(run.roles["student"].tokenizer.convert_ids_to_tokens(ids))
    console.key_values("one example", [("text", text), ("tokens", shown)])


def _scored_on(run: RunContext) -> str:
    """Where the dev rows are from, if not from where the run's rows are."""
    own = run.config.data.task_section.name
    return f" (dev rows: {own})" if own != run.data.source else ""


def _loader(run: RunContext) -> str:
    """The class of transformers that reads the student."""
    text_to_text = families.is_text_to_text(run.roles["student"].model.config)
    return f"AutoModelFor{'Seq2SeqLM' if text_to_text else 'SequenceClassification'}"


def print_notes(run: RunContext, role: str, outputs: Mapping[str, Outputs]) -> None:
    """Say what of a role's outputs a reader of its scores should know."""
    for split, values in outputs.items():
        for told in run.evaluator.task_type.notes_on(values, run.data.splits[split].table.column("text").to_pylist()):
            run.console.note(f"{role} on {split}: {told}")


def _by_domain(data: TaskDataset, split: str) -> str:
    return ", ".join(f"{domain} {count}" for domain, count in data.rows_by_domain(split).items() if count)


def _knows_nothing(result: RunResult) -> bool:
    """Whether the student is near the constant guess on the headline metric."""
    split, metric = result["headline"]["split"], result["headline"]["metric"]
    value, guess = result["student"]["metrics"][split][metric], result["guess"][split][metric] or 0.0
    return value is None or value < guess + MIN_GAIN_OVER_BASELINE


def _remedy(run: RunContext) -> str:
    if run.data.ood is not None:
        return "the out-of-domain text holds too little of what the task is about; try more of it, or another corpus"
    return "train it longer (optim.epochs or optim.steps), or change optim.lr"


def _text(row: dict[str, Any]) -> str:
    return " | ".join(str(row[key]) for key in TEXT_COLUMNS if row.get(key) is not None)


def print_summary(run: RunContext, scores: Scores, result: RunResult) -> None:
    """The last table, and what to do next."""
    config, console, folder = run.config, run.console, run.run_dir
    assert folder is not None
    title = f"{config.method.name} on {run.data.display_name}"
    columns = ["score", "constant guess", "teacher", "student", "kept"]
    console.table(title, columns, score_rows(run.teacher_scores, scores, result["guess"]))
    chosen, seconds = result["checkpoint"], result["time"]
    line = f"checkpoint: {chosen['selected']}, step {chosen['step']}"
    if chosen["split"]:
        reported = result["headline"]["split"]
        line += f" (chosen on {chosen['split']}, {'the split' if chosen['split'] == reported else reported} reported)"
    if result["compression"]:
        line += f"; {result['compression']:.1f}x smaller than the teacher"
    console.print(f"{line}; {seconds['total_s']:.0f} s, {number(seconds['examples_per_s'], 0)} training examples/s")
    if _knows_nothing(result):
        console.warning(f"the student scores like a constant guess: {_remedy(run)}")
    if run.samples:
        console.print(
            f"text made at step {run.samples[-1]['step']} (samples.jsonl has {len(run.samples)} an evaluation)"
        )
        for line in text_samples.format_samples(run.samples):
            console.print(line)
    if run.generated is not None:
        card = json.loads((folder.path / run.generated["path"]).with_name(CARD).read_text(encoding="utf-8"))
        console.key_values("generated text", generated_text.statistics_rows(run.generated["quality"]))
        console.key_values("examples, by the teacher's class", generated_text.example_rows(card["examples"]))
        for line in generated_text.warnings(run.generated):
            console.warning(line)
    path = folder.path
    own = [word for word in shlex.split(run.command)[1:] if not word.startswith(("seed=", "run_dir="))]
    if domains.target_domain(config.method) is not None:  # the baselines are students of all domains
        own = [word for word in own if not word.startswith("method.domain=")] + [f"method.domain={domains.ALL}"]
    facts = [
        ("result", str(path / "result.json")),
        ("student", f'{_loader(run)}.from_pretrained("{path / "student"}")'),
        ("compare", shlex.join(["kdrun", "compare", *own, "seeds=3"])),
    ]
    if run.generated is not None:
        facts.append(("generated", f"{run.generated['rows']} rows: {path / run.generated['path']}"))
        facts.append(("learn from it", shlex.join(["kdrun", *plan.overrides_to_train_on(config, path)])))
    console.key_values("next", facts)
