"""Folders of finished runs and comparisons without training, and an HTML reader."""

import json
import math
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

SCORES = {"guess": 0.5, "teacher": 0.93, "student": 0.84}
CONFIG = """\
method:
  name: {method}
  temperature: 2.0
generator:
  name: {generator}
seed: {seed}
output_dir: outputs
"""


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def result(**changes: Any) -> dict[str, Any]:
    """The content of result.json."""
    metrics = {role: {"dev": {"accuracy": value}} for role, value in SCORES.items()}
    content: dict[str, Any] = {
        "kdrun": "0.1.0", "status": "done", "method": "kd", "task": "sst2", "preset": "embedded", "seed": 1,
        "data": {"name": "SST-2", "source": "folder", "synthetic": False, "train_rows_read": 900, "labels_read": 900},
        "headline": {"metric": "accuracy", "split": "dev"},
        "checkpoint": {"selected": "best_dev", "split": "dev", "step": 40, "note": None},
        "guess": metrics["guess"],
        "teacher": {"name": "bert 2x128", "params": 406018, "metrics": metrics["teacher"]},
        "student": {"name": "bert 2x64", "params": 133122, "metrics": metrics["student"]},
        "retention": 0.84 / 0.93, "compression": 406018 / 133122, "steps": {"student": 60},
        "time": {"total_s": 9.5, "train_s": 7.25, "examples_per_s": 1234.5},
        "provenance": {"code": "abc", "git": "f5dbc92", "dirty": True, "python": "3.11", "command": "kdrun method=kd"},
        "reasons": {},
    }  # fmt: skip
    return content | changes


def metrics(steps: int = 60, every: int = 20, roles: dict[str, int] | None = None) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl: one phase, or two where several roles take turns of so many steps each."""
    records: list[dict[str, Any]] = []
    turns = roles or {"student": 1}
    for phase in ("warm up", "train") if roles else ("train",):
        for step in range(every, steps + 1, every):
            position = step % sum(turns.values())
            role = next(r for i, r in enumerate(turns) if position < sum(list(turns.values())[: i + 1]))
            loss = math.exp(-step / steps) + 0.05 * math.sin(step)
            shared = {"step": step, "phase": phase, "epoch": step / 100, "role": role, "lr": 1e-3, "grad_norm": 1.0}
            records.append(shared | {"soft": loss, "loss": loss, "examples_per_s": 1000.0})
        records.append({"phase": phase, "step": steps, "eval": {"dev": {"accuracy": 0.84}}})
    return records


def predictions(rows: int = 40, **changes: Any) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl; the student is wrong on every fifth row, the teacher on every tenth."""
    records = []
    for i in range(rows):
        gold = "positive" if i % 2 else "negative"
        other = {"positive": "negative", "negative": "positive"}[gold]
        student, teacher = (other if i % 5 == 0 else gold), (other if i % 10 == 0 else gold)
        row: dict[str, Any] = {"id": i, "split": "dev", "text": f"the film number {i} is fine", "gold": gold}
        for whose, answer, top in (("", student, 0.6 + 0.01 * i), ("teacher_", teacher, 0.9)):
            shares = {label: round(top if label == answer else 1 - top, 6) for label in ("negative", "positive")}
            row |= {f"{whose}prediction": answer, f"{whose}probabilities": shares}
        records.append(row | changes)
    return records


def scores(rows: int = 40) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl for a task with scores."""
    return [
        {"id": i, "split": "dev", "text": f"one {i}", "text_pair": f"two {i}", "gold": i / 10,
         "prediction": i / 10 + 0.3 * math.sin(i), "teacher_prediction": i / 10 + 0.1 * math.cos(i)}
        for i in range(rows)
    ]  # fmt: skip


def samples(count: int = 3, text: str = "the film is awful") -> list[dict[str, Any]]:
    """The lines of samples.jsonl."""
    before = {"negative": 0.1, "positive": 0.9}
    after = {"teacher": {"negative": 0.9, "positive": 0.1}, "student": {"negative": 0.2, "positive": 0.8}}
    models = {who: {"before": before, "after": after[who]} for who in after}
    return [
        {"step": 10 * i, "original": "the film is good", "text": text, "changed": [3], **models} for i in range(count)
    ]


def record(**changes: Any) -> dict[str, Any]:
    """The content of comparison.json: kd against finetune over three seeds, without run folders."""
    arms = []
    for name, values in (("kd", [0.84, 0.85, 0.86]), ("finetune", [0.80, 0.82, 0.81])):
        seeds = dict(zip("123", values, strict=True))
        arms.append(
            {"name": name, "words": [f"method={name}"], "runs": {s: f"{name}-{s}" for s in seeds}, "folders": {},
             "scores": seeds, "mean": sum(values) / 3, "sd": 0.01, "kept": 0.91, "seconds": 9.5,
             "steps": {"student": 60}, "failed": {}}
        )  # fmt: skip
    pair = {"a": "kd", "b": "finetune", "difference": 0.04, "interval": [0.0152, 0.0648], "word": "BEATS", "seeds": 3,
            "seeds_needed": None, "how": "paired t"}  # fmt: skip
    return {
        "event": "comparison", "comparison_id": "20261121-1", "started": 0.0, "seconds": 61.0, "task": "sst2",
        "data_name": "SST-2", "synthetic": False, "preset": "embedded", "student": "bert 2x64",
        "teacher": {"name": "bert 2x128", "score": 0.93}, "metric": "accuracy", "split": "dev", "chosen_on": "dev",
        "seeds": [1, 2, 3], "code": "abc", "kdrun": "0.1.0", "command": "kdrun compare method=kd", "margin": 0.005,
        "confidence": 0.95, "arms": arms, "pairs": [pair],
    } | changes  # fmt: skip


class Parsed(HTMLParser):
    """A page's tags with their attributes, and its text outside of the style sheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.tags, self.words, self.quiet = html, [], [], False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.quiet = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.quiet = False

    def handle_data(self, data: str) -> None:
        if not self.quiet:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def values(self, attribute: str) -> list[str]:
        return [value for _, attrs in self.tags if (value := attrs.get(attribute)) is not None]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A run folder with the given files; keywords change its result."""

    def make(
        name: str = "run",
        *,
        log: list[dict[str, Any]] | None = None,
        answers: list[dict[str, Any]] | None = None,
        texts: list[dict[str, Any]] | None = None,
        generator: str = "none",
        **changes: Any,
    ) -> Path:
        folder, content = tmp_path / name, result(**changes)
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(content))
        config = CONFIG.format(method=content["method"], generator=generator, seed=content["seed"])
        (folder / "config.yaml").write_text(config)
        lines(folder / "metrics.jsonl", metrics() if log is None else log)
        lines(folder / "predictions.jsonl", predictions() if answers is None else answers)
        if texts is not None:
            lines(folder / "samples.jsonl", texts)
        return folder

    return make


@pytest.fixture
def make_comparison(tmp_path: Path, make_run: Callable[..., Path]) -> Callable[..., Path]:
    """A comparison's folder, with the folders of its runs."""

    def make(*, with_runs: bool = True, **changes: Any) -> Path:
        content = record(**changes)
        for arm in content["arms"] if with_runs else ():
            for seed, value in arm["scores"].items():
                run_dir = make_run(f"runs/{arm['name']}-{seed}", method=arm["name"], seed=int(seed))
                run_result = json.loads((run_dir / "result.json").read_text())
                run_result["student"]["metrics"]["dev"]["accuracy"] = value
                (run_dir / "result.json").write_text(json.dumps(run_result))
                arm["folders"][seed] = str(run_dir)
        folder = tmp_path / "comparison"
        folder.mkdir()
        (folder / "comparison.json").write_text(json.dumps(content))
        return folder

    return make
