"""Which parts of a config decide a run's numbers, and their hash."""

from __future__ import annotations

from typing import Any

from kdrun.config.recorded_files import content_digest
from kdrun.config.schema import RunConfig
from kdrun.storage.hashing import digest
from kdrun.storage.serialization import to_plain

NON_IDENTITY_KEYS = (
    "output_dir", "run_dir", "sweep", "retry", "dry_run", "debug", "experiment", "report", "tracker", "checkpoint",
    "generated", "offline", "student_alone", "cost_card",
)  # fmt: skip
"""Config keys that change a run's outputs but not its scores, so they are left out of its hash."""


NON_IDENTITY_KEYS_OF_SECTIONS = {"runtime": ("devices", "shard"), "teacher": ("placement", "max_memory")}
"""By section, keys that change a run's scores by rounding at most, and that a resumed run may change."""


def identity(config: Any) -> dict[str, Any]:
    """The part of a config, as plain data, that decides a run's results."""
    values = {key: value for key, value in to_plain(config).items() if key not in NON_IDENTITY_KEYS}
    for section, keys in NON_IDENTITY_KEYS_OF_SECTIONS.items():
        if isinstance(values.get(section), dict):
            values[section] = {key: value for key, value in values[section].items() if key not in keys}
    return values


def config_hash(config: RunConfig) -> str:
    """A hash of a config's identity and of the content of a recorded teacher's files, 16 hex digits."""
    content = content_digest(config)
    return digest(identity(config) | ({} if content is None else {"teacher_content": content}))[:16]
