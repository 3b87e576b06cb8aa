"""Compose the configuration of a run and report every problem at once.

Hydra stops at the first mistake with a traceback, so each override is tried alone first. Nothing here imports torch.
"""

from __future__ import annotations

import copy
import dataclasses
from functools import cache, lru_cache

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from kdrun import registry
from kdrun.config import domains, plugins, schema, user_configs
from kdrun.config.config_tree import HYDRA_VERSION, PRIMARY, compose_tree
from kdrun.config.evaluation import with_held_out
from kdrun.config.loss import LOSS_SCHEMAS
from kdrun.config.overrides import is_hydra, key_of, override_values, parse_override
from kdrun.config.paths import CONF_DIR
from kdrun.config.precision import resolve_precision
from kdrun.config.requirements import requirements_of
from kdrun.config.schema import RunConfig
from kdrun.config.suggestions import suggest_choice
from kdrun.config.task import TaskConfig
from kdrun.config.trials import Trial, valid_values
from kdrun.config.validation.machine import repeated_run_problems
from kdrun.config.validation.rules import validate
from kdrun.config.validation.teacher_models import settings_without_effect
from kdrun.config.validation.unused import overruled_settings
from kdrun.errors import ConfigError, DataError, Problem
from kdrun.storage import hub_offline


def groups() -> list[str]:
    """The axes of the config tree: `method`, `task`, …; the folder `hydra` has launchers."""
    return sorted(p.name for p in CONF_DIR.iterdir() if p.is_dir() and p.name != "hydra")


def choices(group: str) -> list[str]:
    """The choices of an axis: its yaml files, the user's own, and the components that plugins registered."""
    files = {p.stem for p in (CONF_DIR / group).glob("*.yaml")}
    return sorted(files | set(plugins.plugin_choices(group)) | set(user_configs.names(group)))


@cache
def register_schemas() -> None:
    """Register the dataclass of each section with Hydra; a plugin's component needs no yaml."""
    store = ConfigStore.instance()
    store.store(name="schema", node=RunConfig)
    for group, choices in (schema.SCHEMAS | {"loss": LOSS_SCHEMAS}).items():
        for name, node in choices.items():
            store.store(group=f"schema/{group}", name=name, node=node, package=group)
    for name, entry in registry.entries("method").items():
        store.store(group="schema/method", name=name, node=entry.config, package="method")
    for axis in groups():
        for name in plugins.plugin_choices(axis):
            if not (CONF_DIR / axis / f"{name}.yaml").exists():
                store.store(group=axis, name=name, node=plugins.plugin_node(axis, name))


def register_user_choices() -> None:
    """Register the user's own config files with Hydra.

    Raises:
        ConfigError: every problem of the files.
    """
    store = ConfigStore.instance()
    for choice in user_configs.user_choices().values():
        store.store(group=choice.axis, name=choice.name, node=choice.node, package=choice.package)


def launchers() -> list[str]:
    """The launchers that kdrun's config tree has settings for, besides those of Hydra's plugins."""
    return sorted(path.stem for path in (CONF_DIR / "hydra" / "launcher").glob("*.yaml"))


def compose(overrides: list[str]) -> DictConfig:
    """Compose without validation; raises what Hydra raises.

    A composition takes a twentieth of a second, so each combination of choices is composed once per process. Settings
    are applied to a copy, as Hydra applies them: after the choices, in the order of the command line.
    """
    return copy.deepcopy(_shared(overrides))


def _shared(overrides: list[str]) -> DictConfig:
    """As `compose`, without a copy, which takes as long: the caller must not change the result."""
    register_schemas()
    register_user_choices()
    fingerprint = user_configs.fingerprint()
    choices, settings = _split_settings(overrides)
    if not settings:
        return _composed(choices, fingerprint)
    composed = copy.deepcopy(_composed(choices, fingerprint))
    try:
        for override in settings:
            OmegaConf.update(composed, override.key_or_group, override.value(), merge=True)
    except OmegaConfBaseException:
        return _composed(tuple(overrides), fingerprint)  # raises the error that names the override
    return composed


def _split_settings(overrides: list[str]) -> tuple[tuple[str, ...], list[Override]]:
    """The overrides that choose configs, and those that set values; if any is of another sort, all go to Hydra."""
    axes, parsed = groups(), OverridesParser.create().parse_overrides(overrides)
    is_choice = [o.key_or_group in axes or "/" in o.key_or_group or is_hydra(o) for o in parsed]
    for override, chooses in zip(parsed, is_choice, strict=True):
        is_plain = override.type is OverrideType.CHANGE and override.package is None
        if not is_plain or override.is_sweep_override() or (chooses and isinstance(override.value(), dict)):
            return tuple(overrides), []
    choices = tuple(text for text, chooses in zip(overrides, is_choice, strict=True) if chooses)
    return choices, [override for override, chooses in zip(parsed, is_choice, strict=True) if not chooses]


@lru_cache(maxsize=64)
def _composed(overrides: tuple[str, ...], fingerprint: str) -> DictConfig:
    if not any(key_of(override).startswith("hydra") for override in overrides):
        return compose_tree(overrides, fingerprint)
    with initialize_config_dir(config_dir=str(CONF_DIR), version_base=HYDRA_VERSION):
        return hydra_compose(PRIMARY, overrides=list(overrides))


def to_config(composed: DictConfig) -> RunConfig:
    """The dataclasses of a composed config, which the rest of kdrun works with.

    The one place where `runtime.precision=auto` becomes the precision for this machine, where a run's task becomes the
    task by domain, for methods that ask for domains, where rows of your own (`data=files`) complete the task (its
    columns, classes and metrics), and where it gets a split of held-out rows.

    Raises:
        ConfigError: the task has no protocol by domain, or the files of `data=files` have problems.
    """
    result = OmegaConf.to_object(composed)
    assert isinstance(result, RunConfig)
    resolve_precision(result.runtime)
    if result.evaluation.held_out is not None:  # a saved config has the split already
        result.task = result.task.without_held_out()
    result.task = _completed_task(result)
    if requirements_of(result).domains or domains.uses_domains(result.method):
        result.task = domains.by_domain_task(result.task)
    result.task = with_held_out(result.task, result.evaluation)
    return result


def _completed_task(config: RunConfig) -> TaskConfig:
    fill_task = registry.get("data", config.data.name).fill_task
    if fill_task is None:
        return config.task
    try:
        with hub_offline.offline_mode(config.offline):
            return fill_task(config.data, config.task)
    except DataError as error:
        raise ConfigError([Problem("data", config.data.name, str(error).replace("\n", "\n  "))]) from error


def composed_text(overrides: list[str]) -> str:
    """The composed config as YAML, with the task that rows of your own complete."""
    composed = compose(overrides)
    if registry.get("data", composed.data.name).fill_task is not None:
        composed.task = OmegaConf.structured(to_config(composed).task)
    return OmegaConf.to_yaml(composed)


def load_config(overrides: list[str]) -> RunConfig:
    """Validate overrides and compose them.

    Raises:
        ConfigError: every problem found.
    """
    problems = [*repeated_run_problems(), *validate_overrides(overrides, multirun=False)]
    if problems:
        raise ConfigError(problems)
    return to_config(_shared(overrides))


def validate_overrides(overrides: list[str], *, multirun: bool) -> list[Problem]:
    """Every problem of a command line; empty when there is none."""
    problems: list[Problem] = []
    group_choices: list[tuple[str, list[str]]] = []
    settings: list[tuple[Override, list[str]]] = []
    hydra_overrides: list[str] = []
    unreadable: set[str | None] = set()
    axes = groups()
    for text in overrides:
        override = parse_override(text)
        if isinstance(override, Problem):
            problems.append(override)
            unreadable.add(override.key)
            continue
        key, values = override.key_or_group, override_values(override)
        if is_hydra(override):
            hydra_overrides.append(text)
        elif len(values) > 1 and not multirun:
            several = f"{text} names {len(values)} values: add -m to run each of them"
            problems.append(Problem(key, ",".join(values), several))
        elif key in axes:
            group_choices.append((key, _valid_choices(key, values, problems)))
        else:
            settings.append((override, values))
    group_choices = [(group, names) for group, names in group_choices if names]
    if hydra_overrides:
        _compose_or_explain(hydra_overrides, problems)
    base = _compose_or_explain([f"{group}={names[0]}" for group, names in group_choices], problems)
    if base is None:
        return problems
    alternatives, trial = [[f"{group}={name}" for name in names] for group, names in group_choices], Trial(base)
    alternatives += [
        valid for override, values in settings if (valid := valid_values(trial, override, values, problems))
    ]
    for cell in _one_at_a_time(alternatives):
        # in the order of the command line, whose composition is cached for its use
        same = sorted(cell) == sorted(overrides)
        composed = _compose_or_explain(overrides if same else cell, problems)
        if composed is not None:
            missing = sorted(OmegaConf.missing_keys(composed))
            explained = [_explain_missing(key) for key in missing if key not in unreadable]
            given = {override.key_or_group for override, _ in settings}
            new = explained if missing else _validate(composed, given)
            problems += [problem for problem in new if problem not in problems]
    return problems


def _validate(composed: DictConfig, given: set[str]) -> list[Problem]:
    try:
        config = to_config(composed)
    except ConfigError as error:  # the task has no protocol by domain
        return error.problems
    return [*validate(config), *overruled_settings(config, given), *settings_without_effect(config, given)]


def _one_at_a_time(alternatives: list[list[str]]) -> list[list[str]]:
    """The first value of every key; then, for each further value, that value in a cell of first values."""
    first = [values[0] for values in alternatives]
    return [
        first,
        *([*first[:i], value, *first[i + 1 :]] for i, values in enumerate(alternatives) for value in values[1:]),
    ]


def _explain_missing(key: str) -> Problem:
    group, _, name = key.rpartition(".")
    schemas = [*plugins.section_schemas().get(group, {}).values(), RunConfig]
    docs = [f.metadata["doc"] for schema in schemas for f in dataclasses.fields(schema) if f.name == name]
    text = f"{key} is required ({docs[0]}); set it with {key}=…" if docs else f"{key} is required; set it"
    return Problem(key, None, text)


def _valid_choices(group: str, values: list[str], problems: list[Problem]) -> list[str]:
    names = choices(group)
    valid = [value for value in values if value in names or (group == "experiment" and value == "null")]
    for value in values:
        if value not in valid:
            ending = f"{suggest_choice(group, value, names)} (allowed: {', '.join(names)})"
            problems.append(Problem(group, value, f"{group}={value}: unknown {group}{ending}"))
    return valid


def _compose_or_explain(overrides: list[str], problems: list[Problem]) -> DictConfig | None:
    """A composed config, not to be changed; None with a problem if it cannot be composed."""
    try:
        return _shared(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        launchers = [name for word in overrides if (name := word.removeprefix("hydra/launcher=")) != word]
        if launchers and "hydra/launcher" in str(cause):
            problems.append(_launcher_problem(launchers[0]))
            return None
        files = [str(choice.path) for choice in user_configs.used_by(overrides) if choice.path is not None]
        origin = f" ({', '.join(files)})" if files else ""
        text = f"{' '.join(overrides) or 'the defaults'}{origin}: {' '.join(str(cause).split())}"
        problems.append(Problem(None, None, text))
        return None


def _launcher_problem(name: str) -> Problem:
    """A launcher of Hydra that is not installed, with the extra that has it."""
    extra = "slurm" if name.startswith("submitit_") or name in launchers() else name
    if extra in ("slurm", "joblib"):
        remedy = f"pip install 'kdrun[{extra}]' installs it"
    elif name == "ray":
        remedy = "kdrun does not support Ray (docs/guides/clusters.md says why); take slurm_cpu or joblib"
    else:
        remedy = f"launchers are joblib, {', '.join(launchers())}; or install hydra-{name}-launcher"
    text = f"hydra/launcher={name} is not installed; {remedy}, or leave it out to run one cell after the other"
    return Problem("hydra/launcher", name, text)
