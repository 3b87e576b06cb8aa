"""Cost of the models of several runs, measured side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from kdrun import progress
from kdrun.deployment import cost
from kdrun.deployment.cost import FORMATS, Subject
from kdrun.deployment.dev_rows import PREDICTIONS
from kdrun.deployment.saved_folder import SavedFolder
from kdrun.deployment.saved_model import load_saved
from kdrun.deployment.timing import spread
from kdrun.errors import ConfigError, KdrunError
from kdrun.runs.saved_teacher import build_teacher
from kdrun.storage.cost_card import STUDENT, TEACHER, CostCard
from kdrun.storage.files import read_jsonl
from kdrun.storage.json_reader import Shape

TEXTS: dict[str, Shape] = {"text": str, "text_pair?": str}


def measure_folders(found: Sequence[SavedFolder], rounds: int, threads: int | None, *, offline: bool) -> list[CostCard]:
    """One card per folder, all of one measurement on the dev rows of the first run.

    Args:
        found: run directories and model folders.
        rounds: times that each row is measured.
        threads: CPU threads; None for torch's default.
        offline: whether to open no socket to build teachers again.

    Raises:
        KdrunError: a model cannot be loaded.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    texts = _texts(next(saved.run.path for saved in found if saved.run is not None))
    subjects: dict[str, Subject] = {}
    names: list[dict[str, str]] = []
    reasons: list[dict[str, str]] = []
    teachers: dict[str, str] = {}
    for number, saved in enumerate(found):
        of_folder, missing = _subjects(saved, texts, offline)
        names.append({key: f"{number}/{key}" for key in of_folder})
        for key, subject in of_folder.items():
            same = teachers.setdefault(subject.model.fingerprint, f"{number}/{key}") if key == TEACHER else ""
            names[-1][key] = same or f"{number}/{key}"
            subjects.setdefault(names[-1][key], subject)
        reasons.append(missing)
    whole = cost.measure(subjects, rounds)
    return [_card(whole, keys, missing) for keys, missing in zip(names, reasons, strict=True)]


def _card(whole: CostCard, keys: dict[str, str], missing: dict[str, str]) -> CostCard:
    """The part of a measurement that belongs to one folder."""
    card: Any = {**whole, "models": {key: whole["models"][name] for key, name in keys.items()}}
    prefixes = {f"models.{name}.": f"models.{key}." for key, name in keys.items()}
    own = {k: why for k, why in whole["reasons"].items() if not k.startswith("models.")}
    for key, why in whole["reasons"].items():
        own |= {key.replace(old, new, 1): why for old, new in prefixes.items() if key.startswith(old)}
    card["reasons"] = own | missing
    return card


def _subjects(
    saved: SavedFolder, texts: Sequence[tuple[str, ...]], offline: bool
) -> tuple[dict[str, Subject], dict[str, str]]:
    """Teacher, student and exported files of a folder, and reasons for what is missing."""
    subjects: dict[str, Subject] = {}
    missing: dict[str, str] = {}
    if saved.run is None:
        missing[f"models.{TEACHER}"] = "a model folder has no teacher"
    else:
        with progress.track("building the teacher"):
            teacher = build_teacher(saved.run.path, offline=offline)
        if isinstance(teacher, str):
            missing[f"models.{TEACHER}"] = teacher
        else:
            subjects[TEACHER] = cost.bundle_subject(teacher, texts, saved.run.record["config"]["data"]["max_length"])
    student = load_saved(saved)
    name = saved.folder.name if saved.run is None else saved.run.result()["student"]["name"]
    subjects[STUDENT] = cost.student_subject(student, texts, name)
    for file in _exported_files(saved):
        key = f"{file.parent.name}/{file.name}"
        try:
            subjects[key] = cost.file_subject(file, student, texts)
        except (KdrunError, ConfigError) as error:
            missing[f"models.{key}"] = str(error)
    return subjects, missing


def _exported_files(saved: SavedFolder) -> list[Path]:
    if saved.run is None:
        return []
    return sorted(file for name in FORMATS for file in saved.run.path.glob(f"*/{name}"))


def _texts(run_dir: Path) -> list[tuple[str, ...]]:
    rows = read_jsonl(run_dir / PREDICTIONS, TEXTS)
    if not rows:
        raise ConfigError([f"{run_dir / PREDICTIONS} has no rows; name a run with dev rows"])
    chosen = [rows[index] for index in spread(len(rows), cost.MAX_TEXTS).tolist()]
    return [tuple(row[name] for name in ("text", "text_pair") if name in row) for row in chosen]
