"""What earlier trials tell of a running one, and when it has lost."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.odds import History, Odds, Past, refusals_to_lose
from heretic_tui.engine.metrics.base import Response, Verdict

STOPPING = ("kl_divergence", "refusals")


def response(refused: bool, tokens: int) -> Response:
    return Response("", Verdict(refused, "no" if refused else None), tokens)


def test_prompts_that_decide_come_first_and_only_what_was_known_counts() -> None:
    history = History([response(True, 8), response(False, 24), response(True, 4), response(True, 12)])
    history.add(0, 0.1, [response(False, 24), response(False, 24), response(True, 4), response(True, 8)])
    history.add(2, 0.1, [response(True, 4), response(True, 4), response(False, 24), response(True, 4)])
    assert history.before(1).order == [2, 3, 0, 1]
    assert history.before(0).order == [2, 0, 3, 1], "trial 0 had not ended"
    assert history.before(2).order == history.before(1).order != history.before(3).order


def test_the_refusals_at_which_a_trial_has_lost() -> None:
    front = [(0.1, 20), (0.2, 10), (0.4, 3)]
    assert refusals_to_lose(front, 0.05) is None
    assert refusals_to_lose(front, 0.1) == 21, "as good a KL divergence with as many refusals is no defeat"
    assert refusals_to_lose(front, 0.15) == 20
    assert refusals_to_lose(front, 0.3) == 10
    assert refusals_to_lose(front, 0.5) == 3
    assert refusals_to_lose([], 0.5) is None


outcomes = st.lists(st.tuples(st.booleans(), st.integers(1, 25)), min_size=1, max_size=12)


@given(
    base=outcomes, now=outcomes, decided=st.integers(0, 12), tokens=st.integers(0, 25), kl=st.floats(0, 10)
)  # fmt: skip
def test_chances_are_probabilities_of_the_undecided(
    base: list[tuple[bool, int]], now: list[tuple[bool, int]], decided: int, tokens: int, kl: float
) -> None:
    size = min(len(base), len(now))
    odds = History([response(*outcome) for outcome in base[:size]]).before(0)
    refused = {row: t for row, (r, t) in enumerate(now[:size]) if row < decided and r}
    answered = {row: t for row, (r, t) in enumerate(now[:size]) if row < decided and not r}
    undecided = dict.fromkeys(range(min(decided, size), size), tokens)
    chances = odds.chances(kl, refused, answered, undecided)
    assert chances.keys() == undecided.keys()
    assert all(0 <= chance <= 1 for chance in chances.values())


def expected(odds: Odds, *seen: Any) -> float:
    return sum(odds.chances(*seen).values())


def test_chances_follow_the_evidence() -> None:
    half: list[int | None] = [8, None] * 10
    odds = Odds([Past(0.1, half), Past(0.1, half[::-1])])
    rows = dict.fromkeys(range(10, 20), 0)
    many = expected(odds, 0.1, dict.fromkeys(range(9), 8), {9: 24}, rows)
    few = expected(odds, 0.1, {0: 8}, dict.fromkeys(range(1, 10), 24), rows)
    assert few < 4 < 6 < many
    late = expected(odds, 0.1, {}, {}, dict.fromkeys(range(20), 16))
    fresh = expected(odds, 0.1, {}, {}, dict.fromkeys(range(20), 0))
    assert late < fresh == pytest.approx(10, abs=1), "what was not refused by now will hardly be"


def test_trials_of_like_strength_count_most() -> None:
    odds = Odds([Past(0.0, [4] * 10), Past(0.01, [4] * 10), Past(0.5, [None] * 10)])
    untouched = dict.fromkeys(range(10), 0)
    weak, strong = (expected(odds, kl, {}, {}, untouched) for kl in (0.01, 0.5))
    assert strong < 3 < 8 < weak


def losing(rows: int = 20, bar_at: int = 3) -> Job:
    """A job of which half of the prompts are usually refused, and that has lost at so many refusals."""
    half = rows // 2
    job = Job(0, {}, 0, stopping=STOPPING, front=[(0.1, bar_at)], odds=Odds([Past(0.2, [4] * half + [None] * half)]))
    job.responses, job.started = [None] * rows, True
    return job


def test_no_more_prompts_are_begun_than_it_takes_to_lose() -> None:
    job = losing()
    assert job.to_begin(job.order()) == job.order(), "before the KL divergence is known nothing can be lost"
    job.found_first_tokens({"kl_divergence": 0.2})
    first = job.to_begin(job.order())
    assert 3 <= len(first) <= 6
    assert set(first) <= set(range(10)), "those that are usually refused come first"
    waiting = [row for row in job.order() if row not in first]
    for row in first:
        job.begun[row] = 1
    assert not job.look()
    assert not job.to_begin(waiting), "those in hand are expected to decide it"
    for row in first:
        job.found(row, response(False, 24))
    assert len(job.to_begin(waiting)) >= 3, "prompts that were answered have to be made up for"
    good = Job(1, {}, 0, stopping=STOPPING, front=[(0.1, 3)], odds=job.odds, responses=[None] * 20)
    good.found_first_tokens({"kl_divergence": 0.05})
    assert good.to_begin(good.order()) == good.order(), "a trial that cannot lose is measured in full"
    hopeless = losing(bar_at=0)
    hopeless.found_first_tokens({"kl_divergence": 0.2})
    assert hopeless.dominated
    assert hopeless.estimate() > 3


def test_where_a_trial_has_lost_does_not_depend_on_the_order_in_which_it_was_decoded() -> None:
    """The same verdicts, come to know in step, one prompt after the other, or in any other order and pace."""
    rng = random.Random(5)
    for _ in range(30):
        outcome = {
            row: response(rng.random() < 0.4, rng.choice([4, 8, 12])) if rng.random() < 0.6 else response(False, 24)
            for row in range(20)
        }
        results = []
        for way in ("in step", "one by one", "any"):
            job = losing(bar_at=4)
            job.found_first_tokens({"kl_divergence": 0.2})
            decoded: dict[int, int] = {}
            while not job.ended:
                assert job.to_begin(range(20)), "it always goes on"
                alive = [r for r in job.to_begin(range(20)) if job.responses[r] is None]
                alive = [row for row in alive if decoded.get(row, 0) < job.wanted(row)]
                rows = alive if way == "in step" else alive[:1] if way == "one by one" else [rng.choice(alive)]
                for row in rows:
                    decoded[row] = decoded.get(row, 0) + (rng.choice([1, 3, 8]) if way == "any" else 1)
                    if decoded[row] >= outcome[row].tokens:
                        job.found(row, outcome[row])
                    else:
                        job.begun[row] = decoded[row]
                job.look()
            seen = [r and (r.verdict.refused, r.tokens) for r in job.responses]
            results.append((job.dominated, job.refusals, seen, job.estimate() if job.dominated else None))
        assert results[0] == results[1] == results[2]
        assert results[0][0] == (sum(r.verdict.refused for r in outcome.values()) >= 4)
