"""Preflight checks: is this run sound before it is paid for?"""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdrun.config.architectures import titles
from kdrun.errors import ModelError
from kdrun.formatting import num_bytes
from kdrun.runs.context import PreflightCheck
from kdrun.training.step_checks import FirstStepReport

if TYPE_CHECKING:
    from kdrun.models.bundle import ModelBundle
    from kdrun.runs.context import RunContext

STORED_COPIES, COPIES_TO_GO_ON = 2, 4
"""Times a run keeps its student on disk: student/ and checkpoints/best; and in each checkpoint to go on from, with the
optimizer's two moments and the best weights."""


def checks_before_training(run: RunContext) -> list[PreflightCheck]:
    """What can be seen once models, method and feed are built: cheap, so every run does it."""
    checks = [*_teacher(run), *(_labels(role, run) for role in run.used_roles if role != "generator")]
    checks += [_vocabulary(run), *_outputs(run), *_domains(run), _modes(run), _disk(run)]
    return checks


def raise_if_failed(checks: list[PreflightCheck]) -> None:
    """Stop where a check failed.

    Raises:
        ModelError: with every failed check and its remedy.
    """
    failed = [f"{check.name}: {check.found}; {check.remedy}" for check in checks if not check.ok]
    if failed:
        raise ModelError("\n".join(failed))


def checks_after_first_step(run: RunContext) -> list[PreflightCheck]:
    """What one step of each turn showed: loss terms, gradients, memory."""
    return [check for found in run.inspections for check in _inspected(found)] + [_memory(run)]


def _teacher(run: RunContext) -> Iterator[PreflightCheck]:
    """A weak teacher was refused before; this is its score for the table."""
    if not run.requires.teacher:
        yield PreflightCheck("teacher", ok=True, found="none needed")
    elif run.teacher_scores is not None:
        split, metric = run.config.task.dev_splits[0], run.config.task.headline  # what it was refused or passed by
        value = run.teacher_scores[split][metric]
        found = "undefined" if value is None else f"{value:.4f}"
        yield PreflightCheck("teacher's score", ok=True, found=f"{split} {metric} {found}")


def _labels(role: str, run: RunContext) -> PreflightCheck:
    """What a model says it answers: class names in the order of the task's, one output for a score, entities."""
    kind = run.evaluator.task_type
    fits, found = kind.matches_model(run.roles[role].model.config)
    remedy = f"the task has {kind.describe_outputs()}, in this order; name the model's answers so"
    return PreflightCheck(f"labels of the {role}", ok=fits, found=found, remedy=remedy)


def _vocabulary(run: RunContext) -> PreflightCheck:
    """Methods that need one vocabulary refuse differing ones when roles are built; here it is said."""
    sizes = ", ".join(f"{role} {len(run.roles[role].tokenizer)}" for role in run.used_roles)
    shared = "one, as the method needs" if run.requires.shared_vocabulary else "each role reads its own ids"
    return PreflightCheck("vocabularies", ok=True, found=f"{sizes} entries; {shared}")


def _outputs(run: RunContext) -> Iterator[PreflightCheck]:
    """Hidden states and attention maps: transformers gives empty tuples under fused attention, silently."""
    import numpy as np
    import torch

    wanted = [kind for kind in ("hidden_states", "attentions") if getattr(run.requires, kind)]
    for role in ("teacher", "student") if wanted else ():
        model = run.roles[role].model
        batch = run.tokens(role)["train"].batch(np.array([0]))
        with torch.inference_mode():
            out = model(**{k: v.to(run.accelerator.device) for k, v in batch.items()}, **_flags(wanted))
        for kind in wanted:
            count = len(out[kind] or ())
            enough = model.config.num_hidden_layers + (kind == "hidden_states")  # the embeddings are one more
            remedy = f"the {role}'s architecture does not give its {kind}; take a {titles()} model"
            yield PreflightCheck(
                f"{kind} of the {role}", ok=count == enough, found=f"{count} of {enough}", remedy=remedy
            )


def _domains(run: RunContext) -> Iterator[PreflightCheck]:
    """Where rows say their domain: how many of each there are."""
    counts = {name: run.data.rows_by_domain(name) for name in run.data.splits}
    if not any(counts.values()):
        return
    parts = {name: ", ".join(f"{domain} {rows}" for domain, rows in part.items()) for name, part in counts.items()}
    yield PreflightCheck("domains", ok=True, found="; ".join(f"{name}: {part}" for name, part in parts.items()))


def _flags(wanted: list[str]) -> dict[str, bool]:
    return {f"output_{kind}": True for kind in wanted}


def _modes(run: RunContext) -> PreflightCheck:
    training = run.requires.teacher and run.roles["teacher"].model.training
    found = "none" if not run.requires.teacher else "training" if training else "evaluation, without dropout"
    return PreflightCheck(
        "teacher's mode", ok=not training, found=found, remedy="a teacher with dropout gives random answers"
    )


def _disk(run: RunContext) -> PreflightCheck:
    """Space for what the run writes: the student, its checkpoints, and the cached teacher and its logits."""
    sizes = {role: _weights(built) for role, built in run.roles.items()}
    copies = STORED_COPIES + COPIES_TO_GO_ON * (
        run.config.checkpoint.keep_last + 1
    )  # the newest before the oldest goes
    needed = copies * sizes["student"] + sizes.get("teacher", 0) * run.requires.teacher
    if run.requires.teacher_logits and not run.evaluator.task_type.generates_text:
        needed += 4 * run.data.student_rows.num_rows * run.config.task.num_outputs
    place = Path(run.config.run_dir or run.config.output_dir).resolve()
    place = next(p for p in (place, *place.parents) if p.exists())
    free = shutil.disk_usage(place).free
    found = f"about {num_bytes(needed)} needed, {num_bytes(free)} free"
    remedy = "free some space, or name another place with output_dir=… and KDRUN_CACHE"
    return PreflightCheck("disk", ok=free > needed, found=found, remedy=remedy)


def _weights(built: ModelBundle) -> int:
    """Bytes of a model's weights in fp32."""
    return 4 * sum(p.numel() for p in built.model.parameters())


def _inspected(found: FirstStepReport) -> Iterator[PreflightCheck]:
    where = f"{found.phase}, {found.role}'s turn"
    terms = ", ".join(f"{name} {value:.4f}" for name, value in found.terms.items())
    remedy = f"{', '.join(found.zero_terms)} teaches nothing: is its weight 0, or is the student the teacher?"
    yield PreflightCheck(f"loss terms ({where})", ok=not found.zero_terms, found=terms or "none logged", remedy=remedy)
    unused = f"; {len(found.unreached)} unused: {', '.join(found.unreached[:3])}" if found.unreached else ""
    reached = f"{found.reached} tensors of the {found.role}{unused}; none of another role"
    yield PreflightCheck(f"gradients ({where})", ok=True, found=reached)


def _memory(run: RunContext) -> PreflightCheck:
    """Peak memory: an estimate from sizes beside what one step on the longest rows really took."""
    import torch

    estimate = _estimated_memory(run)
    if run.accelerator.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
        room, what = torch.cuda.get_device_properties(run.accelerator.device).total_memory, "on the GPU"
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        room, what = _physical_memory(), "of the process, libraries included"
    found = f"models and one step {num_bytes(estimate)} estimated; peak of {num_bytes(peak)} measured {what}"
    found += f"; {num_bytes(room)} there"
    remedy = "lower optim.batch_size and raise optim.gradient_accumulation_steps, or lower data.max_length"
    return PreflightCheck("memory", ok=max(peak, estimate) < room, found=found, remedy=remedy)


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _estimated_memory(run: RunContext) -> int:
    """Weights, gradients, two Adam moments, and a step's activations.

    Activations of a trained model's layer: length · batch · hidden · (34 + 5 · heads · length / hidden) bytes in
    16 bits (Korthikanti et al. 2022, arXiv 2205.05198, equation 1), twice that in 32 bits; an upper bound under
    fused attention, which keeps no maps.
    """

    config, trained = run.config, {found.role for found in run.inspections}
    wide = 1 if run.accelerator.mixed_precision == "bf16" else 2
    total = 0
    for role in run.used_roles:
        built = run.roles[role]
        total += _weights(built) * (4 if role in trained else 1)
        if role in trained:
            shape: Any = built.model.config
            length = int(run.tokens(role)["train"].lengths.max())
            per_unit = 34 + 5 * shape.num_attention_heads * length / shape.hidden_size
            layer = length * config.optim.batch_size * shape.hidden_size * per_unit
            total += int(wide * layer * shape.num_hidden_layers)
            # of label words: logits over the vocabulary in fp32, and their gradient
            words = built.vocabulary_positions
            total += 2 * 4 * config.optim.batch_size * words * shape.vocab_size
    return total
