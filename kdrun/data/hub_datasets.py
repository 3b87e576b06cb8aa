"""Load data sets from the hub, with a helpful error offline."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kdrun.data.local_folder import check_dataset_folder
from kdrun.errors import DataError
from kdrun.storage import hub_offline

if TYPE_CHECKING:
    from datasets import DatasetBuilder, DatasetDict

TABLES = (".parquet", ".arrow", ".jsonl", ".json", ".csv", ".tsv", ".txt")
"""Suffixes of readable files: formats that contain only rows."""


def load_hub_dataset(repo: str, subset: str | None, revision: str | None, alternative: str) -> DatasetDict:
    """A data set by name, or from a local folder of the same form, memory-mapped.

    Args:
        repo: name on the hub, or a folder.
        subset: name of its configuration; None is its default one.
        revision: commit or tag on the hub; None is the newest.
        alternative: remedy for the error message when the hub is unreachable.

    Raises:
        DataError: the hub is unreachable, downloads are off and the cache has no copy, or there is no such subset; a
            local folder refers to files elsewhere; a column is not plain text or numbers.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    local = Path(repo).expanduser()
    remote = not local.is_dir()
    is_off = hub_offline.is_offline()
    part = f"subset {subset}" if subset else "default subset"
    unreachable = remote and not is_off and not _hub_answers()
    if not remote:
        check_dataset_folder(local)
    try:
        with hub_offline.offline_mode(unreachable):
            builder = datasets.load_dataset_builder(
                repo if remote else str(local), subset, revision=revision if remote else None
            )
            _check_table_files(builder, repo, f"hf://datasets/{repo}@" if remote else local.resolve().as_posix() + "/")
            builder.download_and_prepare()
            splits = builder.as_dataset()
            check_plain_columns(splits, repo)
            return splits  # pyright: ignore[reportReturnType]
    except (OSError, ValueError) as error:
        # `datasets` raises either for an unknown name, an unknown subset, and a data set missing from its cache
        if remote and is_off:
            why = f"{hub_offline.REASON}, and {_missing(repo, subset or 'default')}"
        elif unreachable:
            why = "the hub does not answer and the cache has no copy"
        elif isinstance(error, ValueError):
            raise DataError(f"{repo} has no readable {part}: {error}") from error
        else:
            why = str(error)
        raise DataError(f"{repo} cannot be read: {why}. Without access to the hub use {alternative}") from error
    except (DatasetsError, RuntimeError) as error:  # RuntimeError: the repository is a script
        raise DataError(f"{repo}, {part}, cannot be read: {error}. Use {alternative}") from error


def _check_table_files(builder: DatasetBuilder, repo: str, origin: str) -> None:
    """Refuse files elsewhere, archives and formats that can contain code, before the download.

    Args:
        builder: knows the addresses of its files.
        repo: for messages.
        origin: how every address must begin.
    """
    files = [str(file) for part in (builder.config.data_files or {}).values() for file in part]
    foreign = [file for file in files if not file.startswith(origin)]
    if foreign:
        raise DataError(f"{repo} lists the data file {foreign[0]}, outside of {origin}; only its own files are read")
    unsupported = [
        name for file in files if (name := urlsplit(file).path.rpartition("/")[2]) and not name.endswith(TABLES)
    ]
    if unsupported:
        raise DataError(
            f"{repo} has the file {unsupported[0]}, and only {', '.join(TABLES)} files are read: archives "
            "are not unpacked and pickles not loaded; unpack it yourself and set data.repo=FOLDER (corpus.repo=FOLDER)"
        )


def check_plain_columns(splits: Any, repo: str) -> None:
    """Refuse images, audio and the like: reading such a column opens the path or address in each row."""
    for split in splits.values():
        for name, feature in split.features.items():
            if not _is_plain(feature):
                raise DataError(
                    f"{repo} has the column {name!r} of type {type(feature).__name__}; only text, numbers, classes and "
                    "lists of these are read: remove the column"
                )


def _is_plain(feature: Any) -> bool:
    from datasets import ClassLabel, LargeList, List, Value

    if isinstance(feature, List | LargeList):
        return _is_plain(feature.feature)
    if isinstance(feature, dict):
        return all(map(_is_plain, feature.values()))
    return isinstance(feature, Value | ClassLabel)


def _missing(repo: str, subset: str) -> str:
    """Name the folder missing from the cache of `datasets`, in its naming scheme."""
    from datasets import config
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = repo.rpartition("/")
    folder = Path(config.HF_DATASETS_CACHE) / "___".join(filter(None, (owner, camelcase_to_snakecase(name)))) / subset
    return f"there is no folder {folder} (download it once with downloads on, or copy it there)"


def _hub_answers() -> bool:
    """Whether the hub's name resolves; avoids half a minute of retries on a machine without a network."""
    from huggingface_hub import constants

    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # behind a proxy names need not resolve here
    address = urlsplit(constants.ENDPOINT)
    try:
        socket.getaddrinfo(address.hostname, address.port or 443)
    except socket.gaierror:
        return False
    return True
