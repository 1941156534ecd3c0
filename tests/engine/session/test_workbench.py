"""A model made ready by a program: an edit measured and talked to, and nothing found twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.engine.metrics.base import Response
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.events import Event, PhaseFinished
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work

EDIT = Parameters(2.5, {"attn.o_proj": Kernel(1.2, 2, 0.6, 2), "mlp.down_proj": Kernel(1.0, 2, 0.5, 2)})


def responses_to(bench: Workbench, edit: Parameters) -> list[Response]:
    job = bench.job(None, edit)
    bench.baseline.measure(job)
    return [response for response in job.responses if response]


@pytest.fixture
def settings(tiny_folder: Path, sets: list[str]) -> Settings:
    given = {name[2:].replace("-", "_"): value for name, value in zip(sets[::2], sets[1::2], strict=True)}
    return load_settings({**given, "model": str(tiny_folder), "response_prefix": ""}, environment=False)


def test_an_edit_is_measured_and_talked_to_and_then_gone(settings: Settings, tmp_path: Path) -> None:
    bench = Workbench.open(settings, folder=tmp_path / "mine")
    base, edited = bench.measure(None), bench.measure(EDIT)
    assert base.figures == {
        "kl_divergence": pytest.approx(0.0, abs=1e-6),
        "refusals": bench.baseline.figures["refusals"],
        "broken": bench.baseline.figures["broken"],
    }
    assert edited.figures["kl_divergence"] > 0
    prompts = [prompt.text for prompt in bench.run.sets["bad_evaluation_prompts"]]
    for edit, responses in ((None, bench.baseline.responses), (EDIT, responses_to(bench, EDIT))):
        with bench.edited(edit) as model:
            said = [model.answer(text) for text in prompts]
        # What is measured ends where the verdict is certain.
        assert all(text.startswith(response.text) for text, response in zip(said, responses, strict=True))
    assert bench.measure(EDIT).figures == edited.figures


def test_what_a_folder_holds_is_not_found_again(settings: Settings, tmp_path: Path) -> None:
    first = Workbench.open(settings, folder=tmp_path / "mine").measure(EDIT)
    told: list[Event] = []
    again = Workbench.open(settings, folder=tmp_path / "mine", work=Work(told.append))
    phases = {event.phase: event.reused for event in told if isinstance(event, PhaseFinished)}
    assert phases == {"load": False, "baseline": True, "residuals": True, "directions": False}
    assert again.measure(EDIT).figures == pytest.approx(first.figures, abs=1e-6)


def test_a_folder_of_another_run_is_refused(settings: Settings, tmp_path: Path) -> None:
    Workbench.open(settings, folder=tmp_path / "mine")
    other = settings.model_copy(update={"max_response_length": 5})
    with pytest.raises(UsageError, match="another model, prompts or settings"):
        Workbench.open(other, folder=tmp_path / "mine")
    bench = Workbench.open(settings, folder=tmp_path / "mine")
    with pytest.raises(HereticError, match="no_such"):
        bench.measure(Parameters(1.0, {"no_such": Kernel(1.0, 1, 1.0, 1)}))
