"""`kdrun predict`: the answers of the run, for texts and files."""

import csv
import io
import json
from pathlib import Path

import pytest

from kdrun.cli import main
from kdrun.deployment import chunk
from tests.helpers.saved_students import TEXTS, finish_run, save_run


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finish_run(save_run(tmp_path_factory.mktemp("runs") / "run", num_hidden_layers=1))


def recorded(run_dir: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run_dir / "predictions.jsonl").read_text().splitlines()]


def test_a_file_has_the_answers_of_the_run_in_order(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chunk, "CHUNK_ROWS", 16)
    with (tmp_path / "in.csv").open("w", newline="") as file:
        rows = [[row["id"], row["text"], row["text_pair"]] for row in recorded(run_dir)]
        csv.writer(file).writerows([["id", "premise", "hypothesis"], *rows])
    arguments = [f"input={tmp_path}/in.csv", f"output={tmp_path}/out.jsonl", "columns=[id]", "batch_size=3"]
    assert main.run(["predict", str(run_dir), *arguments]) == 0
    assert "premise and hypothesis" in capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [str(number) for number in range(len(lines))]
    for line, expected in zip(lines, recorded(run_dir), strict=True):
        assert line["prediction"] == expected["prediction"]
        assert line["probabilities"] == pytest.approx(expected["probabilities"], abs=2e-6)


def test_standard_input_and_output(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    first, second = TEXTS[0]
    lines = [{"text": first, "text_pair": second, "more": [1]}, {"text": first}]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    arguments = ["input=-", "format=jsonl", "text=text,text_pair", "bad_rows=empty"]
    assert main.run(["predict", str(run_dir), *arguments]) == 0
    out, notes = capfdbinary.readouterr()
    answers = [json.loads(line) for line in out.splitlines()]  # nothing else is on the output
    assert (answers[0]["more"], answers[0]["prediction"]) == ([1], recorded(run_dir)[0]["prediction"])
    assert (answers[1]["text"], answers[1]["prediction"]) == (first, None)
    assert b"2 rows predicted, 1 of them without a text" in notes


def test_texts_on_the_command_line(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["predict", str(run_dir / "student"), *TEXTS[0], *TEXTS[1]]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " | " in line]
    assert [line.split()[0] for line in lines] == [row["prediction"] for row in recorded(run_dir)[:2]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one text"], "reads 2 texts per row, got 1"),
        ([" ", "a"], "text 1 is blank"),
        ([], "takes texts"),
        (["a", "b", "input=x.csv"], "either texts or input=FILE"),
        (["input=x.csv"], "no such file"),
        (["input={bad}"], "line 2: hypothesis is missing"),
        (["input={bad}", "output=x.doc"], "output=x.doc"),
        (["input={bad}", "batch_size=0"], "batch_size"),
    ],
)
def test_wrong_arguments_are_refused_before_torch(
    run_dir: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delattr("kdrun.deployment.saved_model.load_saved")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"premise": "a", "hypothesis": "b"}\n{"premise": "a"}\n')
    args = [argument.format(bad=bad) for argument in arguments]
    assert main.run(["predict", str(run_dir), *args]) != 0
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jsonl"]
