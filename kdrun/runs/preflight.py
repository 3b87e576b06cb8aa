"""Preflight checks of a run: models, vocabularies, disk and memory."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdrun import registry
from kdrun.config.architectures import titles
from kdrun.errors import ModelError
from kdrun.formatting import duration, num_bytes, percent
from kdrun.methods.phases import num_steps, steps_by_role
from kdrun.runs.context import PreflightCheck, PreparedRun, TeacherResult
from kdrun.runs.recorded import why_unknown
from kdrun.storage import cache, cache_eviction, claim_files
from kdrun.training.step_checks import FirstStepReport

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kdrun.models.bundle import ModelBundle

STORED_COPIES, COPIES_PER_CHECKPOINT = 2, 4
"""Disk space in multiples of the student's size: student/ and checkpoints/best; and each checkpoint, which holds the
student, the optimizer's two moments and the best weights."""
MAX_UNKNOWN_SHARE, ROWS_FOR_UNKNOWN = 0.5, 256
"""Share of unknown tokens at which a tokenizer is refused, and the number of rows for which it is computed."""


def checks_before_training(run: PreparedRun, teacher: TeacherResult | None) -> list[PreflightCheck]:
    """Check models, vocabularies, outputs and disk space. Every run does this, since it is cheap."""
    checks = [*_teacher(run, teacher), *(_labels(role, run) for role in run.used_roles if role != "generator")]
    checks += [_vocabulary(run), *_outputs(run), *_domains(run), _modes(run), _disk(run)]
    return checks


def raise_if_failed(checks: list[PreflightCheck]) -> None:
    """Stop if a check failed.

    Raises:
        ModelError: a check failed; the message lists every failed check with its remedy.
    """
    failed = [f"{check.name}: {check.value}; {check.remedy}" for check in checks if not check.ok]
    if failed:
        raise ModelError("\n".join(failed))


def checks_after_first_step(run: PreparedRun, first_steps: list[FirstStepReport]) -> list[PreflightCheck]:
    """Check loss terms, gradients and memory after one step of each turn."""
    trained_roles = {report.role for report in first_steps}
    checks = [check for report in first_steps for check in _first_step(report)]
    return [*checks, _memory(run, trained_roles), _time(run, first_steps), _shared_folders(run)]


def _teacher(run: PreparedRun, teacher: TeacherResult | None) -> Iterator[PreflightCheck]:
    """Report the teacher's score. The teacher stage has already rejected a weak teacher."""
    if not run.requires.teacher:
        yield PreflightCheck("teacher", ok=True, value="none needed")
        return
    split, metric = run.config.task.dev_splits[0], run.config.task.headline  # as in the check for weak teachers
    unknown = why_unknown(run).get(split)
    if unknown is not None:
        yield PreflightCheck("teacher's score", ok=True, value=unknown)
    elif teacher is not None and teacher.scores is not None:
        value = teacher.scores[split][metric]
        score = "undefined" if value is None else percent(value)
        yield PreflightCheck("teacher's score", ok=True, value=f"{split} {metric} {score}")


def _labels(role: str, run: PreparedRun) -> PreflightCheck:
    """Compare a model's outputs with those of the task: ordered class names, one score, or entity types."""
    task_type = run.evaluator.task_type
    matches, model_outputs = task_type.matches_model(run.roles[role].model.config)
    remedy = f"the task has {task_type.describe_outputs()}, in this order; set the model's id2label to match"
    return PreflightCheck(f"labels of the {role}", ok=matches, value=model_outputs, remedy=remedy)


def _vocabulary(run: PreparedRun) -> PreflightCheck:
    """Report the vocabularies, and check that they know the words of the rows.

    Validation has already rejected different vocabularies for methods that need a shared one.
    """
    sizes = ", ".join(f"{role} {len(run.roles[role].tokenizer)}" for role in run.used_roles)
    shared = "shared, as the method requires" if run.requires.shared_vocabulary else "each role has its own ids"
    unknown = {role: unknown_share(run, role) for role in run.used_roles if role != "generator"}
    shares = [f"{role} does not know {percent(share)} of the tokens" for role, share in unknown.items() if share > 0]
    return PreflightCheck(
        "vocabularies",
        ok=max(unknown.values(), default=0.0) <= MAX_UNKNOWN_SHARE,
        value="; ".join([f"{sizes} entries", shared, *shares]),
        remedy="the tokenizer does not fit these texts: use the files of the model's own tokenizer, or another model",
    )


def unknown_share(run: PreparedRun, role: str) -> float:
    """Share of unknown tokens among the tokens of the first rows that the student learns from."""
    import numpy as np

    split, unknown_id = run.tokens(role)["train"], run.roles[role].tokenizer.unk_token_id
    tokens = np.concatenate([split.ids(row) for row in range(min(ROWS_FOR_UNKNOWN, split.num_rows))])
    return 0.0 if unknown_id is None else float(np.mean(tokens == unknown_id))


def _outputs(run: PreparedRun) -> Iterator[PreflightCheck]:
    """Check for hidden states and attention maps; under fused attention, transformers silently returns empty tuples."""
    import numpy as np
    import torch

    outputs = {"hidden_states": run.requires.hidden_states, "attentions": run.requires.attentions}
    requested = [name for name, is_needed in outputs.items() if is_needed]
    for role in ("teacher", "student") if requested else ():
        model = run.roles[role].model
        batch = run.tokens(role)["train"].batch(np.array([0]))
        with torch.inference_mode():
            out = model(**{k: v.to(run.accelerator.device) for k, v in batch.items()}, **_flags(requested))
        for name in requested:
            count = len(out[name] or ())
            expected = model.config.num_hidden_layers + (name == "hidden_states")  # one more, for the embeddings
            remedy = f"the {role}'s architecture does not return {name}; use a {titles()} model"
            yield PreflightCheck(
                f"{name} of the {role}", ok=count == expected, value=f"{count} of {expected}", remedy=remedy
            )


def _domains(run: PreparedRun) -> Iterator[PreflightCheck]:
    """Report the number of rows per domain, if the task has domains."""
    counts = {name: run.data.rows_by_domain(name) for name in run.data.splits}
    if not any(counts.values()):
        return
    texts = (f"{name}: {', '.join(f'{domain} {n}' for domain, n in rows.items())}" for name, rows in counts.items())
    yield PreflightCheck("domains", ok=True, value="; ".join(texts))


def _flags(requested: list[str]) -> dict[str, bool]:
    return {f"output_{name}": True for name in requested}


def _modes(run: PreparedRun) -> PreflightCheck:
    teacher = run.roles.get("teacher") if run.requires.teacher else None
    training = teacher is not None and teacher.model.training
    mode = "none" if teacher is None else "training" if training else "evaluation, without dropout"
    if run.recorded is not None:
        mode = "recorded, no model"
    return PreflightCheck(
        "teacher's mode", ok=not training, value=mode, remedy="a teacher with dropout has random outputs"
    )


def _disk(run: PreparedRun) -> PreflightCheck:
    """Check the disk space for the student, its checkpoints, the cached teacher and its logits."""
    sizes = {role: _weights(bundle) for role, bundle in run.roles.items()}
    num_checkpoints = run.config.checkpoint.keep_last + 1  # the newest is written before the oldest is deleted
    copies = STORED_COPIES + COPIES_PER_CHECKPOINT * num_checkpoints
    needed = copies * sizes["student"] + sizes.get("teacher", 0) * run.requires.teacher
    if run.requires.teacher_logits and run.recorded is None and not run.evaluator.task_type.generates_text:
        needed += 4 * run.data.student_rows.num_rows * run.config.task.num_outputs
    destination = Path(run.config.run_dir or run.config.output_dir).resolve()
    free = shutil.disk_usage(next(path for path in (destination, *destination.parents) if path.exists())).free
    value = f"about {num_bytes(needed)} needed, {num_bytes(free)} free"
    remedy = "free some space, or choose another disk with output_dir=… and KDRUN_CACHE"
    return PreflightCheck("disk", ok=free > needed, value=value, remedy=remedy)


def _shared_folders(run: PreparedRun) -> PreflightCheck:
    """Check that files of output folder and cache can be claimed and locked, as several processes need it."""
    output_dir = Path(run.config.output_dir).resolve()
    folders = [next(path for path in (output_dir, *output_dir.parents) if path.exists()), cache.cache_root()]
    problems = [problem for folder in dict.fromkeys(folders) for problem in claim_files.find_problems(folder)]
    is_needed = cache_eviction.cache_limit() is not None  # only deleting entries in use depends on file locks
    remedy = (
        f"one process at a time may use these folders; without file locks alone, several may as long as "
        f"{cache_eviction.LIMIT} is not set"
    )
    ok = not problems or (not is_needed and all("flock" in problem for problem in problems))
    return PreflightCheck("shared folders", ok=ok, value="; ".join(problems) or "claims and locks work", remedy=remedy)


def _weights(bundle: ModelBundle, device: torch.device | None = None) -> int:
    """Bytes of a model's weights in fp32; only of those on a device if one is given."""
    parameters = bundle.model.parameters()
    return 4 * sum(p.numel() for p in parameters if device is None or _is_on(p, device))


def _is_on(parameter: Tensor, device: torch.device) -> bool:
    indices = {parameter.device.index, device.index}
    return parameter.device.type == device.type and (None in indices or len(indices) == 1)


def _first_step(report: FirstStepReport) -> Iterator[PreflightCheck]:
    """Check the loss terms of a first step, and report its gradients."""
    where = f"{report.phase}, {report.role}'s turn"
    terms = ", ".join(f"{name} {value:.4f}" for name, value in report.terms.items())
    remedy = f"{', '.join(report.zero_terms)} is zero: check its weight, and that student and teacher differ"
    yield PreflightCheck(f"loss terms ({where})", ok=not report.zero_terms, value=terms or "none logged", remedy=remedy)
    unused = (
        f"; {len(report.without_gradient)} unused: {', '.join(report.without_gradient[:3])}"
        if report.without_gradient
        else ""
    )
    gradients = f"{report.num_with_gradient} tensors of the {report.role}{unused}; none of another role"
    yield PreflightCheck(f"gradients ({where})", ok=True, value=gradients)


def _memory(run: PreparedRun, trained_roles: set[str]) -> PreflightCheck:
    """Compare memory with an estimate from sizes and with the measured peak of one step on the longest rows."""
    import torch

    estimate = _estimated_memory(run, trained_roles)
    if run.accelerator.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
        available, measured_on = torch.cuda.get_device_properties(run.accelerator.device).total_memory, "on the GPU"
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        available, measured_on = _physical_memory(), "of the process, libraries included"
    value = f"models and one step {num_bytes(estimate)} estimated; peak of {num_bytes(peak)} measured {measured_on}"
    value += f"; {num_bytes(available)} available"
    remedy = "lower optim.batch_size and raise optim.gradient_accumulation_steps, or lower data.max_length"
    return PreflightCheck("memory", ok=max(peak, estimate) < available, value=value, remedy=remedy)


def _time(run: PreparedRun, first_steps: list[FirstStepReport]) -> PreflightCheck:
    """Estimate the time of training from one step of each turn on the longest rows, which is an upper bound."""
    config = run.config
    seconds = {(report.phase, report.role): report.seconds for report in first_steps}
    method = registry.get("method", config.method.name).target
    parts, total = [], 0.0
    for phase in method.phases(config.method, config.optim):
        for role, steps in steps_by_role(phase, num_steps(phase, run.data.student_rows.num_rows)).items():
            step = seconds.get((phase.name, role), 0.0)
            total += steps * step
            parts.append(f"{steps} {role} steps of {step:.3g} s ({phase.name})")
    value = f"at most about {duration(total)}: {', '.join(parts)}; measured on the longest rows, without evaluations"
    return PreflightCheck("time of training", ok=True, value=value)


def _physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _estimated_memory(run: PreparedRun, trained_roles: set[str]) -> int:
    """Weights, gradients, two Adam moments, and a step's activations.

    Activations of a trained model's layer: length · batch · hidden · (34 + 5 · heads · length / hidden) bytes in
    16 bits (Korthikanti et al. 2022, arXiv 2205.05198, equation 1), twice that in 32 bits; an upper bound under
    fused attention, which stores no maps.
    """
    config = run.config
    precision_factor = 1 if run.accelerator.mixed_precision == "bf16" else 2
    total = 0
    for role in run.used_roles:
        bundle = run.roles[role]
        total += _weights(bundle, run.accelerator.device) * (4 if role in trained_roles else 1)
        if role in trained_roles:
            shape: Any = bundle.model.config
            length = int(run.tokens(role)["train"].lengths.max())
            heads = getattr(shape, "num_attention_heads", 0)  # a FNet has none
            width = getattr(shape, "hidden_size", 1)  # a bag of words has no layers
            per_unit = 34 + 5 * heads * length / width
            layer = length * config.optim.batch_size * width * per_unit
            total += int(precision_factor * layer * shape.num_hidden_layers)
            # label words: logits over the vocabulary in fp32, and their gradient
            positions = bundle.vocabulary_positions
            total += 2 * 4 * config.optim.batch_size * positions * shape.vocab_size
    return total
