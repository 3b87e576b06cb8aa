"""Old keys on the command line: accepted for one version, with a note."""

import pytest

from kdrun.cli import main, subcommands
from kdrun.config import compose
from kdrun.config.overrides import rename_old_keys
from kdrun.errors import ConfigError
from kdrun.storage.key_aliases import RENAMED_KEYS, RENAMED_METHOD_KEYS

VALUES = {"select": "last", "teacher.lessons": "mixed", "teacher.fine_tuning": "", "checkpoint.every": "7.5"}
METHOD_KEYS = [(method, old, new) for method, table in RENAMED_METHOD_KEYS.items() for old, new in table.items()]
RUN_KEYS = [("dfkd_t3", old, new) for old, new in RENAMED_KEYS.items()]
RUN_KEYS += [
    ("dfkd_t3", "teacher.fine_tuning.accumulate", "teacher.finetune_optim.gradient_accumulation_steps"),
    ("zskd", "method.generator_optim.clip_norm", "method.generator_optim.max_grad_norm"),
]


@pytest.mark.parametrize(("method", "old", "new"), [*RUN_KEYS, *METHOD_KEYS])
def test_an_old_key_sets_what_the_new_one_sets(
    method: str, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if old == "teacher.fine_tuning":
        old, new = f"{old}.lr", f"{new}.lr"
    value = VALUES.get(old, "1")
    base = [f"method={method}", "task=amazon", "teacher=t5_tiny" if "stray" in old else "teacher=tiny"]
    renamed = subcommands.current_overrides([*base, f"{old}={value}"])
    assert renamed == [*base, f"{new}={value}"]
    composed = compose.compose(renamed)  # Hydra refuses a key that no schema has
    assert composed != compose.compose(base) or value == "1"
    note = capsys.readouterr().err
    assert note.startswith("note: ")
    assert note.count("\n") == 1
    assert old in note
    assert new in note


def test_new_keys_need_no_note(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["method=kd", "optim.max_grad_norm=1", "-m", "+student.sizes.hidden_size=3"]
    assert subcommands.current_overrides(overrides) == overrides
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new"),
    [("select=last", "checkpoint_selection=last"), ("optim.accumulate=1", "optim.gradient_accumulation_steps=2")],
)
def test_both_names_of_a_key_are_refused(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError) as error:
        rename_old_keys([new, "seed=1", old])
    (problem,) = error.value.problems
    assert old.partition("=")[0] in problem
    assert new.partition("=")[0] in problem
    assert main.run([old, new, "--cfg", "job"]) == 2
    assert old.partition("=")[0] in capsys.readouterr().err


def test_did_you_mean_knows_the_new_keys() -> None:
    (problem,) = compose.validate_overrides(["optim.max_grad_nrm=1"], multirun=False)
    assert "'optim.max_grad_norm'" in problem


def test_explain_finds_a_key_by_its_old_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", "optim.accumulate"]) == 0
    assert "optim.gradient_accumulation_steps" in capsys.readouterr().out
