"""Metric script that `evaluate.load` runs.

`evaluate` copies this file to its cache and runs it there, so it imports nothing relative to itself.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from kdrun.tasks.glue_metric.configurations import metric_names, task_metrics
from kdrun.tasks.metrics import compute, vector_metrics

_DESCRIPTION = f"""Scores of the GLUE tasks, as kdrun computes them.
Configurations: a task ({", ".join(task_metrics())}) or metrics joined by commas ({", ".join(vector_metrics())}).
"""
_INPUTS = """predictions: predicted class indices (not logits), or scores for stsb.
references: gold class indices, or scores. Both are vectors of the same length.
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
        metric_names(self.config_name)  # an unknown name fails at loading, not at the first computation
        # float64 for classes too: int64 would silently truncate a probability of 0.9 to class 0. No format: "numpy"
        # would give float32, whose rounding changes pearson and makes ties that change spearman.
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
