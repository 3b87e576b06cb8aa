"""Upload a published folder to the hub, in one commit."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HFValidationError, HTTPError  # pyright: ignore[reportPrivateImportUsage]
from huggingface_hub.utils import validate_repo_id

from kdrun.errors import KdrunError
from kdrun.version import __version__


class Hub(Protocol):
    """The calls of `HfApi` that an upload makes."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any:
        """Create a repository; with `exist_ok` an existing one stays as it is."""
        ...

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> Any:
        """Upload all files of a folder in one commit."""
        ...


def hub_api() -> Hub:
    """The hub, with the token of the person who is logged in."""
    return HfApi(library_name="kdrun", library_version=__version__)  # pyright: ignore[reportReturnType]


def has_token() -> bool:
    """Whether a person is logged in."""
    return get_token() is not None


def repo_problem(repo: str) -> str | None:
    """Why a name is no repository of a user; None if it is one."""
    if repo.count("/") != 1:
        return f"to={repo} must be USER/NAME"
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        return f"to={repo}: {error}"
    return None


def upload(folder: Path, repo: str, title: str, *, private: bool, hub: Hub) -> str:
    """Create the repository if it is missing, and upload the folder in one commit.

    Returns:
        Address of the commit.

    Raises:
        KdrunError: the hub refuses, or does not answer; the folder stays.
    """
    try:
        hub.create_repo(repo, private=private, exist_ok=True)
        commit = hub.upload_folder(repo_id=repo, folder_path=folder, commit_message=f"{title}, by kdrun {__version__}")
    except (HTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise KdrunError(
            f"the hub did not take {repo} ({type(error).__name__}: {reason}); the folder is complete: {folder}. Check "
            "the name, the rights of the token (hf auth whoami) and the connection, then repeat the command"
        ) from error
    return str(getattr(commit, "commit_url", commit))
