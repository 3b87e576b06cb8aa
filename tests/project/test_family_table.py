"""The page of families and methods covers all of both and is up to date."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from kdrun import registry
from kdrun.config.architectures import Architecture
from tests.helpers.paths import ROOT

SCRIPT = ROOT / "scripts" / "family_table.py"
PAGE = (ROOT / "docs" / "reference" / "families.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("family_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_family_and_method_has_a_cell_and_every_refusal_a_reason(script: ModuleType) -> None:
    assert PAGE.startswith(script.HEAD)
    assert PAGE.endswith(script.FOOT)
    lines = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    header, _, *rows = lines
    shipped = [
        name for name, entry in registry.entries("method").items() if entry.target.__module__.startswith("kdrun.")
    ]
    assert header[2:] == [f"`{name}`" for name in shipped]
    assert [row[:2] for row in rows] == [[member.spec.title, f"`{member.name}`"] for member in Architecture]
    refused = {cell for row in rows for cell in row[2:]} - {script.WORKS}
    assert all(f"\n{cell.removeprefix('no (').removesuffix(')')}. " in PAGE for cell in refused)


@pytest.mark.slow
@pytest.mark.usefixtures("run_env")
def test_the_page_is_what_the_script_writes(script: ModuleType) -> None:
    assert script.page() == PAGE
