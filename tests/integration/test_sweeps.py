"""Sweeps: stable ids, repeated commands, and several processes in one sweep."""

import json
import re
import signal
from pathlib import Path

import pytest
import torch

from benchmarks.stress import killable_runs
from kdrun.cli import main, subcommands
from kdrun.config import compose, identity
from kdrun.config.schema import RunConfig
from kdrun.errors import ConfigError, DataError
from kdrun.experiments import sweeps
from kdrun.runs import runner
from tests.helpers.ledgers import read_ledger

TINY = ["preset=smoke", "corpus.max_lines=300", "optim.steps=2", "teacher.finetune_optim.steps=2", "report=false"]


def words(folder: Path, *more: str) -> list[str]:
    return [*TINY, f"output_dir={folder}", *more]


def the_sweep(folder: Path) -> sweeps.Sweep:
    (record,) = folder.glob("sweeps/*/sweep.json")
    return sweeps.find_sweep(folder, record.parent.name)


def states(folder: Path) -> dict[str, str]:
    """What became of each cell, by its label."""
    return {cell["label"]: cell["status"] for cell in sweeps.cell_statuses(the_sweep(folder))}


def plan(*arguments: str) -> sweeps.Sweep:
    sweep = sweeps.plan_sweep(list(arguments))
    assert sweep is not None
    return sweep


def test_a_cell_id_depends_only_on_settings_that_change_numbers(tmp_path: Path) -> None:
    first = plan(*words(tmp_path / "a", "seed=1,2", "method=kd"))
    second = plan(
        *reversed(words(tmp_path / "b", "seed=2,1", "method=kd")), "checkpoint.every_seconds=1", "sweep=named"
    )
    assert {cell.id for cell in first.cells} == {cell.id for cell in second.cells}
    alone = compose.load_config(words(tmp_path, "seed=2", "method=kd"))
    assert {cell.label: cell.id for cell in first.cells}["seed=2"] == identity.config_hash(alone)
    assert first.name.startswith("seed-")
    assert second.name == "named"
    assert plan(*words(tmp_path / "c", "seed=1,2", "method=kd")).name == first.name
    assert plan(*words(tmp_path / "c", "seed=1,2", "method=kd", "optim.lr=1e-3")).name != first.name


def test_cells_are_those_that_hydra_makes(tmp_path: Path) -> None:
    sweep = plan(*words(tmp_path, "seed=range(1,3)", "method=finetune,kd", "optim.lr=choice(1e-3,1e-4)"))
    assert len({cell.id for cell in sweep.cells}) == 8
    assert "seed=1 method=finetune optim.lr=0.001" in {cell.label for cell in sweep.cells}


def test_a_dry_run_leaves_nothing(tmp_path: Path) -> None:
    assert sweeps.plan_sweep(words(tmp_path, "seed=1,2", "dry_run=true")) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "override", ["run_dir=somewhere", "output_dir=a,b", "checkpoint.every_seconds=1,2", "sweep=a/b", "sweep=.."]
)
def test_an_override_that_no_sweep_can_have_is_an_error(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(override)):
        sweeps.plan_sweep([*words(tmp_path), "seed=1,2", override])
    assert list(tmp_path.iterdir()) == []


def test_another_base_is_an_error_with_the_difference(tmp_path: Path) -> None:
    base = words(tmp_path, "sweep=mine", "method=kd")
    plan(*base, "seed=1,2")
    assert len(plan(*base, "seed=2,3").cells) == 3
    with pytest.raises(ConfigError, match=r"(?s)sweep=NAME.*optim\.lr=0\.01"):
        plan(*base, "seed=1,2", "optim.lr=0.01")
    with pytest.raises(ConfigError, match=r"(?s)sweep=NAME.*method=kd .*method=finetune "):
        plan(*base[:-1], "method=finetune", "seed=4,5")


def test_a_changed_default_or_changed_code_is_another_base(tmp_path: Path) -> None:
    sweep = plan(*words(tmp_path, "seed=1,2"))
    path = sweep.folder / sweeps.RECORD
    record = json.loads(path.read_text())
    before = json.loads(json.dumps(record))
    before["cells"][0] |= {"id": "0" * 16}
    before["cells"][0]["identity"]["optim"]["lr"] = 0.25
    path.write_text(json.dumps(before))
    with pytest.raises(ConfigError, match=r"optim\.lr was 0\.25, now 0\.0005"):
        plan(*words(tmp_path, "seed=1,2"))
    path.write_text(json.dumps(record | {"code": "0" * 16}))
    with pytest.raises(ConfigError, match=r"code.*\b0000"):
        plan(*words(tmp_path, "seed=1,2"))
    assert plan(*words(tmp_path, "seed=1,2", "sweep=again")).cells == sweep.cells


def test_a_repeated_sweep_skips_finished_cells_and_retries_failures_on_request(
    server: killable_runs.Server, tmp_path: Path
) -> None:
    sweep = ["-m", *words(tmp_path, "method=kd", "teacher.allow_weak=false,true")]
    assert server.run(*sweep) == 1
    assert states(tmp_path) == {"teacher.allow_weak=False": "failed", "teacher.allow_weak=True": "done"}
    assert "too weak to distill" in server.output.rpartition("sweep ")[2]
    runs = list(read_ledger(tmp_path))

    assert server.run(*sweep) == 1
    assert "(teacher.allow_weak=True): done" in server.output
    assert "(teacher.allow_weak=False): failed" in server.output
    assert read_ledger(tmp_path) == runs, "nothing was run again"

    assert server.run(*sweep, "retry=true") == 1
    assert "(teacher.allow_weak=False): was failed, resumes in" in server.output
    again = read_ledger(tmp_path)
    assert [run["run_id"] for run in again] == [run["run_id"] for run in runs]
    assert ["resumed" in run for run in again] == [run["status"] == "failed" for run in again]


def test_a_sweep_killed_in_a_cell_resumes_it_and_shows_its_state(
    server: killable_runs.Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["-m", *words(tmp_path, "method=finetune", "seed=1,2,3", "checkpoint.every_seconds=0")]
    assert server.run(*sweep, at=3) == -signal.SIGKILL
    assert states(tmp_path) == {"seed=1": "done", "seed=2": "crashed", "seed=3": "waiting"}
    assert main.run(["runs", f"sweep={the_sweep(tmp_path).name}", f"output_dir={tmp_path}"]) == 0
    output = capsys.readouterr().out
    rows = {label.partition("=")[2]: status for label, status in states(tmp_path).items()}
    assert all(re.search(rf"│ {seed} .* {status} ", output) for seed, status in rows.items()), output
    assert server.run(*sweep) == 0, server.output
    assert "(seed=2): was crashed, resumes in" in server.output
    assert set(states(tmp_path).values()) == {"done"}
    assert len(read_ledger(tmp_path)) == 3


def test_an_equal_run_is_reused_and_changed_rows_are_an_error(server: killable_runs.Server, tmp_path: Path) -> None:
    assert server.run(*words(tmp_path, "method=finetune", "seed=1")) == 0
    sweep = ["-m", *words(tmp_path, "method=finetune", "seed=1,2")]
    assert server.run(*sweep) == 0
    assert f"(seed=1): done, {tmp_path}/finetune" in server.output
    assert states(tmp_path) == {"seed=1": "done", "seed=2": "done"}
    assert len(read_ledger(tmp_path)) == 2
    run_dir = the_sweep(tmp_path).folder / the_sweep(tmp_path).cells[1].id
    record = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps(record | {"found": record["found"] | {"data": "others"}}))
    (run_dir / "predictions.jsonl").unlink()  # so that the ledger alone is no proof
    assert server.run(*sweep) == 2
    assert "has read other rows" in server.output


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("too much was asked for"), "OutOfMemoryError: too much was asked for"),
        (DataError("no rows"), "no rows"),
        (KeyError("a bug"), "KeyError: 'a bug'"),
    ],
)
def test_a_failed_cell_does_not_stop_the_others(
    error: Exception, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = []

    def run(config: RunConfig, *rest: object) -> None:
        ran.append(config.seed)
        if config.seed == 1:
            raise error

    monkeypatch.setattr(runner, "run", run)
    assert main.run(["-m", *words(tmp_path, "method=finetune", "seed=1,2")]) == 1
    assert ran == [1, 2]
    captured = capfd.readouterr()
    assert message in captured.out + captured.err
    assert states(tmp_path) == {"seed=1": "waiting", "seed=2": "waiting"}, "the ledger has no line of them"


@pytest.mark.slow
def test_four_processes_at_one_sweep_do_each_cell_once(tmp_path: Path) -> None:
    """With a private cache: the teacher is trained once, and every ledger line is complete."""
    sweep = ["-m", *words(tmp_path / "out", "method=finetune,kd", "seed=1,2", "teacher.allow_weak=true")]
    results = killable_runs.run_in_parallel([sweep] * 4, tmp_path, tmp_path / "cache")
    assert [code for code, _ in results] == [0] * 4, results
    assert set(states(tmp_path / "out").values()) == {"done"}
    lines = [json.loads(line) for line in (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()]
    assert sorted(line["event"] for line in lines) == ["end"] * 4 + ["start"] * 4
    assert len({line["run_id"] for line in lines}) == 4
    trained = [output for _, output in results if re.search(r"teacher, train step 2", output)]
    assert len(list((tmp_path / "cache" / "teachers").glob("*/model.safetensors"))) == len(trained) == 1


def test_an_unknown_sweep_names_those_there_are(tmp_path: Path) -> None:
    plan(*words(tmp_path, "seed=1,2", "sweep=mine"))
    with pytest.raises(ConfigError, match=r"did you mean 'mine'\? \(sweeps: mine\)"):
        subcommands.run_command("runs", ["sweep=mini", f"output_dir={tmp_path}"])
    with pytest.raises(ConfigError, match="method=kd: sweep=mine"):
        subcommands.run_command("runs", ["sweep=mine", "method=kd", f"output_dir={tmp_path}"])
