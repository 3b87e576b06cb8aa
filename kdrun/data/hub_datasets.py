"""Load data sets from the hub, with a helpful error offline."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kdrun.errors import DataError
from kdrun.storage import hub_offline

if TYPE_CHECKING:
    from datasets import DatasetBuilder, DatasetDict

TABLES = (".parquet", ".arrow", ".jsonl", ".json", ".csv", ".tsv", ".txt")
"""Files that data sets are read from: rows, and nothing else."""


def load_hub_dataset(repo: str, subset: str, revision: str | None, alternative: str) -> DatasetDict:
    """A data set by name, or from a local folder in the same form, memory-mapped.

    Args:
        repo: name at the hub, or a folder.
        subset: which of its configurations.
        revision: commit or tag at the hub; None is the newest.
        alternative: remedy for the error message when the hub is unreachable.

    Raises:
        DataError: it cannot be reached, is not in the cache where downloads are off, or has no such subset.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    local = Path(repo).expanduser()
    remote = not local.is_dir()
    is_off = hub_offline.is_offline()
    unreachable = remote and not is_off and not _hub_answers()
    try:
        with hub_offline.offline_mode(unreachable):
            builder = datasets.load_dataset_builder(
                repo if remote else str(local), subset, revision=revision if remote else None
            )
            _check_table_files(builder, repo)
            builder.download_and_prepare()
            return builder.as_dataset()  # pyright: ignore[reportReturnType]
    except (OSError, ValueError) as error:
        # `datasets` raises either for an unknown name, an unknown subset, and for what is not in its cache
        if remote and is_off:
            why = f"{hub_offline.WHY}, and {_missing(repo, subset)}"
        elif unreachable:
            why = "the hub does not answer and the cache does not hold it"
        elif isinstance(error, ValueError):
            raise DataError(f"{repo} has no readable subset {subset}: {error}") from error
        else:
            why = str(error)
        raise DataError(f"{repo} cannot be read: {why}. Without access to the hub take {alternative}") from error
    except (DatasetsError, RuntimeError) as error:  # the latter for a repository that is a script
        raise DataError(f"{repo} {subset} cannot be read: {error}. Take {alternative}") from error


def _check_table_files(builder: DatasetBuilder, repo: str) -> None:
    """Refuse what would be unpacked, or read by a format that can hold code, before it is downloaded."""
    files = [str(file) for part in (builder.config.data_files or {}).values() for file in part]
    strange = [name for file in files if (name := urlsplit(file).path.rpartition("/")[2]) and not name.endswith(TABLES)]
    if strange:
        raise DataError(
            f"{repo} has the file {strange[0]}, and of a data set only {', '.join(TABLES)} files are read: archives "
            "are not unpacked and pickles not loaded; unpack it yourself and give data.repo=FOLDER (corpus.repo=FOLDER)"
        )


def _missing(repo: str, subset: str) -> str:
    """What the cache of `datasets` lacks, where; its folders are named as `datasets` names them."""
    from datasets import config
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = repo.rpartition("/")
    folder = Path(config.HF_DATASETS_CACHE) / "___".join(filter(None, (owner, camelcase_to_snakecase(name)))) / subset
    return f"there is no folder {folder} (download it once without that, or copy it from where it is)"


def _hub_answers() -> bool:
    """Whether the hub's name resolves; spares half a minute of retries on a machine without a network."""
    from huggingface_hub import constants

    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # behind a proxy names need not resolve here
    address = urlsplit(constants.ENDPOINT)
    try:
        socket.getaddrinfo(address.hostname, address.port or 443)
    except socket.gaierror:
        return False
    return True
