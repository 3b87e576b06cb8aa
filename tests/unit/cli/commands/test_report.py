"""`kdrun report`: options, output, errors, and pages of several runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdrun.cli import main, subcommands
from kdrun.errors import ConfigError, DataError, KdrunError
from tests.helpers import forked
from tests.helpers.finished_runs import Parsed, result

MakeRun = Callable[..., Path]


def run(*args: object) -> Parsed:
    assert subcommands.run_command("report", [str(word) for word in args]) == 0
    return Parsed(Path(*[w.removeprefix("to=") for w in map(str, args) if w.startswith("to=")]).read_text())


def ledger(folder: Path, *records: dict[str, Any]) -> None:
    rows = []
    for number, changes in enumerate(records):
        start = {
            "method": "kd",
            "task": "sst2",
            "preset": "embedded",
            "seed": number,
            "source": "folder",
            "sweep": None,
            "started": float(number),
            "command": "kdrun",
        }
        rows.append(
            {"event": "start", "run_id": f"run-{number}", "run_dir": str(folder / f"run-{number}"), **start} | changes
        )
        if "status" in changes:
            rows.append({"event": "end", "run_id": f"run-{number}", "error": None} | changes)
    (folder / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def done(score: float, **changes: Any) -> dict[str, Any]:
    record = result()
    record["student"]["metrics"]["dev"]["accuracy"] = score
    keys = ("headline", "teacher", "student", "retention", "time")
    return {"status": "done", "data_name": "SST-2", "synthetic": False, **{k: record[k] for k in keys}} | changes


def test_the_path_of_the_report_is_printed(
    make_run: MakeRun, make_comparison: MakeRun, capsys: pytest.CaptureFixture
) -> None:
    for folder in (make_run(), make_comparison()):
        assert main.run(["report", str(folder)]) == 0
        assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
        assert (folder / "report.html").exists()


def test_to_names_the_file(make_run: MakeRun, tmp_path: Path) -> None:
    target = tmp_path / "new" / "kd.html"
    assert "kd on SST-2" in run(make_run("with=sign"), f"to={target}").text


def test_errors(make_run: MakeRun, tmp_path: Path) -> None:
    folder = make_run()
    with pytest.raises(ConfigError, match="name a run's folder, a comparison's folder or an output folder"):
        subcommands.run_command("report", [])
    with pytest.raises(ConfigError) as error:
        subcommands.run_command("report", [str(tmp_path / "nowhere"), str(folder / "result.json")])
    assert len(error.value.problems) == 2
    with pytest.raises(ConfigError, match="did you mean 'sweep'"):
        subcommands.run_command("report", [str(folder), "swep=1"])
    with pytest.raises(ConfigError, match=r"to=.* is a folder"):
        subcommands.run_command("report", [str(folder), f"to={tmp_path}"])
    with pytest.raises(ConfigError, match="sweep=a"):
        subcommands.run_command("report", [str(folder), "sweep=a"])
    with pytest.raises(KdrunError, match="to=FILE"):
        subcommands.run_command("report", [str(folder), f"to={folder / 'result.json' / 'x.html'}"])
    (folder / "result.json").unlink()
    with pytest.raises(DataError, match="the run did not finish"):
        subcommands.run_command("report", [str(folder)])


def test_a_folder_of_comparisons_gives_a_page_of_all(
    make_comparison: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    compare = tmp_path / "outputs" / "compare"
    for number, name in enumerate(("first", "second")):
        folder = make_comparison(with_runs=False, comparison_id=name, started=1000.0 * (2 - number), seeds=[1, 2, 3])
        (compare / "sst2").mkdir(parents=True, exist_ok=True)
        folder.rename(compare / "sst2" / name)
    assert main.run(["report", str(compare / "sst2" / "first")]) == 0
    for args in ([compare], [compare / "sst2"], [compare / "sst2" / name for name in ("first", "second")]):
        capsys.readouterr()
        assert main.run(["report", *map(str, args)]) == 0
        page = Path(capsys.readouterr().out.strip())
        parsed = Parsed(page.read_text())
        assert page == (compare if args == [compare] else compare / "sst2") / "report.html"
        assert "2 comparisons" in parsed.text
        assert "second: no report.html; kdrun report FOLDER writes it." in parsed.text
        assert parsed.text.index("second 1970-01-01") < parsed.text.index("first 1970-01-01")  # oldest first
        link = "first/report.html" if page.parent.name == "sst2" else "sst2/first/report.html"
        assert f'href="{link}"' in page.read_text()
        assert parsed.text.count("Checkpoint of") == 1  # notes once
        page.unlink()
    assert main.run(["report", str(compare), f"to={tmp_path / 'all.html'}"]) == 0
    assert 'href="outputs/compare/sst2/first/report.html"' in (tmp_path / "all.html").read_text()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no ledger.jsonl, and no run folders"):
        subcommands.run_command("report", [str(tmp_path)])
    ledger(tmp_path, {"sweep": "20261121-a"})
    with pytest.raises(DataError, match=r"no runs of sweep=20261121-b; did you mean '20261121-a'"):
        subcommands.run_command("report", [str(tmp_path), "sweep=20261121-b"])


def test_several_runs_have_no_verdict(make_run: MakeRun, tmp_path: Path) -> None:
    folders = [make_run(f"kd/{seed}", seed=seed) for seed in (1, 2)]
    folders.append(make_run("finetune/1", method="finetune"))
    parsed = run(*folders, f"to={tmp_path / 'report.html'}")
    assert "3 runs: 3 done." in parsed.text
    assert "kd 1, 2 84.0 % 84.0 % 84.0 % 93.0 %" in parsed.text
    assert "BEATS" not in parsed.text
    assert len(parsed.all("svg")) == 4
    subcommands.run_command(
        "report", [*map(str, folders), str(tmp_path / "report.html")]
    )  # the earlier report is skipped
    subcommands.run_command("report", [str(tmp_path / "kd")])
    assert "2 runs: 2 done" in Parsed((tmp_path / "kd" / "report.html").read_text()).text


def test_an_output_folder_is_read_from_its_ledger(make_run: MakeRun, tmp_path: Path) -> None:
    make_run("run-0", seed=0)
    failed = {"status": "failed", "error": "DataError: <b>no</b> data", "sweep": "s"}
    embedded = done(0.7, data_name=None, synthetic=None, source="embedded", sweep="s")
    ledger(tmp_path, done(0.84), done(0.82), failed, {}, embedded)
    parsed = run(tmp_path, f"to={tmp_path / 'report.html'}")
    assert "5 runs: 3 done, 1 failed, 1 running." in parsed.text
    assert "2 run folders missing (run-1, run-4)" in parsed.text
    assert "run-2: failed, DataError: <b>no</b> data" in parsed.text
    assert "run-1 kd SST-2 embedded 1 done accuracy on dev 93.0 % 82.0 % 90.3 %" in parsed.text
    assert "sst2 (synthetic): accuracy on dev" in parsed.text
    marks = [span for span in parsed.all("span") if span.get("class") == "synthetic"]
    assert len(marks) == 2  # the plot and the table of the synthetic run, none of the others
    sweep = run(tmp_path, "sweep=s", f"to={tmp_path / 'report.html'}")
    assert "2 runs: 1 failed, 1 done" in sweep.text


def test_settings_of_one_method_are_distinguished(make_run: MakeRun, tmp_path: Path) -> None:
    folders = [make_run(name) for name in ("a", "b")]
    config = folders[1] / "config.yaml"
    config.write_text(config.read_text().replace("2.0", "4.0"))
    parsed = run(*folders, f"to={tmp_path / 'report.html'}")
    assert "A: kd method.temperature=2.0" in parsed.text
    assert "method.temperature 2.0 4.0" in parsed.text
    assert "output_dir" not in parsed.text


def test_many_runs_are_folded_and_curves_left_out(tmp_path: Path) -> None:
    ledger(tmp_path, *[done(0.8, method=f"m{number}") for number in range(30)])
    parsed = run(tmp_path, f"to={tmp_path / 'report.html'}")
    assert "All 30 runs" in parsed.text
    assert "n/a (30 settings;" in parsed.text


def test_help_shows_the_arguments(capsys: pytest.CaptureFixture) -> None:
    assert subcommands.run_command("report", ["--help"]) == 0
    assert "kdrun report PATH… [to=FILE]" in capsys.readouterr().out


def test_reports_are_written_without_torch_and_pyplot(make_run: MakeRun) -> None:
    code = (
        "import sys; from kdrun.cli import main; code = main.run(sys.argv[1:])\n"
        "sys.exit(code or ', '.join({'torch', 'transformers', 'matplotlib.pyplot', 'pandas'} & set(sys.modules)) or 0)"
    )
    done = forked.without_torch().run(code, "report", str(make_run()))
    assert (done.returncode, done.stderr) == (0, "")


def test_settings_that_differ_in_many_keys_have_short_names_of_their_own() -> None:
    from kdrun.reporting.html import index_page

    def entry(student: str) -> Any:
        return index_page.Entry(student, "done", {"student": {"name": student}}, None)

    many = [f"student.key{i}={'x' * 30}" for i in range(40)]
    settings = {
        ("kd", *many, "optim.lr=1"): [entry("small")],
        ("kd", *many, "optim.lr=2"): [entry("small")],
        ("kd", *(text + "y" for text in many), "optim.lr=1"): [entry("large")],
        ("finetune",): [entry("small")],
    }
    names = index_page._setting_names(settings)
    assert names == [
        "kd student small; optim.lr=1",
        "kd student small; optim.lr=2",
        "kd student large; optim.lr=1",
        "finetune",
    ]
