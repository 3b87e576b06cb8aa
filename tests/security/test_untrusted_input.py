"""Attacks on the claims of SECURITY.md: foreign code, foreign paths, leaked secrets."""

import ast
import io
import json
import os
import pickle
import re
import shlex
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kdrun.cli import main
from kdrun.config import compose
from kdrun.data import hub_datasets
from kdrun.errors import DataError, ModelError
from kdrun.models.hub_files import read_config, read_tokenizer
from kdrun.runs import provenance
from kdrun.storage import serialization
from tests.helpers.paths import ROOT

SMOKE = ["task=sst2", "preset=smoke", "optim.steps=2", "teacher.allow_weak=true"]


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.marker), "w"))


def bomb(folder: Path) -> bytes:
    return pickle.dumps(Bomb(folder / "exploded"))


def script(folder: Path) -> str:
    return f"open({str(folder / 'exploded')!r}, 'w').close()\n"


def model_folder(root: Path, **config: Any) -> Path:
    folder = root / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    return folder


def only_pickles(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(bomb(folder))


def a_list_of_pickles(folder: Path) -> None:
    only_pickles(folder)
    (folder / "model-1.safetensors").write_bytes(b"")
    index = {"metadata": {}, "weight_map": {"bert.w": "pytorch_model.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def a_list_of_others(folder: Path) -> None:
    (folder / "model-1.safetensors").write_bytes(b"")
    index = {"metadata": {}, "weight_map": {"bert.w": "../../private/model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def a_pickle_by_another_name(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(bomb(folder))


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        (only_pickles, "pytorch_model.bin, which can run code"),
        (a_list_of_pickles, "names 'pytorch_model.bin', which is not a safetensors file of this folder"),
        (a_list_of_others, r"names '../../private/model.safetensors', which is not a safetensors file"),
        (a_pickle_by_another_name, "teacher.path="),
    ],
)
def test_pickles_are_not_loaded(
    arm: Callable[[Path], None], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pickle.loads(bomb(tmp_path)).close()  # the bomb does explode where it is loaded
    assert (tmp_path / "exploded").exists()
    folder = model_folder(tmp_path)
    (folder / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\na\n")
    arm(folder)
    code = main.run([*SMOKE, "teacher=pretrained", f"teacher.path={folder}", f"output_dir={tmp_path}/out"])
    assert code == 1
    assert re.sub(r"\s+", " ", expected) in re.sub(r"\s+", " ", capsys.readouterr().out)
    assert not (folder / "exploded").exists()


def test_code_of_a_model_folder_is_not_run(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})
    (folder / "evil.py").write_text(script(folder))
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="auto_map"):
        read_config(folder, "teacher.path=model")
    (folder / "tokenizer.json").write_text('{"model": {}}')
    tokenizer_config = {"tokenizer_class": "EvilTokenizer", "auto_map": {"AutoTokenizer": ["evil.Slow", "evil.Fast"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="tokenizer"):
        read_tokenizer(folder, "teacher.path=model")
    assert not (folder / "exploded").exists()


def test_a_model_folder_has_no_links_to_files_elsewhere(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    (folder / "model.safetensors").write_bytes(b"")
    (tmp_path / "secret").write_text("private")
    (folder / "vocab.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match=r"vocab\.txt is a link"):
        read_config(folder, "teacher.path=model")


def test_the_links_of_the_hubs_cache_are_followed(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshots" / "abc", tmp_path / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for name, content in (("config.json", '{"model_type": "bert"}'), ("model.safetensors", "")):
        (blobs / name).write_text(content)
        (snapshot / name).symlink_to(blobs / name)
    assert read_config(snapshot, "teacher.hub=x").model_type == "bert"


def test_a_model_folder_does_not_send_elsewhere(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "stranger/model"}')
    with pytest.raises(ModelError, match="adapter of another model"):
        read_config(folder, "teacher.path=model")


SECRET = "sentinel-4711"
CODE_WORDS = [
    "+method._target_=os.system",
    "student.sizes={_target_:os.system}",
    "+student.sizes.x={a:[{_target_:os.system}]}",
    "run_dir=${oc.env:KDRUN_SECRET}",
    r"run_dir=$\{oc.env\:KDRUN_SECRET\}",
    r"student.sizes={a:$\{oc.env\:KDRUN_SECRET\}}",
    r"student.sizes={$\{oc.env\:KDRUN_SECRET\}:1}",
    r"task.labels=[$\{oc.env\:KDRUN_SECRET\},b]",
    r"run_dir=choice($\{oc.env\:KDRUN_SECRET\},b)",
    "run_dir='${oc.decode:\"${oc.env:KDRUN_SECRET}\"}'",
    "run_dir=${hydra:runtime.cwd}",
    "hydra.callbacks.x._target_=os.system",
    "hydra.searchpath=[/tmp]",
    "hydra/launcher=../../../../tmp/evil",
    "hydra.launcher._target_=os.system",
    r"+hydra.launcher.x=$\{oc.env\:KDRUN_SECRET\}",
    "hydra.job.env_set={A:b}",
    "hydra/job_logging=../../x",
    "task=../../x",
    "task@method=sst2",
    "+schema/method=kd",
    "task.domains=[../../x]",
]


@pytest.mark.parametrize("word", CODE_WORDS)
def test_configs_name_no_code_and_read_no_environment(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KDRUN_SECRET", SECRET)
    assert main.run([word, "student=smoke", "--cfg", "job"]) == 2
    output = capsys.readouterr()
    assert "problem" in output.err
    assert SECRET not in output.out + output.err


@pytest.mark.parametrize("words", [["runs", r"output_dir=$\{oc.env\:KDRUN_SECRET\}"], ["table", "rows=${oc.env:HOME}"]])
def test_arguments_of_subcommands_read_no_environment(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(words) == 2
    assert "interpolation" in capsys.readouterr().err


def strangers_run(root: Path, command: str) -> Path:
    folder = root / "theirs"
    folder.mkdir()
    config = serialization.to_plain(compose.load_config(SMOKE))
    record = {
        "run_id": "20260101-000000-abcdef",
        "command": command,
        "config": config,
        "code": provenance.code_digest(),
        "started": 0.0,
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("hydra.launcher._target_=os.system", "never code"),
        ("hydra/launcher=evil", "which no run records"),
        ("hydra.sweep.dir=PLACE", "which no run records"),
        ("output_dir=PLACE", "no run has written there yet"),
        ("++output_dir=PLACE", "no run has written there yet"),
        (r"output_dir=$\{oc.env\:HOME\}", "interpolation"),
        ("resume=PLACE", "resume: unknown key"),
        ("-m", "cannot read '-m'"),
        ("'", "closed quotes"),
    ],
)
def test_a_foreign_run_folder_sets_only_entries_of_a_run(
    word: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quoted = word if word == "'" else shlex.quote(word.replace("PLACE", f"{tmp_path}/elsewhere"))
    folder = strangers_run(tmp_path, f"kdrun task=sst2 preset=smoke {quoted}")
    assert main.run([f"resume={folder}"]) == 2
    assert expected in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


@pytest.mark.parametrize("name", [".lock", "metrics.jsonl", "student", "checkpoints/last"])
def test_a_run_does_not_write_through_links(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tmp_path / "precious"
    precious.write_text("content")
    folder = strangers_run(tmp_path, shlex.join(["kdrun", *SMOKE]))
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(precious)
    assert main.run([f"resume={folder}", f"output_dir={tmp_path}/out"]) == 2
    assert f"holds symbolic links ({name})" in " ".join(capsys.readouterr().out.split())
    assert precious.read_text() == "content"


WATCHED: list[list[str]] = []
"""Lists that record every path opened for writing, created or moved."""


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if not WATCHED:
        return
    opens = event == "open" and isinstance(args[0], str | bytes) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    makes = event == "os.mkdir" and not os.path.exists(args[0])
    if opens or makes or event in ("os.truncate", "os.symlink", "os.link"):
        WATCHED[-1].append(os.fsdecode(args[0]))
    elif event == "os.rename":
        WATCHED[-1].append(os.fsdecode(args[1]))


@contextmanager
def written_paths() -> Iterator[list[str]]:
    sys.addaudithook(_watch)  # permanent: hooks cannot be removed; silent without watchers
    WATCHED.append([])
    try:
        yield WATCHED[-1]
    finally:
        WATCHED.pop()


@pytest.mark.usefixtures("run_env")
def test_a_run_writes_into_its_folder_the_ledger_and_the_cache(
    tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run_dir, out = tmp_path / "own", tmp_path / "out"
    words = ["method=mate_kd", *SMOKE, "sweep=../../x", "generated.rows=8"]
    with written_paths() as paths:
        assert main.run([*words, f"run_dir={run_dir}", f"output_dir={out}"]) == 0
    places = {Path(os.path.realpath(path)) for path in paths if path != os.devnull}
    allowed = [run_dir, shared_cache, out / "ledger.jsonl.lock", out / "ledger.jsonl", out]
    strays = [p for p in places if p not in allowed and not any(a in p.parents for a in allowed[:3])]
    assert run_dir / "result.json" in places
    assert not strays
    assert sorted(p.name for p in out.iterdir() if p.suffix != ".lock") == ["ledger.jsonl"]
    assert not list((tmp_path / "here").iterdir())


def archive(folder: Path) -> Path:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        packed.writestr("unpacked-marker.jsonl", '{"text": "a"}\n')
    path = folder / "train.zip"
    path.write_bytes(content.getvalue())
    return path


@pytest.mark.usefixtures("run_env")
def test_archives_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "EXTRACTED_DATASETS_PATH", tmp_path / "cache" / "extracted")
    (tmp_path / "repo").mkdir()
    path = archive(tmp_path / "repo")
    with pytest.raises(DataError, match=r"train\.zip.*archives are not unpacked"):
        hub_datasets.load_hub_dataset(str(tmp_path / "repo"), "default", None, "another")
    words = {"data.dir": ["data=folder"], "corpus.dir": ["method=kd_ood", "corpus=folder"]}
    for key, more in words.items():
        assert main.run([*more, "task=sst2", "preset=smoke", f"{key}={path}", f"output_dir={tmp_path}/out"]) == 1
        assert "train.zip" in capsys.readouterr().out.replace("\n", "")
    assert not list(tmp_path.rglob("unpacked-marker*"))


def test_a_data_set_of_pickles_or_scripts_is_not_read(tmp_path: Path) -> None:
    for name, content in (("train.pkl", bomb(tmp_path)), ("repo.py", script(tmp_path).encode())):
        folder = tmp_path / name.partition(".")[2] / "repo"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(content)
        with pytest.raises(DataError):
            hub_datasets.load_hub_dataset(str(folder), "default", None, "another")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize("words", [[], ["teacher.allow_weak=false", "teacher.finetune_optim.steps=1", "debug=false"]])
def test_results_and_logs_carry_no_environment(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "KDRUN_ANYTHING", "USER")
    for name in names:
        monkeypatch.setenv(name, f"{SECRET}-{name}")
    run = [
        *SMOKE,
        *words,
        "method=zskd",
        "tracker=tensorboard",
        f"run_dir={tmp_path}/own",
        f"output_dir={tmp_path}/out",
    ]
    assert main.run(run) == int(bool(words))
    output = capsys.readouterr()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert SECRET not in output.out + output.err


UNSAFE_MODULES = {"pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "runpy", "code", "tarfile"}
UNSAFE_CALLS = {"eval", "exec", "__import__", "torch.load", "os.system", "os.popen"}
UNSAFE_CALLS |= {"shutil.unpack_archive", "yaml.unsafe_load"}


def writes_zip(name: str, call: ast.Call) -> bool:
    """Whether a call of `zipfile` creates an archive, instead of opening one."""
    return name == "zipfile.ZipInfo" or (name == "zipfile.ZipFile" and ast.unparse(call.args[1]) == "'w'")


def unsafe(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in {*UNSAFE_MODULES, "zipfile"}:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            flags = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name.startswith("zipfile.") and not writes_zip(name, node):
                yield name
            if name in UNSAFE_CALLS or "True" in (flags.get("shell"), flags.get("allow_pickle")):
                yield name
            if flags.get("trust_remote_code", "False") != "False":
                yield f"{name}(trust_remote_code=…)"


def test_no_module_has_unsafe_calls(tmp_path: Path) -> None:
    uses = {str(p.relative_to(ROOT)): list(unsafe(p)) for p in (ROOT / "kdrun").rglob("*.py")}
    assert not {name: calls for name, calls in uses.items() if calls}
    (tmp_path / "bad.py").write_text(
        "import pickle\nf(x, trust_remote_code=True)\nnp.load(y, allow_pickle=True)\neval(z)\nzipfile.ZipFile(a, 'r')\n"
    )
    assert len(list(unsafe(tmp_path / "bad.py"))) == 5


def test_every_claim_has_an_attack_and_every_attack_a_claim() -> None:
    claims = (ROOT / "SECURITY.md").read_text()
    named = set(re.findall(r"`(?:[\w/]+\.py::)?(test_\w+)`", claims))
    attacks = {name for name in globals() if name.startswith("test_")} - {
        "test_every_claim_has_an_attack_and_every_attack_a_claim"
    }
    assert attacks <= named
    for place, name in re.findall(r"`([\w/]+\.py)::(test_\w+)`", claims):
        assert f"def {name}(" in (ROOT / place).read_text(), f"{place} has no {name}"
    rows = [line for line in claims.splitlines() if line.startswith("| ") and not line.startswith(("| claim", "|---"))]
    assert rows
    assert all("`test_" in row or "::test_" in row for row in rows)
