"""Cards of fictional methods and of everything shipped."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from omegaconf import MISSING
from rich.console import Console as RichConsole

from kdrun import registry
from kdrun.cli import main
from kdrun.cli.explain import cards, display, keys, lookup, method_card
from kdrun.cli.explain.notes import TAG, read_docstring, read_yaml
from kdrun.config import compose, paths
from kdrun.config.fields import setting
from kdrun.config.optim import OptimConfig
from kdrun.config.requirements import Requirements
from kdrun.methods.base import Method
from kdrun.methods.phases import Phase, Turn
from tests.helpers import forked

METHODS = [n for n, e in registry.entries("method").items() if e.target.__module__.startswith("kdrun.methods.")]
CHOICES = [(group, name) for group in compose.groups() for name in compose.choices(group)]
SCHEMAS = {name: entry.config for name, entry in registry.entries("method").items() if entry.config}
SETTINGS = [(n, k.path) for n in METHODS for k in keys.fields(SCHEMAS[n]) if k.path != "name" and not k.schema]


class Divergence(Enum):
    ce = "ce"
    kl = "kl"


@dataclass
class MadeConfig:
    """Settings of a method that was made up."""

    name: str = setting("made", "registered method")
    rho: float = setting(0.3, "share of [bold]masked[/bold] tokens", ge=0, le=1)
    divergence: Divergence = setting(Divergence.ce, "what the generator maximizes")
    generator_steps: int = setting(10, "steps of the generator a turn", gt=0)
    generator: OptimConfig = setting(OptimConfig(), "optimizer of the generator")


class Made(Method):
    """Minimize over the student, maximize over the generator:

        L = hard(S(x), y) + D(T(x'), S(x'))

    Differences:
        divergence: the paper writes KL, the authors' code cross-entropy.
        optim.batch_size: 32 in the paper, 8 in the code as released.

    Cost:
        student: two forward and backward passes per row.
        generator: one forward and backward pass per row of its turns.
    """

    requires = Requirements(generator=True, shared_vocabulary=True, regression=False, inputs=("student", "teacher"))

    @classmethod
    def phases(cls, config: Any, optim: OptimConfig) -> list[Phase]:
        turns = (Turn("generator", config.generator_steps), Turn("student", 100))
        return [
            Phase("warm", (Turn("generator"),), steps=77, batch_size=64),
            Phase.from_budget("half", turns[1:], optim, fraction=0.5),
            Phase.from_steps("fixed", (Turn("student"),), optim, 9, evaluated=False),
            Phase("play", turns, 30, batch_size=8, gradient_accumulation_steps=2),
        ]


@dataclass
class SilentConfig:
    name: str = setting("silent", "registered method")


class Silent(Method):
    pass


@dataclass
class RequiredConfig:
    name: str = setting("required", "registered method")
    rounds: int = setting(MISSING, "a setting without a default")


class Required(Method):
    pass


@pytest.fixture
def fictional_method(monkeypatch: pytest.MonkeyPatch) -> None:
    for group in ("method", "metric"):
        registry.entries(group)
    copies = {kind: dict(entries) for kind, entries in registry._entries.items()}
    monkeypatch.setattr(registry, "_entries", copies)
    registry.register("method", "made", config=MadeConfig)(Made)
    registry.register("method", "silent", config=SilentConfig)(Silent)
    registry.register("method", "required", config=RequiredConfig)(Required)


def printed(card: cards.Card, *, terminal: bool = False, width: int = 80) -> str:
    text = io.StringIO()
    console = RichConsole(file=text, width=width, force_terminal=terminal, highlight=False, soft_wrap=True)
    display.print_card(card, console)
    return text.getvalue()


def card_text(name: str) -> str:
    """Return a card as one line, so that a test does not depend on line breaks."""
    return " ".join(" ".join(printed(card) for card in lookup.find_cards(name)).split())


@pytest.mark.usefixtures("fictional_method")
def test_a_fictional_method_has_a_complete_card() -> None:
    text = card_text("made")
    for part in (
        "idea Cards of fictional methods",
        "L = hard(S(x), y) + D(T(x'), S(x'))",
        "warm the generator in every step 77 steps per step: 64 rows half",
        "half the student in every step 0.5 × optim.epochs passes over the training rows, "
        "or 0.5 × optim.steps steps where optim.steps is set "
        "per step: optim.batch_size rows × optim.gradient_accumulation_steps batches",
        "fixed the student in every step 9 steps "
        "per step: optim.batch_size rows × optim.gradient_accumulation_steps batches "
        "not evaluated: the next phase starts from its last weights",
        "play in turn: generator 10 steps, student 100 steps; the budget counts those of the student "
        "30 passes over the training rows per step: 8 rows × 2 batches",
        "tasks: with classes teacher",
        "generator A model that generates text.",
        "shared_vocabulary One vocabulary for all models",
        "inputs: student, teacher",
        "method.rho = 0.3 (number >= 0 and <= 1) share of [bold]masked[/bold] tokens source: none given",
        "method.divergence = ce (one of ce, kl)",
        "method.generator.lr = 0.0005 (number > 0)",
        "method.divergence the paper writes KL",
        "optim.batch_size 32 in the paper, 8 in the code",
        "student two forward and backward passes per row. kd: one forward and one backward pass per row.",
        "teacher none kd: one forward pass per row, cached",
        "generator one forward and backward pass per row of its turns. kd: none",
    ):
        assert part in text, part
    assert "hidden_states" not in text


def test_phases_that_share_a_budget_and_one_that_is_not_scored() -> None:
    text = card_text("tinybert_kd")
    budget = "0.5 × optim.epochs passes over the training rows, or 0.5 × optim.steps steps where optim.steps is set"
    rows = "per step: optim.batch_size rows × optim.gradient_accumulation_steps batches"
    first = f"intermediate the student in every step {budget} {rows}"
    unevaluated = "not evaluated: the next phase starts from its last weights"
    assert f"{first} {unevaluated} logits the student in every step {budget} {rows} needs" in text
    assert "Σ MSE(A_S^i, A_T^((i+1)·r − 1)), i = 0 … L_S − 1" in text


@pytest.mark.usefixtures("fictional_method")
def test_a_method_without_documentation_has_a_note() -> None:
    text = card_text("method=silent")
    assert "minimizes none given" in text
    assert "cost none given" in text
    assert "settings none" in text
    assert "phases train the student in every step optim.epochs passes" in text
    assert "phases n/a: they depend on a setting without a default" in card_text("required")


def test_kd_from_its_docstring_and_yaml() -> None:
    text = card_text("kd")
    assert "method.temperature = 2 (number > 0) T: softens teacher and student alike source: [ours] the paper" in text
    assert "cost student one forward" in text
    assert "compared with kd" not in text
    assert "where paper" not in card_text("finetune")
    assert "teacher none kd: one forward pass" in card_text("finetune")
    assert "student one forward and one backward pass per row. kd: the same" in card_text("finetune")


@pytest.mark.parametrize("name", METHODS)
def test_every_shipped_method_has_idea_equation_and_cost(name: str) -> None:
    entry = registry.get("method", name)
    docs = read_docstring(entry.target)
    assert read_docstring(sys.modules[entry.target.__module__]).paragraphs, "the module's docstring is the idea"
    assert any(" = " in line for line in docs.paragraphs), "the class docstring opens with the equation"
    roles = [role for role, _ in docs.sections.get("Cost", [])]
    assert "student" in roles, "a `Cost:` section with an entry a role"
    assert set(roles) <= {"student", "teacher", "generator"}
    assert len(roles) == len(set(roles))
    for switch, _ in docs.sections.get("Differences", []):
        assert not switch or keys.find(method_card.switch(switch)), f"Differences names {switch}, which is no key"
    assert "n/a" not in card_text(f"method={name}")


@pytest.mark.parametrize(("name", "key"), SETTINGS)
def test_every_setting_of_a_shipped_method_has_a_meaning_and_a_source(name: str, key: str) -> None:
    comment = cards.tag_of(key, cards.notes_of("method", name))
    assert TAG.match(comment), f"conf/method/{name}.yaml: {key} wants `# [paper §…]`, `# [code …]` or `# [ours …]`"
    assert keys.find(f"method.{key}")[f"method={name}"].doc


@pytest.mark.parametrize("path", sorted(paths.CONF_DIR.glob("*/**/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_trailing_comments_are_source_tags(path: Path) -> None:
    notes = read_yaml(path)
    for comment in {value.comment for value in notes.values} | set(notes.sections.values()):
        assert not comment or TAG.match(comment), comment


def test_settings_of_shipped_methods_are_found() -> None:
    assert ("kd", "temperature") in SETTINGS
    assert set(METHODS) >= {"finetune", "kd"}


@pytest.mark.parametrize(("group", "name"), CHOICES, ids=str)
def test_every_choice_has_a_card_that_fits_80_columns(group: str, name: str) -> None:
    (card,) = lookup.find_cards(f"{group}={name}")
    text = printed(card)
    assert text.startswith(f"{group}={name}\n")
    assert len(text.splitlines()) > 5
    # a word that is longer than a line stays whole: it is there to be copied
    assert [line for line in text.splitlines() if len(line) > 80 and " " in line.strip()] == []


def test_task() -> None:
    text = card_text("stsb")
    for part in (
        "Similarity in meaning",
        "a score from 0 to 5",
        "from sentence1 and sentence2",
        "pearson (headline), spearman",
        "train 5749, dev 1500",
        "dir STS-B",
        "label score",
        "one example of the embedded data (synthetic) sentence1",
    ):
        assert part in text
    assert "columns [source, label, mark, sentence]" in card_text("cola")
    assert "entailment (0), neutral (1), contradiction (2)" in card_text("mnli")


def test_loss_is_its_docstring() -> None:
    assert "Forward KL(teacher ‖ student) at a temperature." in card_text("kl")
    assert "temperature T > 0." in card_text("kl")
    assert "tasks with classes only" in card_text("kl")
    assert "tasks with classes or a score" in card_text("logit_mse")
    assert card_text("auto").startswith(
        "loss=auto ───────── kl for classes, bce for any number of classes per row, logit_mse for a score"
    )


def test_preset_is_what_it_changes() -> None:
    text = card_text("preset=mini")
    for part in (
        "data=folder Rows from a folder",
        "data.dir = required",
        "optim.epochs = 4 (embedded: 3)",
        "student=layers_of Pretrained layers",
        "task=sst2 67 349 short rows",
        "kdrun preset=mini data.dir=…",
    ):
        assert part in text
    # sst2 is the plain run's task and has its own budget, which differs from the preset's
    assert "optim.epochs = 1 (there" not in text
    assert "optim.lr = 2e-05 (embedded: 0.001) source: [code]" in card_text("paper")
    assert "optim.steps = 800" in card_text("preset=embedded")


def test_a_name_of_several_groups_shows_them_all() -> None:
    titles = [card.title for card in lookup.find_cards("embedded")]
    assert titles == ["corpus=embedded", "data=embedded", "experiment=embedded", "preset=embedded"]


def test_other_choices() -> None:
    assert "must be given data.dir=… (text) the folder that holds SST-2" in card_text("data=folder")
    assert "teacher.finetune_optim.epochs = 10 passes over the training rows source: [ours]" in card_text(
        "roberta_large"
    )
    assert "chooses preset=mini Real data from a folder" in card_text("mini_scratch")


def test_keys() -> None:
    text = card_text("optim.lr")
    assert "peak learning rate may be number > 0 default 0.0005 in a run without overrides optim.lr = 0.001" in text
    assert "conf/preset/paper.yaml optim.lr = 2.0e-5 source: [code]" in text
    assert card_text("method.temperature=4") == card_text("method.temperature")
    assert "with data=folder the folder that holds" in card_text("data.dir")
    assert "n/a: such a run does not have this key" in card_text("data.dir")
    assert "an entry of teacher.sizes" in card_text("teacher.sizes.hidden_size")
    assert "teacher.finetune_optim.lr = 0.0005 (number > 0) peak learning rate" in card_text("teacher.finetune_optim")
    assert "set by no file of conf/" in card_text("seed")


def test_axes_and_overview() -> None:
    assert "method=kd Knowledge distillation" in card_text("method")
    assert "loss=kl Forward KL(teacher ‖ student)" in card_text("loss")
    text = " ".join(printed(lookup.overview()).split())
    for group, name in CHOICES:
        assert group in text
        assert name in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["kdd"], "unknown name 'kdd'; did you mean 'kd'?"),
        (["method.temprature"], "did you mean 'method.temperature'?"),
        (["preset=min"], "there is no preset=min; did you mean 'mini'?"),
        (["loss=klx"], "there is no loss=klx; did you mean 'kl'?"),
        (
            ["kd", "sst-2", "mathod"],
            "'sst-2'; did you mean 'sst2'? (kdrun explain lists all names); unknown",
        ),
    ],
)
def test_unknown_names_take_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_only_losses_cost_the_import_of_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from kdrun.cli import main\n"
        "words = ['kd', 'sst2', 'mini', 'tiny', 'optim.lr', 'method', 'preset']\n"
        "assert main.run(['explain', *words]) == 0 and main.run(['explain']) == 0\n"
        "assert main.run(['explain', 'kdd']) == 2\n"
        "heavy = {'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = forked.without_torch().run(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith("method=kd\n")


def test_colors_only_on_a_terminal_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    (card,) = lookup.find_cards("kd")
    assert "\x1b[1mmethod=kd" in printed(card, terminal=True)
    assert main.run(["explain", "--help"]) == 0
    assert "kdrun explain method.temperature" in capsys.readouterr().out
