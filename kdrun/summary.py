"""What a run says of itself: before it starts, at its end, and in result.json."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from kdrun import __version__, assembly, generated, samples
from kdrun.assembly import Run
from kdrun.config import Select
from kdrun.data import domains, ood, sources
from kdrun.data.feed import Feed
from kdrun.data.generated import CARD
from kdrun.data.sources import TaskData
from kdrun.data.table import TEXTS
from kdrun.evaluation import Scores
from kdrun.generated import show
from kdrun.kinds.base import Outputs
from kdrun.loop import Outcome
from kdrun.models import loading
from kdrun.results import provenance
from kdrun.screen import millions, number, plural, score_rows
from kdrun.teacher import NEAR_CHANCE


def introduce(this: Run) -> None:
    """Say what is about to run, with one example before and after tokenisation."""
    config, data, screen = this.config, this.data, this.screen
    kind = this.evaluator.kind
    taught = f" (loss {kind.loss_name(config.loss.name)})" if this.needs.teacher else " (no teacher)"
    rows = ", ".join(f"{name} {split.num_rows}" for name, split in data.all_splits.items())
    synthetic = " — synthetic, made by a grammar; no number here is a GLUE score" if data.synthetic else ""
    facts = [
        ("method", config.method.name + taught),
        ("task", f"{data.display_name}: {kind.asked()}; rows: {rows}"),
        ("data", f"{data.source}{_scored_on(this)}{synthetic}"),
    ]
    if any(data.rows_by_domain(name) for name in data.splits):
        facts.append(("domains", "; ".join(f"{name}: {_by_domain(data, name)}" for name in data.splits)))
    for role in this.used_roles:
        built = this.roles[role]
        facts.append((role, f"{built.name}, {millions(loading.count_parameters(built.model))} parameters"))
    device, precision = this.accelerator.device.type, config.runtime.precision.value
    facts.append(("runtime", f"{device}, {precision}, {plural(torch.get_num_threads(), 'thread')}, seed {config.seed}"))
    screen.facts(f"kdrun {__version__}: {config.method.name} on {data.display_name}, preset {config.preset}", facts)
    if data.synthetic and data.generated is None and config.preset == kind.synthetic_preset:
        words = f"kdrun method={config.method.name} task={config.task.name}"
        screen.say("  Tiny models on synthetic data. The real thing:")
        if sources.refusal(config.task, "hub") is None:
            screen.say(f"    {words} preset=paper                        the paper's models and data, from the hub")
        in_glue = "label" in config.task.folder and "pool" not in config.task.folder
        place = "GLUE_FOLDER" if in_glue else f"FOLDER_WITH_{config.task.folder['dir']}"
        screen.say(f"    {words} preset={kind.real_preset} data.dir={place}    small models on real data, on a CPU")
    if this.needs.text_between:
        shared = "all models share one vocabulary: soft tokens can pass between them, and a gradient through them"
        apart = "vocabularies differ: text passes between the models, and the generator learns by a score function"
        screen.note(shared if assembly.shares_vocabulary(this) else apart)
    if this.needs.paired_layers:
        screen.facts("layers compared, student–teacher", assembly.layer_facts(this))
    for note in [*data.notes, *(f"{role}: {note}" for role in this.used_roles for note in this.roles[role].notes)]:
        screen.note(note)
    if data.ood is not None:
        screen.facts("out-of-domain text", [(row.get("kind", "text"), _text(row)) for row in ood.sample(data.ood, 3)])
    text = _text(data.lessons.row(0))
    ids = assembly.tokens(this, "student")["train"].batch(np.array([0]))["input_ids"][0].tolist()
    shown = " ".join(this.roles["student"].tokenizer.convert_ids_to_tokens(ids))
    screen.facts("one example", [("text", text), ("tokens", shown)])


def _scored_on(this: Run) -> str:
    """Where the dev rows are from, if not from where the run's rows are."""
    own = this.config.data.task_rows.name
    return f" (dev rows: {own})" if own != this.data.source else ""


def _loader(this: Run) -> str:
    """The class of transformers that reads the student."""
    is_text_to_text = this.roles["student"].model.config.is_encoder_decoder
    return f"AutoModelFor{'Seq2SeqLM' if is_text_to_text else 'SequenceClassification'}"


def remark(this: Run, role: str, outputs: Mapping[str, Outputs]) -> None:
    """Say what of a role's outputs a reader of its scores should know."""
    for split, values in outputs.items():
        for told in this.evaluator.kind.remarks(values, this.data.splits[split].table.column("text").to_pylist()):
            this.screen.note(f"{role} on {split}: {told}")


def _by_domain(data: TaskData, split: str) -> str:
    return ", ".join(f"{domain} {count}" for domain, count in data.rows_by_domain(split).items() if count)


def _knows_nothing(result: dict[str, Any]) -> bool:
    """Whether the student is near the constant guess on the headline metric."""
    split, metric = result["headline"]["split"], result["headline"]["metric"]
    value, guess = result["student"]["metrics"][split][metric], result["guess"][split][metric] or 0.0
    return value is None or value < guess + NEAR_CHANCE


def _remedy(this: Run) -> str:
    if this.data.ood is not None:
        return "the out-of-domain text holds too little of what the task is about; try more of it, or another corpus"
    return "train it longer (optim.epochs or optim.steps), or change optim.lr"


def _text(row: dict[str, Any]) -> str:
    return " | ".join(str(row[key]) for key in TEXTS if row.get(key) is not None)


def result(this: Run, scores: Scores, feed: Feed, outcome: Outcome) -> dict[str, Any]:
    """The content of result.json; what is null has its reason under `reasons`."""
    config, student = this.config, this.roles["student"]
    params = {role: loading.count_parameters(this.roles[role].model) for role in this.used_roles}
    split, metric = config.task.report_split, config.task.headline
    top = this.teacher_scores[split][metric] if this.teacher_scores else None
    value = scores[split][metric]
    rate = outcome.examples / outcome.train_seconds if outcome.train_seconds else None
    read = dict(this.taught.rows_read or {}) if this.taught else {"all": 0}
    made: dict[str, Any] = {
        "kdrun": __version__,
        "status": "done",
        "method": config.method.name,
        "task": config.task.name,
        "preset": config.preset,
        "data": {
            "name": this.data.display_name,
            "source": this.data.source,
            "synthetic": this.data.synthetic,
            "train_rows_read": feed.rows_read("train"),
            "labels_read": feed.labels_read,
            "ood_rows_read": feed.rows_read("ood"),
            "generated_rows_read": feed.rows_read("generated"),
            "generated": _origin(this),
            "train_rows_read_for_teacher": read.pop("all") if read else None,
            "rows_read_for_teacher_by_domain": read,
            "rows": {name: part.num_rows for name, part in this.data.all_splits.items()},
            "rows_by_domain": {name: this.data.rows_by_domain(name) for name in this.data.splits},
        },
        "seed": config.seed,
        "headline": {"metric": metric, "split": split},
        "checkpoint": _choice(this.select, outcome, config.task.dev_splits[0], split),
        "guess": this.evaluator.guess(),
        "teacher": None,
        "student": {"name": student.name, "params": params["student"], "metrics": scores},
        "retention": value / top if value is not None and top else None,
        "compression": params["teacher"] / params["student"] if "teacher" in params else None,
        "time": {
            "total_s": round(time.perf_counter() - this.started, 2),
            "train_s": round(outcome.train_seconds, 2),
            "examples_per_s": round(rate, 1) if rate else None,
        },
        "steps": outcome.steps,
        "rests": outcome.rests,
        "generated": this.generated,
        "provenance": provenance(config, this.data.fingerprint, this.command),
    }
    if this.teacher_scores is not None:
        name = this.roles["teacher"].name
        made["teacher"] = {"name": name, "params": params["teacher"], "metrics": this.teacher_scores}
    made["reasons"] = _reasons(made, this)
    return made


def _origin(this: Run) -> dict[str, Any] | None:
    """How the generated text that the student learnt from was made, and whether by this very teacher's scores."""
    card = this.data.card
    if card is None:
        return None
    origin = {key: card[key] for key in ("method", "seed", "generator")} | {"command": card["provenance"]["command"]}
    own = this.roles["teacher"].fingerprint == card["teacher"]["fingerprint"] if this.needs.teacher else None
    return origin | {"teacher": card["teacher"]["name"], "same_teacher": own, "sha256": card["file"]["sha256"]}


def _reasons(made: dict[str, Any], this: Run) -> dict[str, str]:
    """Why each null of a result is null."""
    reasons = {}
    if made["generated"] is None:
        reasons["generated"] = generated.reason_for_none(this.config)
    if made["data"]["generated"] is None:
        reasons["data.generated"] = "the student did not learn from generated text, or it has no card"
    if made["data"]["train_rows_read_for_teacher"] is None:
        reasons["data.train_rows_read_for_teacher"] = "the teacher is of an older cache entry, which does not say"
    if made["teacher"] is None:
        without = f"method={made['method']} uses no teacher"
        reasons |= {"teacher": without, "retention": without, "compression": without}
    elif made["retention"] is None:
        reasons["retention"] = "the headline metric of teacher or student is undefined or zero"
    for role in this.used_roles:
        if made.get(role):
            for part, values in made[role]["metrics"].items():
                for metric in (m for m, v in values.items() if v is None):
                    reasons[f"{role}.metrics.{part}.{metric}"] = this.evaluator.kind.undefined()
    return reasons


def _choice(select: Select, outcome: Outcome, split: str, reported: str) -> dict[str, Any]:
    if select is Select.best_dev:
        same = "the scores reported are of that same split"
        apart = f"the scores reported are of {reported}, which was scored once, at the end"
        note = same if split == reported else apart
        return {"selected": "best_dev", "split": split, "step": outcome.best_step, "note": note}
    return {"selected": "last", "split": None, "step": sum(outcome.steps.values()), "note": None}


def report(this: Run, scores: Scores, result: dict[str, Any]) -> None:
    """The last table, and what to do next."""
    config, screen, folder = this.config, this.screen, this.folder
    assert folder is not None
    title = f"{config.method.name} on {this.data.display_name}"
    columns = ["score", "constant guess", "teacher", "student", "kept"]
    screen.table(title, columns, score_rows(this.teacher_scores, scores, result["guess"]))
    chosen, seconds = result["checkpoint"], result["time"]
    line = f"checkpoint: {chosen['selected']}, step {chosen['step']}"
    if chosen["split"]:
        reported = result["headline"]["split"]
        line += f" (chosen on {chosen['split']}, {'the split' if chosen['split'] == reported else reported} reported)"
    if result["compression"]:
        line += f"; {result['compression']:.1f}x smaller than the teacher"
    screen.say(f"{line}; {seconds['total_s']:.0f} s, {number(seconds['examples_per_s'], 0)} training examples/s")
    if _knows_nothing(result):
        screen.warn(f"the student scores like a constant guess: {_remedy(this)}")
    if this.samples:
        screen.say(
            f"text made at step {this.samples[-1]['step']} (samples.jsonl has {len(this.samples)} an evaluation)"
        )
        for line in samples.lines(this.samples):
            screen.say(line)
    if this.generated is not None:
        card = json.loads((folder.path / this.generated["path"]).with_name(CARD).read_text(encoding="utf-8"))
        screen.facts("generated text", show.facts(this.generated["quality"]))
        screen.facts("examples, by the teacher's class", show.examples(card["examples"]))
        for line in show.warnings(this.generated):
            screen.warn(line)
    path = folder.path
    own = [word for word in shlex.split(this.command)[1:] if not word.startswith(("seed=", "run_dir="))]
    if domains.target(config.method) is not None:  # the baselines are students of all domains
        own = [word for word in own if not word.startswith("method.domain=")] + [f"method.domain={domains.ALL}"]
    facts = [
        ("result", str(path / "result.json")),
        ("student", f'{_loader(this)}.from_pretrained("{path / "student"}")'),
        ("compare", shlex.join(["kdrun", "compare", *own, "seeds=3"])),
    ]
    if this.generated is not None:
        facts.append(("generated", f"{this.generated['rows']} rows: {path / this.generated['path']}"))
        facts.append(("learn from it", shlex.join(["kdrun", *generated.words_to_learn(config, path)])))
    screen.facts("next", facts)
