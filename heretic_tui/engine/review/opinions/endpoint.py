"""Opinions of a chat model behind an OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, hosted ones), by a rubric."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from heretic_tui.engine.review.opinions.at_once import at_once
from heretic_tui.engine.review.opinions.base import Cost, Opinion, Pair, SecondOpinion, opinions_on, to_ask
from heretic_tui.engine.review.opinions.chat_endpoint import Answer, ChatEndpoint, NoAnswer, NotThisOne
from heretic_tui.engine.review.opinions.endpoint_choice import EndpointChoice, address_of, key_of
from heretic_tui.engine.review.opinions.kept import keeper, kept_opinions
from heretic_tui.engine.review.opinions.pace import TRIES, Pace
from heretic_tui.engine.review.opinions.rubric import TRIAL_PAIR, messages, opinion_in
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.words import counted, duration, plain, quoted, to_json
from heretic_tui.work import Work

# Rests of fewer seconds are not told.
_TOLD = 5.0
# UTF-8 bytes of a token, about, and tokens of a verdict.
_BYTES, _VERDICT = 4, 10


class EndpointOpinions(SecondOpinion):
    """Asks a chat model about each pair, several at once; what it said before it is not asked again.

    Args:
        folder: where opinions are kept, by digests alone; made where it is not there.
        environment: holds the key.
        pace: makes what says when a request that failed is sent again, from what waits.

    Attributes:
        spent: what it has cost up to now.

    Raises:
        UsageError: for an address that is none, and a key that is not there.
    """

    def __init__(
        self,
        choice: EndpointChoice,
        folder: Path,
        environment: Mapping[str, str] = os.environ,
        pace: Callable[[Callable[[float], bool]], Pace] = Pace,
    ) -> None:
        self._address = address_of(choice)
        self._endpoint = ChatEndpoint(self._address, choice.model, key_of(choice, environment), choice.timeout)
        self._choice, self._folder, self._pace = choice, folder, pace
        self._tried = False
        self.name = plain(f"{choice.model} at {self._address.host}")
        self.spent: Cost = Cost()

    def check(self, work: Work) -> None:
        """Ask about a pair that anybody can tell. It costs one request, once."""
        if self._tried:
            return
        if self._endpoint.key and not (self._address.encrypted or self._address.here):
            work.note(f"the key goes to {self._address.host} unencrypted: better give an https address", "warning")
        found: list[Answer | NotThisOne] = []
        self._ask([TRIAL_PAIR], work, lambda index, outcome: found.append(outcome))
        outcome = found[0]
        if isinstance(outcome, NotThisOne):
            raise UsageError(
                f"the endpoint {self._address.host} does not take the question that tries it out: {outcome}"
            )
        opinion = opinion_in(outcome.text)
        if opinion == "unknown":
            # It would be paid for whatever it says.
            reply = quoted(outcome.text.strip()) if outcome.text.strip() else "nothing"
            raise UsageError(
                f"{self.name} gives no verdict on a plain answer, but says {reply}: take a model that follows "
                "instructions"
            )
        if opinion != "answered":
            work.note(f"{self.name} calls {opinion} a plain answer: its opinions may be of little use", "warning")
        self._tried = True

    def cost(self, pairs: Sequence[Pair]) -> Cost:
        asked = to_ask(pairs)
        known = kept_opinions(self._folder)
        left = [pair for pair in asked if self._digest(pair) not in known]
        return _estimate(left if self._tried or not left else [TRIAL_PAIR, *left], known=len(asked) - len(left))

    def give(self, pairs: Sequence[Pair], work: Work) -> list[Opinion]:
        return opinions_on(pairs, partial(self._give, work=work))

    def release(self) -> None:
        """Nothing of it is in memory."""

    def _give(self, asked: list[Pair], work: Work) -> dict[Pair, Opinion]:
        known = kept_opinions(self._folder)
        found = {pair: known[digest] for pair in asked if (digest := self._digest(pair)) in known}
        reused = len(found)
        self.spent += Cost(known=reused)
        left = [pair for pair in asked if pair not in found]
        if not left:
            return found
        self.check(work)
        without = _Without()
        report = work.progress("second opinion")
        report(0, len(left))
        with keeper(self._folder) as kept:

            def take(index: int, outcome: Answer | NotThisOne) -> None:
                pair = left[index]
                opinion = without.opinion(outcome)
                if opinion != "unknown":
                    kept.keep(self._digest(pair), opinion)
                found[pair] = opinion
                report(len(found) - reused, len(left))

            try:
                self._ask(left, work, take)
            except NoAnswer as error:
                raise HereticError(f"{error}; what it said until then is kept, and not asked for again") from error
        if without.reasons:
            work.note(without.words(len(left)), "warning")
        return found

    def _ask(self, pairs: list[Pair], work: Work, take: Callable[[int, Answer | NotThisOne], None]) -> None:
        """Ask about each pair, and add up what it costs.

        Raises:
            UsageError, NoAnswer: the endpoint answers nothing.
            Aborted: from the control.
        """
        ended = threading.Event()
        pace = self._pace(ended.wait)
        rests: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()
        client = self._endpoint.client()
        sent_before = self._endpoint.requests

        def held(seconds: float, reason: str) -> None:
            rests.put((seconds, reason))

        def ask(pair: Pair, tries: int = TRIES) -> Answer:
            return self._endpoint.ask(client, messages(pair), pace, held, tries)

        def call(pair: Pair) -> Answer | NotThisOne:
            try:
                return ask(pair)
            except NotThisOne as declined:
                return declined
            except NoAnswer as unanswered:
                if pair == TRIAL_PAIR:
                    raise
                try:
                    # Whether it is the endpoint or this pair, the pair that anybody can tell says.
                    ask(TRIAL_PAIR, tries=1)
                except (NotThisOne, NoAnswer):
                    raise unanswered from None
                return NotThisOne(unanswered.reason)

        def came(index: int, outcome: Answer | NotThisOne) -> None:
            if isinstance(outcome, Answer):
                guess = _estimate([pairs[index]])
                sent = guess.sent if outcome.sent is None else outcome.sent
                received = guess.received if outcome.received is None else outcome.received
                self.spent += Cost(sent=sent, received=received)
            take(index, outcome)

        def look() -> None:
            told = [rests.get_nowait() for _ in range(rests.qsize())]
            seconds, reason = max(told, default=(0.0, ""))
            if seconds >= _TOLD:
                work.note(f"the endpoint {self._address.host} is asked again in {duration(seconds)} ({reason})")

        try:
            at_once(pairs, call, came, self._choice.concurrent, work, look)
        finally:
            ended.set()
            self.spent += Cost(requests=self._endpoint.requests - sent_before)
        # Not where calls are still in hand: they end on their own, and the connections with them.
        client.close()

    def _digest(self, pair: Pair) -> str:
        """By what an opinion is known: who is asked, and all that is asked."""
        asked = to_json([self._address.url, self._choice.model, messages(pair)])
        return hashlib.sha256(asked.encode()).hexdigest()


class _Without:
    """Responses that no opinion was given on, and why."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()

    def opinion(self, outcome: Answer | NotThisOne) -> Opinion:
        opinion: Opinion = opinion_in(outcome.text) if isinstance(outcome, Answer) else "unknown"
        if opinion == "unknown":
            self.reasons["its reply was no verdict" if isinstance(outcome, Answer) else str(outcome)] += 1
        return opinion

    def words(self, asked: int) -> str:
        most = "; ".join(f"{reason} ({count})" for reason, count in self.reasons.most_common(3))
        return f"no opinion on {self.reasons.total():,} of {counted(asked, 'response')}: {most}"


def _estimate(pairs: Sequence[Pair], known: int = 0) -> Cost:
    """What it costs to ask about some pairs, by the length of what is sent."""
    sent = sum(len(message["content"].encode()) // _BYTES for pair in pairs for message in messages(pair))
    return Cost(len(pairs), sent, _VERDICT * len(pairs), known)
