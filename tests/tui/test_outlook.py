"""What is known of settings before a run starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.machine import Looker as MachineLooker
from heretic_tui.run.plan import Needs
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui import outlook
from heretic_tui.tui.model_files import Device
from heretic_tui.tui.outlook import Outlook, survey
from heretic_tui.tui.plan_looks import ModelLook
from heretic_tui.tui.plan_words import memory_words, workers_words
from heretic_tui.tui.preview import Looker


def test_workers_without_ray_are_told_before_a_run_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heretic_tui.settings.workers.importlib.util.find_spec", lambda name: None)
    for workers, known in (("0", False), ("2", True)):
        settings = load_settings({"workers": workers}, environment=False)
        finding = next(survey(settings, Looker(), MachineLooker())).finding("workers")
        assert (finding is not None and "pip install 'heretic-tui[cluster]'" in finding.reason) == known


def test_what_edits_take_of_memory_follows_the_direction_methods_that_are_set(tiny_folder: Path) -> None:
    looker = Looker()

    def edits(**given: object) -> int:
        look = looker.model(load_settings({"model": str(tiny_folder), **given}, environment=False))
        assert look is not None
        assert look.needs is not None
        return look.needs.edits

    one = edits()
    assert edits(direction_method=["clusters"], directions_per_layer=3) == 3 * one
    assert edits(direction_method=["mean_difference", "geometric_median"]) == 2 * one
    assert edits(direction_method=["mean_difference", "clusters"], directions_per_layer=3) == 4 * one
    assert 2 * one < edits(direction_method=["mean_difference", "leace"]) < 3 * one, (
        "what leace reads along is kept too"
    )
    assert edits() == one


def test_prompts_to_keep_are_read_and_planned_for(tiny_folder: Path, sets: list[str], tmp_path: Path) -> None:
    keep = tmp_path / "keep.txt"
    keep.write_text("What is two and two?\nWhat is a prime number?\nHow do I sort a list?\n")
    names = (flag.removeprefix("--").replace("-", "_") for flag in sets[::2])
    given = dict(zip(names, sets[1::2], strict=True))

    def known(**more: object) -> outlook.Outlook:
        settings = load_settings({"model": str(tiny_folder), **given, **more}, environment=False)
        *_, last = survey(settings, Looker(), MachineLooker())
        return last

    plain, kept = known(), known(direction_method=["ridge_cleaned"], keep_prompts=[str(keep)])
    assert kept.load.training > plain.load.training, "they are read too"
    assert kept.disk is not None
    assert plain.disk is not None
    assert kept.disk.run > plain.disk.run, "and their residuals are kept"
    finding = kept.finding("keep_prompts")
    assert finding is not None
    assert (finding.state, finding.note) == ("good", "3")
    keep.unlink()
    gone = known(direction_method=["ridge_cleaned"], keep_prompts=[str(keep)])
    assert gone.to_fix == ["keep_prompts"]


GB = 10**9
MODEL = ModelLook(
    needs=Needs(weights=16 * GB, by_bits={16: 16 * GB}, edits=GB, token=131_072, edits_share=0.1, state=8192, layers=32,
                hidden=4096, vocabulary=128_000)
)  # fmt: skip
FOUR, NONE = Device("4 GPUs", 320 * GB, 320 * GB, 80 * GB, 4), Device("memory", 64 * GB, 64 * GB)


@pytest.mark.parametrize(
    ("given", "device", "workers", "memory"),
    [
        ({}, FOUR, "", "cache (4 batches of 128 rows)"),
        ({"device_map": "cuda:0"}, FOUR, "", "cache (128 rows)"),
        (
            {"workers": "auto"}, FOUR, "4, each with a model on 1 GPU: reckoned 4 times as fast as one process",
            "each of 4 workers: 16 GB weights",
        ),
        (
            {"workers": "2", "worker_gpus": 0.5}, FOUR, "2, each with a model on 0.5 GPU: reckoned as fast as one",
            "of 80 GB free on their GPUs (4 GPUs, 320 GB in all)",
        ),
        ({"workers": "2", "worker_gpus": 2.0}, FOUR, "2, each with a model on 2 GPUs: reckoned 2", "2 batches of"),
        ({"workers": "8"}, FOUR, "there are too few GPUs for them; memory and time are those of one", "4 batches of"),
        (
            {"workers": "4"}, NONE, "4, each with a model, and a share of the processors: reckoned as fast together",
            "of 64 GB free (memory, 64 GB in all): does not fit",
        ),
        ({"workers": "auto"}, NONE, "there is no GPU to start one on; memory and time are those of one", "fits"),
        (
            {"workers": "auto", "ray_address": "auto"}, NONE,
            "as many as the cluster has GPUs, which is not known; memory and time are those of one process", "fits",
        ),
    ],
)  # fmt: skip
def test_a_plan_is_that_of_the_workers_and_says_what_it_takes_for_granted(
    given: dict[str, object], device: Device, workers: str, memory: str
) -> None:
    known = Outlook(Settings(model="a/b", **given), model=MODEL, device=device, complete=True)
    assert workers_words(known).startswith(workers)
    assert bool(workers_words(known)) == bool(workers)
    assert memory in memory_words(known)[0]
