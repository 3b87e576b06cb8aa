"""Components of plugins as choices, and those that cannot be used."""

from dataclasses import dataclass
from typing import Any

import pytest

from kdrun import registry
from kdrun.config import plugins
from kdrun.config.data import DataConfig
from kdrun.config.loss import LossConfig
from kdrun.config.model import ModelConfig
from kdrun.config.task import TaskConfig
from kdrun.registry import Entry


@dataclass
class Rows(DataConfig):
    name: str = "rows"


@dataclass
class Other:
    name: str = "other"


def raises() -> TaskConfig:
    raise ValueError("no rows")


@pytest.mark.parametrize(
    ("axis", "entry", "reason"),
    [
        ("task", Entry(lambda: TaskConfig(name="x"), None), None),
        ("task", Entry(raises, None), "raises ValueError: no rows"),
        ("task", Entry(lambda: {"name": "x"}, None), "returns a dict, not a kdrun.config.task.TaskConfig"),
        ("data", Entry(print, None), None),
        ("data", Entry(print, Rows), None),
        ("data", Entry(print, Other), "extends kdrun.config.data.DataConfig"),
        ("student", Entry(print, None), "extends kdrun.config.model.ModelConfig"),
        ("teacher", Entry(print, ModelConfig), "TeacherOptions and kdrun.config.model.ModelConfig"),
        ("loss", Entry(print, None), None),
    ],
)
def test_reasons_why_a_component_cannot_be_used(axis: str, entry: Entry, reason: str | None) -> None:
    text = plugins._unusable(axis, "x", entry)
    assert text is None if reason is None else reason in (text or "")


def test_choices_are_named_and_unusable_ones_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"good": Entry(print, None), "bad": Entry(print, Other)}
    skipped: dict[str, str] = {}

    def skip(group: str, name: str, reason: str) -> None:
        skipped[f"{group}={name}"] = reason
        del entries[name]

    monkeypatch.setattr(registry, "plugin_entries", lambda group: dict(entries) if group == "data" else {})
    monkeypatch.setattr(registry, "skip", skip)
    assert list(plugins.plugin_choices("data")) == ["good"]
    assert list(skipped) == ["data=bad"]
    assert plugins.plugin_choices("preset") == {}
    assert plugins.plugin_node("data", "good").name == "good"


def test_every_section_has_a_schema_per_choice() -> None:
    schemas = plugins.section_schemas()
    assert schemas["loss"]["auto"] is LossConfig
    assert all(isinstance(schema, type) for choices in schemas.values() for schema in choices.values())


def test_a_task_of_a_plugin_has_the_name_of_its_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    entries: dict[str, Any] = {"mine": Entry(lambda: TaskConfig(name="", labels=["a", "b"]), None)}
    monkeypatch.setattr(registry, "plugin_entries", lambda group: entries if group == "task" else {})
    assert plugins.plugin_task("mine").name == "mine"
    assert plugins.plugin_node("task", "mine")["labels"] == ["a", "b"]
