"""Files of a recorded teacher."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kdrun.config.data import DataConfig, GeneratedDataConfig
from kdrun.config.recorded_files import content_digest, generated_path, paths_of
from kdrun.config.teacher import RecordedTeacherConfig


def config(teacher: Any, data: Any = None, ood: str | None = None) -> Any:
    return SimpleNamespace(teacher=teacher, data=data or DataConfig(), ood=SimpleNamespace(path=ood))


def recorded(path: Any, **settings: Any) -> RecordedTeacherConfig:
    return RecordedTeacherConfig(name="recorded", path=path, **settings)


def test_one_path_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/a")
    assert paths_of(config(recorded("~/x.jsonl"))) == [Path("/home/a/x.jsonl")]
    assert paths_of(config(recorded(["a", "b"]))) == [Path("a"), Path("b")]


@pytest.mark.parametrize("place", ["train.jsonl", "generated/train.jsonl"])
def test_by_default_the_generated_text_that_the_run_learns_from(tmp_path: Path, place: str) -> None:
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.touch()
    data = GeneratedDataConfig(name="generated", path=str(tmp_path))
    assert generated_path(config(recorded(None), data)) == str(tmp_path)
    assert paths_of(config(recorded(None), data)) == paths_of(config(recorded(None), ood=str(file))) == [file]
    assert paths_of(config(recorded(None))) == []


def test_the_digest_depends_on_content_and_weights_not_on_the_place(tmp_path: Path) -> None:
    for name, content in (("a", "1"), ("same", "1"), ("other", "2")):
        (tmp_path / name).write_text(content)
    digests = {name: content_digest(config(recorded(str(tmp_path / name)))) for name in ("a", "same", "other", "no")}
    assert digests["a"] == digests["same"]
    assert len(set(digests.values())) == 3
    assert content_digest(config(recorded(str(tmp_path / "a"), weights=[2.0]))) not in digests.values()
    assert content_digest(config(SimpleNamespace(name="tiny"))) is None
