"""Metrics and judges of another package that fail, or give what cannot be: a trial fails with a line that names them,
the others go on, and the journal can be read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.control import Control
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.metrics.base import metrics_named
from heretic_tui.engine.session.session import Session
from heretic_tui.errors import UsageError
from heretic_tui.events import Notice
from heretic_tui.plugins import JUDGES, METRICS
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.run import Run
from heretic_tui.settings.sources import load_settings
from tests.support import other_methods
from tests.support.sessions import flags_of

# Each fails once, in its second trial: the base model is measured first.
OF_RESPONSES = '''"""Wild: what it likes."""

from heretic_tui.engine.metrics.base import ResponseMetric
from heretic_tui.figures import Figure


class Wild(ResponseMetric):
    figure = Figure(name="wild figure", short="wild", counted=COUNTED, lowest=0.0)

    def take_base(self, base):
        self._measured = 0

    def of(self, responses):
        self._measured += 1
        return GIVEN if self._measured == 3 else 0


METHOD = Wild
'''

OF_FIRST_TOKENS = '''"""Wild: what it likes."""

import torch

from heretic_tui.engine.metrics.base import FirstTokenMetric
from heretic_tui.figures import Figure


class Wild(FirstTokenMetric):
    figure = Figure("wild figure", "wild")

    def take_base(self, base):
        self._prompts, self._seen, self._failed = len(base), 0, False

    def per_prompt(self, rows, log_probabilities):
        self._seen += len(rows)
        if self._seen > 2 * self._prompts and not self._failed:
            self._failed = True
            return GIVEN
        return torch.zeros(len(rows))


METHOD = Wild
'''

JUDGE = '''"""Wild: says what it likes."""

from heretic_tui.engine.metrics.base import Verdict


class Wild:
    judged = "are wild"

    def __init__(self):
        self._calls = 0

    @classmethod
    def made(cls, settings, special_tokens):
        return cls()

    def verdict(self, text):
        self._calls += 1
        return GIVEN if self._calls == 9 else Verdict(True, None)

    def certain(self, text):
        return False


METHOD = Wild
'''


def search(
    sets: list[str], model: Path, runs_dir: Path, chosen: dict[str, object], n_trials: int = 4
) -> tuple[Path, list[str | None]]:
    """The folder of a run, and why the trials failed that did."""
    given = {"early_stop": False, "trials_at_once": 1, "n_startup_trials": 2, **chosen}
    flags = flags_of(sets, model, runs_dir, n_trials=n_trials, **given)
    session = Session(check_inputs(load_settings(flags, environment=False)), Control())
    try:
        assert session.run() == "done"
    finally:
        session.close()
    trials = [trial for _, trial in sorted(Run(session.folder.path).state.trials.items())]
    assert len(trials) == n_trials
    assert {trial.state for trial in trials} <= {"complete", "failed"}
    return session.folder.path, [trial.reason for trial in trials if trial.state == "failed"]


@pytest.mark.parametrize(
    ("given", "counted", "said"),
    [
        ("float('nan')", False, "the wild figure is not a number: the metric 'wild' is to be mended"),
        ("float('nan')", True, "the wild figure is not a number: the metric 'wild' is to be mended"),
        ("'many'", False, "the wild figure is no number but 'many': the metric 'wild' is to be mended"),
        ("None", True, "the wild figure is no number but None: the metric 'wild' is to be mended"),
        ("-2.0", False, "a wild figure cannot be -2.0: the metric 'wild' is to be mended"),
        ("1000", True, "1000 wild figure cannot be, of 6 prompts: the metric 'wild' is to be mended"),
        ("1 / 0", False, "the metric 'wild' failed: ZeroDivisionError"),
    ],
)
def test_a_metric_of_responses_that_gives_what_cannot_be(
    given: str, counted: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_folder: Path,
    sets: list[str],
) -> None:  # fmt: skip
    text = OF_RESPONSES.replace("GIVEN", given).replace("COUNTED", str(counted))
    other_methods.install(tmp_path / "packages", monkeypatch, {(METRICS, "wild"): text})
    chosen = {"figures": ["wild"], "seed": 0}
    folder, reasons = search(sets, tiny_folder, tmp_path / "runs", chosen)
    assert len(reasons) == 1
    assert str(reasons[0]).startswith(said)
    # The run goes on.
    again, reasons = search(sets, tiny_folder, tmp_path / "runs", chosen, n_trials=5)
    assert again == folder


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("torch.zeros(1)", "the metric 'wild' gave a tensor of (1,) in place of one value a prompt"),
        ("0.0", "the metric 'wild' gave a float in place of one value a prompt"),
        (
            "torch.full((len(rows),), float('nan'))",
            "the wild figure is not a number: the metric 'wild' is to be mended",
        ),
        ("torch.zeros(3) + torch.zeros(2)", "the metric 'wild' failed: The size of tensor a (3) must match"),
    ],
)
def test_a_metric_of_first_tokens_that_gives_what_cannot_be(
    given: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_folder: Path, sets: list[str]
) -> None:
    text = OF_FIRST_TOKENS.replace("GIVEN", given)
    other_methods.install(tmp_path / "packages", monkeypatch, {(METRICS, "wild"): text})
    _, reasons = search(sets, tiny_folder, tmp_path / "runs", {"figures": ["wild"]})
    assert len(reasons) == 1
    assert str(reasons[0]).startswith(said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("None", "the judge 'Wild' gave None in place of Verdict(True or False, …)"),
        ("Verdict(1, None)", "the judge 'Wild' gave Verdict(refused=1"),
        (
            "Verdict(True, None, 1.5, 2)",
            "the judge 'Wild' gave Verdict(refused=True, marker...tart=1.5, end=2,",
        ),
        ("{}['no']", "the judge 'Wild' failed: KeyError: 'no'"),
    ],
)
def test_a_judge_that_gives_what_cannot_be(
    given: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_folder: Path, sets: list[str]
) -> None:
    other_methods.install(tmp_path / "packages", monkeypatch, {(JUDGES, "wild"): JUDGE.replace("GIVEN", given)})
    _, reasons = search(sets, tiny_folder, tmp_path / "runs", {"judge": "wild", "screening": "off"})
    assert len(reasons) == 1
    assert str(reasons[0]).startswith(said)
    # Where trials are screened it fails in what is decoded before them: that is told, and no trial is screened then.
    folder, reasons = search(sets, tiny_folder, tmp_path / "runs", {"judge": "wild", "screening": "safe"})
    assert reasons == []
    told = [event.text for event in read_events(RunFolder(folder).events) if isinstance(event, Notice)]
    assert len([text for text in told if f"how refusals begin could not be found: {said}" in text]) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("figure = Figure(", "figure = dict(", "the figure of the metric 'wild' is a dict: give it a line"),
        ("lowest=0.0", "digits=12", "the figure of the metric 'wild' is one of 12 digits, of at most 9"),
        ("lowest=0.0", "digits=None", "the figure of the metric 'wild' is one that cannot be: 'digits' cannot be None"),
        ('short="wild"', 'short=""', "the figure of the metric 'wild' is one without a name or a short name"),
        (
            "lowest=0.0)",
            "lowest=0.0)\n    counts_refused = True",
            "'wild' counts refused responses, and lacks 'at_least'",
        ),
        (
            "def take_base(self, base)",
            "def __init__(self, more)",
            "METHOD of the metric 'wild' cannot be made: TypeError",
        ),
    ],
)
def test_what_can_be_known_before_the_model_is_loaded(
    old: str, new: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = OF_RESPONSES.replace("GIVEN", "0").replace("COUNTED", "False").replace(old, new)
    other_methods.install(tmp_path / "packages", monkeypatch, {(METRICS, "wild"): text})
    with pytest.raises(UsageError) as told:
        metrics_named(["kl_divergence", "refusals", "wild"], "", 1)
    assert said in str(told.value)
    assert "\n" not in str(told.value)
