"""`kdrun check`: exit code and remedies."""

import pytest

from kdrun.cli.commands import check
from kdrun.runs import runner
from kdrun.runs.context import PreflightCheck


def test_a_failed_check_is_printed_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [PreflightCheck("disk", True, "9 GB free"), PreflightCheck("labels", False, "yes, no", "set id2label")]
    monkeypatch.setattr(runner, "preflight", lambda config, console: checks)
    assert check.main(["method=kd"]) == 1
    output = "".join(capsys.readouterr())
    assert "1 passed, 1 failed" in output
    assert "set id2label" in output
    checks.pop()
    assert check.main(["method=kd"]) == 0
