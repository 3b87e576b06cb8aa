"""`kdrun resume=FOLDER`: the overrides of the run in a folder.

The folder may come from a stranger. What its `run.json` says is composed and checked as if it had been typed, and may
set a run's keys only; where the ledger goes it says only if runs are kept there already.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from kdrun.config import overrides
from kdrun.errors import ConfigError
from kdrun.runs.run_record import RECORD, read_record
from kdrun.storage.key_aliases import current_key
from kdrun.storage.ledger import LEDGER

RESUME = "resume="


def expand_resume(words: Sequence[str]) -> list[str]:
    """Overrides of a command line, with `resume=FOLDER` replaced by those of the run in the folder.

    Raises:
        ConfigError: the folder is not of a run.
    """
    folders = [Path(word.removeprefix(RESUME)) for word in words if word.startswith(RESUME)]
    if not folders:
        return list(words)
    record = read_record(folders[0])
    if record is None or len(folders) > 1:
        reason = "name one folder" if len(folders) > 1 else f"no run left a {RECORD} there; name the folder of a run"
        raise ConfigError([f"{RESUME}{folders[0]}: {reason}"])
    others = [word for word in words if not word.startswith(RESUME)]
    named = {"run_dir", *(current_key(overrides.key_of(word), [str(record.get("method"))]) for word in others)}
    try:
        own = [word for word in shlex.split(record["command"])[1:] if overrides.key_of(word) not in named]
    except ValueError as error:
        raise ConfigError([f"{folders[0] / RECORD}: its command cannot be read ({error}); start a new run"]) from None
    _check_safe(own, folders[0])
    return [*own, *others, f"run_dir={overrides.quote_path(folders[0])}"]


def _check_safe(words: list[str], folder: Path) -> None:
    """Refuse a recorded command that sets more than keys of a run and a known output folder.

    Raises:
        ConfigError: the command has a Hydra override or an unknown output folder.
    """
    for word in words:
        override = overrides.parse_override(word)
        if isinstance(override, str):
            continue  # reported by the validation of all overrides
        if overrides.is_hydra(override):
            raise ConfigError([f"{folder / RECORD}: its command has {word!r}, which no run records; start a new run"])
        place = Path(str(override.value()))
        is_known = (place / LEDGER).is_file() or place.resolve() in folder.resolve().parents
        if override.key_or_group == "output_dir" and not is_known:
            told = f"its command has {word}, and no run has written there yet"
            raise ConfigError([f"{folder / RECORD}: {told}; say where the ledger is to be: output_dir=…"])
