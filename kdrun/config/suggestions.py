"""Suggest the key or choice meant by an unknown one.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from kdrun.config.paths import CONF_DIR
from kdrun.errors import did_you_mean

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "alpha": ("method.soft_weight", "method.hard_weight"),
    "beta": ("method.soft_weight", "method.hard_weight"),
    "kd_weight": ("method.soft_weight",),
    "ce_weight": ("method.hard_weight",),
    "t": ("method.temperature",),
    "tau": ("method.temperature",),
    "temp": ("method.temperature",),
    "learning_rate": ("optim.lr",),
    "num_epochs": ("optim.epochs",),
    "num_train_epochs": ("optim.epochs",),
    "max_steps": ("optim.steps",),
    "bs": ("optim.batch_size",),
    "train_batch_size": ("optim.batch_size",),
    "per_device_train_batch_size": ("optim.batch_size",),
    "grad_accum": ("optim.gradient_accumulation_steps",),
    "clip_norm": ("optim.max_grad_norm",),
    "wd": ("optim.weight_decay",),
    "warmup": ("optim.warmup_ratio", "optim.warmup_steps"),
    "early_stopping": ("optim.patience",),
    "early_stopping_patience": ("optim.patience",),
    "max_len": ("data.max_length",),
    "max_seq_length": ("data.max_length",),
    "data_dir": ("data.dir",),
    "dataset": ("task", "data"),
    "fp16": ("runtime.precision",),
    "bf16": ("runtime.precision",),
    "cuda": ("runtime.device",),
    "gpu": ("runtime.device",),
    "output": ("output_dir",),
    "out_dir": ("output_dir",),
    "model": ("student",),
    "student_model": ("student",),
    "teacher_model": ("teacher",),
    "epoch": ("optim.epochs",),
}
"""Last part of a key that other tools have → keys of kdrun."""


def suggest_key(key: str, keys: Sequence[str]) -> str:
    """The ending that suggests a key; empty if no key is close.

    Args:
        key: the unknown key.
        keys: all keys of the run.
    """
    name = key.rpartition(".")[2].lower()
    known = [other for other in OTHER_NAMES.get(name, ()) if other in keys]
    if not known:  # the same name in a section, the run's own first
        same = [other for other in keys if other.rpartition(".")[2] == name and other != key]
        known = sorted(same, key=lambda other: (other.count("."), not other.startswith("optim."), other))[:1]
    return f"; did you mean {' or '.join(map(repr, known))}?" if known else did_you_mean(key, keys)


def suggest_choice(axis: str, value: str, names: Sequence[str]) -> str:
    """The ending that suggests a choice of an axis, or the key for a model of the hub or a folder."""
    if axis in ("teacher", "student", "generator"):
        for path in sorted((CONF_DIR / axis).glob("*.yaml")):
            if str(OmegaConf.select(OmegaConf.load(path), "hub")).rpartition("/")[2] == value.rpartition("/")[2]:
                return f"; did you mean {path.stem!r}?"
        if Path(value).is_dir():
            return f"; write {axis}.path={value} for a folder"
        if "/" in value or value.count("-") > 1:
            return f"; write {axis}=pretrained {axis}.hub={value} for a model of the hub"
    if axis == "data" and Path(value).is_file():
        return f"; write task=own data=files data.train={value} data.dev=0.1"
    if axis in ("data", "corpus") and Path(value).exists():
        return f"; write {axis}=folder {axis}.dir={value}"
    return did_you_mean(value, names)
