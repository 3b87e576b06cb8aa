"""Code hash, git commit and library versions of a run."""

from __future__ import annotations

import ast
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from kdrun import ranks
from kdrun.config.identity import config_hash
from kdrun.config.schema import RunConfig
from kdrun.storage import source_results
from kdrun.storage.hashing import digest
from kdrun.storage.run_result import Provenance

NON_COMPUTING = (
    "cli", "deployment", "experiments", "reporting", "console.py", "formatting.py", "training/metric_loggers.py",
)  # fmt: skip
"""Rooms and modules that only read results or print; a change in them does not change the numbers of a run."""

PACKAGE = Path(__file__).resolve().parents[1]


@cache
def code_digest() -> str:
    """Hash of the code that decides the numbers of a run, 16 hex digits: all of kdrun except `NON_COMPUTING`.

    Comments, docstrings and layout do not count, so results stay valid when only the documentation changes. Parsing all
    files takes a second, so the cache keeps the hash.
    """
    sources = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
    computing = {name: path for name, path in sources.items() if not _is_non_computing(name)}
    name = f"code digest of {' '.join(computing)}"
    return source_results.cached_result(name, computing.values(), lambda: _digest_of(computing))


def _digest_of(computing: Mapping[str, Path]) -> str:
    """Hash of the code of modules by name, 16 hex digits."""
    return digest({name: _bare_code(path.read_text("utf-8")) for name, path in computing.items()})[:16]


def _is_non_computing(name: str) -> bool:
    return any(name == part or name.startswith(f"{part}/") for part in NON_COMPUTING)


def _bare_code(source: str) -> str:
    """A module's syntax tree without docstrings, as text."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            code = [item for item in body if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))]
            node.body = code  # pyright: ignore[reportAttributeAccessIssue]
    return ast.dump(tree)


def provenance(config: RunConfig, data_hash: str | None, command: str) -> Provenance:
    """Code, versions, machine-independent hashes and the command, as needed to repeat a run."""
    commit, dirty = _git()
    libraries = versions()
    return {
        "code": code_digest(),
        "git": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": libraries["torch"],
        "transformers": libraries["transformers"],
        "config_hash": config_hash(config),
        "data_hash": data_hash,
        "command": command,
        "processes": max(config.runtime.devices, ranks.started_as()[1]),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that compute the numbers of a run."""
    import torch
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__}


def _git() -> tuple[str | None, bool | None]:
    """Commit of the source of kdrun, and whether it has changes; (None, None) if it is not a git checkout."""
    if not (PACKAGE.parent / ".git").exists():
        return None, None

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(PACKAGE.parent), *args], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None
