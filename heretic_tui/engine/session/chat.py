"""Conversation with the model in memory: sampled token by token and streamed as events, or one answer as in a trial."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import torch

from heretic_tui.commands import Chat, Sampling
from heretic_tui.control import Aborted
from heretic_tui.engine.edits.attach import Edits
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.measuring.extra_lines import ExtraLine, Lines
from heretic_tui.engine.measuring.rows import room
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import Steps, greedy, pick
from heretic_tui.engine.session.judged import judged
from heretic_tui.errors import HereticError
from heretic_tui.events import ChatDelta, ChatEnded
from heretic_tui.work import Work


@dataclass(frozen=True)
class LiveModel:
    """A model, with whatever edit is attached to it, that answers as it does in a trial.

    Attributes:
        longest: tokens of an answer at most.
    """

    model: ChatModel
    system_prompt: str
    longest: int

    def answer(self, text: str) -> str:
        """The answer to one message: at every position the most likely token. The response prefix, where there is one,
        is part of it.

        Raises:
            UsageError: when the message is longer than the model can read.
            HereticError: when the model's logits are not finite.
        """
        prompt = Prompt(text, self.system_prompt)
        (tokens,) = greedy(self.model, self.model.encode([prompt]), self.longest)
        return self.model.response_prefix + self.model.decode(tokens)


def answer(model: ChatModel, judge: RunJudge, chat: Chat, edits: Edits, pool: Lines, work: Work) -> Steps[None]:
    """Let the model answer under edits, a token at a time; tell the text as it comes, then a ChatEnded with the judge's
    verdict. The response prefix, where there is one, is part of the answer.

    Args:
        pool: where trials are measured, the answer's line joins their batch; its tokens are the same up to rounding.

    Raises:
        HereticError: when the conversation is longer than the model can read, or its logits are not finite.
        torch.OutOfMemoryError: when the conversation does not fit.
    """
    start = time.perf_counter()
    made: list[int] = []
    shown = ""
    reason = "length"
    generator = torch.Generator().manual_seed(seed_for(chat.sampling))
    tokens = model.encode_turns(chat.system_prompt, chat.turns, chat.thinking)
    most = room(model, tokens, chat.sampling.max_tokens)
    if prefix := "" if chat.thinking else model.response_prefix:
        work.tell(ChatDelta(id=chat.id, text=prefix))
    line = ExtraLine(model, pool, tokens, edits)
    try:
        while len(made) < most:
            work.checkpoint()
            logits = line.next_logits()
            if logits.isnan().any():
                raise HereticError("the model's logits are not numbers: there is nothing to pick a token from")
            token = pick(logits, chat.sampling, generator)
            if token in model.end_tokens:
                reason = "end"
                break
            made.append(token)
            text = model.decode(made)
            # A character of several tokens is not whole before its last one.
            if not text.endswith("\ufffd") and len(text) > len(shown):
                work.tell(ChatDelta(id=chat.id, text=text[len(shown) :]))
                shown = text
            line.take(token)
            yield
    except Aborted:
        reason = "stopped"
    finally:
        line.leave()
    text = model.decode(made)
    if rest := text[len(shown) :]:
        work.tell(ChatDelta(id=chat.id, text=rest))
    seconds = round(time.perf_counter() - start, 3)
    verdict, why = judged(judge, text, reason == "end", whole=reason != "stopped", before=prefix)
    work.tell(ChatEnded(id=chat.id, reason=reason, tokens=len(made), seconds=seconds, verdict=verdict, no_verdict=why))


def seed_for(sampling: Sampling) -> int:
    """The seed of an answer: as given, or drawn now."""
    return random.SystemRandom().randrange(2**31) if sampling.seed is None else sampling.seed
