"""Registered names: valid names, errors, and parts of other packages."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kdrun import registry
from kdrun.errors import ConfigError
from tests.helpers import forked
from tests.helpers.paths import ROOT


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test register parts that are gone after it."""
    for group in ("method", "metric"):
        registry.entries(group)
    registry.entries("loss")
    copies = {kind: dict(entries) for kind, entries in registry._entries.items()}
    monkeypatch.setattr(registry, "_entries", copies)


def python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process with these import paths, where warnings are errors."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    return forked.without_torch().run(f"import warnings; warnings.simplefilter('error')\n{code}", env=env)


def test_methods_and_losses_are_known_and_sorted() -> None:
    methods = list(registry.entries("method"))
    assert {"finetune", "kd"} <= set(methods)
    assert methods == sorted(methods)
    assert {"kl", "logit_mse", "reverse_kl", "soft_ce"} <= set(registry.entries("loss"))


def test_every_method_has_a_schema_that_knows_its_name() -> None:
    for name, entry in registry.entries("method").items():
        assert entry.config is not None, name
        assert entry.config().name == name


def test_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.get("method", "finetun")
    (problem,) = caught.value.problems
    assert problem.startswith("unknown method 'finetun'; did you mean 'finetune'? (known: ")
    assert all(name in problem for name in registry.entries("method"))


def test_unknown_name_far_from_all_guesses_nothing() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.get("loss", "zzzzzz")
    assert "did you mean" not in str(caught.value)


@pytest.mark.usefixtures("scratch")
def test_build_calls_what_is_registered() -> None:
    @registry.register("loss", "probe")
    def probe(*args: int, scale: int = 1) -> int:
        return scale * sum(args)

    assert registry.build("loss", "probe", 1, 2, scale=10) == 30
    assert registry.get("loss", "probe") == registry.Entry(probe, None)


@pytest.mark.usefixtures("scratch")
def test_a_name_is_registered_once() -> None:
    def mine() -> None: ...

    with pytest.raises(ValueError, match="loss 'kl' is registered twice"):
        registry.register("loss", "kl")(mine)
    registry.register("loss", "mine")(mine)
    registry.register("loss", "mine")(mine)  # the same part again: a module imported under two names
    with pytest.raises(ValueError, match="registered twice"):
        registry.register("loss", "mine")(lambda: None)


@pytest.mark.usefixtures("scratch")
def test_the_same_name_in_two_kinds_is_two_parts() -> None:
    def part() -> None: ...

    registry.register("teacher", "kl")(part)
    assert registry._entries["teacher"]["kl"].target is part
    assert registry._entries["loss"]["kl"].target is not part


@pytest.mark.parametrize(
    ("group", "name", "settings", "reason"),
    [
        ("method", "mine", {}, "config"),
        ("loss", "my loss", {}, "my loss"),
        ("loss", "../x", {}, "letters"),
        ("metric", "mine", {"answers": "words"}, "words"),
    ],
)
@pytest.mark.usefixtures("scratch")
def test_a_component_that_cannot_be_chosen_is_refused(
    group: str, name: str, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        registry.register(group, name, **settings)


@pytest.mark.usefixtures("scratch")
def test_kdrun_keeps_a_name_that_a_plugin_took_first(capsys: pytest.CaptureFixture[str]) -> None:
    def theirs() -> None: ...

    def ours() -> None: ...

    ours.__module__ = "kdrun.losses"
    registry.register("loss", "taken")(theirs)
    registry.register("loss", "taken")(ours)
    assert registry._entries["loss"]["taken"].target is ours
    assert "'taken'" in capsys.readouterr().err


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'losses'.*method, "):
        registry.register("losses", "x")


def test_methods_import_without_torch() -> None:
    code = """
import json, sys
from kdrun import registry
names = list(registry.entries("method"))
print(json.dumps([names, [m for m in ("torch", "transformers", "datasets", "evaluate") if m in sys.modules]]))
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    names, heavy = json.loads(done.stdout)
    assert "kd" in names
    assert heavy == []


PLUGIN = """
from dataclasses import dataclass
from kdrun.config.data import DataConfig
from kdrun.config.fields import setting
from kdrun.config.loss import LossConfig
from kdrun.config.task import TaskConfig
from kdrun.methods.base import Method
from kdrun.registry import register

@dataclass
class PluggedConfig:
    name: str = setting("plugged", "from another package")

@register("method", "plugged", config=PluggedConfig)
class Plugged(Method):
    pass

@dataclass
class RowsConfig(DataConfig):
    folder: str = setting(doc="where the rows are")

@register("data", "plugged_rows", config=RowsConfig)
def rows(config, task, names):
    return {}

@register("corpus", "plugged_text")
def text(config):
    return None

@dataclass
class SharpConfig(LossConfig):
    sharpness: float = setting(1.0, "of the loss", gt=0)

@register("loss", "plugged_loss", config=SharpConfig, sees_batch=True)
def loss(student, teacher, temperature, *, sharpness=1.0):
    return None

@register("optimizer", "plugged_step")
def step(modules, config):
    return None

@register("metric", "plugged_score", answers="classes")
def score(predictions, references):
    return 1.0

@register("task", "plugged_task")
def task():
    return TaskConfig(text=["text"], labels=["a", "b", "c"], metrics=["plugged_score", "macro_f1"],
                      headline="plugged_score", rows={"train": 9, "dev": 3})
"""
CHECK = """
import json, sys
from kdrun.config import compose
words = ["method=plugged", "data=plugged_rows", "data.folder=x", "corpus=plugged_text", "loss=plugged_loss",
         "loss.sharpness=2", "optim=plugged_step", "task=plugged_task"]
config = compose.load_config(words)
chosen = {axis: getattr(config, axis).name for axis in ("method", "data", "corpus", "loss", "optim", "task")}
print(json.dumps([chosen, config.data.folder, config.loss.settings, config.task.labels, "torch" in sys.modules]))
"""


def install(folder: Path, code: str, name: str = "other_package") -> None:
    """Write a package with one plugin into a folder, as pip would."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.ENTRY_POINTS}]\n{name} = {name}\n")


def test_components_of_a_package_are_choices_of_their_axes_by_short_name(tmp_path: Path) -> None:
    install(tmp_path, PLUGIN)
    done = python(CHECK, tmp_path)
    assert done.returncode == 0, done.stderr
    chosen, folder, loss_settings, labels, loads_torch = json.loads(done.stdout)
    assert chosen == {
        "method": "plugged", "data": "plugged_rows", "corpus": "plugged_text", "loss": "plugged_loss",
        "optim": "plugged_step", "task": "plugged_task",
    }  # fmt: skip
    assert loss_settings == {"sharpness": 2.0}
    assert (folder, labels, loads_torch) == ("x", ["a", "b", "c"], True)
    assert python(CHECK).returncode != 0, "gone without the package"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import no_such_module", "no_such_module"),
        ("raise RuntimeError('broken on purpose')", "broken on purpose"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("def", "SyntaxError"),
        ("from kdrun.registry import register\nregister('loss', 'half')(print)\n1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_broken_plugin_is_named_and_skipped(tmp_path: Path, code: str, reason: str) -> None:
    install(tmp_path, code, "broken_package")
    install(tmp_path, PLUGIN)
    done = python("from kdrun.cli import main; raise SystemExit(main.run(['--help']))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "broken_package" in done.stderr
    assert reason in done.stderr
    assert "plugged_loss" in done.stdout
    assert "half" not in done.stdout


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("@register('task', 'odd')\ndef odd(): raise KeyError('x')", "odd"),
        ("@register('task', 'odd')\ndef odd(): return {}", "odd"),
        ("@register('data', 'odd', config=dict)\ndef odd(*args): return {}", "odd"),
        ("@register('student', 'odd')\ndef odd(*args): return {}", "odd"),
    ],
)
def test_a_component_that_no_axis_can_use_is_named_and_skipped(tmp_path: Path, code: str, name: str) -> None:
    install(tmp_path, f"from kdrun.registry import register\n{code}")
    done = python("from kdrun.cli import main; raise SystemExit(main.run(['--help']))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"'{name}' of other_package is skipped" in done.stderr
    assert f" {name}" not in done.stdout
