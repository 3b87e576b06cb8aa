"""Modules that are imported on their first use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kdrun.lazy import lazy_module


@pytest.fixture
def module_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "heavy_example.py").write_text("VALUE = 3\n\n\ndef double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "heavy_example", raising=False)
    return "heavy_example"


def test_the_first_attribute_imports_the_module(module_name: str) -> None:
    module = lazy_module(module_name)
    assert module.__name__ == module_name
    assert module_name not in sys.modules
    assert module.double(module.VALUE) == 6
    assert module_name in sys.modules


def test_attributes_are_those_of_the_module(module_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = lazy_module(module_name)
    assert module.double is sys.modules[module_name].double
    monkeypatch.setattr(sys.modules[module_name], "VALUE", 4)
    assert module.VALUE == 4
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name


def test_submodules_resolve_by_their_dotted_name() -> None:
    assert lazy_module("os.path").join("a", "b").endswith("b")


def test_a_missing_module_raises_on_first_use() -> None:
    module = lazy_module("kdrun.no_such_module")
    with pytest.raises(ImportError, match=r"kdrun\.no_such_module"):
        _ = module.anything
