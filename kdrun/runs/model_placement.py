"""Put the models of a run on their devices."""

from __future__ import annotations

from collections.abc import Mapping

from kdrun import progress
from kdrun.config.teacher import Placement
from kdrun.config.validation.placement import HOW_TO_TRAIN, memory_limits
from kdrun.errors import ModelError
from kdrun.models import parameters, placement, spread
from kdrun.models.bundle import ModelBundle
from kdrun.runs.context import RunContext


def place_models(context: RunContext, roles: Mapping[str, ModelBundle], *, will_train_teacher: bool) -> None:
    """Put the models on the device; a teacher that is to be spread comes last, as the others must fit next to it.

    Args:
        context: gives the config and the device.
        roles: the models by role, on the CPU.
        will_train_teacher: whether kdrun fine-tunes the teacher.

    Raises:
        ModelError: a teacher is to be spread, and is trained first or cannot be spread.
        PathError: the disk has too little free space for it.
    """
    config, device = context.config, context.accelerator.device
    is_spread = "teacher" in roles and config.teacher.placement is Placement.auto
    for role, bundle in roles.items():
        if role != "teacher" or not is_spread:
            placement.place(bundle, device, role, divide=role in config.runtime.shard.roles)
    if not is_spread:
        return
    teacher = roles["teacher"]
    if will_train_teacher:
        raise ModelError(
            f"teacher.placement=auto spreads a frozen teacher, and kdrun would train {teacher.name} first, because it "
            f"has no classification head for this task; {HOW_TO_TRAIN}"
        )
    trained = sum(4 * parameters.count_parameters(bundle.model) for role, bundle in roles.items() if role != "teacher")
    with progress.track("spreading the teacher"):
        spread.spread(teacher, device, memory_limits(config.teacher.max_memory), trained)
