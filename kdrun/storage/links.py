"""Refuse links below the folders that a user named."""

from __future__ import annotations

from pathlib import Path

from kdrun.errors import DataError


def refuse_link(path: Path) -> None:
    """Refuse a link where a file or folder is about to be written.

    Raises:
        DataError: the path is a link.
    """
    if path.is_symlink():
        raise link_error(path)


def link_error(path: Path) -> DataError:
    """The error about a link."""
    return DataError(f"{path} is a link, through which kdrun would write elsewhere; remove it, or name another folder")
