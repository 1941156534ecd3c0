"""The pane of the search's progress, as text: the bounds that the front presses against."""

from __future__ import annotations

import dataclasses

from heretic_tui import events as ev
from heretic_tui.bounds import HERETIC_1
from heretic_tui.run.search_progress import SearchProgress
from heretic_tui.run.state import RunState
from heretic_tui.tui.glyphs import UNICODE
from heretic_tui.tui.screens.trials_progress import progress_text
from heretic_tui.tui.themes import Looks
from tests.support import fake_run

LOOK = Looks(*("default" for _ in Looks.__dataclass_fields__))
LAST = fake_run.LAYERS - 1
NAMED = {
    f"{name}.{part}": ("mixer_" if name == "attn.o_proj" else "mlp_") + part if part == "max_weight" else part
    for name in ("attn.o_proj", "mlp.down_proj")
    for part in ("max_weight", "max_weight_position", "min_weight_distance")
}


def pane(width: int) -> list[str]:
    """Of a run with three trials on the front, all of them at the highest weight and reach and the lowest peak."""
    state = RunState()
    ranges = {
        name: tuple(each * (1 if bound.endswith("max_weight") else LAST) for each in HERETIC_1[bound])
        for name, bound in NAMED.items()
    }
    start = ev.StartMeasured(edit="trial 7 of demo-1234", figures={"kl_divergence": 0.5, "refusals": 49}, prompts=100)
    events = [*fake_run.preparation(), start, ev.SpaceKnown(ranges=ranges, named=NAMED)]  # type: ignore[arg-type]
    for number in range(3):
        known = fake_run.parameters(4)
        kernels = {
            name: dataclasses.replace(
                kernel, max_weight=1.5, max_weight_position=0.6 * LAST, min_weight=0.5, min_weight_distance=0.6 * LAST
            )
            for name, kernel in known.components.items()
        }
        figures = {"kl_divergence": 0.1 + number, "refusals": 50 - number}
        events += [
            ev.TrialStarted(number=number, parameters=dataclasses.replace(known, components=kernels)),
            ev.TrialFinished(number=number, state="complete", figures=figures, prompts=100),
        ]
    for event in events:
        state.fold(event)
    progress = SearchProgress()
    progress.update(state)
    return progress_text(progress, None, state, LOOK, UNICODE, width, timed=False).plain.splitlines()


def test_the_bounds_that_the_front_presses_against_stand_in_lines_that_fit() -> None:
    for width in (60, 62, 76):
        lines = pane(width)
        first = next(place for place, line in enumerate(lines) if line.startswith("front presses against"))
        told = [line[25:] for line in lines[first:]]
        assert told[0] == "attn strength at most 1.5: 3/3", "in the order of the space"
        assert told[3] == "and 3 more bounds"
        end = next(place for place, line in enumerate(lines) if line.startswith("what matters"))
        assert all(line.startswith(" " * 25) for line in lines[first + 1 : end]), "what goes on stands below"
        wider = " ".join(told[4 : end - first])
        assert wider == (
            "wider: --search-bounds mixer_max_weight=0.8..2.2 mlp_max_weight=-0.25..3.25 max_weight_position=0.2..1 "
            "min_weight_distance=0..1"
        )
        assert max(map(len, lines[first:end])) <= width


def test_what_a_second_round_is_on_top_of_stands_beside_its_front() -> None:
    lines = pane(60)
    first = next(place for place, line in enumerate(lines) if line.startswith("on top of"))
    assert lines[first].split(None, 3)[3] == "trial 7 of demo-1234"
    told = " ".join(line.strip() for line in lines[first + 1 : first + 5])
    assert told.startswith(
        "refusals 49/100, KL 0.5000 on the front, better than that in both figures: none; in neither: 1"
    ), told
    assert max(map(len, lines[first : first + 5])) <= 60
