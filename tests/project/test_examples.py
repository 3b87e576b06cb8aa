"""Everything in examples/ and the steps of docs/extend, at smoke size."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers import forked
from tests.helpers.paths import ROOT
from tests.helpers.tiny_families import save_checkpoint

EXAMPLES = ROOT / "examples"
SMOKE = ["preset=smoke", "teacher.allow_weak=true"]
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)


def copy_project(folder: Path) -> Path:
    """A copy of kdrun and its configs, to which a test adds files."""
    for name in ("kdrun", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


COMMANDS = """
import contextlib, io, json, sys
from kdrun.cli import main
results = []
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = main.run(arguments)
    results.append([code, output.getvalue(), "torch" in sys.modules])
print(json.dumps(results))
"""


class Outcome(NamedTuple):
    """Exit code and output of a kdrun command, and whether torch was loaded at its end."""

    code: int
    output: str
    has_torch: bool


def run_commands(
    *commands: list[str], paths: list[Path], cwd: Path, cache: Path, server: forked.Server | None = None
) -> list[Outcome]:
    """Run kdrun commands one after the other in a process with these import paths."""
    search_path = os.pathsep.join(str(path) for path in paths)
    env = {**os.environ, "PYTHONPATH": search_path, "KDRUN_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = (server or forked.with_libraries()).run(COMMANDS, json.dumps(commands), env=env, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return [Outcome(*result) for result in json.loads(done.stdout)]


def install_plugin(folder: Path, module: str, code: str, entry_name: str) -> Path:
    """A folder for the import path with an installed package of one module that kdrun loads."""
    site = folder / "site"
    info = site / f"{module}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[kdrun.plugins]\n{entry_name} = {module}\n")
    return site


def test_custom_method_as_an_installed_plugin(tmp_path: Path, shared_cache: Path) -> None:
    code = (EXAMPLES / "custom_method" / "kdrun_margin_kd.py").read_text()
    project = (EXAMPLES / "custom_method" / "pyproject.toml").read_text()
    (entry,) = re.findall(r'\[project.entry-points."kdrun.plugins"\]\n(\w+) = "(\w+)"', project)
    site = install_plugin(tmp_path, entry[1], code, entry[0])
    commands = ["explain", "margin_kd"], ["method=margin_kd", "task=rte", *SMOKE]
    card, run = run_commands(*commands, paths=[site, ROOT], cwd=tmp_path, cache=shared_cache)
    assert (card.code, run.code) == (0, 0), run.output
    assert "margin" in card.output
    assert "margin_kd on rte" in run.output


def add_loss(project: Path) -> None:
    """Follow docs/extend/add_a_loss.md."""
    page = (ROOT / "docs" / "extend" / "add_a_loss.md").read_text()
    python, yaml = (re.search(rf"^```{kind}\n(.*?)^```", page, re.MULTILINE | re.DOTALL) for kind in ("python", "yaml"))
    assert python is not None
    assert yaml is not None
    with (project / "kdrun" / "losses" / "divergences.py").open("a") as file:
        file.write(f"\n\n{python[1]}")
    (project / "conf" / "loss" / "total_variation.yaml").write_text(yaml[1])


def add_data_source(project: Path) -> Path:
    """Follow docs/extend/add_a_data_source.md; return a folder of rows for the source."""
    blocks = dict(BLOCK.findall((ROOT / "docs" / "extend" / "add_a_data_source.md").read_text()))
    config = project / "kdrun" / "config" / "data.py"
    text, mark = config.read_text(), "DATA_SOURCES: dict[str, type] = {\n"
    assert mark in text
    block = blocks.pop("kdrun/config/data.py")
    config.write_text(text.replace(mark, f'{block}\n\n{mark}    "parquet": ParquetDataConfig,\n'))
    for name, content in blocks.items():
        (project / name).write_text(content)
    rows = project / "rows"
    rows.mkdir()
    for split, count in (("train", 40), ("dev", 20)):
        texts = [f"a {'good' if i % 2 else 'bad'} film number {i} of {split}" for i in range(count)]
        pq.write_table(pa.table({"sentence": texts, "label": [i % 2 for i in range(count)]}), rows / f"{split}.parquet")
    return rows


@pytest.fixture(scope="module")
def added_parts(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> dict[str, Outcome]:
    """A run with a task, with a loss and with a data source that were added to one copy of the project."""
    project = copy_project(tmp_path_factory.mktemp("project"))
    shutil.copy(EXAMPLES / "custom_task" / "emotion.yaml", project / "conf" / "task")
    add_loss(project)
    rows = add_data_source(project)
    task_rows = f"data.dir={EXAMPLES / 'custom_task' / 'rows'}"
    commands = {
        "task": ["method=kd", "task=emotion", "data=folder", task_rows, *SMOKE],
        "loss": ["method=kd", "task=sst2", "loss=total_variation", *SMOKE],
        "data": ["method=kd", "task=sst2", "data=parquet", f"data.dir={rows}", *SMOKE],
    }
    outcomes = run_commands(*commands.values(), paths=[project], cwd=project, cache=shared_cache)
    return dict(zip(commands, outcomes, strict=True))


def test_custom_task(added_parts: dict[str, Outcome]) -> None:
    code, output, _ = added_parts["task"]
    assert code == 0, output
    assert "kd on emotion" in output
    assert "officially" not in output, "rows in the yaml differ from the files"


def test_added_loss(added_parts: dict[str, Outcome]) -> None:
    code, output, _ = added_parts["loss"]
    assert code == 0, output
    assert "kd (loss total_variation)" in output


def test_added_data_source(added_parts: dict[str, Outcome]) -> None:
    code, output, _ = added_parts["data"]
    assert code == 0, output
    assert "train 40, dev 20" in output


def load_module(path: Path) -> ModuleType:
    """The module of a script that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAIL = "From a Thu Aug 22\nFrom: ann@example.org\nSubject: hello\nContent-Type: text/{kind}\n\n{body}\n"


def test_spam_filter_keeps_bodies_without_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mails = {
        "spam-1/1.json": MAIL.format(kind="html", body="<p>Win &amp; buy</p> at http://example.org/x now"),
        "easy-ham-1/2.json": MAIL.format(kind="plain", body="Write to bob@example.org, please.\n-- \nThe list"),
        "easy-ham-2/3.json": MAIL.format(kind="plain", body="Write to bob@example.org, please."),
        "hard-ham-1/4.json": MAIL.format(kind="plain", body="-- \nonly a footer"),
        "spam-2/notes.txt": "not a mail",
    }
    with tarfile.open(tmp_path / "mails.tgz", "w:gz") as archive:
        for name, text in mails.items():
            (tmp_path / "mail").write_text(json.dumps({"text": text}))
            archive.add(tmp_path / "mail", f"package/data/{name}")
    prepare = load_module(EXAMPLES / "spam_filter" / "prepare.py")
    monkeypatch.setattr(prepare, "NUM_LABELED", 1)
    monkeypatch.setattr(prepare, "NUM_TEST", 1)
    prepare.main(str(tmp_path / "mails.tgz"), str(tmp_path))
    rows = [(tmp_path / name).read_text().splitlines() for name in ("labeled.csv", "test.csv")]
    assert {lines[0] for lines in rows} == {"text,label"}
    assert {lines[1] for lines in rows} == {"Write to ADDRESS please.,ham", "Win & buy at LINK now,spam"}
    assert (tmp_path / "unlabeled.txt").read_text() == ""


@pytest.mark.slow
def test_spam_filter_from_rows_to_a_model_card(tmp_path: Path, shared_cache: Path) -> None:
    def rows(offset: int, count: int) -> list[str]:
        return [f"mail {i} says {'buy now' if i % 2 else 'see you'}" for i in range(offset, offset + count)]

    for name, offset in (("labeled.csv", 0), ("test.csv", 100)):
        lines = [f"{text},{'spam' if i % 2 else 'ham'}" for i, text in enumerate(rows(offset, 60))]
        (tmp_path / name).write_text("\n".join(["text,label", *lines]) + "\n")
    (tmp_path / "unlabeled.txt").write_text("\n".join(rows(200, 40)) + "\n")
    save_checkpoint("bert", tmp_path / "minilm")
    starter = tmp_path / "kdrun"
    starter.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kdrun "$@"\n')
    starter.chmod(0o755)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "KDRUN_CACHE": str(shared_cache), "KDRUN": str(starter)}
    steps = ["optim.steps=30", "teacher.finetune_optim.epochs=1", "teacher.fine_tune=always", "teacher.allow_weak=true"]
    command = ["bash", str(EXAMPLES / "spam_filter" / "run.sh"), str(tmp_path), *steps]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (run_dir,) = sorted((tmp_path / "kd" / "own").iterdir())[:1]
    assert (run_dir / "onnx-int8" / "model.int8.onnx").is_file()
    assert (run_dir / "published" / "README.md").is_file()
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 61


@pytest.mark.usefixtures("run_env")
def test_python_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scores = load_module(EXAMPLES / "sweep_temperatures.py").main([*SMOKE, "data.max_train_rows=64"])
    assert list(scores) == [1.0, 2.0, 4.0]
    assert all(0 <= score <= 1 for score in scores.values())


def test_hub_script_composes(tmp_path: Path) -> None:
    """The script needs the hub, so its command is composed only."""
    script = tmp_path / "kdrun"
    script.write_text(f'#!/usr/bin/env bash\nexec "{sys.executable}" -m kdrun "$@"\n')
    script.chmod(0o755)
    env = {**os.environ, "KDRUN": str(script), "PYTHONPATH": str(ROOT)}
    command = ["bash", str(EXAMPLES / "distil_bert_on_sst2.sh"), "optim.epochs=1", "--cfg", "job"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "distilbert/distilbert-base-uncased" in done.stdout


def test_loss_in_a_plugin(tmp_path: Path, shared_cache: Path) -> None:
    page = (ROOT / "docs" / "extend" / "add_a_loss.md").read_text()
    section = page.partition("## In a separate package\n")[2]
    code = re.search(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert code is not None
    site = install_plugin(tmp_path, "kdrun_more_losses", code[1], "more_losses")
    commands = ["explain", "bhattacharyya"], ["method=kd", "task=sst2", "loss=bhattacharyya", *SMOKE]
    card, run = run_commands(*commands, paths=[site, ROOT], cwd=tmp_path, cache=shared_cache)
    (refused,) = run_commands(
        ["loss=nope"], paths=[site, ROOT], cwd=tmp_path, cache=shared_cache, server=forked.without_torch()
    )
    assert (refused.code, refused.has_torch) == (2, False)
    assert card.code == 0
    assert "loss=bhattacharyya" in card.output
    assert run.code == 0, run.output
    assert "kd (loss bhattacharyya)" in run.output
