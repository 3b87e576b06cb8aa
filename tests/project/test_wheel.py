"""Contents of the wheel, and its use from any folder."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT


def test_every_package_is_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    packages = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "kdrun").rglob("__init__.py")}
    assert listed == packages | {"kdrun.conf"}


def test_constraints_pin_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    lines = (ROOT / "scripts" / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    for requirement in requirements:
        name = requirement.split(">")[0].split("=")[0].split("[")[0].lower()
        assert name in pinned, f"{name} is not pinned in scripts/constraints.txt"


@pytest.mark.slow
def test_wheel_holds_the_configs_and_runs_from_any_folder(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {n.removeprefix("kdrun/conf/") for n in names if n.startswith("kdrun/conf/") and n.endswith(".yaml")}
    assert shipped == {str(p.relative_to(ROOT / "conf")) for p in (ROOT / "conf").rglob("*.yaml")}
    subprocess.run([*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)], check=True)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "KDRUN_CACHE": str(tmp_path / "cache")}
    code = "import kdrun, sys; from kdrun.cli import main; print(kdrun.__file__); sys.exit(main.run(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "preset=smoke", "dry_run=true"],
        capture_output=True, text=True, env=env, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "site") in done.stdout
    assert "dry run: everything composes" in done.stdout
