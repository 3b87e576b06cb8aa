"""`kdrun resume=FOLDER`: the overrides of the run in a folder.

The folder may come from an untrusted source. The overrides in its `run.json` are validated like typed ones. They may
set only keys of a run, and `output_dir` only to a folder that already has a ledger or contains the run's folder.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from kdrun.config import overrides, user_configs
from kdrun.errors import ConfigError
from kdrun.storage.key_aliases import current_key
from kdrun.storage.ledger import LEDGER
from kdrun.storage.run_record import RECORD, read_record

RESUME = "resume="


def expand_resume(args: Sequence[str]) -> list[str]:
    """Replace `resume=FOLDER` by the overrides of the run in the folder; other overrides of the command line win.

    Raises:
        ConfigError: the folder does not hold a run, or its recorded command is not safe.
    """
    folders = [_folder(arg.removeprefix(RESUME)) for arg in args if arg.startswith(RESUME)]
    if not folders:
        return list(args)
    user_configs.use_recorded(folders[0])
    record = read_record(folders[0])
    if record is None or len(folders) > 1:
        reason = "name one folder" if len(folders) > 1 else f"it has no {RECORD}; name the folder of a run"
        raise ConfigError([f"{RESUME}{folders[0]}: {reason}"])
    others = [arg for arg in args if not arg.startswith(RESUME)]
    overridden = {"run_dir", *(current_key(overrides.key_of(arg), [str(record.get("method"))]) for arg in others)}
    try:
        command = shlex.split(record["command"])
    except ValueError as error:
        raise ConfigError([f"{folders[0] / RECORD}: its command cannot be read ({error}); start a new run"]) from None
    recorded = [arg for arg in command[1:] if overrides.key_of(arg) not in overridden]
    _check_safe(recorded, folders[0])
    return [*recorded, *others, f"run_dir={overrides.quote_value(str(folders[0]))}"]


def _folder(text: str) -> Path:
    """The folder as typed: with or without the quotes that other overrides need around special characters."""
    override = overrides.parse_override(f"{RESUME}{text}") if text.startswith(("'", '"')) else None
    return Path(text if override is None or isinstance(override, str) else str(override.value()))


def _check_safe(recorded: list[str], folder: Path) -> None:
    """Refuse a recorded command that sets more than keys of a run and a known output folder.

    Raises:
        ConfigError: the command has a Hydra override or an unknown output folder.
    """
    for text in recorded:
        override = overrides.parse_override(text)
        if isinstance(override, str):
            continue  # reported by the validation of all overrides
        if overrides.is_hydra(override):
            raise ConfigError([f"{folder / RECORD}: its command has {text!r}, which no run records; start a new run"])
        output_dir = Path(str(override.value()))
        is_trusted = (output_dir / LEDGER).is_file() or output_dir.resolve() in folder.resolve().parents
        if override.key_or_group == "output_dir" and not is_trusted:
            problem = f"its command has {text}, and no run has written there yet"
            raise ConfigError([f"{folder / RECORD}: {problem}; set the folder of the ledger with output_dir=…"])
