"""A command line under torchrun: one process runs it, the others follow."""

import pytest

from kdrun.cli.torchrun import run_in_first_process
from kdrun.runs import launch, member


@pytest.mark.parametrize(
    ("rank", "size", "code", "events"),
    [("0", "1", 3, ["run"]), ("0", "2", 3, ["run", "dismiss"]), ("1", "2", 5, ["follow"])],
)
def test_the_first_process_runs_the_command_line(
    rank: str, size: str, code: int, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    seen: list[str] = []

    def run(args: list[str]) -> int:
        assert args == ["method=kd"]
        seen.append("run")
        return 3

    def follow() -> int:
        seen.append("follow")
        return 5

    monkeypatch.setattr(launch, "dismiss_members", lambda: seen.append("dismiss"))
    monkeypatch.setattr(member, "follow_first", follow)
    assert run_in_first_process(run, ["method=kd"]) == code
    assert seen == events
