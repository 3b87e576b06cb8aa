"""`kdrun write`: write labeled text with a language model, or import it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from kdrun.config.fields import setting


@dataclass
class WriteOptions:
    """Options of `kdrun write`; all other arguments are overrides of a run, which name the task."""

    output: str = setting(doc="new folder for train.jsonl and its card")
    model: str | None = setting(None, "language model: a folder or a name at the hub; causal or text-to-text")
    revision: str | None = setting(None, "commit or tag of the model at the hub")
    prompt: str | None = setting(
        None, "prompt with {label} in place of the class's name; with input= for the card alone", raw=True
    )
    prompts: str | None = setting(None, "a JSON file {class: prompt} instead, with one prompt per class")
    rows: int = setting(1000, "number of rows, the same of each class up to one", gt=0)
    max_new_tokens: int = setting(40, "longest text, in tokens of the model", gt=0)
    min_words: int = setting(10, "drop texts of fewer words", gt=0)
    top_p: float = setting(0.9, "draw from the most probable tokens with this much probability; 1 is all", gt=0, le=1)
    temperature: float = setting(1.0, "divides the logits", gt=0)
    batch_size: int = setting(32, "texts per pass", gt=0)
    seed: int = setting(1, "of the draws", ge=0)
    input: str | None = setting(
        None, "labeled rows written elsewhere, to import instead (.csv, .tsv, .jsonl, .json or .parquet)"
    )
    source: str | None = setting(None, "with input=: the model or person that wrote the rows", raw=True)
    license: str | None = setting(None, "license of the text, for its card", raw=True)


OPTIONS = WriteOptions
EXAMPLE = "kdrun write task=sst2 model=gpt2-xl prompt='The movie review in {label} sentiment is: \"' output=written"


def main(args: list[str]) -> int:
    """Let a language model write labeled rows for a task, or import rows written elsewhere, with a card.

    Any method trains on the folder, and kd_ood on its texts alone, which the run's teacher labels:
    kdrun method=sungen task=sst2 data=generated data.path=written
    kdrun method=kd_ood task=sst2 ood.path=written
    kdrun write task=sst2 input=chat.jsonl source='a chat model' license=CC0-1.0 output=written
    """
    from kdrun import progress
    from kdrun.cli.subcommands import current_overrides
    from kdrun.cli.verbosity import run_console
    from kdrun.config import compose, options
    from kdrun.config.overrides import quote_value
    from kdrun.data.written_text import check_output, prompts_of, request_problems
    from kdrun.errors import ConfigError

    settings, overrides = options.parse_options(WriteOptions, current_overrides(args), others=True)
    console, command = run_console(), shlex.join(["kdrun", "write", *args])
    rows = []
    if settings.input is not None:  # data.dev, which a run needs, is not used
        rows = ["data=files", *(f"data.{name}={quote_value(settings.input)}" for name in ("train", "dev"))]
    config = compose.load_config([*overrides, *rows])
    output = Path(settings.output).expanduser()
    problems = [*request_problems(vars(settings), config.task), *check_output(output)]
    if problems:
        raise ConfigError(problems)
    prompts = prompts_of(settings.prompt, settings.prompts, config.task)
    with progress.show_on(console), progress.track("loading PyTorch and transformers"):
        from kdrun.runs import write
    if prompts is None or settings.input is not None:
        write.import_rows(config, console, settings, prompts, output, command)
    else:
        write.write_rows(config, console, settings, prompts, output, command)
    return 0
