"""Metric script that `evaluate.load` runs.

`evaluate` copies this file to its cache and runs it there, so it imports nothing relative to itself.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from kdrun.tasks.glue_metric.configurations import metric_names, task_metrics
from kdrun.tasks.metrics import KNOWN, compute

_DESCRIPTION = f"""Scores of the GLUE tasks, as kdrun computes them.
Configurations: a task ({", ".join(task_metrics())}) or metrics joined by commas ({", ".join(KNOWN)}).
"""
_INPUTS = """predictions: predicted class indices (not logits), or scores for stsb.
references: gold class indices, or scores. Both are vectors of one length.
"""
_CITATION = """@inproceedings{wang2019glue,
  title={GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding},
  author={Wang, Alex and Singh, Amanpreet and Michael, Julian and Hill, Felix and Levy, Omer and
          Bowman, Samuel R.},
  booktitle={ICLR},
  year={2019}
}"""


class GlueMetric(evaluate.Metric):
    """The metrics of one task (or of a list of names); values as `kdrun.tasks.metrics.compute`, None included."""

    def _info(self) -> evaluate.MetricInfo:
        metric_names(self.config_name)  # refuse an unknown name when loading, not when computing
        # float64 for classes too: int64 would cut a probability of 0.9 down to class 0 in silence. No format:
        # "numpy" would hand on float32, whose rounding moves pearson and makes ties that move spearman.
        number = datasets.Value("float64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": number, "references": number}),
            reference_urls=["https://gluebenchmark.com"],
        )

    def _compute(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> dict[str, float | None]:
        if kwargs:
            raise TypeError(f"kdrun's metrics take no further arguments, got {', '.join(kwargs)}")
        return compute(metric_names(self.config_name), predictions[:], references[:])
