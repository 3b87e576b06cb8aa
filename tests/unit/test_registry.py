"""Registered names: valid names, errors, and parts of other packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdrun import registry
from kdrun.errors import ConfigError
from tests.helpers.paths import ROOT


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test register parts that are gone after it."""
    registry.entries("method")
    registry.entries("loss")
    copies = {kind: dict(entries) for kind, entries in registry._entries.items()}
    monkeypatch.setattr(registry, "_entries", copies)


def python(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, ROOT]))}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


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
from kdrun.config.fields import setting
from kdrun.methods.base import Method
from kdrun.registry import register

@dataclass
class PluggedConfig:
    name: str = setting("plugged", "from another package")

@register("method", "plugged", config=PluggedConfig)
class Plugged(Method):
    pass
"""


def test_a_plugin_package_is_found_by_its_entry_point(tmp_path: Path) -> None:
    (tmp_path / "other_package.py").write_text(PLUGIN)
    info = tmp_path / "other_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.ENTRY_POINTS}]\nplugged = other_package\n")
    code = """
from kdrun import registry
entry = registry.get("method", "plugged")
print(entry.target.__module__, entry.config().name, "kd" in registry.entries("method"))
"""
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["other_package", "plugged", "True"]
    assert python(code).returncode != 0  # and it is gone without the package
