"""`offline=true`: no socket in a whole run, and messages that name the missing file."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub._tree_cache import TREE_CACHE_FORMAT_VERSION

from kdrun.config import compose
from kdrun.errors import ConfigError, DataError, ModelError
from kdrun.models import hub_files
from kdrun.storage import hub_offline

COMMANDS = """
import json, sys
tried = []

def watch(event, args):
    if event.startswith("socket.") and event != "socket.gethostname":
        tried.append(event)
        raise ConnectionRefusedError(f"no sockets here: {event}")

sys.addaudithook(watch)
from kdrun.cli import main

codes = [main.run(words) for words in json.loads(sys.argv[1])]
print("\\n" + json.dumps([codes, sorted(set(tried))]))
"""
SMOKE = ["method=mate_kd", "task=sst2", "preset=smoke", "teacher.allow_weak=true", "optim.steps=2"]
HUB_MODEL = ["task=sst2", "preset=smoke", "teacher=bert_base"]
HUB_DATA = ["task=sst2", "preset=smoke", "data=hub"]
HUB_CORPUS = ["method=kd_ood", "task=sst2", "preset=smoke", "corpus=hub"]


def without_sockets(tmp_path: Path, cache: Path, *commands: list[str]) -> tuple[list[int], list[str], str]:
    """Exit codes, the kinds of socket calls that were tried, and what was printed, of commands in one process."""
    switches = {name for _, name in hub_offline.SWITCHES}
    env = {key: value for key, value in os.environ.items() if key not in switches and "proxy" not in key.lower()}
    env |= {"HF_HOME": str(tmp_path / "hf"), "KDRUN_CACHE": str(cache), "OMP_NUM_THREADS": "1", "COLUMNS": "1000"}
    words = json.dumps([[*command, f"output_dir={tmp_path}/out"] for command in commands])
    command = [sys.executable, "-c", COMMANDS, words]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    *output, last = done.stdout.strip().splitlines()
    codes, socket_calls = json.loads(last)
    return codes, socket_calls, "\n".join([*output, done.stderr])


def test_no_socket_is_opened(tmp_path: Path, shared_cache: Path) -> None:
    commands = [[*words, "offline=true"] for words in (SMOKE, HUB_MODEL, HUB_DATA, HUB_CORPUS, ["check", *HUB_MODEL])]
    codes, socket_calls, output = without_sockets(tmp_path, shared_cache, *commands)
    assert (codes, socket_calls) == ([0, 1, 1, 1, 1], []), output
    assert "Traceback" not in output
    hub, data = tmp_path / "hf" / "hub", tmp_path / "hf" / "datasets"
    assert f"no folder {hub}/models--google-bert--bert-base-uncased" in output
    assert f"no folder {data}/nyu-mll___glue/sst2" in output
    assert f"no folder {data}/Salesforce___wikitext/wikitext-103-raw-v1" in output
    for remedy in ("teacher.path=FOLDER", "data=folder data.dir=PATH", "corpus=folder corpus.dir=PATH"):
        assert remedy in output


@pytest.mark.slow
def test_the_recorder_sees_sockets_of_an_online_run(tmp_path: Path, shared_cache: Path) -> None:
    codes, socket_calls, _ = without_sockets(tmp_path, shared_cache, HUB_MODEL)
    assert codes == [1]
    assert socket_calls


def test_switches_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "0")
    monkeypatch.setitem(
        sys.modules, "datasets.config", SimpleNamespace(HF_HUB_OFFLINE=False, HF_DATASETS_OFFLINE=False)
    )
    monkeypatch.delitem(sys.modules, "evaluate.config", raising=False)
    with hub_offline.offline_mode(True):
        assert hub_offline.is_offline()
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["HF_DATASETS_OFFLINE"] == "1"
        assert sys.modules["datasets.config"].HF_HUB_OFFLINE
        late = SimpleNamespace(HF_EVALUATE_OFFLINE=True)  # as a library that is imported inside reads it
        monkeypatch.setitem(sys.modules, "evaluate.config", late)
        with hub_offline.offline_mode(True):
            pass
        assert hub_offline.is_offline()
    assert not hub_offline.is_offline()
    assert not late.HF_EVALUATE_OFFLINE
    assert not sys.modules["datasets.config"].HF_DATASETS_OFFLINE
    assert ("HF_HUB_OFFLINE" in os.environ, os.environ["HF_DATASETS_OFFLINE"]) == (False, "0")


def test_off_leaves_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with hub_offline.offline_mode(False):
        assert hub_offline.is_offline()


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_trackers_with_a_server_are_an_error(tracker: str) -> None:
    with pytest.raises(ConfigError, match=rf"tracker={tracker} talks to a server.*tracker=tensorboard"):
        compose.load_config(["offline=true", f"tracker={tracker}"])
    compose.load_config(["offline=true", "tracker=tensorboard"])
    compose.load_config([f"tracker={tracker}"])


def nothing(place: Path) -> None:
    """Leaves the cache as it is."""


def another_revision(place: Path) -> None:
    (place / "snapshots" / ("a" * 40)).mkdir(parents=True)


def a_part(place: Path) -> None:
    commit = "b" * 40
    (place / "snapshots" / commit).mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    (place / "snapshots" / commit / "config.json").write_text("{}")
    (place / "trees").mkdir()
    listed = {key: {"size": 2, "blob_id": "0"} for key in ("config.json", "model.safetensors", "tokenizer.json")}
    listing = {"format_version": TREE_CACHE_FORMAT_VERSION, "files": listed}
    (place / "trees" / f"{commit}.json").write_text(json.dumps(listing))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (nothing, r"no folder .*models--some--one; download it once"),
        (another_revision, r"models--some--one has no snapshot of this revision \(.*refs/main"),
        (a_part, r"snapshots/b{40} .*model\.safetensors, tokenizer\.json"),
    ],
)
def test_what_the_hubs_cache_lacks_is_named(
    make: Callable[[Path], Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    make(tmp_path / "models--some--one")
    with hub_offline.offline_mode(True), pytest.raises(ModelError, match=expected) as error:
        hub_files.download("some/one", None, "student")
    assert "student.path=FOLDER" in str(error.value)


def test_a_whole_snapshot_in_the_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    a_part(tmp_path / "models--some--one")
    folder = tmp_path / "models--some--one" / "snapshots" / ("b" * 40)
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).write_text("x")
    with hub_offline.offline_mode(True):
        assert hub_files.download("some/one", None, "student") == folder


def test_a_data_set_in_a_folder_is_read_offline(tmp_path: Path) -> None:
    from kdrun.data import hub_datasets

    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "train.jsonl").write_text('{"text": "one"}\n')
    with hub_offline.offline_mode(True):
        assert hub_datasets.load_hub_dataset(str(tmp_path / "repo"), "default", None, "nothing")["train"]["text"][
            :
        ] == ["one"]
        with pytest.raises(DataError, match=r"owner___such_data/part .*another"):
            hub_datasets.load_hub_dataset("owner/SuchData", "part", None, "another")


def test_offline_changes_no_number() -> None:
    from kdrun.config.identity import config_hash

    assert config_hash(compose.load_config(["offline=true"])) == config_hash(compose.load_config([]))
