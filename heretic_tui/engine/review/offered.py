"""Which checks of reviews there are, and which of them the settings give nothing to do: asked without a model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from heretic_tui.engine.inputs.held_out import HARMFUL, HARMLESS, LOOKALIKE, ReviewPrompts
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.review.bench import ReviewBench
from heretic_tui.engine.review.checks.base import Check
from heretic_tui.errors import one_line
from heretic_tui.plugins import CHECKS, made, method, names
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offered:
    """A check.

    Attributes:
        absent: why it would find nothing; None where it would find something, as far as the settings tell.
    """

    name: str
    title: str
    absent: str | None


def offered(settings: Settings) -> list[Offered]:
    """All checks: those that the settings choose in their order, then the others."""
    there = names(CHECKS)
    return [_offered(name, settings) for name in dict.fromkeys([*settings.review_checks, *there])]


def _offered(name: str, settings: Settings) -> Offered:
    try:
        check: Check = made(method(CHECKS, name, Check), CHECKS, name)
        bench = _bench(settings)
        title, absent = bench.behaviour.in_words(check.title, counting=True), check.absent(bench)
        return Offered(name, title, absent and bench.behaviour.in_words(absent, counting=True))
    except Exception as error:
        # One that is not there, or that needs more than the settings to tell: the review says what is wrong.
        log.debug("nothing is known of the check %s before a review", name, exc_info=True)
        return Offered(name, name, one_line(error) if name not in names(CHECKS) else None)


def _bench(settings: Settings) -> ReviewBench:
    """Settings and prompts as checks see them: of a set that may hold prompts one that stands for all. There is no
    model."""
    nothing = cast(Any, None)
    some = (Prompt("", ""),)
    # What directions and search leave of a data set is not known before it is read.
    sets = {HARMFUL: some, HARMLESS: some, LOOKALIKE: some if settings.review_lookalike_prompts.dataset else ()}
    return ReviewBench(
        model=nothing, judge=nothing, settings=settings, prompts=ReviewPrompts(sets), folder=ReviewFolder(Path()),
        identity={}, step_seconds={}, work=cast(Work, nothing),
    )  # fmt: skip
