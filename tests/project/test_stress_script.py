"""The script that does harm counts what it did."""

from pathlib import Path

import pytest

from scripts import torture

PASSING = "def test_one():\n    pass\n\n\ndef test_two():\n    pass\n"


@pytest.mark.parametrize(
    ("code", "differs"), [(PASSING, []), (f"{PASSING}\n\ndef test_three():\n    assert 0\n", ["1 cases of input"])]
)
def test_cases_of_input_are_counted(
    code: str, differs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, figures = tmp_path / "test_cases.py", torture.Figures("command")
    cases.write_text(code)
    monkeypatch.setattr(torture, "INPUTS", str(cases))
    torture.refuse_inputs(figures)
    assert figures.inputs == 2
    assert [one[: len(two)] for one, two in zip(figures.differs, differs, strict=True)] == differs


def test_no_case_at_all_is_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = torture.Figures("command")
    monkeypatch.setattr(torture, "INPUTS", str(tmp_path / "test_nothing.py"))
    torture.refuse_inputs(figures)
    assert figures.differs == ["no case of input was tried"]


@pytest.mark.slow
def test_a_kill_and_a_harmed_entry_leave_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert torture.main(["kills=1", "corruptions=1", "method=kd", "seed=3"]) == 0
    shown = capsys.readouterr().out
    assert "1 kills in" in shown
    assert "1 made again, byte for byte" in shown
