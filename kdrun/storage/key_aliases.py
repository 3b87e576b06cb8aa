"""Renamed and removed config keys, for the command line and stored records.

The command line accepts an old key for one version (`kdrun.config.overrides.rename_old_keys`). Ledgers, `run.json`,
`config.yaml`, sweeps, comparisons and published results keep the keys that they were written with. These keys are
renamed, and removed keys dropped, when the files are read, so that runs of both versions have equal settings.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

_OPTIMIZER_KEYS = {"accumulate": "gradient_accumulation_steps", "clip_norm": "max_grad_norm"}
"""Renamed keys of every optimizer section."""
_ALTERNATING_KEYS = {
    "method.generator_turn": "method.generator_steps_per_cycle",
    "method.student_turn": "method.student_steps_per_cycle",
}
_INTERMEDIATE_KEYS = {"method.intermediate_share": "method.intermediate_fraction"}

RENAMED_KEYS: dict[str, str] = {
    "select": "checkpoint_selection",
    "checkpoint.every": "checkpoint.every_seconds",
    "checkpoint.keep": "checkpoint.keep_last",
    "teacher.lessons": "teacher.domain_strategy",
    "teacher.fine_tuning": "teacher.finetune_optim",
    "teacher.stray_weight": "teacher.label_mass_weight",
    "student.stray_weight": "student.label_mass_weight",
    "generator.stray_weight": "generator.label_mass_weight",
    "ood.neighbour": "ood.neighbor",
    **{
        f"{section}.{old}": f"{section}.{new}"
        for section in ("optim", "teacher.finetune_optim")
        for old, new in _OPTIMIZER_KEYS.items()
    },
}
"""Old key → current key; the sections in front of an old name have their current names."""
RENAMED_METHOD_KEYS: dict[str, dict[str, str]] = {
    "mate_kd": _ALTERNATING_KEYS,
    "zskd": _ALTERNATING_KEYS,
    "tinybert_kd": _INTERMEDIATE_KEYS,
    "meta_kd": _INTERMEDIATE_KEYS,
    "dfkd_t3": {
        **_ALTERNATING_KEYS,
        "method.friendliness_weight": "method.adversarial_weight",
        "method.language_weight": "method.reference_kl_weight",
        "method.token_weight": "method.token_diversity_weight",
        "method.balance_weight": "method.class_balance_weight",
        "method.enough_log_odds": "method.log_odds_margin",
        "method.shortest": "method.min_tokens",
        "method.longest": "method.max_tokens",
    },
}
"""Method → its renamed keys. They apply to these methods only: a plugin's method may use such a name for a key."""

_GENERATOR_BUDGET = (
    "the generator takes method.generator_steps_per_cycle steps for each method.student_steps_per_cycle steps of the "
    "student, with the student's batches (optim.batch_size, optim.gradient_accumulation_steps)"
)
_GENERATOR_BUDGET_KEYS = {
    f"method.generator_optim.{name}": _GENERATOR_BUDGET
    for name in ("epochs", "steps", "batch_size", "gradient_accumulation_steps")
}
REMOVED_METHOD_KEYS: dict[str, dict[str, str]] = {
    "mate_kd": _GENERATOR_BUDGET_KEYS,
    "zskd": _GENERATOR_BUDGET_KEYS,
    "dfkd_t3": _GENERATOR_BUDGET_KEYS,
}
"""Method → keys that changed nothing and were removed, with what decides instead."""

_OLD_NAME = re.compile(
    r"\b({})\b".format(
        "|".join(
            sorted(
                {old.rpartition(".")[2] for keys in (RENAMED_KEYS, *RENAMED_METHOD_KEYS.values()) for old in keys},
                key=len,
                reverse=True,
            )
        )
    )
)


def current_key(key: str, methods: Iterable[str] = ()) -> str:
    """The current name of a config key; the key itself if it was never renamed.

    Args:
        key: dotted key, e.g. `teacher.fine_tuning.lr`; old and current names may be mixed.
        methods: methods whose keys may appear under `method`.
    """
    return _current_key(key, tuple(methods))


@lru_cache(maxsize=65536)
def _current_key(key: str, methods: tuple[str, ...]) -> str:
    tables = [RENAMED_KEYS, *(RENAMED_METHOD_KEYS[name] for name in methods if name in RENAMED_METHOD_KEYS)]
    path = ""
    for name in key.split("."):
        if path.startswith("method.") and name in _OPTIMIZER_KEYS:
            name = _OPTIMIZER_KEYS[name]
        path = f"{path}.{name}" if path else name
        path = next((table[path] for table in tables if path in table), path)
    return path


def rename_config(config: Mapping[str, Any], methods: Iterable[str], prefix: str = "") -> dict[str, Any]:
    """A nested config with current keys, without removed ones."""
    renamed: dict[str, Any] = {}
    methods = tuple(methods)
    removed = {key for method in methods for key in REMOVED_METHOD_KEYS.get(method, {})}
    for name, value in config.items():
        key = current_key(f"{prefix}{name}", methods)
        if key in removed:
            continue
        inner = rename_config(value, methods, f"{key}.") if isinstance(value, dict) else value
        renamed[key.removeprefix(prefix)] = inner
    return renamed


def rename_overrides(overrides: Iterable[str]) -> list[str]:
    """Overrides (`key=value`) with current keys, in their order; other arguments are unchanged."""
    overrides = list(overrides)
    methods = [
        name
        for override in overrides
        if override.startswith(("method=", "baselines="))
        for name in re.findall(r"\w+", override.partition("=")[2])
    ]
    return [_rename_override(override, methods) for override in overrides]


def _rename_override(override: str, methods: list[str]) -> str:
    key, mark, value = override.partition("=")
    name = key.lstrip("+~")
    return f"{key.removesuffix(name)}{current_key(name, methods)}{mark}{value}"


def rename_command(command: str) -> str:
    """A recorded command line with current keys."""
    if not _OLD_NAME.search(command):
        return command
    try:
        args = shlex.split(command)
    except ValueError:  # reported where the command is used
        return command
    renamed = rename_overrides(args)
    return command if renamed == args else shlex.join(renamed)


def rename_run(record: Mapping[str, Any]) -> dict[str, Any]:
    """A ledger line or `run.json` of a run with current keys in its config and command."""
    renamed = dict(record)
    if isinstance(record.get("config"), Mapping):
        renamed["config"] = rename_config(record["config"], [str(record.get("method"))])
    if isinstance(record.get("command"), str):
        renamed["command"] = rename_command(record["command"])
    if isinstance(record.get("provenance"), Mapping):
        renamed["provenance"] = rename_run(record["provenance"])
    return renamed


def rename_comparison(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of a comparison with current keys; arms named after an old key are renamed too."""
    arms = [_rename_arm(arm) for arm in record["arms"]]
    names = {old["name"]: new["name"] for old, new in zip(record["arms"], arms, strict=True)}
    method = ((record.get("config") or {}).get("method") or {}).get("name")
    renamed = rename_run({**record, "method": method}) | {"arms": arms}
    for key in ("pairs", "claims"):
        pairs = record.get(key, [])
        renamed[key] = [{**pair, **{side: names.get(pair[side], pair[side]) for side in "ab"}} for pair in pairs]
    if record.get("uneven_steps"):
        renamed["uneven_steps"] = [_replace_all(line, names) for line in record["uneven_steps"]]
    return {key: renamed[key] for key in record}


def _rename_arm(arm: Mapping[str, Any]) -> dict[str, Any]:
    old = list(arm.get("words") or [])
    new, name = rename_overrides(old), arm["name"]
    for before, after in zip(old, new, strict=True):
        last_names = [override.partition("=")[0].rpartition(".")[2] for override in (before, after)]
        name = name.replace(f" {last_names[0]}=", f" {last_names[1]}=")
    return {**arm, "name": name, **({"words": new} if "words" in arm else {})}


def _replace_all(text: str, names: Mapping[str, str]) -> str:
    for old in sorted(names, key=len, reverse=True):
        text = text.replace(old, names[old])
    return text
