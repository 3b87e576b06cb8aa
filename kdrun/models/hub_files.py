"""Download checkpoint files and inspect them before loading; no remote code."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import constants, snapshot_download
from huggingface_hub import errors as hub_errors
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from kdrun.errors import ModelError
from kdrun.models import bag_of_words
from kdrun.storage import hub_offline, json_reader

PATTERNS = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model"]
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")


@contextmanager
def silence_transformers() -> Iterator[None]:
    """Turn off load reports and progress bars; kdrun reports itself which weights were new."""
    level, progress_bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if progress_bars:
            transformers_logging.enable_progress_bar()


def download(repo: str, revision: str | None, role: str) -> Path:
    """Download a checkpoint from the hub, or find its copy in the cache of the hub's client.

    Args:
        repo: name at the hub.
        revision: commit or tag.
        role: teacher, student or generator, for messages.

    Returns:
        The checkpoint's folder.

    Raises:
        ModelError: the checkpoint cannot be downloaded.
    """
    otherwise = f"give a folder ({role}.path=FOLDER), or run without downloads (preset=embedded)"
    try:
        # one call for all files fails at once without a network; one call per file would retry each
        return Path(
            snapshot_download(
                repo,
                revision=revision,
                allow_patterns=PATTERNS,
                ignore_patterns=["*/*"],
                local_files_only=hub_offline.is_offline(),
            )
        )
    except hub_errors.HFValidationError as error:
        raise ModelError(f"{role}.hub={repo} is not a valid name at the hub ({error}); {otherwise}") from None
    except hub_errors.GatedRepoError:
        raise ModelError(f"{role}.hub={repo} requires accepting its terms at the hub; {otherwise}") from None
    except hub_errors.RepositoryNotFoundError:
        raise ModelError(f"{role}.hub={repo}: the hub has no such model, or it is private; {otherwise}") from None
    except hub_errors.RevisionNotFoundError:
        raise ModelError(f"{role}.hub={repo} has no revision {revision!r}; leave {role}.revision out") from None
    except OSError as error:  # no network, a time-out and an error response are all OSErrors
        if hub_offline.is_offline():
            remedy = f"download it once without offline mode, or copy that folder from another machine; or {otherwise}"
            raise ModelError(
                f"{role}.hub={repo}: {hub_offline.REASON}, and {_missing(repo, revision, error)}; {remedy}"
            ) from None
        raise ModelError(f"{role}.hub={repo} cannot be downloaded ({first_line(error)}); {otherwise}") from None


def _missing(repo: str, revision: str | None, error: OSError) -> str:
    """The files of a checkpoint that the cache of the hub's client lacks, and where they are expected."""
    place = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    if isinstance(error, hub_errors.IncompleteSnapshotError):
        return f"{error.snapshot_path} is incomplete ({first_line(error)})"
    if not place.is_dir():
        return f"config.json, the weights and the tokenizer are missing: there is no folder {place}"
    ref = place / "refs" / (revision or constants.DEFAULT_REVISION)
    return f"{place} has no snapshot of this revision (expected {ref}, or a folder in {place / 'snapshots'})"


def read_config(folder: Path, where: str) -> PreTrainedConfig:
    """Read the config of a checkpoint, after checking that its files are complete and run no code.

    Args:
        folder: the checkpoint.
        where: config key and folder, for messages.

    Raises:
        ModelError: the folder or a file is missing or damaged, or the architecture is unknown.
    """
    if not folder.is_dir():
        raise ModelError(f"{where}: no such folder; give one that save_pretrained wrote")
    _check_links(folder, where)
    file = folder / "config.json"
    if not file.is_file():
        raise ModelError(f"{where}: config.json is missing ({_listing(folder)}); give a folder save_pretrained wrote")
    raw = _json(file, where)
    if "auto_map" in raw:
        raise ModelError(
            f"{where}: its config.json names custom code (auto_map), which kdrun never runs; "
            "use a checkpoint of an architecture that transformers has"
        )
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{where}: adapter_config.json makes it an adapter of another model; merge the two (merge_and_unload in "
            "peft) and give the folder of the merged model"
        )
    _check_weight_lists(folder, where)
    weights = sorted(p.name for p in folder.glob("*.safetensors"))
    if not weights:
        pickled = [p.name for p in folder.glob("*.bin")]
        files = f"only {', '.join(pickled)}, which can run code when loaded" if pickled else _listing(folder)
        raise ModelError(
            f"{where}: no safetensors weights ({files}); convert a checkpoint you trust with "
            "AutoModelForSequenceClassification.from_pretrained(FOLDER).save_pretrained(NEW)"
        )
    bag_of_words.register_classes()
    try:
        with silence_transformers():
            return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, hub_errors.StrictDataclassError) as error:
        raise ModelError(
            f"{where}: config.json (model_type {raw.get('model_type')!r}) cannot be used: {first_line(error)}; kdrun "
            "loads any model that transformers can give a classification head"
        ) from None


def _check_links(folder: Path, where: str) -> None:
    """Refuse links out of a model folder: a vocabulary from elsewhere would end up in the saved student.

    The hub's cache is the exception: its snapshots link to the `blobs` folder of the same repository.
    """
    allowed = [folder.resolve()]
    if folder.parent.name == "snapshots":
        allowed.append(folder.parent.parent.resolve() / "blobs")
    for path in folder.rglob("*"):
        target = path.resolve()
        if not any(target.is_relative_to(root) for root in allowed):
            raise ModelError(
                f"{where}: {path.relative_to(folder)} is a link to {target}, outside of the folder; copy the file into "
                "the folder"
            )


def _check_weight_lists(folder: Path, where: str) -> None:
    """Refuse a weight index that names files outside the folder, or files that are not safetensors."""
    for index in folder.glob("*.safetensors.index.json"):
        listed = _json(index, where).get("weight_map")
        files = listed.values() if isinstance(listed, dict) else [None]
        for file in files:
            if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
                raise ModelError(
                    f"{where}: {index.name} names {file!r}, which is not a safetensors file of this folder; save the "
                    "checkpoint again with save_pretrained"
                )


def read_tokenizer(folder: Path, where: str) -> PreTrainedTokenizerBase:
    """Read the fast tokenizer of a checkpoint.

    Args:
        folder: the checkpoint.
        where: config key and folder, for messages.

    Raises:
        ModelError: the tokenizer is missing, damaged or slow.
    """
    # checked first: without files transformers invents a vocabulary of five tokens
    if not any(next(folder.glob(pattern), None) for pattern in TOKENIZER_FILES):
        raise ModelError(
            f"{where}: no tokenizer ({_listing(folder)}); put tokenizer.json next to the weights "
            "(tokenizer.save_pretrained(FOLDER))"
        )
    file = folder / "tokenizer.json"
    if file.is_file() and "model" not in _json(file, where):
        raise ModelError(f"{where}: tokenizer.json contains no tokenizer (no 'model'); copy it again")
    try:
        with silence_transformers():
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{where}: the tokenizer cannot be read: {first_line(error)}") from None
    if not tokenizer.is_fast:
        raise ModelError(f"{where}: {type(tokenizer).__name__} is not a fast tokenizer; add its tokenizer.json")
    return tokenizer


def _json(file: Path, where: str) -> dict[str, Any]:
    try:
        content = json_reader.parse(file.read_bytes())
    except ValueError as error:
        raise ModelError(f"{where}: {file.name} is not JSON ({error}); copy it again") from None
    if not isinstance(content, dict):
        raise ModelError(f"{where}: {file.name} contains no JSON object; copy it again")
    return content


def _listing(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir())
    return f"the folder has {', '.join(names[:8])}" if names else "the folder is empty"


def first_line(error: Exception) -> str:
    """The first line of an error's message."""
    text = str(error).strip()
    return text.split("\n", 1)[0] if text else type(error).__name__
