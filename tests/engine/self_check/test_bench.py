"""The check of exactness, on models that take a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.plain_pool import PlainPool
from heretic_tui.engine.self_check import bench as checked
from heretic_tui.engine.self_check.few_bits import try_few_bits
from heretic_tui.engine.self_check.random_model import LARGE, SMALL, Shape, write_random_model
from heretic_tui.engine.self_check.torch_facts import torch_facts
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work

TINY = Shape(name="random tiny", layers=4, hidden=64, intermediate=128, heads=4, groups=2)


def settings(model: Path, prompts: int) -> Settings:
    demo = settings_of_the_demo()
    sets = {key: {**value, "split": f"[:{prompts}]"} for key, value in demo.items() if isinstance(value, dict)}
    given = {"model": str(model), "dtypes": ["float32"], "max_response_length": 8, "max_batch_size": 8, **sets}
    return load_settings(given, environment=False)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / "model"
    write_random_model(folder, TINY)
    return folder


def test_both_ways_give_the_same_here(tiny: Path) -> None:
    found = checked.bench("random tiny", settings(tiny, 8), Work())
    assert found.exact
    assert found.fast
    assert found.parameters == pytest.approx(TINY.parameters, rel=0.01)
    assert found.responses == found.edits * 8
    assert found.kl > 1e-3, "the edits must matter"
    assert found.kl_apart < 1e-4
    assert found.batch_size in found.step_seconds
    assert {"load", "baseline", "directions"} <= set(found.phases)


def test_a_way_that_gives_something_else_is_not_exact(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a device computes batches of many rows wrongly: one way has edits of another strength."""

    class Other(PlainPool):
        def start(self, job: Job) -> None:
            job.edits = dict(list(job.edits.items())[1:])
            super().start(job)

    monkeypatch.setattr(checked, "PlainPool", Other)
    found = checked.bench("random tiny", settings(tiny, 8), Work())
    assert not found.exact
    assert found.kl_apart > 1e-4


def test_the_shapes_have_the_size_that_they_are_called_by() -> None:
    assert LARGE.parameters == pytest.approx(1e9, rel=0.1)
    assert SMALL.parameters == pytest.approx(1e8, rel=0.1)


def test_what_torch_and_bitsandbytes_do_here() -> None:
    facts = torch_facts()
    assert facts.problem is None
    assert facts.available == bool(facts.devices)
    few = pytest.importorskip("bitsandbytes") and try_few_bits()
    assert few.works
    assert 0.02 < few.four < 0.2
    assert 0.002 < few.eight < 0.02
