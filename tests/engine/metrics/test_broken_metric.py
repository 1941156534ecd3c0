"""Broken responses are counted: an edit that makes the demo's model break refuses as many prompts as it breaks at."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.engine.metrics.base import Response, metrics_named
from heretic_tui.engine.session.trial_bench import TrialBench
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.results import read_responses
from heretic_tui.settings.sources import load_settings
from heretic_tui.verdict import Verdict

# Far more than an ablation: all layers, several times over.
LAYERS = 12
STRONG = Kernel(4.0, 5.5, 4.0, float(LAYERS))
EDIT = Parameters(None, {"attn.o_proj": STRONG, "mlp.down_proj": STRONG})


def opened(folder: Path, **more: object) -> Workbench:
    given = settings_of_the_demo()
    for name, count in {"good_prompts": 30, "bad_prompts": 30, "good_evaluation_prompts": 8}.items():
        given[name] = {**cast(dict[str, str], given[name]), "split": f"[:{count}]"}
    bad = {**cast(dict[str, str], given["bad_evaluation_prompts"]), "split": "[:40]"}
    given |= {"bad_evaluation_prompts": bad, "batch_size": 40, "response_prefix": "", "screening": "off"}
    return Workbench.open(load_settings({**given, **more}, environment=False), folder=folder)


def test_an_edit_that_breaks_answers_does_not_look_good(tmp_path: Path) -> None:
    bench = opened(tmp_path / "on")
    job = bench.job(0, EDIT)
    figures = bench.baseline.measure(job).figures
    assert figures["broken"] > 0
    assert figures["refusals"] == figures["broken"], "it declines nothing"
    assert bench.baseline.figures["broken"] == 0
    assert "are broken" in next(f.meaning for f in bench.baseline.evaluation.metrics.figures if f.key == "refusals")
    trials = TrialBench.here(bench)
    trials.keep_responses(0, job.responses)
    records = read_responses(bench.run.folder, 0)
    assert sum(record.broken is not None for record in records) == figures["broken"]
    assert trials.kept_responses(0) == job.responses
    # Without the setting, as in older runs, it looks as if it answered all.
    off = opened(tmp_path / "off", count_broken_as_refused=False, figures=["broken"])
    assert off.measure(EDIT).figures == pytest.approx({**figures, "refusals": 0})


def test_what_is_certain_of_it_grows() -> None:
    broken, refused = Response("", Verdict(True, None, broken="loop")), Response("", Verdict(True, "no"))
    responses = [refused, broken, None]
    counting = metrics_named(["broken", "refusals"], "", 8).responses
    assert {key: metric.at_least(responses) for key, metric in counting.items()} == {"broken": 1, "refusals": 2}
    assert counting["broken"].of([refused, broken, broken]) == 2
