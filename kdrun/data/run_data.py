"""Rows of a run: task, domain, out-of-domain or generated text."""

from __future__ import annotations

from dataclasses import replace

from kdrun import registry
from kdrun.config import domains
from kdrun.config.data import GeneratedDataConfig
from kdrun.config.schema import RunConfig
from kdrun.data import dataset
from kdrun.data.corpus import ood_text
from kdrun.data.dataset import TaskDataset
from kdrun.data.sources import generated_text
from kdrun.data.splits import Split


def load_run_data(config: RunConfig) -> TaskDataset:
    """The rows of a run: those of the task, of its domain where it is for one; its dev splits and generated text; or of
    a data-free method its dev splits and out-of-domain text.
    """
    if registry.get("method", config.method.name).target.requires.data_free:
        dev = dataset.load_dataset(config.data, config.task, train=False)
        made = _text(config, dev)
        return replace(dev, ood=made, notes=[*dev.notes, *made.notes])
    if isinstance(config.data, GeneratedDataConfig):
        return dataset.load_dataset(config.data, config.task)
    data, domain = load_task_data(config), domains.target_domain(config.method)
    return data if domain is None else data.only_domain(domain)


def _text(config: RunConfig, dev: TaskDataset) -> Split:
    """What a data-free method learns from: text made of the corpus, or generated text without its labels."""
    path = config.data.path if isinstance(config.data, GeneratedDataConfig) else config.ood.path
    if path is not None:
        made = generated_text.read_unlabelled(path, config.task, config.ood.rows, config.ood.seed)
        generated_text.check_same_origin(
            made, dev.synthetic, "take dev rows that fit the text, or text made of such rows"
        )
        return made
    corpus = registry.build("corpus", config.corpus.name, config.corpus)
    return ood_text.build_ood_split(config.ood, config.task, corpus, config.ood.seed)


def load_task_data(config: RunConfig) -> TaskDataset:
    """The task's own rows, whatever the method; all domains, of which the target's may be thinned out."""
    rows, share = config.data.task_section, config.data.train_fraction
    if domains.target_domain(config.method) is None and domains.uses_domains(config.method) and share is not None:
        whole = dataset.load_dataset(replace(rows, train_fraction=None), config.task)
        note = f"each student's domain keeps {share:g} of its training rows (data.train_fraction), the others all"
        return replace(whole, notes=[*whole.notes, note])
    return dataset.load_dataset(rows, config.task, target=domains.target_domain(config.method))
