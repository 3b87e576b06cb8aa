"""Every command and every piece of code in the README, run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdrun.cli import main
from kdrun.config import compose, options
from kdrun.experiments.compare.options import CompareOptions
from kdrun.experiments.compare.plan import plan_arms
from tests.helpers.paths import ROOT

TEXT = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"`(kdrun [^`…]+)`", TEXT)))
SCRIPTS = re.findall(r"^(scripts/\w+.*)$", TEXT, re.MULTILINE)


def glue_folder(root: Path) -> Path:
    """A GLUE folder with a few rows of SST-2."""
    (root / "SST-2").mkdir(parents=True)
    for split, count in (("train", 40), ("dev", 20)):
        rows = [f"a {'good' if i % 2 else 'bad'} film number {i} of {split}\t{i % 2}" for i in range(count)]
        (root / "SST-2" / f"{split}.tsv").write_text("sentence\tlabel\n" + "\n".join(rows) + "\n")
    return root


def test_the_two_commands_stand_in_the_readme() -> None:
    assert "scripts/kdrun method=kd task=sst2" in SCRIPTS
    assert "scripts/test" in SCRIPTS
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text()
    assert len(COMMANDS) >= 7


@pytest.mark.skipif(not list(ROOT.glob(".venv/.kdrun-*")), reason="neither script has set up .venv here")
def test_the_script_runs_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run([str(ROOT / "scripts" / "kdrun"), "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("kdrun ")


LONG = ("dfkd_t3", "zskd", "mate_kd", "meta_kd", "kdrun -m", "kdrun compare")
"""Commands that other tests run on smaller models."""


def _is_long(command: str) -> bool:
    return any(word in command for word in LONG) and command != "kdrun compare method=kd task=sst2 seeds=3"


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(c, marks=pytest.mark.slow if _is_long(c) else ())
        for c in COMMANDS
        if "paper" not in c and "mine" not in c
    ],
)
def test_command(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As written, but small: steps and rows are cut, everything else is the command's own."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    small = ["optim.steps=2", "teacher.finetune_optim.steps=2", "teacher.allow_weak=true", "data.max_train_rows=40"]
    if "preset=mini" in words:
        glue = str(glue_folder(tmp_path / "glue"))
        words = [w.replace("GLUE_FOLDER", glue) for w in words]
        words += ["teacher=smoke", "student=smoke"]  # the hub's teacher cannot be had in a test
    if "RUN_FOLDER" in command:
        assert main.run(["method=kd", "task=sst2", "preset=smoke", "run_dir=begun", *small]) == 0
        words, small = [command.split()[1].replace("RUN_FOLDER", "begun")], []
    if words[0] in ("runs", "table", "report"):  # they read what is there
        assert main.run(["method=kd", "task=sst2", "preset=smoke", *small]) == 0
    elif words[0] not in ("--help", "--version", "explain"):
        words += small
    words = [w.replace("seeds=3", "seeds=1") for w in words]
    assert main.run(words) == 0, capsys.readouterr().err


@pytest.mark.usefixtures("run_env")
def test_the_paper_preset_offline_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (command,) = [c for c in COMMANDS if "preset=paper" in c]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    assert main.run(shlex.split(command)[1:]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "data=folder" in shown
    assert "data=embedded" in shown


def test_the_commands_on_generated_text_compose() -> None:
    """What they do is run in tests/generated; here, that they are written right."""
    section = TEXT.partition("### Generated text")[2].partition("\n##")[0]
    made, learnt, compared = (shlex.split(line)[1:] for line in re.findall(r"^kdrun .*$", section, re.MULTILINE))
    assert compose.load_config(made).run_dir == "outputs/made"
    assert compose.load_config(learnt).data.path == "outputs/made"
    settings, words = options.parse_options(CompareOptions, compared[1:], others=True)
    assert [arm.name for arm in plan_arms([*settings.baselines, *settings.method], words)] == [
        "kd_ood path=null", "kd_ood path=made",
    ]  # fmt: skip


def test_add_a_method_in_two_files(tmp_path: Path, shared_cache: Path) -> None:
    blocks = re.findall(r"`((?:conf|kdrun)/method\w*/mine\.\w+)`[^`]*```\w+\n(.*?)```", TEXT, re.DOTALL)
    assert [name for name, _ in blocks] == ["conf/method/mine.yaml", "kdrun/methods/mine.py"]
    for folder in ("kdrun", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, content in blocks:
        (tmp_path / name).write_text(content)
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "KDRUN_CACHE": str(shared_cache), "OMP_NUM_THREADS": "1"}
    command = next(c for c in COMMANDS if "method=mine" in c)
    done = subprocess.run(
        [sys.executable, "-m", "kdrun", *shlex.split(command)[1:], "preset=smoke"],
        capture_output=True, text=True, cwd=tmp_path, env=env, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine on rte (synthetic)" in done.stdout
