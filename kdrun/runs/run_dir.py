"""The folder of a run: its files, claim and ledger lines.

`run.json` identifies the run: its first ledger line and the environment it recorded after loading its data. A stopped
run resumes if these still match: by the same command with the same `run_dir`, or by `kdrun resume=FOLDER`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kdrun import ranks
from kdrun.config import user_configs
from kdrun.config.identity import config_hash, identity
from kdrun.config.schema import RunConfig
from kdrun.errors import BusyError, ConfigError, DataError
from kdrun.runs.provenance import code_digest
from kdrun.storage.claims import Claim, HeldError
from kdrun.storage.files import append_jsonl, append_text, make_folder, read_jsonl, write_atomic
from kdrun.storage.ledger import LEDGER, LOCK
from kdrun.storage.ledger_lines import scan
from kdrun.storage.processes import process_facts
from kdrun.storage.run_record import MAX_DIFFERENCES, RECORD, code_difference, config_differences, read_record, shorten
from kdrun.storage.run_result import RESULT, RunResult, ledger_result, read_result
from kdrun.storage.serialization import to_plain
from kdrun.version import __version__

METRICS, SAMPLES = "metrics.jsonl", "samples.jsonl"


class Stopwatch:
    """Seconds since a run began, including those before it was stopped and resumed."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._started

    def add(self, seconds: float) -> None:
        """Count seconds of an earlier process."""
        self._started -= seconds


class RunDirectory:
    """The folder of one run and its lines of the ledger.

    Args:
        config: config of the run.
        group: `run_id` of the whole run if this run is a part of it, such as the run of one domain.

    Attributes:
        path: the folder.
        ledger: path of the ledger.
        resuming: whether the folder already holds this run, so that it resumes.
        record: content of `run.json`.
        stopwatch: time of the run, for the ledger.

    Raises:
        ConfigError: `run_dir` holds other files, or a run with another config or other code.
    """

    def __init__(self, config: RunConfig, group: str | None = None) -> None:
        self.config = config
        now = time.strftime("%Y%m%d-%H%M%S")
        run_id = f"{now}-{uuid.uuid4().hex[:6]}"
        default = Path(config.output_dir) / config.method.name / config.task.name / run_id
        self.path = Path(config.run_dir) if config.run_dir else default
        self.ledger = Path(config.output_dir) / LEDGER
        self._claim = Claim(self.path / LOCK)
        self.stopwatch = Stopwatch()
        before = read_record(self.path)
        self.resuming = before is not None
        if before is not None:
            _check_no_links(self.path)
            _check_same_run(self.path, before, config)
        elif not _is_free(self.path):
            raise ConfigError([f"run_dir={self.path} is not an empty folder; choose another one or remove it"])
        self.record = before or self._record(run_id, group)

    @classmethod
    def attach(cls, config: RunConfig, path: Path) -> RunDirectory:
        """The folder that the process which started this one has opened, and holds the claim of.

        Args:
            config: config of the run.
            path: the folder.
        """
        return cls(dataclasses.replace(config, run_dir=str(path)))

    @property
    def run_id(self) -> str:
        """Id of the run in the ledger."""
        return self.record["run_id"]

    @property
    def command(self) -> str:
        """Command that started the run."""
        return self.record["command"]

    def _record(self, run_id: str, group: str | None) -> dict[str, Any]:
        c = self.config
        return {
            "event": "start",
            "run_id": run_id,
            "run_dir": str(self.path),
            "method": c.method.name,
            "task": c.task.name,
            "preset": c.preset,
            "seed": c.seed,
            "sweep": c.sweep,
            "group": group,
            "source": c.data.name,
            "config": to_plain(c),
            "config_hash": config_hash(c),
            "code": code_digest(),
            "kdrun": __version__,
        }

    def result(self) -> RunResult | None:
        """The result of a run that is already finished; None for any other run.

        Adds the last ledger line of a run that was killed after it wrote its result.

        Raises:
            ConfigError: result.json cannot be read.
        """
        path = self.path / RESULT
        if not self.resuming or not path.exists():
            return None
        try:
            result = read_result(path)
        except DataError as error:
            raise ConfigError([f"{error}; remove the file to resume the run"]) from None
        lines = scan(self.ledger).runs.get(self.run_id)
        if lines is None or lines.facts["status"] != "done":
            self.close("done", result)
        return result

    def open(self, command: str) -> None:
        """Claim the folder, and write the resolved config and the first ledger line.

        Raises:
            BusyError: another process uses the folder.
            DataError: the ledger, or a part of the path below `output_dir`, is a link.
        """
        from omegaconf import OmegaConf

        output_dir = Path(self.config.output_dir)
        make_folder(self.path, output_dir if self.path.is_relative_to(output_dir) else self.path)
        try:
            self._claim.acquire(timeout=0)
        except HeldError:
            raise BusyError([f"another process is running in {self.path}; wait for it, or stop it"]) from None
        if (not self.resuming and read_record(self.path) is not None) or (self.path / RESULT).exists():
            self._claim.release()
            raise BusyError([f"another process started in {self.path} at the same time; repeat the command"])
        if not self.resuming:
            self.record |= {"command": command, "started": time.time(), **process_facts()}
            self._write_record()
            self._copy_user_configs(command)
        write_atomic(self.path / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(to_plain(self.config))))
        if self.run_id not in scan(self.ledger).runs:
            append_jsonl(self.ledger, self.record)
        if self.resuming:
            record = {"event": "resume", "run_id": self.run_id, "run_dir": str(self.path), "status": "running"}
            num_processes = max(self.config.runtime.devices, ranks.started_as()[1])
            facts = {"error": None, "resumed": time.time(), "processes": num_processes, **process_facts()}
            append_jsonl(self.ledger, record | facts)

    def _copy_user_configs(self, command: str) -> None:
        """Copy the user's own config files that the command chooses, so that the run resumes without them."""
        for choice in user_configs.used_by(shlex.split(command)[1:]):
            folder = make_folder(self.path / user_configs.FOLDER / choice.axis, self.path)
            write_atomic(folder / f"{choice.name}.yaml", choice.path.read_text(encoding="utf-8"))

    def release(self) -> None:
        """Release the folder for other processes."""
        self._claim.release(forever=(self.path / RESULT).exists())

    def record_environment(self, environment: dict[str, Any]) -> None:
        """Record the environment after loading the data, or compare it with the recorded one.

        Raises:
            ConfigError: the environment differs; lists the differences.
        """
        changed = config_differences(self.record.get("found", environment), environment)
        if changed:
            raise ConfigError(
                [f"cannot resume the run in {self.path}: {text}" for text in changed] + ["start a new run"]
            )
        self.record["found"] = environment
        if ranks.is_first():
            self._write_record()

    def _write_record(self) -> None:
        write_atomic(self.path / RECORD, json.dumps(to_plain(self.record), indent=1) + "\n")

    def log(self, record: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl (one writer, so no lock)."""
        self._claim.check()
        append_text(self.path / METRICS, json.dumps(to_plain(record)) + "\n")

    def samples(self, rows: list[dict[str, Any]]) -> None:
        """Append to samples.jsonl."""
        lines = [json.dumps(to_plain(row), ensure_ascii=False) + "\n" for row in rows]
        append_text(self.path / SAMPLES, "".join(lines))

    def last_samples(self) -> list[dict[str, Any]]:
        """The rows of samples.jsonl from the last evaluation."""
        path = self.path / SAMPLES
        rows = read_jsonl(path, {"step": int}) if path.exists() else []
        return [row for row in rows if row["step"] == rows[-1]["step"]]

    def log_sizes(self) -> dict[str, int]:
        """Flush the logs that grow during training to the disk, and return their sizes in bytes."""
        sizes = {}
        for name in (METRICS, SAMPLES):
            if (self.path / name).exists():
                with (self.path / name).open("rb") as file:
                    os.fsync(file.fileno())
                    sizes[name] = file.seek(0, os.SEEK_END)
        return sizes

    def missing_log_bytes(self, sizes: dict[str, int]) -> str | None:
        """Description of the first log that is now shorter than its earlier size; None if none is."""
        current = self.log_sizes()
        short = [name for name, size in sizes.items() if current.get(name, 0) < size]
        return f"{short[0]} has {current.get(short[0], 0)} bytes of {sizes[short[0]]}" if short else None

    def truncate_logs(self, sizes: dict[str, int]) -> None:
        """Truncate the logs to these sizes; a log without a size is deleted."""
        for name in self.log_sizes():
            if name in sizes:
                os.truncate(self.path / name, sizes[name])
            else:
                (self.path / name).unlink()

    def predictions(self, rows: Iterable[dict[str, Any]], name: str = "predictions.jsonl") -> None:
        """Write predictions.jsonl, or predictions in a file of another name."""
        write_atomic(self.path / name, "".join(json.dumps(row) + "\n" for row in rows))

    def close(self, status: str, result: RunResult | None = None, error: str | None = None) -> None:
        """Write result.json, if there is one, and the ledger's last line."""
        self._claim.check()
        if result is not None:
            write_atomic(self.path / RESULT, json.dumps(to_plain(result), indent=2) + "\n")
        append_jsonl(
            self.ledger,
            {
                "event": "end",
                "run_id": self.run_id,
                "status": status,
                "error": error,
                "seconds": round(self.stopwatch.seconds(), 2),
                **(ledger_result(result) if result is not None else {}),
            },
        )


def _check_no_links(folder: Path) -> None:
    """Refuse a folder with symbolic links: a run would write outside its folder."""
    links = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink())
    if links:
        names = ", ".join(links[:MAX_DIFFERENCES])
        raise ConfigError(
            [
                f"{folder} holds symbolic links ({names}), so the run would write outside its folder; replace them "
                "with the files they point to, or choose another run_dir"
            ]
        )


def _is_free(folder: Path) -> bool:
    """Whether a run may start in the folder: it is empty, or holds only leftovers of a run that died at its start."""
    if not folder.exists():
        return True
    return folder.is_dir() and not [p for p in folder.iterdir() if p.name != LOCK and ".tmp-" not in p.name]


def _check_same_run(folder: Path, before: dict[str, Any], config: RunConfig) -> None:
    differences = config_differences(identity(before["config"]), identity(config))
    differences += code_difference(before["code"], code_digest())
    if differences:
        problem = f"{folder} belongs to another run; choose another run_dir, or use the original settings"
        before_precision = (before["config"].get("runtime") or {}).get("precision")
        if before_precision not in (None, config.runtime.precision.value):  # auto, on another machine
            problem += f" (runtime.precision={before_precision})"
        raise ConfigError([problem, *shorten(differences)])
