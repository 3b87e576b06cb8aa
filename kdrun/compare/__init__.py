"""`kdrun compare`: methods over seeds on one budget, beside the student without a teacher, with verdicts."""

from __future__ import annotations

import json
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from kdrun.settings import setting


@dataclass
class Settings:
    """What a comparison has beside the words of its runs."""

    method: list[str] = setting([], "the methods to judge, e.g. method=kd_augment,mate_kd")
    baselines: list[str] = setting(["finetune", "kd"], "the methods they are judged against")
    seeds: int = setting(3, "runs per method: seeds 1 … N", gt=0)
    margin: float = setting(0.01, "differences within ± this count as a tie, in units of the metric", ge=0)


def main(words: list[str]) -> int:
    """Compare methods over seeds.

    Runs the baselines and the named methods with seeds 1 … N: per seed all start from the same student, see the
    same batches and take the same number of student steps. Finished runs with the same config, code and data are
    taken up, so a repeated command goes on where it stopped. Then says who beats whom. All other words are those of
    a run: kdrun compare method=kd task=sst2 preset=mini data.dir=GLUE_FOLDER seeds=5

    One key beside method may take several values: each method then has an arm for each value that fits it, named
    after the method, the last part of the key and the value; values that do not fit a method are said and left out.
    kdrun compare method=kd task=sst2 method.temperature=1,2,4
    kdrun compare method=kd_ood baselines=[] task=sst2 ood.path=null,RUN_FOLDER
    kdrun compare method=tinybert_kd,meta_kd baselines=[] task=amazon method.domain=all teacher.lessons=single,meta
    """
    from kdrun import offline, verbs
    from kdrun.compare import arms as arms_of
    from kdrun.compare import plan, show, tally
    from kdrun.results import LEDGER, append_line, write_atomic
    from kdrun.screen import Screen

    started = time.perf_counter()
    settings, rest = verbs.parse(Settings, words, others=True)
    screen, seeds = Screen(), list(range(1, settings.seeds + 1))
    arms = plan.plan(list(dict.fromkeys([*settings.baselines, *settings.method])), rest)
    config = arms[0].config(1)
    with offline.switched(config.offline):
        data = arms_of.read_rows(arms)
    arms_of.make_even(arms, data.lessons.num_rows, data.rows_by_domain(data.lessons.name))
    show.introduce(arms, seeds, data, screen)
    try:
        arms_of.complete(arms, seeds, screen)
    except KeyboardInterrupt:
        screen.error("stopped; the same command goes on from here")
        raise
    command = shlex.join(["kdrun", "compare", *words])
    record = tally.record(arms, seeds, settings, config, data, command)
    record["seconds"] = round(time.perf_counter() - started, 2)
    folder = Path(config.output_dir) / "compare" / config.task.name / record["comparison_id"]
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "comparison.json", json.dumps(record, indent=1) + "\n")
    append_line(Path(config.output_dir) / LEDGER, record)
    show.comparison(record, screen)
    screen.say(f"comparison: {folder / 'comparison.json'}")
    if config.report:
        from kdrun import report

        screen.say(f"report: {report.write_comparison(folder)}")
    return int(any(arm["failed"] for arm in record["arms"]))
