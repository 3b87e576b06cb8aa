"""Exit status of `scripts/test` when one of its checks fails, with tools that only say their names."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

TOOLS = ("ruff", "codespell", "lint-imports", "pyright", "python")
TOOL = '#!/usr/bin/env bash\necho "${0##*/} $*"\n[ "${BROKEN:-}" != "${0##*/}" ]\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with `scripts/test`, whose tools fail if the variable BROKEN names them."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "test", tmp_path / "scripts")
    setup = f"set -euo pipefail\nroot={tmp_path}\nkdrun_setup() {{ :; }}\n"
    (tmp_path / "scripts" / "setup").write_text(setup)
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in TOOLS:
        (folder / name).write_text(TOOL)
        (folder / name).chmod(0o755)
    return tmp_path


def run(checkout: Path, *arguments: str, broken: str = "") -> subprocess.CompletedProcess[str]:
    command, env = [str(checkout / "scripts" / "test"), *arguments], os.environ | {"BROKEN": broken}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_all_checks_run(checkout: Path) -> None:
    done = run(checkout)
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines()} >= set(TOOLS)


@pytest.mark.parametrize("broken", TOOLS)
def test_a_failed_check_fails_the_script(checkout: Path, broken: str) -> None:
    assert run(checkout, broken=broken).returncode != 0


def test_with_a_room_only_its_tests_run(checkout: Path) -> None:
    done = run(checkout, "unit/data", "-k", "x", broken="pyright")
    assert done.returncode == 0
    assert done.stdout.startswith("python -m pytest")
    assert "tests/unit/data -k x" in done.stdout
