"""How fast this machine computes with a model, found without its weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.session.speed_probe import probe_speed
from heretic_tui.errors import HereticError
from heretic_tui.events import Event, Progress
from heretic_tui.run.plan import Load
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work
from tests.support import tiny_models

LOAD = Load(rows=6, longest=20, response=8, evaluation=400, harmful=200, training=400, prompts=40, decoded=20)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"model": str(tiny_models.save(tmp_path / "model"))}, environment=False)


def test_reading_and_steps_of_all_batches(settings: Settings) -> None:
    told: list[Event] = []
    found = probe_speed(settings, LOAD, 0, Work(told.append))
    assert set(found.steps) <= {1, 2, 4, 6}
    assert 1 in found.steps
    assert min(found.reading, *found.steps.values()) > 0
    assert found.loading
    assert (found.layers, found.own, found.dtype, found.device) == (4, 4, "float32", "cpu")
    progress = [event for event in told if isinstance(event, Progress)]
    assert [event.stage for event in progress[:1]] == ["probe"]
    assert progress[-1].done == progress[-1].total


def test_no_more_rows_than_their_cache_has_room(settings: Settings) -> None:
    assert set(probe_speed(settings, LOAD, 10**13, Work()).steps) == {1}


def test_weights_are_not_read(settings: Settings) -> None:
    (Path(settings.model) / "model.safetensors").unlink()
    assert probe_speed(settings, LOAD, 0, Work()).loading is None


def test_it_ends_when_it_is_asked_to(settings: Settings) -> None:
    control = Control()
    control.abort()
    with pytest.raises(Aborted):
        probe_speed(settings, LOAD, 0, Work(control=control))


def test_what_does_not_fit_is_said(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heretic_tui.engine.session.speed_probe.memory_share", lambda device, share: 100)
    with pytest.raises(HereticError, match="a stand-in for the model takes"):
        probe_speed(settings, LOAD, 0, Work())
