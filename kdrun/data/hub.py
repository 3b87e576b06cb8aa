"""Data sets at the hub, through `datasets`, with an answer in words where there is no network."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kdrun.errors import DataError

if TYPE_CHECKING:
    from datasets import DatasetDict


def load(repo: str, subset: str, revision: str | None, otherwise: str) -> DatasetDict:
    """A data set by name, or from a local folder in the same form, memory-mapped.

    Args:
        repo: name at the hub, or a folder.
        subset: which of its configurations.
        revision: commit or tag at the hub; None is the newest.
        otherwise: what to take instead where the hub cannot be reached, for the message.

    Raises:
        DataError: it cannot be reached, or has no such subset.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    local = Path(repo).expanduser()
    remote = not local.is_dir()
    unreachable = remote and not _hub_answers()
    try:
        with _offline_if(unreachable):
            if remote:
                return datasets.load_dataset(repo, subset, revision=revision)
            return datasets.load_dataset(str(local), subset)
    except OSError as error:  # what `datasets` raises for an unknown name and without a network is one too
        why = "the hub does not answer and the cache does not hold it" if unreachable else str(error)
        raise DataError(f"{repo} cannot be read: {why}. Without access to the hub take {otherwise}") from error
    except DatasetsError as error:
        raise DataError(f"{repo} {subset} cannot be read: {error}") from error
    except ValueError as error:
        # an unknown subset, or a cache that lacks it: `datasets` has no class of its own for either
        raise DataError(f"{repo} has no readable subset {subset}: {error}") from error


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


@contextmanager
def _offline_if(offline: bool) -> Iterator[None]:
    """Make `datasets` and `huggingface_hub` look into their caches only, for as long as the block runs."""
    from datasets import config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    if offline:
        constants.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before
