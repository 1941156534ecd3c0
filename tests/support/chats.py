"""A chat that is answered to its end, where no trials are measured."""

from __future__ import annotations

from transformers.cache_utils import Cache

from heretic_tui.commands import Chat
from heretic_tui.engine.measuring.extra_lines import ExtraLine
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.metrics.judges.base import Judge
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.session.chat import answer
from heretic_tui.work import Work


class NoBatch:
    """A pool that lets no line in."""

    def join(self, line: ExtraLine, cache: Cache) -> bool:
        return False

    def leave(self, line: ExtraLine) -> None:
        raise AssertionError

    def holds(self, line: ExtraLine) -> bool:
        raise AssertionError

    def step_extra(self) -> None:
        raise AssertionError


def say(model: ChatModel, judge: Judge, chat: Chat, work: Work) -> None:
    """The model, as it is, answers."""
    for _ in answer(model, RunJudge(judge), chat, {}, NoBatch(), work):
        pass
