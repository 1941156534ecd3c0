"""The batch size: found by measuring, remembered for the model and the machine, and checked the next time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import Decoding
from heretic_tui.engine.model.load import load_model
from heretic_tui.engine.session.opening import begin_run
from heretic_tui.engine.session.phases import batch_size
from heretic_tui.engine.session.phases.batch_size import set_batch_size
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.events import BatchSizeChosen, Event
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work


class Model:
    """A model of a folder, and the runs that are begun with it."""

    def __init__(self, folder: Path, flags: list[str], runs: Path) -> None:
        pairs = zip(flags[::2], flags[1::2], strict=True)
        self._given: dict[str, Any] = {name[2:].replace("-", "_"): value for name, value in pairs}
        self._given |= {"model": str(folder), "batch_size": 0, "max_batch_size": 4}
        self._runs = runs

    def set_in(self, name: str, **settings: Any) -> tuple[BatchSizeChosen, RunFolder, ChatModel]:
        inputs = check_inputs(load_settings({**self._given, **settings}))
        folder, told = RunFolder(self._runs / name), list[Event]()
        folder.create()
        begin_run(folder, inputs, 1)
        model, _ = load_model(inputs.settings, Work())
        set_batch_size(RunInputs.of(inputs.settings, inputs.sets, folder), model, Work(told.append))
        (chosen,) = [event for event in told if isinstance(event, BatchSizeChosen)]
        return chosen, folder, model


@pytest.fixture
def model(tiny_folder: Path, sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Model(tiny_folder, sets, tmp_path / "runs")


def test_it_is_found_once_and_only_checked_the_next_time(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    found, first, _ = model.set_in("first")
    assert not found.remembered
    # What is measured depends on the machine; here it takes as long as it did.
    monkeypatch.setattr(batch_size, "_FAR_OFF", 1e9)

    def choose(*_: object) -> None:
        raise AssertionError("it was found before")

    monkeypatch.setattr(batch_size, "choose_batch_size", choose)
    again, second, loaded = model.set_in("second")
    assert (again.remembered, again.batch_size) == (True, found.batch_size)
    assert again.tokens_per_second
    assert loaded.batch_size == found.batch_size
    assert second.read_record().batch_size == first.read_record().batch_size
    assert second.read_record().step_seconds == first.read_record().step_seconds
    with pytest.raises(AssertionError, match="found before"):
        model.set_in("third", max_batch_size=8)


def test_one_that_is_far_off_is_found_anew(model: Model, tmp_path: Path) -> None:
    model.set_in("first")
    file = tmp_path / "state" / "heretic-tui" / "batch-sizes.json"
    known = json.loads(file.read_text())
    for each in known.values():
        each["step_seconds"] = dict.fromkeys(each["step_seconds"], 1000000.0)
    file.write_text(json.dumps(known))
    again, folder, _ = model.set_in("second")
    assert not again.remembered
    assert max(folder.read_record().step_seconds.values()) < 1e6
    assert "1000000.0" not in file.read_text(), "what is known now is what is remembered"


def test_one_that_does_not_fit_any_more_is_found_anew(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.set_in("first")
    full: list[bool] = []

    def lack(*arguments: Any) -> Any:
        if not full:
            full.append(True)
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return Decoding(*arguments)

    monkeypatch.setattr(batch_size, "Decoding", lack)
    again, _, _ = model.set_in("second")
    assert not again.remembered
