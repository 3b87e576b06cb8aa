"""Capture and restore the trainer's state between two steps.

Data order, masks, noise and dropout are functions of the seed and of counters, so restoring the
counters restores them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdrun import ranks, sharding
from kdrun.data.batch import BatchSource
from kdrun.errors import CheckpointError
from kdrun.storage import state_tensors
from kdrun.storage.checkpoint_files import CheckpointData
from kdrun.training.context import TrainerContext
from kdrun.training.phase_runner import PhaseRunner

FILES = {"student": "model"}
"""File name of a role's weights, if not the role's name: transformers loads the student from `model`."""
FIELDS = {"stopped_roles": "rests"}
"""Key of a result field in a checkpoint, if not the field's name."""
BEST, OPTIMIZER, REST = "best", "optimizer", "rest"


def capture_state(context: TrainerContext, runner: PhaseRunner) -> CheckpointData:
    """State of the training between two steps; the tensors are those in use, not copies.

    Divided tensors are complete copies, in the first process only.
    """
    gather, modules = sharding.gather, _modules(context).items()
    tensors = {FILES.get(name, name): gather(state_tensors.module_tensors(module)) for name, module in modules}
    if context.best_state is not None:
        # one file per module: that of the student has the bytes of checkpoints/best, and is stored once with it
        tensors |= {f"{BEST}.{i}": gather(state) for i, state in enumerate(context.best_state)}
    plain: dict[str, Any] = {}
    if not runner.is_over:  # the next phase creates its own optimizers
        for role, optimizer in runner.optimizers.items():
            of_optimizer, plain[role] = state_tensors.optimizer_tensors(optimizer)
            tensors[f"{OPTIMIZER}.{role}"] = gather(of_optimizer)
    other_tensors = {"feed/was_read": torch.from_numpy(rows_seen_by_all(context.loader))}
    running_means = {role: means.of_all_processes() for role, means in runner.running_means.items()}
    for role, means in running_means.items():
        other_tensors |= {f"tally/{role}/{name}": value for name, value in means.sums.items()}
    method_tensors, method_values = state_tensors.split_tensors(context.method.state())
    tensors[REST] = other_tensors | {f"method/{name}": value for name, value in method_tensors.items()}
    state = {
        "phase": runner.phase.name,
        "step": runner.step,
        "number": context.phase_number,
        "taken": runner.steps_by_role,
        "is_pending": runner.evaluation_due,
        "stale": runner.stale_evaluations,
        "still_zero": {role: sorted(terms) for role, terms in runner.always_zero_terms.items()},
        "tallies": {
            role: {"count": means.count, "seconds": means.seconds, "last": means.last_values()}
            for role, means in running_means.items()
        },
        "optimizers": plain,
        "method": method_values,
        "outcome": {FIELDS.get(name, name): value for name, value in asdict(context.result).items()},
    }
    return CheckpointData(tensors, state)


def rows_seen_by_all(loader: BatchSource) -> np.ndarray:
    """Which rows any process has read, [rows] bool."""
    return np.logical_or.reduce(ranks.gather(loader.rows_seen))


def phase_number(context: TrainerContext, checkpoint: CheckpointData) -> int:
    """Index of the phase in which a checkpoint was saved.

    Raises:
        CheckpointError: this training has no such phase.
    """
    number, name = checkpoint.state.get("number"), checkpoint.state["phase"]
    names = [phase.name for phase in context.phases]
    if not isinstance(number, int) or names[number : number + 1] != [name]:
        raise CheckpointError(f"the checkpoint is of phase {number} ({name!r}), and the phases are {', '.join(names)}")
    return number


@contextmanager
def _checked(checkpoint: CheckpointData) -> Iterator[None]:
    """Report a state without the keys, types and tensors of this training; the folder may come from a stranger."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        phase = f"the checkpoint of phase {checkpoint.state['phase']!r}"
        raise CheckpointError(f"{phase} does not fit this training: {type(error).__name__}: {error}") from error


def restore_models(context: TrainerContext, checkpoint: CheckpointData) -> None:
    """Load the weights of the roles' models; called before the phase starts, since its start may read them.

    Raises:
        CheckpointError: the checkpoint belongs to another training.
    """
    with _checked(checkpoint):
        for name, module in _modules(context).items():
            if name in context.method.roles:
                state_tensors.load_module_tensors(module, _file(checkpoint, FILES.get(name, name)), name)


def restore_state(context: TrainerContext, runner: PhaseRunner, checkpoint: CheckpointData) -> None:
    """Restore everything else; called after the phase has started.

    Raises:
        CheckpointError: the checkpoint belongs to another training.
    """
    with _checked(checkpoint):
        _restore_state(context, runner, checkpoint)


def _restore_state(context: TrainerContext, runner: PhaseRunner, checkpoint: CheckpointData) -> None:
    state, other_tensors = checkpoint.state, _file(checkpoint, REST)
    for name, module in _modules(context).items():
        state_tensors.load_module_tensors(module, _file(checkpoint, FILES.get(name, name)), name)
    if f"{BEST}.0" in checkpoint.tensors:
        context.best_state = _best(context, checkpoint)
    runner.steps_by_role, runner.step, runner.evaluation_due = state["taken"], state["step"], state["is_pending"]
    runner.stale_evaluations = state["stale"]
    runner.always_zero_terms = {role: frozenset(terms) for role, terms in state["still_zero"].items()}
    for role, values in state["tallies"].items():
        means = runner.running_means[role]
        means.seconds, means.last = values["seconds"], values["last"]
        if not ranks.is_first():
            continue  # the first process continues the sums of all
        means.count = values["count"]
        means.sums = {k: v.to(context.accelerator.device) for k, v in _under(other_tensors, f"tally/{role}/").items()}
    for role, plain in state["optimizers"].items():
        state_tensors.load_optimizer_tensors(runner.optimizer(role), _file(checkpoint, f"{OPTIMIZER}.{role}"), plain)
    attributes = {key: name for name, key in FIELDS.items()}
    known = {item.name for item in fields(context.result)}
    for key, value in state["outcome"].items():
        if (name := attributes.get(key, key)) in known:
            setattr(context.result, name, value)
    context.loader.load_state(other_tensors["feed/was_read"].numpy())
    context.method.load_state({**_under(other_tensors, "method/"), **state["method"]})


def _modules(context: TrainerContext) -> dict[str, nn.Module]:
    """Modules trained so far: the models of roles that have had turns, and the modules that train with them."""
    roles = dict.fromkeys(turn.role for phase in context.phases[: context.phase_number + 1] for turn in phase.turns)
    modules: dict[str, nn.Module] = {}
    for role in roles:
        model = context.method.roles.get(role)
        others = [module for module in context.method.trainable(role) if module is not model]
        modules |= {} if model is None else {role: model}
        modules |= {f"{role}.{i}": module for i, module in enumerate(others, 1)}
    return modules


def _file(checkpoint: CheckpointData, name: str) -> dict[str, Tensor]:
    if name not in checkpoint.tensors:
        raise CheckpointError(f"the checkpoint of phase {checkpoint.state['phase']!r} has no {name}.safetensors")
    return checkpoint.tensors[name]


def _best(context: TrainerContext, checkpoint: CheckpointData) -> list[dict[str, Tensor]]:
    states, device = [], context.accelerator.device
    for i, module in enumerate(context.method.trainable("student")):
        current, saved = state_tensors.module_tensors(module), _file(checkpoint, f"{BEST}.{i}")
        states.append({k: sharding.divide(value, current.get(k, value)).to(device) for k, value in saved.items()})
    return states


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
