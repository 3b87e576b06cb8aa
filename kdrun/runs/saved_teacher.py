"""The teacher of a finished run, built again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from kdrun.config import compose, saved_config
from kdrun.config.runtime import Device
from kdrun.config.teacher import Placement
from kdrun.console import QuietConsole
from kdrun.errors import KdrunError
from kdrun.models.bundle import ModelBundle
from kdrun.runs import per_domain, runner
from kdrun.storage import hub_offline


def build_teacher(run_dir: Path, *, offline: bool) -> ModelBundle | str:
    """The model of a run's teacher before its fine-tuning, which has the cost of the fine-tuned one.

    Args:
        run_dir: directory of the run.
        offline: whether to open no socket.

    Returns:
        The model on the CPU, or the reason why there is none.
    """
    try:
        config = compose.load_config(saved_config.expand_config([f"config={run_dir / 'config.yaml'}"]))
        config = replace(per_domain.first_domain_config(config), offline=offline, dry_run=True)
        config.runtime.device = Device.cpu
        config.teacher.placement, config.teacher.max_memory = Placement.one, None
        with hub_offline.offline_mode(offline):
            run = runner.prepare(config, QuietConsole())
    except KdrunError as error:
        return f"it cannot be built again: {' '.join(str(error).split())[:300]}"
    teacher = run.roles.get("teacher") if run.requires.teacher else None
    return teacher or "the run has no teacher that is a model here"
