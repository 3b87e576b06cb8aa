"""Every command and code block of the README and the quickstart."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from kdrun.cli import main
from tests.helpers import forked
from tests.helpers.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = README + "".join((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8") for page in ("quickstart",))
COMMANDS = sorted(
    {*re.findall(r"`(kdrun [^`…]+)`", PAGES), *re.findall(r"^(kdrun (?:-m|compare|\w+=).+)$", PAGES, re.MULTILINE)}
)
SCRIPTS = re.findall(r"^(scripts/\w+.*)$", README, re.MULTILINE)


def write_glue_folder(root: Path) -> Path:
    """A GLUE folder with a few rows of SST-2."""
    (root / "SST-2").mkdir(parents=True)
    for split, count in (("train", 40), ("dev", 20)):
        rows = [f"a {'good' if i % 2 else 'bad'} film number {i} of {split}\t{i % 2}" for i in range(count)]
        (root / "SST-2" / f"{split}.tsv").write_text("sentence\tlabel\n" + "\n".join(rows) + "\n")
    return root


def test_the_readme_is_short_and_has_the_two_commands() -> None:
    assert len(README.splitlines()) <= 120
    assert "scripts/kdrun method=kd task=sst2" in SCRIPTS
    assert "scripts/test" in SCRIPTS
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text()
    assert len(COMMANDS) >= 7


def is_set_up() -> bool:
    """Whether a script has installed the present pins into .venv, so that `scripts/kdrun` installs nothing."""
    pins = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "scripts/constraints.txt"))
    wanted = subprocess.run(["cksum"], input=pins, capture_output=True, check=True).stdout.decode().strip()
    return any(stamp.read_text().strip() == wanted for stamp in ROOT.glob(".venv/.kdrun-*"))


@pytest.mark.skipif(not is_set_up(), reason="neither script has set up .venv here with the present pins")
def test_the_script_runs_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run([str(ROOT / "scripts" / "kdrun"), "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("kdrun ")


LONG = ("zskd", "mate_kd", "meta_kd", "kdrun -m")
"""Commands that take long here; other tests run one command of each group on smaller models."""


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=pytest.mark.slow if any(name in command for name in LONG) else ())
        for command in COMMANDS
        if "preset=paper" not in command and "mine" not in command and "explain NAME" not in command
    ],
)
def test_command(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As written, but with few steps and rows."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    small = ["optim.steps=2", "teacher.finetune_optim.steps=2", "teacher.allow_weak=true", "data.max_train_rows=40"]
    finished_run = ["method=kd", "task=sst2", "preset=smoke", *small]
    if "preset=mini" in words:
        glue = str(write_glue_folder(tmp_path / "glue"))
        words = [word.replace("GLUE_FOLDER", glue) for word in words]
        words += ["teacher=smoke", "student=smoke"]  # a test has no hub
    if words[0].startswith("resume="):
        assert main.run([*finished_run, "run_dir=stopped"]) == 0
        words, small = ["resume=stopped"], []
    if words[0] in ("runs", "table", "report"):  # commands that read finished runs
        assert main.run(finished_run) == 0
    elif words[0] not in ("--help", "--version", "explain"):
        words += small
    words = [word.replace("seeds=3", "seeds=1") for word in words]
    assert main.run(words) == 0, capsys.readouterr().err


@pytest.mark.usefixtures("run_env")
def test_the_paper_preset_offline_names_the_alternatives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    assert main.run(["method=kd", "task=sst2", "preset=paper"]) == 1
    message = " ".join(capsys.readouterr().out.split())
    assert "data=folder" in message
    assert "data=embedded" in message


def test_add_a_method(tmp_path: Path, shared_cache: Path) -> None:
    ((name, content),) = re.findall(r"`(kdrun/methods/mine\.py)`[^`]*```\w+\n(.*?)```", README, re.DOTALL)
    for folder in ("kdrun", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / name).write_text(content)
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "KDRUN_CACHE": str(shared_cache), "OMP_NUM_THREADS": "1"}
    command = next(command for command in COMMANDS if "method=mine" in command)
    words = [*shlex.split(command)[1:], "preset=smoke"]
    done = forked.with_libraries().run(forked.KDRUN, *words, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine on rte (synthetic)" in done.stdout
