"""Rows of a run: task, domain, out-of-domain or generated text."""

from __future__ import annotations

from dataclasses import replace

from kdrun import registry
from kdrun.config import domains
from kdrun.config.data import GeneratedDataConfig
from kdrun.config.requirements import requirements_of
from kdrun.config.schema import RunConfig
from kdrun.data import class_coverage, dataset
from kdrun.data.corpus import ood_text
from kdrun.data.dataset import TaskDataset
from kdrun.data.row_choice import RowChoice
from kdrun.data.sources import generated_text
from kdrun.data.splits import Split


def load_run_data(config: RunConfig) -> TaskDataset:
    """The rows of a run.

    These are the rows of the task, or of the target domain; or the dev splits with generated text; or, for a data-free
    method, the dev splits with out-of-domain text.

    Raises:
        DataError: rows cannot be read, or the training rows all have one label.
    """
    if registry.get("method", config.method.name).target.requires.data_free:
        dev = dataset.load_dataset(config.data, config.task, train=False, choice=_choice(config))
        text = _student_text(config, dev)
        return replace(dev, ood=text, notes=[*dev.notes, *text.notes])
    if isinstance(config.data, GeneratedDataConfig):
        return _check_labels(dataset.load_dataset(config.data, config.task, choice=_choice(config)))
    data, domain = load_task_data(config), domains.target_domain(config.method)
    return _check_labels(data if domain is None else data.only_domain(domain))


def _check_labels(data: TaskDataset) -> TaskDataset:
    """The same rows with warnings on missing classes; labels of generated text are a teacher's and may all be equal."""
    if "train" in data.splits:
        class_coverage.check_labels_differ(data.train, data.task)
    return replace(data, warnings=class_coverage.coverage_warnings(data.generated or data.train, data.task))


def _student_text(config: RunConfig, dev: TaskDataset) -> Split:
    """The training rows of a data-free method: text built from the corpus, or generated text without labels."""
    path = config.data.path if isinstance(config.data, GeneratedDataConfig) else config.ood.path
    if path is not None:
        text = generated_text.read_unlabeled(path, config.task, config.ood.rows, config.ood.seed)
        generated_text.check_same_origin(
            text, dev.synthetic, "choose dev rows of the same origin, or text generated from such rows"
        )
        return text
    corpus = registry.build("corpus", config.corpus.name, config.corpus)
    return ood_text.build_ood_split(config.ood, config.task, corpus, config.ood.seed)


def load_task_data(config: RunConfig) -> TaskDataset:
    """The task's own rows for any method: all domains, the target's reduced by `data.train_fraction`."""
    section, fraction = config.data.task_section, config.data.train_fraction
    if domains.target_domain(config.method) is None and domains.uses_domains(config.method) and fraction is not None:
        data = dataset.load_dataset(replace(section, train_fraction=None), config.task, choice=_choice(config))
        note = f"each student's domain keeps {fraction:g} of its training rows (data.train_fraction), the others all"
        return replace(data, notes=[*data.notes, note])
    target = domains.target_domain(config.method)
    return dataset.load_dataset(section, config.task, target=target, choice=_choice(config))


def _choice(config: RunConfig) -> RowChoice:
    has_teacher = requirements_of(config).teacher
    teacher_rows = config.teacher.train_rows if has_teacher else None
    return RowChoice(config.evaluation.held_out_seed, teacher_rows, config.evaluation.agreement_rows)
