"""Attacks by data folders: addresses, paths and links that lead out of the folder."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdrun.config import compose
from kdrun.config.data import FolderCorpusConfig
from kdrun.config.task import TaskConfig
from kdrun.data import hub_datasets
from kdrun.data.corpus import corpora
from kdrun.data.sources import generated_text, glue_folder
from kdrun.errors import DataError

TSV = "sentence\tlabel\nfine\t1\nbad\t0\n"
CSV = "text,label\nprivate,1\n"


@pytest.fixture
def task() -> TaskConfig:
    return compose.load_config(["task=sst2", "preset=smoke"]).task


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listening socket whose queue shows whether anybody connected."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        listener.setblocking(False)
        yield listener


def is_contacted(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def dataset_folder(root: Path, data_files: str) -> Path:
    folder = root / "repo"
    folder.mkdir()
    (folder / "rows.csv").write_text(CSV)
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files: {data_files}\n---\n# x\n")
    return folder


def load(folder: Path) -> object:
    return hub_datasets.load_hub_dataset(str(folder), "default", None, "another")


@pytest.mark.parametrize(
    "data_files",
    [
        "ADDRESS/a.csv",
        "[{split: train, path: [rows.csv, ADDRESS/a.csv]}]",
        "[{split: train, path: 'zip://a.csv::ADDRESS/a.zip'}]",
    ],
)
def test_an_address_in_a_readme_is_not_contacted(data_files: str, tmp_path: Path, server: socket.socket) -> None:
    address = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(DataError, match=r"README\.md.*a\.(csv|zip).*outside"):
        load(dataset_folder(tmp_path, data_files.replace("ADDRESS", address)))
    assert not is_contacted(server)


@pytest.mark.parametrize("path", ["../secret/s.csv", "{root}/secret/s.csv", "~/s.csv", "sub/../../secret/*.csv"])
def test_a_path_out_of_the_folder_in_a_readme_is_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "s.csv").write_text(CSV)
    with pytest.raises(DataError, match=r"s?\*?\.csv.*outside"):
        load(dataset_folder(tmp_path, f"'{path.format(root=tmp_path)}'"))


def test_the_files_of_the_folder_are_read(tmp_path: Path) -> None:
    splits = load(dataset_folder(tmp_path, "rows.csv"))
    assert splits["train"]["text"][0] == "private"  # pyright: ignore[reportIndexIssue]


def test_a_standalone_description_is_checked_too(tmp_path: Path) -> None:
    folder = dataset_folder(tmp_path, "rows.csv")
    (folder / ".huggingface.yaml").write_text("configs:\n- config_name: default\n  data_files: ../s.csv\n")
    with pytest.raises(DataError, match=r"huggingface\.yaml.*\.\./s\.csv"):
        load(folder)


def test_a_column_that_opens_addresses_is_refused(tmp_path: Path, server: socket.socket) -> None:
    folder = tmp_path / "repo"
    folder.mkdir()
    address = f"http://127.0.0.1:{server.getsockname()[1]}/a.png"
    features = {"info": {"features": {"text": {"_type": "Image"}}}}
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([pa.field("text", struct)], {"huggingface": json.dumps(features)})
    rows = pa.array([{"bytes": None, "path": address}], struct)
    pq.write_table(pa.table({"text": rows}, schema), folder / "a.parquet")
    with pytest.raises(DataError, match=r"text.*Image"):
        load(folder)
    assert not is_contacted(server)


def linked(folder: Path, name: str, content: str) -> Path:
    """A folder with a link of this name to a file elsewhere."""
    secret = folder.parent / "secret"
    secret.write_text(content)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(secret)
    return folder


def test_a_link_in_a_data_set_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"more\.csv is a link"):
        load(linked(dataset_folder(tmp_path, "rows.csv"), "more.csv", CSV))


def test_a_link_in_a_corpus_folder_is_refused(tmp_path: Path) -> None:
    folder = linked(tmp_path / "corpus", "a.txt", "root:x:0:0\n")
    with pytest.raises(DataError, match=r"a\.txt is a link"):
        corpora.folder_corpus(FolderCorpusConfig(name="folder", dir=str(folder)))


def test_a_link_in_a_folder_of_tasks_is_refused(tmp_path: Path, task: TaskConfig) -> None:
    folder = linked(tmp_path / "SST-2", "train.tsv", TSV)
    with pytest.raises(DataError, match=r"train\.tsv is a link"):
        glue_folder.read_task(str(folder.parent), task, ["train"])


@pytest.mark.parametrize("name", ["train.jsonl", "card.json"])
def test_a_link_in_generated_text_is_refused(name: str, tmp_path: Path, task: TaskConfig) -> None:
    folder = linked(tmp_path / "generated", name, "{}\n")
    (folder / "train.jsonl").touch()
    with pytest.raises(DataError, match=rf"{name} is a link"):
        generated_text.read_generated(str(folder), task)


def test_a_folder_that_is_itself_a_link_is_read(tmp_path: Path, task: TaskConfig) -> None:
    (tmp_path / "data" / "SST-2").mkdir(parents=True)
    (tmp_path / "data" / "SST-2" / "train.tsv").write_text(TSV)
    (tmp_path / "mine").symlink_to(tmp_path / "data")
    assert glue_folder.read_task(str(tmp_path / "mine"), task, ["train"])["train"].num_rows == 2
