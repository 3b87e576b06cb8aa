"""Domains: the protocol of a task, and conflicts of method, task and source."""

from dataclasses import dataclass, replace

import pytest

from kdrun import registry
from kdrun.config import compose, domains
from kdrun.config.data import DataConfig
from kdrun.config.domains import DomainSettings
from kdrun.config.fields import setting
from kdrun.config.requirements import Requirements
from kdrun.config.task import TaskConfig
from kdrun.config.validation.domains import domain_problems
from kdrun.data.dataset import load_dataset
from kdrun.errors import ConfigError, DataError
from kdrun.methods.base import Method

PLAIN = TaskConfig(name="sst2", labels=["no", "yes"], headline="accuracy", rows={"train": 9, "dev": 3})


def task(name: str) -> TaskConfig:
    return compose.load_config([f"task={name}"]).task


@dataclass
class Settings(DomainSettings):
    """A method that knows domains."""

    name: str = "by_domain"


@dataclass
class MayConfig(DomainSettings):
    """Settings of a method that may be given a domain."""

    name: str = setting("may", "registered method")


@dataclass
class MustConfig(DomainSettings):
    """Settings of a method that works with domains only."""

    name: str = setting("must", "registered method")


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two methods for as long as a test runs: one may be given domains, one must."""
    for group in ("method", "metric"):
        registry.entries(group)
    monkeypatch.setattr(registry, "_entries", {kind: dict(entries) for kind, entries in registry._entries.items()})
    monkeypatch.setattr(compose, "register_schemas", compose.register_schemas.__wrapped__)
    for config, needs in (
        (MayConfig, Requirements(teacher=False)),
        (MustConfig, Requirements(teacher=False, domains=True)),
    ):
        method_class = type(config.__name__.removesuffix("Config"), (Method,), {"requires": needs})
        registry.register("method", config().name, config=config)(method_class)


def test_amazon_has_one_protocol_which_is_by_domain() -> None:
    amazon = task("amazon")
    assert amazon.domains == ["books", "dvd", "electronics", "kitchen"]
    assert amazon.is_by_domain
    assert domains.by_domain_task(amazon) is amazon
    assert (amazon.dev_splits, amazon.report_split, amazon.eval_splits_during_training) == (
        ["dev", "test"],
        "test",
        ["dev"],
    )


def test_mnli_is_glues_until_it_is_asked_for_by_domain() -> None:
    mnli = task("mnli")
    assert not mnli.is_by_domain
    assert (mnli.dev_splits, mnli.report_split) == (["dev", "dev_mismatched"], "dev")
    assert mnli.eval_splits_during_training == ["dev", "dev_mismatched"]
    other = domains.by_domain_task(mnli)
    assert other.is_by_domain
    assert (other.dev_splits, other.report_split, other.eval_splits_during_training) == (
        ["dev", "test"],
        "test",
        ["dev"],
    )
    assert other.folder["files"] == {"train": "train.tsv", "test": "dev_matched.tsv"}
    assert sum(other.rows[name] for name in ("train", "dev")) == mnli.rows["train"]
    assert domains.by_domain_task(other) == other
    assert mnli == task("mnli"), "the plain task is left as it was"


def test_a_misspelled_part_of_the_protocol_is_named() -> None:
    broken = replace(PLAIN, domains=["a"], by_domain={"row": {}})
    with pytest.raises(ConfigError, match=r"task\.by_domain\.row is not a key; did you mean 'rows'\?"):
        domains.by_domain_task(broken)


@pytest.mark.parametrize(
    ("settings", "target", "asks"),
    [
        (object(), None, False),
        (Settings(), None, False),
        (Settings("books"), "books", True),
        (Settings("all"), None, True),
    ],
)
def test_what_a_methods_settings_ask_for(settings: object, target: str | None, asks: bool) -> None:
    assert (domains.target_domain(settings), domains.uses_domains(settings)) == (target, asks)


@pytest.mark.parametrize(
    ("settings", "name", "key", "value", "hint"),
    [
        (Settings("book"), "amazon", "method.domain", "book", "'books'"),
        (Settings("books"), "sst2", "method.domain", "books", "task=amazon"),
        (Settings(hold_out_domain=True), "sst2", "method.hold_out_domain", "true", "task=amazon"),
        (Settings(hold_out_domain=True), "amazon", "method.hold_out_domain", "true", "method.domain"),
    ],
)
def test_domains_that_do_not_fit_are_refused(settings: Settings, name: str, key: str, value: str, hint: str) -> None:
    (problem,) = domain_problems(task(name), settings, "embedded", needs_domains=False)
    assert (problem.key, problem.value) == (key, value)
    assert hint in problem


@pytest.mark.parametrize("settings", [Settings(), Settings("books"), Settings("all"), Settings("dvd", True), object()])
def test_domains_that_fit(settings: object) -> None:
    assert domain_problems(task("amazon"), settings, "embedded", needs_domains=False) == []


def test_a_method_that_needs_domains_is_refused_for_a_task_without() -> None:
    (needs,) = domain_problems(PLAIN, Settings("books"), "embedded", needs_domains=True)
    assert (needs.key, needs.value) == ("task", "sst2")
    assert "method=by_domain" in needs
    assert "task=amazon" in needs


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("amazon", "hub", ("data=hub has no task=amazon", "books/train.tsv", "data=embedded")),
        ("mnli", "hub", ("data=hub has no mnli by domain", "'genre'", "MNLI/train.tsv")),
        ("mnli", "embedded", ("data=embedded has no mnli by domain", "task=amazon", "data=folder data.dir=PATH")),
    ],
)
def test_sources_without_the_rows_are_an_error_with_a_remedy(name: str, source: str, message: tuple[str, ...]) -> None:
    config = DataConfig(name=source)
    with pytest.raises(DataError) as error:
        load_dataset(config, domains.by_domain_task(task(name)))
    assert all(part in str(error.value) for part in message), str(error.value)


def test_other_sources_and_protocols_are_accepted() -> None:
    assert domains.unsupported_source(task("mnli"), "hub") is None
    assert domains.unsupported_source(task("mnli"), "embedded") is None
    assert domains.unsupported_source(domains.by_domain_task(task("mnli")), "folder") is None
    assert domains.unsupported_source(task("amazon"), "embedded") is None


@pytest.mark.usefixtures("methods")
def test_a_runs_task_is_by_domain_where_its_method_asks() -> None:
    folder = ["task=mnli", "data=folder", "data.dir=."]
    assert compose.load_config(["method=may", *folder]).task.report_split == "dev"
    assert compose.load_config(["method=may", "method.domain=fiction", *folder]).task.report_split == "test"
    assert compose.load_config(["method=must", *folder]).task.report_split == "test"


@pytest.mark.usefixtures("methods")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method=may", "method.domain=fictoin", "task=mnli", "data=folder", "data.dir=."], "did you mean 'fiction'?"),
        (["method=may", "method.domain=books", "task=rte"], "task=rte has no domains"),
        (["method=must", "task=rte"], "method=must needs a task with domains"),
        (["method=must", "task=mnli"], "data=embedded has no mnli by domain"),
        (["method=kd", "task=amazon", "preset=paper"], "data=hub has no task=amazon"),
    ],
)
def test_the_command_line_reports_the_problem(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose.load_config(words)
    assert message in str(error.value)
