"""The disturbance counts of the stress script."""

from pathlib import Path

import pytest

from scripts import torture

PASSING = "def test_one():\n    pass\n\n\ndef test_two():\n    pass\n"
FAILING = "\n\ndef test_three():\n    assert 0\n"


@pytest.mark.parametrize(("code", "differences"), [(PASSING, []), (PASSING + FAILING, ["1 cases of input failed"])])
def test_input_cases_are_counted(
    code: str, differences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases, figures = tmp_path / "test_cases.py", torture.Figures("command")
    cases.write_text(code)
    monkeypatch.setattr(torture, "INPUTS", str(cases))
    torture.refuse_inputs(figures)
    assert figures.inputs == 2
    assert figures.differences == differences


def test_no_case_at_all_is_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = torture.Figures("command")
    monkeypatch.setattr(torture, "INPUTS", str(tmp_path / "test_nothing.py"))
    torture.refuse_inputs(figures)
    assert figures.differences == ["no case of input was tried"]


@pytest.mark.slow
def test_a_kill_and_a_corrupted_entry_leave_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert torture.main(["kills=1", "corruptions=1", "method=kd", "seed=3"]) == 0
    output = capsys.readouterr().out
    assert "1 kills in" in output
    assert "1 rebuilt, byte for byte" in output
