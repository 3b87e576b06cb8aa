"""Results of source files: computed once per state of the files."""

from pathlib import Path

import pytest

from kdrun.storage.source_results import cached_result


def test_a_result_is_computed_once_per_name_and_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CACHE", str(tmp_path / "cache"))
    source, calls = tmp_path / "code.py", []
    source.write_text("x = 1")

    def compute() -> str:
        calls.append(source.read_text())
        return f"result of {calls[-1]}"

    assert [cached_result("length", [source], compute) for _ in range(2)] == ["result of x = 1"] * 2
    assert calls == ["x = 1"]
    cached_result("width", [source], compute)
    source.write_text("x = 2")
    assert cached_result("length", [source], compute) == "result of x = 2"
    assert calls == ["x = 1", "x = 1", "x = 2"]
