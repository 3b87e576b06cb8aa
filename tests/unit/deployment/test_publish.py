"""Model cards and uploads: content, metadata, traces of this machine, a stub of the hub."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoModelForSequenceClassification, pipeline

from kdrun.cli import main
from kdrun.deployment import publish
from kdrun.deployment.saved_model import load_saved
from kdrun.storage import hub_offline
from tests.helpers.cost_cards import card
from tests.helpers.finished_runs import record, result
from tests.helpers.saved_students import finish_run, record_of, save_run


class StubHub:
    """Records the calls of an upload."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: list[str] = []
        self.error = error

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        self.calls.append(("create_repo", {"repo_id": repo_id, "private": private, "exist_ok": exist_ok}))

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> str:
        if self.error:
            raise self.error
        self.calls.append(("upload_folder", {"repo_id": repo_id, "commit_message": commit_message}))
        self.files = sorted(path.name for path in folder_path.iterdir())
        return "https://hub/commit/1"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finish_run(save_run(tmp_path / "runs" / "run"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> StubHub:
    stub = StubHub()
    monkeypatch.setattr(publish, "hub_api", lambda: stub)
    monkeypatch.setattr(publish, "has_token", lambda: True)
    monkeypatch.setattr(hub_offline, "is_offline", lambda: False)
    return stub


def change(run: Path, file: str, **values: Any) -> None:
    content = json.loads((run / file).read_text())
    (run / file).write_text(json.dumps(content | values))


def metadata(text: str) -> dict[str, Any]:
    return yaml.safe_load(text.split("---\n")[1])


def test_folder_and_card_are_uploaded_in_one_commit_after_the_repository_is_there(
    run: Path, hub: StubHub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["publish", str(run), "to=me/student", "private=true", "license=apache-2.0"]) == 0
    assert [name for name, _ in hub.calls] == ["create_repo", "upload_folder"]
    assert hub.calls[0][1] == {"repo_id": "me/student", "private": True, "exist_ok": True}
    assert hub.files == ["README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    assert "https://hub/commit/1" in capsys.readouterr().out
    text = (run / "published" / "README.md").read_text()
    data = metadata(text)
    assert data["license"] == "apache-2.0"
    assert data["tags"] == ["knowledge-distillation", "kdrun", "method:kd"]
    assert (data["library_name"], data["pipeline_tag"], data["language"]) == (
        "transformers",
        "text-classification",
        "en",
    )
    (entry,) = data["model-index"]
    assert entry["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.84, "name": "accuracy"}]
    assert not {"base_model", "base_model_relation", "datasets"} & set(data)
    for part in ("# student\n", "84.0 %", "93.0 %", "bert 2x128", "kdrun method=kd", "seed 1", "torch"):
        assert part in text


@pytest.mark.parametrize("reason", ["offline", "login"])
def test_without_a_connection_or_login_the_folder_is_written_and_nothing_is_sent(
    reason: str, run: Path, hub: StubHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if reason == "login":
        monkeypatch.setattr(publish, "has_token", lambda: False)
    else:
        monkeypatch.setattr(hub_offline, "is_offline", lambda: True)
    output = run.parent / "folder"
    assert main.run(["publish", str(run), "to=me/student", "offline=true", f"output={output}"]) == 0
    assert hub.calls == []
    out = " ".join(capsys.readouterr().out.split())
    assert "not uploaded" in out
    assert "uploads these files to me/student (public)" in out
    assert (output / "README.md").is_file()


def test_plain_transformers_loads_the_folder_with_the_same_answers(run: Path, hub: StubHub) -> None:
    assert main.run(["publish", str(run), "to=me/student"]) == 0
    folder = run / "published"
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.id2label[0] == "entailment"
    texts = ("The cat sees the dog", "the dog is happy")
    classify = pipeline("text-classification", str(folder))
    answer = classify({"text": texts[0], "text_pair": texts[1]}, truncation=True, max_length=24)
    saved = load_saved(run)
    logits = saved.model(**saved.tokenize([texts]).batch([0])).logits.softmax(dim=-1)[0].detach()  # pyright: ignore[reportArgumentType]
    best = answer[0] if isinstance(answer, list) else answer
    assert best["label"] == saved.labels[int(logits.argmax())]
    assert best["score"] == pytest.approx(float(logits.max()), abs=1e-5)


def test_hub_models_and_data_are_named_and_folders_are_not(run: Path, hub: StubHub) -> None:
    config = record_of()["config"] | {
        "student": {"name": "pretrained", "hub": "distilbert/distilbert-base-uncased", "path": None},
        "teacher": {"name": "pretrained", "hub": "google-bert/bert-base-uncased", "path": None},
        "data": {"name": "hub", "repo": "nyu-mll/glue", "max_length": 24},
    }
    change(run, "run.json", config=config)
    assert main.run(["publish", str(run), "to=me/student"]) == 0
    data = metadata((run / "published" / "README.md").read_text())
    assert data["base_model"] == ["distilbert/distilbert-base-uncased", "google-bert/bert-base-uncased"]
    assert data["base_model_relation"] == "finetune"
    assert data["datasets"] == ["nyu-mll/glue"]
    assert data["model-index"][0]["results"][0]["dataset"] == {
        "name": "SST-2", "type": "nyu-mll/glue", "config": "mnli", "split": "validation"
    }  # fmt: skip
    config["student"] = {"name": "scratch", "path": None}
    change(run, "run.json", config=config)
    assert main.run(["publish", str(run), "to=me/student"]) == 0
    assert "base_model" not in metadata((run / "published" / "README.md").read_text())
    config["student"] = {"name": "pretrained", "hub": "x/y", "path": "/models/mine"}
    change(run, "run.json", config=config)
    assert main.run(["publish", str(run), "to=me/student"]) == 0
    assert "base_model" not in metadata((run / "published" / "README.md").read_text())


def test_synthetic_data_is_in_the_title(run: Path, hub: StubHub) -> None:
    change(run, "result.json", data=result()["data"] | {"synthetic": True, "name": "sst2 (synthetic)"})
    assert main.run(["publish", str(run), "to=me/student"]) == 0
    text = (run / "published" / "README.md").read_text()
    assert "# student (synthetic data)\n" in text
    assert metadata(text)["model-index"][0]["name"] == "student (synthetic data)"
    assert "synthetic-data" in metadata(text)["tags"]
    assert hub.calls[1][1]["commit_message"].startswith("student (synthetic data)")


def test_the_scores_of_a_comparison_have_seeds_and_intervals(run: Path, hub: StubHub) -> None:
    comparison = record()
    comparison["arms"][0]["runs"]["2"] = "a"
    (run.parent / "ledger.jsonl").write_text(json.dumps(comparison) + "\n")
    (run / "cost.json").write_text(json.dumps(card(2.0)))
    assert main.run(["publish", str(run), "to=me/student"]) == 0
    text = (run / "published" / "README.md").read_text()
    assert "| **kd** (this model is one of its seeds) | 3 | 85.0 ± 1.0 % | 82.5 % to 87.5 % |" in text
    assert "- kd BEATS finetune" in text
    assert "## Cost" in text


def test_a_run_without_a_comparison_says_so(run: Path, hub: StubHub) -> None:
    assert main.run(["publish", str(run), "to=me/student"]) == 0
    assert "one run, with seed 1" in (run / "published" / "README.md").read_text()


def test_paths_of_the_command_and_settings_are_left_out(run: Path, hub: StubHub) -> None:
    command = f"kdrun method=kd teacher.path={run}/teacher data.dir=/home/someone/glue output_dir=/srv/out"
    change(run, "result.json", provenance=result()["provenance"] | {"command": command})
    settings = {"name_or_path": str(run), "init": {"_name_or_path": "/srv/x"}}
    change(run, "student/tokenizer_config.json", **settings)
    assert main.run(["publish", str(run), "to=me/student"]) == 0
    files = list((run / "published").iterdir())
    assert all(b"/srv" not in path.read_bytes() and b"/home" not in path.read_bytes() for path in files)
    text = (run / "published" / "README.md").read_text()
    assert "kdrun method=kd teacher.path=TEACHER_PATH data.dir=DATA_DIR\n" in text


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("student/config.json", {"note": "from /home/someone/models"}),
        ("student/config.json", {"note": "ask someone.else@example.org"}),
        ("student/tokenizer_config.json", {"note": "made on the-build-host today"}),
        ("result.json", {"teacher": result()["teacher"] | {"name": "/srv/models/teacher"}}),
    ],
)
def test_a_trace_of_this_machine_stops_the_folder(
    file: str, values: dict[str, Any], run: Path, hub: StubHub, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(socket, "gethostname", lambda: "the-build-host")
    change(run, file, **values)
    assert main.run(["publish", str(run), "to=me/student"]) == 1
    assert re.search(r"(README\.md|config\.json) has (the|an) ", capsys.readouterr().err)
    assert hub.calls == []
    assert not (run / "published").exists()


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["to=student"], "to=student must be USER/NAME"),
        (["to=a b/c"], "to=a b/c: Repo id must use"),
        (["to=me/student", "output=OTHER"], "holds other files"),
        (["to=me/student", "extra"], "takes one run directory"),
    ],
)
def test_wrong_arguments_are_refused(
    args: list[str], problem: str, run: Path, hub: StubHub, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [arg.replace("OTHER", str(run)) for arg in args]
    assert main.run(["publish", str(run), *args]) == 2
    assert problem in capsys.readouterr().err
    assert hub.calls == []


def test_a_run_that_has_not_ended_and_a_plain_folder_are_refused(
    tmp_path: Path, hub: StubHub, capsys: pytest.CaptureFixture[str]
) -> None:
    run = save_run(tmp_path / "run")
    assert main.run(["publish", str(run), "to=me/student"]) == 1
    assert "has not ended" in capsys.readouterr().err
    (run / "run.json").unlink()
    assert main.run(["publish", str(run / "student"), "to=me/student"]) == 2
    assert "without a run" in capsys.readouterr().err


def test_an_error_of_the_hub_names_the_folder_that_stays(
    run: Path, hub: StubHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.error = OSError("403 Forbidden")
    assert main.run(["publish", str(run), "to=me/student"]) == 1
    err = capsys.readouterr().err
    assert "403 Forbidden" in err
    assert str(run / "published") in err
    assert (run / "published" / "model.safetensors").is_file()
