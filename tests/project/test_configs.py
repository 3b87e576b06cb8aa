"""Every shipped config, composed alone on the defaults."""

import io
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from kdrun import registry
from kdrun.config import compose, paths
from kdrun.config.loss import LOSS_SCHEMAS, LossConfig
from kdrun.config.schema import SCHEMAS, RunConfig
from kdrun.console import Console
from kdrun.errors import ConfigError
from kdrun.runs import runner

GROUPS = compose.groups()
CHOICES = [(group, name) for group in GROUPS for name in compose.choices(group)]
OWN_ROWS = f"data.train={paths.CONF_DIR.parent}/examples/custom_task/rows/emotion/train.tsv data.dev=0.2"
LABEL_SETS = "task.kind=multi_label task.metrics=[micro_f1] task.headline=micro_f1"
NEEDED = {
    "data=folder": "data.dir=.",
    "data=generated": "data.path=.",
    "preset=mini": "data.dir=.",
    "corpus=folder": "corpus.dir=.",
    "method=meta_kd": "task=amazon",
    "task=conll2003": "preset=t5_writer",
    "task=passive": "preset=t5_writer",
    "data=files": f"task=own {OWN_ROWS}",
    "task=own": f"data=files {OWN_ROWS}",
    "method=gkd": "task=conll2003 preset=t5_writer",
    "loss=bce": LABEL_SETS,
    "loss=binary_kl": LABEL_SETS,
    "loss=dkd": "task=mnli",
    "loss=kl_standardized": "task=mnli",
    "teacher=prompted": "teacher.path=.",
    "teacher=recorded": f"teacher.path={paths.CONF_DIR}/config.yaml",
}
WITH_CORPUS = {"mini_data_free", "mini_extraction", "mini_no_rows", "mini_text_to_text", "mini_writer_losses"}
PRESET_AXES = {"by_student": "student", "by_task": "task", "by_method": "method"}
HUBLESS = {"teacher=pretrained", "student=pretrained", "generator=pretrained"}


def words_for(group: str, name: str) -> list[str]:
    word = f"{group}={name}"
    extra = NEEDED[word].split() if word in NEEDED else ["data.dir=."] if name.startswith("mini_") else []
    extra += ["corpus.dir=."] if name in WITH_CORPUS else []
    return [word, *extra, *([f"{group}.hub=some/model"] if word in HUBLESS else [])]


@pytest.mark.parametrize(("group", "name"), CHOICES, ids=lambda value: str(value))
def test_composes(group: str, name: str) -> None:
    config = compose.load_config(words_for(group, name))
    assert isinstance(config, RunConfig)
    section = getattr(config, group)
    if group in (*SCHEMAS, "method", "task"):
        assert section.name in (name, *SCHEMAS.get(group, {}))
        if group in SCHEMAS:
            assert type(section) is SCHEMAS[group][section.name]
    if group == "loss":
        assert type(section) is LOSS_SCHEMAS.get(name, LossConfig)


def test_every_yaml_is_reached() -> None:
    """No file escapes the test above: each belongs to a group, or a preset reaches for it by task or student."""
    files = {p.relative_to(paths.CONF_DIR) for p in paths.CONF_DIR.rglob("*.yaml")}
    reached = {Path(group) / f"{name}.yaml" for group, name in CHOICES} | {Path("config.yaml")}
    reached |= {Path("hydra/launcher") / f"{name}.yaml" for name in compose.launchers()}  # tests/unit/cli/test_jobs.py
    assert {p for p in files - reached if p.parts[:2] not in [("preset", name) for name in PRESET_AXES]} == set()


@pytest.mark.parametrize("path", sorted((paths.CONF_DIR / "preset").glob("*/*/*.yaml")))
def test_preset_settings_for_one_choice_take_effect(path: Path) -> None:
    """Each file names a preset and a task, student or method that exist, and changes the composed config."""
    axis = PRESET_AXES[path.parent.parent.name]
    preset = words_for("preset", path.parent.name)
    assert path.stem in compose.choices(axis)
    text = ["corpus=hub"] if path.parent.name != "embedded" else []  # real data wants real text
    if axis == "method" and registry.get("method", path.stem).target.requires.domains:
        text.append("task=amazon")
    with_it = compose.load_config([*preset, f"{axis}={path.stem}", *text])
    if axis == "method":
        plain = compose.load_config([*preset, *text])  # of another method
        without = compose.load_config([f"{axis}={path.stem}", *[word for word in text if word.startswith("task=")]])
        assert (with_it.optim, with_it.method) != (plain.optim, without.method)
        return
    neutral = {"task": "wnli", "student": "tiny"}[axis]
    without = compose.load_config([*preset, f"{axis}={neutral}", *text])
    assert (with_it.optim, with_it.teacher) != (without.optim, without.teacher)


@pytest.mark.parametrize("task", [name for group, name in CHOICES if group == "task"])
def test_task_yamls_are_short_and_whole(task: str) -> None:
    lines = [line for line in (paths.CONF_DIR / "task" / f"{task}.yaml").read_text().splitlines() if line.strip()]
    assert len(lines) <= 13
    section = compose.load_config(words_for("task", task)).task
    assert section.name == task
    assert section.headline in section.metrics
    assert section.dev_splits[0] == "dev"
    assert [bool(section.labels), bool(section.range), bool(section.entities), section.is_free_text].count(True) == 1


def test_the_contracts_names_exist() -> None:
    assert set(compose.choices("task")) >= {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"}
    assert set(compose.choices("preset")) >= {"embedded", "mini", "paper", "smoke"}
    assert set(compose.choices("method")) >= {"finetune", "kd", "tinybert_kd"}
    assert set(registry.entries("loss")) >= {"kl", "soft_ce", "logit_mse"}


def test_registered_names_and_yamls_agree() -> None:
    for kind in ("data", "corpus", "teacher", "student", "generator"):
        assert set(SCHEMAS[kind]) - {"recorded"} == set(registry.entries(kind)), kind  # recorded answers build no model
    for group in ("data", "corpus"):
        configs = {name: entry.config for name, entry in registry.entries(group).items()}
        assert configs == SCHEMAS[group], group


def test_command_line_wins_over_preset_and_budget() -> None:
    config = compose.load_config(["preset=mini", "data.dir=.", "task=sst2", "teacher=tiny", "optim.epochs=9"])
    assert config.teacher.name == "scratch"
    assert config.optim.epochs == 9


def test_missing_values_are_named() -> None:
    with pytest.raises(ConfigError, match=r"data\.dir is required"):
        compose.load_config(["data=folder"])


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize("name", compose.choices("experiment"))
def test_every_experiment_runs_a_step(name: str, tmp_path: Path) -> None:
    """As published, but with tiny models where it wants the hub, on a few made rows where it wants a folder."""
    (tmp_path / "SST-2").mkdir()
    for split, first in (("train", 0), ("dev", 40)):
        rows = "".join(f"a {'good' if i % 2 else 'bad'} film, number {i}\t{i % 2}\n" for i in range(first, first + 40))
        (tmp_path / "SST-2" / f"{split}.tsv").write_text("sentence\tlabel\n" + rows)
    words = [*words_for("experiment", name), "dry_run=true"]
    if compose.load_config(words).data.name == "folder":
        words += [f"data.dir={tmp_path}", "teacher=smoke", "student=smoke", "corpus=embedded"]
        words = [word for word in words if not word.startswith("corpus.dir=")]
        words += ["evaluation.held_out=8"] * bool(compose.load_config(words).evaluation.held_out)
    runner.run(compose.load_config(words), Console(RichConsole(file=io.StringIO())))
