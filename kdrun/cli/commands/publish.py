"""`kdrun publish`: upload a student with its model card."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from kdrun.config.fields import setting
from kdrun.errors import ConfigError


@dataclass
class PublishOptions:
    """Options of `kdrun publish`, besides the run directory."""

    to: str = setting(doc="repository on the hub, as USER/NAME")
    private: bool = setting(False, "create the repository as a private one; an existing one stays as it is")
    output: str | None = setting(None, "folder to write; default: published in the run directory")
    license: str | None = setting(None, "license for the card, as the hub names it, e.g. apache-2.0; null names none")
    offline: bool = setting(False, "open no socket: write the folder, and report what would be uploaded")


OPTIONS = PublishOptions
EXAMPLE = "kdrun publish outputs/kd/sst2/RUN to=USER/NAME offline=true"


def main(args: list[str]) -> int:
    """Upload the student of a finished run with a model card: kdrun publish RUN_DIR to=USER/NAME.

    Writes a folder that plain transformers loads (weights, tokenizer, README.md) and uploads it in one commit. The card
    has the method, teacher, data, scores, seeds and intervals of the run's comparison, costs of kdrun cost, limits, the
    command and versions. Nothing in the folder names a path, a user or this machine; synthetic data is named in the
    title. Without a login, or with offline=true, the folder is written and nothing is uploaded.
    """
    from kdrun import progress
    from kdrun.cli.path_arguments import split_paths
    from kdrun.cli.verbosity import run_console
    from kdrun.config.options import parse_options
    from kdrun.deployment import publish, publish_folder
    from kdrun.deployment.card_facts import gather
    from kdrun.deployment.saved_folder import find_saved
    from kdrun.formatting import plural
    from kdrun.storage import hub_offline

    paths, others = split_paths(args, PublishOptions)
    options, _ = parse_options(PublishOptions, others)
    problems = [problem] if (problem := publish.repo_problem(options.to)) else []
    if len(paths) != 1:
        problems.append(f"kdrun publish takes one run directory, got {', '.join(paths) or 'none'}")
    if problems:
        raise ConfigError(problems)
    saved = find_saved(Path(paths[0]))
    if saved.run is None:
        raise ConfigError([f"{saved.folder} is a model folder without a run, which a card describes; name a run"])
    facts = gather(saved, options.to, options.license)
    folder = Path(options.output) if options.output else saved.run.path / "published"
    publish_folder.check_output(folder)
    console = run_console()
    with progress.show_on(console), hub_offline.offline_mode(options.offline):
        with progress.track("writing the folder"):
            names = publish_folder.write_folder(facts, folder)
        console.print(f"{facts.title}: {plural(len(names), 'file')} in {folder}: {', '.join(names)}")
        visibility = "private" if options.private else "public"
        reason = "downloads and uploads are off" if hub_offline.is_offline() else "there is no login (hf auth login)"
        if hub_offline.is_offline() or not publish.has_token():
            command = shlex.join(["kdrun", "publish", *(arg for arg in args if not arg.startswith("offline="))])
            console.print(f"not uploaded: {reason}; {command} uploads these files to {options.to} ({visibility})")
            return 0
        with progress.track(f"uploading to {options.to}"):
            address = publish.upload(folder, options.to, facts.title, private=options.private, hub=publish.hub_api())
    console.print(f"uploaded: {address}")
    return 0
