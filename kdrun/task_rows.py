"""The rows that a run reads: its task's, its domain's, or text that is not the task's."""

from __future__ import annotations

from dataclasses import replace

from kdrun import registry
from kdrun.config import Config
from kdrun.data import domains, generated, ood, sources
from kdrun.data.config import GeneratedDataConfig
from kdrun.data.sources import TaskData
from kdrun.data.table import Split


def load(config: Config) -> TaskData:
    """The rows of a run: those of the task, of its domain where it is for one; its dev splits and generated text; or of
    a data-free method its dev splits and out-of-domain text.
    """
    if registry.get("method", config.method.name).target.needs.data_free:
        dev = sources.load(config.data, config.task, train=False)
        made = _text(config, dev)
        return replace(dev, ood=made, notes=[*dev.notes, *made.notes])
    if isinstance(config.data, GeneratedDataConfig):
        return sources.load(config.data, config.task)
    data, domain = of_task(config), domains.target(config.method)
    return data if domain is None else data.of_domain(domain)


def _text(config: Config, dev: TaskData) -> Split:
    """What a data-free method learns from: text made of the corpus, or generated text without its labels."""
    path = config.data.path if isinstance(config.data, GeneratedDataConfig) else config.ood.path
    if path is not None:
        made = generated.read_text(path, config.task, config.ood.rows, config.ood.seed)
        generated.must_be_alike(made, dev.synthetic, "take dev rows that fit the text, or text made of such rows")
        return made
    corpus = registry.build("corpus", config.corpus.name, config.corpus)
    return ood.build(config.ood, config.task, corpus, config.ood.seed)


def of_task(config: Config) -> TaskData:
    """The task's own rows, whatever the method; all domains, of which the target's may be thinned out."""
    rows, share = config.data.task_rows, config.data.train_fraction
    if domains.target(config.method) is None and domains.asks(config.method) and share is not None:
        whole = sources.load(replace(rows, train_fraction=None), config.task)
        note = f"each student's domain keeps {share:g} of its training rows (data.train_fraction), the others all"
        return replace(whole, notes=[*whole.notes, note])
    return sources.load(rows, config.task, target=domains.target(config.method))
