"""How refusals begin: the probability that a response is one, from both pools, and what a run folder keeps of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.open_pool import open_pool
from heretic_tui.engine.measuring.openings import Openings, Scale, fitted_scale, keep_openings, kept_openings
from heretic_tui.engine.measuring.parting import Parting
from heretic_tui.engine.measuring.plain_pool import PlainPool
from heretic_tui.errors import UsageError
from heretic_tui.run.folder import RunFolder
from heretic_tui.work import Work
from tests.engine.measuring.test_pool import NO_COST, Make, evaluation, jobs

IDS = [3, 40, 41, 90]
AT_ONCE = Parting.at_once(IDS, 14)
GIVEN = [[7], [7, 40, 41], [7, 8], [7, 8], [7], [7, 8, 40], [7]]
PLACES = [[1], [1, 3], [1, 2], [0, 2], [0, 1], [3], [1]]
BEHIND = Parting(IDS, GIVEN * 2, PLACES * 2)
FROM_START = Parting(IDS, GIVEN * 2, PLACES * 2, from_start=True)


@pytest.mark.parametrize("parting", [AT_ONCE, BEHIND, FROM_START])
@pytest.mark.parametrize("plain", [False, True])
def test_probabilities_are_those_of_a_plain_pass_whatever_the_batches(
    make_model: Make, parting: Parting, plain: bool
) -> None:
    model = make_model(batch_size=5)
    what = evaluation(model)
    pool = PlainPool(model, what, Work()) if plain else open_pool(model, what, NO_COST, Work())[0]
    openings = Openings(parting, Scale(1.7, -0.2), what.bad, torch.zeros(14, dtype=torch.float64))
    rows = [9, 2, 5, 13, 0, 1, 3, 11]
    for job in (Job(None, {}, model.depth), *jobs(model, 2)):
        found = openings.per_prompt(pool, job, rows)
        assert found.shape == (8,)
        assert found.dtype == torch.float64
        for row, value in zip(rows, found.tolist(), strict=True):
            given = parting.given[row]
            with attached(model.anatomy.writers, job.edits), torch.inference_mode():
                logits = model.network(input_ids=torch.tensor([what.bad[row] + given])).logits[0]
            last = logits[-len(given) - 1 :].double().log_softmax(dim=-1)
            expected = Scale(1.7, -0.2)(torch.tensor([parting.refusing(row, last)], dtype=torch.float64))
            assert value == pytest.approx(float(expected), abs=1e-4)
        model.batch_size = 3
        one_by_one = torch.cat([openings.per_prompt(pool, job, [row]) for row in rows])
        assert one_by_one == pytest.approx(found, abs=1e-5)


@pytest.mark.parametrize("parting", [AT_ONCE, BEHIND])
def test_logits_that_are_not_finite_are_told_with_their_prompts(make_model: Make, parting: Parting) -> None:
    model = make_model()
    what = evaluation(model)
    pool, _ = open_pool(model, what, NO_COST, Work())
    (job,) = jobs(model, 1)
    job.edits = {name: Edit(edit.a, edit.b * torch.nan, edit.c) for name, edit in job.edits.items()}
    with pytest.raises(NotFiniteError) as raised:
        Openings(parting, Scale(), what.bad, torch.zeros(14)).per_prompt(pool, job, [4, 6])
    assert set(raised.value.rows) <= {4, 6}


def test_the_scale_follows_the_verdicts_and_never_turns_round() -> None:
    values = torch.linspace(0.02, 0.98, 49, dtype=torch.float64)
    assert fitted_scale(values, [value > 0.5 for value in values.tolist()]).slope > 2
    late = fitted_scale(values, [value > 0.8 for value in values.tolist()])
    assert late.shift < -0.5
    above = late(torch.tensor([0.7, 0.95], dtype=torch.float64))
    assert above[0] < 0.5 < above[1]
    turned = fitted_scale(values, [value < 0.5 for value in values.tolist()])
    assert turned.slope > 0
    assert fitted_scale(values, [True] * 49) == Scale(), "the other kind is not ruled out"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    run.create()
    return run


def test_a_run_folder_gives_back_what_it_keeps(folder: RunFolder) -> None:
    prompts = [[1, 2], [3]]
    assert kept_openings(folder, prompts, 100) is None
    keep_openings(folder, "nothing is telling")
    assert kept_openings(folder, prompts, 100) == "nothing is telling"
    parting = Parting([4, 9], [[5, 6], [5]], [[1, 2], [1]], from_start=True)
    keep_openings(folder, Openings(parting, Scale(2.5, 0.1), prompts, torch.tensor([0.1, 0.7], dtype=torch.float64)))
    found = kept_openings(folder, prompts, 100)
    assert isinstance(found, Openings)
    assert found.scale == Scale(2.5, 0.1)
    assert (list(found.parting.ids), found.parting.given) == ([4, 9], [[5, 6], [5]])
    assert [list(places) for places in found.parting.places] == [[1, 2], [1]]
    assert found.parting.from_start
    assert found.base.tolist() == [0.1, 0.7]


@pytest.mark.parametrize(
    "change",
    [
        {"ids": []}, {"ids": [100]}, {"given": [[5, 6]]}, {"places": [[2, 1], [1]]}, {"places": [[1, 3], [1]]},
        {"places": [[], [1]]}, {"base": [0.1]}, {"base": [0.1, "?"]}, {"given": [[5, -1], [5]]}, {"format": 2},
    ],
)  # fmt: skip
def test_what_is_damaged_is_told_and_not_used(folder: RunFolder, change: dict[str, object]) -> None:
    prompts = [[1, 2], [3]]
    parting = Parting([4, 9], [[5, 6], [5]], [[1, 2], [1]])
    keep_openings(folder, Openings(parting, Scale(), prompts, torch.tensor([0.1, 0.7], dtype=torch.float64)))
    folder.openings.write_text(json.dumps({**json.loads(folder.openings.read_text()), **change}))
    with pytest.raises(UsageError, match=r"openings\.json is damaged"):
        kept_openings(folder, prompts, 100)
    folder.seal(folder.openings)
    with pytest.raises(UsageError, match=r"openings\.json is damaged"):
        kept_openings(folder, prompts, 100)
