"""List all methods with paper, requirements, and the measured cost of their training as a multiple of fine-tuning.

    .venv/bin/python -m benchmarks.method_costs
    .venv/bin/python -m benchmarks.method_costs --rounds 3 --into docs/methods.md

Each method trains a student on embedded data with its default settings and the same number of student steps: one cycle
of methods whose generator takes 10 steps per 100 of the student. The cost is the processor time of all steps of this
training: those of the student, of a generator, and of other phases. Starting the program, the training of the teacher,
a generator's warm start, cached logits and evaluations are left out. The teacher has 4 layers × 256 and the student
2 × 128, except for methods of answers in text. The methods take turns, and each is compared with the fine-tuning of its
round on the same task.
"""

from __future__ import annotations

import argparse
import inspect
import re
import statistics
import tempfile
from pathlib import Path

from benchmarks.blocks import put, table
from benchmarks.budget import ROOT, execute
from benchmarks.machine import title
from kdrun import registry
from kdrun.cli.explain import method_card
from kdrun.cli.explain.notes import read_docstring
from kdrun.config.requirements import Requirements
from kdrun.stage_times import STEPS

CONTROL = "finetune"
CITATION = re.compile(r" \([^()]* \d{4}\)\.$")
WARM_STARTED = ("dfkd_t3",)
"""Methods whose generator trains alone before the first step, a fixed number of steps."""
TEACHER = "{hidden_size: 256, num_hidden_layers: 4, num_attention_heads: 4, intermediate_size: 1024}"
STUDENT = "{hidden_size: 128, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 512}"
SHAPES = [f"teacher.sizes={TEACHER}", f"student.sizes={STUDENT}"]
NUM_STEPS = 100
SHORT = [
    f"optim.steps={NUM_STEPS}", "optim.batch_size=32", "teacher.finetune_optim.steps=10", "teacher.allow_weak=true",
    "student_alone=false", "report=false", "data.max_train_rows=2000", "ood.rows=2000",
]  # fmt: skip
NEEDS = {
    "teacher": "teacher",
    "labels": "labels",
    "data_free": "corpus instead of the task's rows",
    "generator": "generator",
    "domains": "domains",
    "meta_teacher": "meta-teacher",
    "hidden_states": "hidden states",
    "attentions": "attention maps",
    "attention_vectors": "queries, keys, values",
    "shared_vocabulary": "one vocabulary",
    "only_text": "answers in text",
}
"""Requirement → its name in the table."""


def requirements(name: str) -> Requirements:
    """The requirements of a method."""
    needs: Requirements = registry.get("method", name).target.requires
    return needs


def overrides(name: str, task: str) -> list[str]:
    """Overrides of a method's measured run on the task of an example."""
    shapes = [] if task == method_card.TEXT_EXAMPLE else SHAPES
    cold = ["method.warm_start_steps=0"] if name in WARM_STARTED else []
    return [f"method={name}", *task.split(), *shapes, *SHORT, *cold]


def measure(names: list[str], folder: Path) -> dict[str, float]:
    """One round: processor time of each method's training ÷ that of fine-tuning on the same task."""
    controls: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for name in names:
        task = method_card.example(requirements(name))
        if task not in controls:
            controls[task] = execute(overrides(CONTROL, task), ROOT, folder)[STEPS]
        seconds = controls[task] if name == CONTROL else execute(overrides(name, task), ROOT, folder)[STEPS]
        ratios[name] = seconds / controls[task]
        print(f"{name}: {seconds:.1f} s of processor time, {ratios[name]:.2f}", flush=True)
    return ratios


def papers() -> dict[str, str]:
    """Paper of each method, from the first table of docs/papers.md."""
    cited: dict[str, str] = {}
    for line in (ROOT / "docs" / "papers.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if line.startswith("| ") and "arXiv" in cells[0] and len(cells) == 4:
            for name in cells[1].replace("`", "").split(", "):
                if name != CONTROL:  # which also trains on written text
                    cited.setdefault(name, cells[0])
        elif cited and not line.startswith("|"):
            return cited
    raise SystemExit("docs/papers.md has no table of papers")


def row(name: str, ratios: list[float], cited: dict[str, str]) -> list[str]:
    """Row of the table: a method with idea, paper, requirements and cost."""
    idea = read_docstring(inspect.getmodule(registry.get("method", name).target)).paragraphs
    needs = [text for key, text in NEEDS.items() if getattr(requirements(name), key)]
    cost = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} … {max(ratios):.1f})"
    link = f"[`{name}`](reference/methods.md#{name})"
    return [link, CITATION.sub(".", idea[0]), cited.get(name, "none"), ", ".join(needs), cost]


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(description="costs of all methods")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--into", type=Path, help="a document with a block named methods")
    args = parser.parse_args()
    names, cited = list(registry.entries("method")), papers()
    with tempfile.TemporaryDirectory() as folder:
        rounds = [measure(names, Path(folder)) for _ in range(args.rounds)]
    header = ["method", "idea", "paper", "needs", f"× `{CONTROL}`"]
    rows = [row(name, [ratios[name] for ratios in rounds], cited) for name in names]
    text = f"{args.rounds} rounds of {NUM_STEPS} steps, {title()}\n\n{table(header, rows)}"
    print(text)
    if args.into:
        put(args.into, "methods", text)


if __name__ == "__main__":
    main()
