"""Config files of the user's own: choices, refusals, copies in a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdrun.cli import main
from kdrun.cli.config_folders import take_config_folders
from kdrun.cli.explain import lookup
from kdrun.config import compose, user_configs
from kdrun.errors import ConfigError
from kdrun.runs import resume

TASK = """\
# Which mood?
text: [sentence]
labels: [sad, glad]
metrics: [accuracy]
headline: accuracy
rows: {train: 8, dev: 4}
"""
PRESET = "defaults:\n  - override /task: mood\n  - override /student: smoke\noptim: {lr: 0.5}\n"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes files into a config folder that KDRUN_CONF names."""
    monkeypatch.setenv("KDRUN_CONF", str(tmp_path / "conf"))
    monkeypatch.setattr(user_configs, "_recorded", [])

    def files(**contents: str) -> Path:
        for name, content in contents.items():
            path = tmp_path / "conf" / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        return tmp_path / "conf"

    return files


def test_a_task_and_a_preset_of_a_folder_are_choices(write: Write) -> None:
    write(task__mood=TASK, preset__mine=PRESET)
    assert {"mood", "sst2"} <= set(compose.choices("task"))
    config = compose.to_config(compose.compose(["preset=mine", "optim.epochs=2"]))
    assert (config.task.name, config.task.labels, config.preset) == ("mood", ["sad", "glad"], "mine")
    assert (config.optim.lr, config.optim.epochs) == (0.5, 2)
    assert compose.to_config(compose.compose(["preset=mine", "task=rte"])).task.name == "rte"
    assert user_configs.mark("task", ["mood", "sst2"]) == ["mood (yours)", "sst2"]
    (card,) = lookup.find_cards("mood")
    assert "conf/task/mood.yaml" in card.blocks[0].text[0]
    assert card.blocks[1].text == ["Which mood?"]


def test_a_changed_file_is_read_again(write: Write) -> None:
    write(task__mood=TASK)
    assert compose.to_config(compose.compose(["task=mood"])).task.labels == ["sad", "glad"]
    write(task__mood=TASK.replace("glad]", "glad, calm]"))
    assert compose.to_config(compose.compose(["task=mood"])).task.labels == ["sad", "glad", "calm"]


def test_a_model_section_is_checked_against_its_schema(write: Write) -> None:
    write(student__small="name: scratch\nsizes: {hidden_size: 16}\n")
    config = compose.to_config(compose.compose(["student=small"]))
    assert config.student.sizes["hidden_size"] == 16


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("task__mood", TASK + "lables: [a]\n", r"mood\.yaml: lables: unknown key.*labels"),
        ("task__mood", TASK + "answer_tokens: many\n", r"mood\.yaml: answer_tokens"),
        ("task__mood", TASK + "name: other\n", r"mood\.yaml: its name is 'other'"),
        ("task__sst2", TASK, r"kdrun has a task=sst2"),
        ("task__mood", "text: ${oc.env:HOME}\n", r"mood\.yaml: .*interpolation"),
        ("task__mood", "folder: {_target_: os.system}\n", r"mood\.yaml: _target_"),
        ("task__mood", "text: [_target_]\n", r"mood\.yaml: _target_"),
        ("task__mood", "text: &a [x]\nlabels: *a\n", r"mood\.yaml has YAML aliases"),
        ("task__mood", "text: [x\n", r"mood\.yaml is not readable YAML"),
        ("task__mood", "text: !!python/name:os.system\n", r"mood\.yaml is not readable YAML"),
        ("task__mood", "[a, b]\n", r"mood\.yaml: a config file is a mapping"),
        ("task__a-b", TASK, r"a-b\.yaml: a name has letters"),
        ("task__mood", "defaults: [override /student: tiny]\n" + TASK, r"mood\.yaml: defaults"),
        ("preset__mine", "defaults: [/etc/passwd]\n", r"mine\.yaml: defaults: '/etc/passwd'"),
        ("preset__mine", "defaults: [{override hydra/launcher: joblib}]\n", r"mine\.yaml: defaults"),
        ("preset__mine", "hydra: {job: {name: x}}\n", r"mine\.yaml: hydra: .*no settings of Hydra"),
        ("preset__mine", "optin: {lr: 1}\n", r"mine\.yaml: optin: unknown key; did you mean 'optim'"),
        ("student__small", "name: scrach\n", r"small\.yaml: name: 'scrach' is no registered student.*scratch"),
        ("student__small", "name: scratch\nsize: {}\n", r"small\.yaml: size: unknown key"),
        ("tasks__mood", TASK, r"conf/tasks: no axis has this name; did you mean 'task'"),
        ("mood", TASK, r"mood\.yaml: a config file belongs to a folder of its axis"),
        ("method__mine", "name: kd\n", r"conf/method: no axis has this name"),
    ],
    ids=lambda value: None,
)
def test_a_faulty_file_is_refused_with_its_name(file: str, content: str, message: str, write: Write) -> None:
    write(**{file: content})
    with pytest.raises(ConfigError, match=message):
        compose.compose([])


def test_a_value_of_a_preset_that_does_not_fit_names_the_file(write: Write) -> None:
    write(preset__mine="optim: {lr: fast}\n")
    (problem,) = compose.validate_overrides(["preset=mine"], multirun=False)
    assert "mine.yaml" in problem
    assert "fast" in problem


def test_all_problems_of_a_folder_come_at_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(task__mood="lables: [a]\n", preset__mine="optin: {}\n")
    monkeypatch.setenv("KDRUN_CONF", f"{folder}{os.pathsep}{folder}/missing")
    with pytest.raises(ConfigError) as caught:
        compose.choices("task")
    assert len(caught.value.problems) == 3
    assert "no such folder" in caught.value.problems[-1]


def test_two_folders_with_one_name_are_refused(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, other = write(task__mood=TASK), tmp_path / "other" / "task"
    other.mkdir(parents=True)
    (other / "mood.yaml").write_text(TASK)
    monkeypatch.setenv("KDRUN_CONF", f"{folder}{os.pathsep}{other.parent}")
    with pytest.raises(ConfigError, match=r"conf/task/mood\.yaml has the same name"):
        compose.choices("task")


def test_the_flag_names_folders_anywhere_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDRUN_CONF", "/before")
    monkeypatch.chdir(tmp_path)
    assert take_config_folders(["check", "--config-dir", "mine", "task=x", "-cd=/abs"]) == ["check", "task=x"]
    assert os.environ["KDRUN_CONF"] == os.pathsep.join([str(tmp_path / "mine"), "/abs", "/before"])
    with pytest.raises(ConfigError, match="--config-dir: name a folder"):
        take_config_folders(["--config-dir"])


@pytest.mark.parametrize("before", [None, "/before"])
def test_the_flag_holds_for_one_command(before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KDRUN_CONF", raising=False)
    if before:
        monkeypatch.setenv("KDRUN_CONF", before)
    assert main.run(["--config-dir", str(tmp_path / "absent"), "--cfg", "job", "task=sst2"]) == 2
    assert os.environ.get("KDRUN_CONF") == before


def test_the_choices_that_a_command_uses_are_found_through_presets(write: Write) -> None:
    write(task__mood=TASK, task__other=TASK, preset__mine=PRESET)
    used = user_configs.used_by(["preset=mine", "method=kd", "optim.lr=1"])
    assert [(choice.axis, choice.name) for choice in used] == [("preset", "mine"), ("task", "mood")]


def test_a_run_composes_from_its_copies_without_the_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(task__mood=TASK, preset__mine=PRESET)
    run_dir = tmp_path / "run"
    (tmp_path / "conf").rename(run_dir / "configs") if run_dir.mkdir() is None else None
    monkeypatch.setenv("KDRUN_CONF", "")
    (run_dir / "run.json").write_text('{"command": "kdrun preset=mine", "run_id": "a", "config": {}, "code": ""}')
    assert "mood" not in compose.choices("task")
    overrides = resume.expand_resume([f"resume={run_dir}"])
    assert compose.validate_overrides(overrides, multirun=False) == []
    assert compose.to_config(compose.compose(overrides)).task.labels == ["sad", "glad"]
