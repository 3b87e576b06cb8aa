"""Attacks by links in the place of files that kdrun writes: nothing outside is created or changed."""

import json
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdrun.cli import main
from kdrun.config import compose
from kdrun.errors import DataError
from kdrun.runs import provenance
from kdrun.storage import serialization
from kdrun.storage.files import append_jsonl, append_text, make_folder, write_atomic

RUN = ["task=sst2", "preset=smoke", "optim.steps=2", "teacher.allow_weak=true"]
RUN_ID = "20260101-000000-abcdef"


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one file that belongs to somebody else; the working directory is next to it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text('{"half": ')
    yield folder
    assert [path.name for path in folder.iterdir()] == ["precious"]
    assert (folder / "precious").read_text() == '{"half": '


def plant(path: str, target: Path) -> None:
    """Put a link in the place of a file or folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).symlink_to(target)


def strangers_run(output_dir: str = "outputs", run_id: str = RUN_ID) -> Path:
    """The folder of a run, as a stranger could write it."""
    folder = Path("outputs/kd/sst2/run")
    folder.mkdir(parents=True)
    command = shlex.join(["kdrun", *RUN, f"output_dir={output_dir}"])
    config = serialization.to_plain(compose.load_config([*RUN, f"output_dir={output_dir}"]))
    record = {"run_id": run_id, "command": command, "config": config, "code": provenance.code_digest(), "started": 0.0}
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize("target", ["precious", "new"])
@pytest.mark.parametrize("name", ["outputs/ledger.jsonl", "outputs/ledger.jsonl.lock"])
def test_resume_does_not_write_through_a_linked_ledger(name: str, target: str, outside: Path) -> None:
    folder = strangers_run()
    plant(name, outside / target)
    assert main.run([f"resume={folder}"]) != 0


@pytest.mark.usefixtures("run_env")
def test_resume_does_not_write_to_an_absolute_ledger(outside: Path) -> None:
    plant("outputs/theirs/ledger.jsonl", outside / "new")
    folder = strangers_run(output_dir=str(Path("outputs/theirs").absolute()))
    assert main.run([f"resume={folder}"]) != 0


@pytest.mark.parametrize("run_id", ["x$(touch P)", "../x", "", "20260101-000000-abcdef\n"])
def test_a_run_id_of_another_form_is_refused(run_id: str, outside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = strangers_run(run_id=run_id)
    assert main.run([f"resume={folder}"]) == 2
    assert "run_id" in capsys.readouterr().err


@pytest.mark.usefixtures("run_env", "outside")
@pytest.mark.parametrize("name", ["ledger.jsonl", "ledger.jsonl.lock", "kd", "kd/sst2"])
def test_a_run_does_not_write_through_links(name: str, outside: Path) -> None:
    plant(f"outputs/{name}", outside if name.startswith("kd") else outside / "new")
    assert main.run(["method=kd", *RUN]) == 1


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize(
    "name", ["sweeps", "sweeps/s", "sweeps/s/sweep.json", "sweeps/s/.lock", "sweeps/s/multirun.yaml", "ledger.jsonl"]
)
def test_a_sweep_does_not_write_through_links(name: str, outside: Path) -> None:
    plant(f"outputs/{name}", outside if Path(name).suffix == "" and ".lock" not in name else outside / "new")
    code = main.run(["-m", *RUN, "sweep=s", "seed=1"])
    if name == "sweeps/s/sweep.json":  # replaced, not followed
        assert not Path(f"outputs/{name}").is_symlink()
    else:
        assert code != 0


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize("name", ["multirun.yaml"])
def test_a_launcher_does_not_write_through_links(name: str, outside: Path) -> None:
    plant(f"mine/{name}", outside / "new")
    assert main.run(["-m", *RUN, "dry_run=true", "seed=1,2", "hydra.sweep.dir=mine"]) == 1


@pytest.mark.usefixtures("outside")
def test_a_temporary_file_cannot_be_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    monkeypatch.setattr(Path, "replace", lambda self, target: names.append(self.name))
    for _ in range(2):
        write_atomic(Path("report.html"), "text")
    assert len(set(names)) == 2
    assert not os.listdir()


def test_files_are_written_without_following_links(outside: Path) -> None:
    for name, target in (("old", "precious"), ("new", "new")):
        plant(f"{name}.jsonl", outside / target)
        plant(f"{name}.txt", outside / target)
        plant(f"{name}.html", outside / target)
        with pytest.raises(DataError, match=rf"{name}\.jsonl is a link"):
            append_jsonl(Path(f"{name}.jsonl"), {})
        with pytest.raises(DataError, match=rf"{name}\.txt is a link"):
            append_text(Path(f"{name}.txt"), "text")
        write_atomic(Path(f"{name}.html"), "text")
        assert not Path(f"{name}.html").is_symlink()


def test_a_folder_is_not_made_through_a_link(outside: Path) -> None:
    plant("root/compare", outside)
    with pytest.raises(DataError, match=r"root/compare is a link"):
        make_folder(Path("root/compare/sst2/x"), Path("root"))
    plant("mine", Path("root"))
    assert make_folder(Path("mine/new/x"), Path("mine")).is_dir()  # the user may have put a link there
