"""Check the folder in which Hydra's launchers write."""

from __future__ import annotations

from pathlib import Path

LAUNCHER_FOLDER = "outputs/sweeps"
"""`hydra.sweep.dir` in conf/config.yaml: where launchers write if no sweep sets another folder."""


def check_launcher_folder(args: list[str]) -> None:
    """Check that Hydra's launchers, which write `multirun.yaml` and `.submitit`, do not write through a link.

    Args:
        args: overrides of the command line, already validated.

    Raises:
        DataError: the file or folder is a link.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from kdrun.storage.files import refuse_link

    parser = OverridesParser.create()
    folders = [str(parser.parse_override(arg).value()) for arg in args if arg.startswith("hydra.sweep.dir=")]
    for name in ("multirun.yaml", ".submitit"):
        refuse_link(Path([LAUNCHER_FOLDER, *folders][-1]) / name)
