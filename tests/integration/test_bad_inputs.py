"""Bad input: message, exit code, and no half-written file."""

import json
import re
from pathlib import Path

import pytest

from kdrun.cli import main
from tests.integration.bad_inputs.case import Case
from tests.integration.bad_inputs.cases import CASES

pytestmark = pytest.mark.usefixtures("run_env")


@pytest.fixture(scope="module")
def finished(shared_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on the embedded data."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KDRUN_CACHE", str(shared_cache))
        words = ["task=sst2", "preset=smoke", "method=finetune", "optim.steps=2", "report=false"]
        assert main.run([*words, f"run_dir={folder}/run", f"output_dir={folder}"]) == 0
    return folder / "run"


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; locks are no content."""
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".lock")}


def bare(text: str) -> str:
    """Without blanks: the screen wraps lines where it likes."""
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_reported_and_leaves_no_partial_file(
    case: Case, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    case.make(tmp_path, finished)
    words = [word.replace("{here}", str(tmp_path)) for word in case.words]
    if words[0] not in ("report", "explain") and not any(word.startswith("output_dir=") for word in words):
        words += [f"output_dir={tmp_path}/out"] if case.code != 2 or words[0] == "resume" else []
    before = content(tmp_path)
    capsys.readouterr()
    with monkeypatch.context() as patch:
        if case.around is not None:
            case.around(patch, tmp_path)
        code = main.run(words)
    output = "".join(capsys.readouterr())
    assert code == case.code, output
    assert "Traceback" not in output
    lacking = [part for part in case.says if bare(part) not in bare(output)]
    assert not lacking, f"{lacking} in:\n{output}"
    if code:
        leaves_nothing(tmp_path, before)


def leaves_nothing(here: Path, before: dict[str, bytes]) -> None:
    """What was there is as it was; what is new is a run's folder without a result, and its two lines in the ledger."""
    after = content(here)
    grown = ("ledger.jsonl", "config.yaml")  # the latter complete, by a run that is refused when it has its data
    changed = [name for name in before if after.get(name) != before[name] and not name.endswith(grown)]
    assert not changed
    new = {Path(name).name for name in after.keys() - before.keys()}
    assert new <= {"config.yaml", "run.json", "ledger.jsonl"}, new
    for ledger in here.glob("out/ledger.jsonl"):
        if str(ledger) not in before:
            assert [json.loads(line)["event"] for line in ledger.read_text().splitlines()] == ["start", "end"]


def test_there_are_many_kinds_and_each_is_named_once() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.says for case in CASES)
