"""An OpenAI-compatible chat endpoint over HTTP: asked, asked again where it failed for a moment, its answers
checked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeAlias

import httpx2

from heretic_tui.engine.review.opinions.endpoint_choice import Address
from heretic_tui.engine.review.opinions.pace import LONGEST_HOLD, TRIES, Pace, asked_to_wait
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.files import parse_json
from heretic_tui.words import duration, plain, quoted

Message: TypeAlias = dict[str, str]

# A verdict is ten tokens. Models that think before it need room for that.
_MOST_TOKENS = 2048
# Bytes of an answer that are read: far more than that many tokens.
_MOST_BYTES = 1 << 20
# Seconds until a connection has to stand.
_CONNECTING = 15.0
# Characters of what an endpoint says that are told.
_SAID = 200

# Statuses after which the same request may be answered a little later; beside all from 500 on, but for 501.
_FOR_A_MOMENT = (408, 409, 425, 429)
# Statuses that are not about what was asked.
_FOR_GOOD = (401, 402, 404, 405, 501)
# What an account that is used up is told with a status that otherwise asks for patience.
_USED_UP = "insufficient_quota"


@dataclass(frozen=True)
class Answer:
    """What an endpoint said.

    Attributes:
        sent, received: tokens, as it counted them; None where it did not.
    """

    text: str
    sent: int | None = None
    received: int | None = None


class NotThisOne(HereticError):
    """The endpoint does not answer this one question; it may answer others."""


class NoAnswer(HereticError):
    """A question was not answered however often it was asked.

    Attributes:
        reason: of the last time.
    """

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(f"the endpoint {host} does not answer: {reason}")
        self.reason = reason


@dataclass
class ChatEndpoint:
    """Asks one model of an endpoint; from several threads.

    Args:
        model: as the endpoint calls it.
        key: sent with each request, and kept out of all that is told.
        timeout: seconds that an answer may take.

    Attributes:
        requests: how many were sent.
        answered: how many were answered.
    """

    address: Address
    model: str
    key: str | None = field(repr=False)
    timeout: float
    requests: int = 0
    answered: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    # Parts of a request that this endpoint or model does not take.
    _unknown: set[str] = field(default_factory=set)

    def client(self) -> httpx2.Client:
        """What requests are sent with, by any thread. It follows nobody to another address, and what is on this machine
        is asked without a proxy."""
        return httpx2.Client(
            timeout=httpx2.Timeout(self.timeout, connect=min(_CONNECTING, self.timeout)),
            headers={"Accept-Encoding": "identity", **({"Authorization": f"Bearer {self.key}"} if self.key else {})},
            trust_env=not self.address.here,
            limits=httpx2.Limits(max_connections=None),
        )

    def ask(
        self,
        client: httpx2.Client,
        messages: Sequence[Message],
        pace: Pace,
        held: Callable[[float, str], None],
        tries: int = TRIES,
    ) -> Answer:
        """
        Args:
            pace: says when it is asked, and asked again.
            held: called when the endpoint wants all to wait, with the seconds and the reason.
            tries: how often it is asked at most.

        Raises:
            NotThisOne: the endpoint refuses this question, or did not answer it while it answered others.
            UsageError: it will answer nothing as it is asked: key, address, model, account.
            NoAnswer: neither this question was answered nor another one meanwhile.
            Ended: from the pace.
        """
        before = self.answered
        reason = ""
        failures = 0
        while failures < tries:
            pace.come()
            try:
                status, headers, body = self._send(client, messages)
            except httpx2.HTTPError as error:
                reason = plain(one_line(error))
                unreachable = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError)
                if unreachable and not self.answered:
                    # Nothing was there before that could come back.
                    reason += "; is it running, and is this its address?"
                    break
            else:
                if status == 200 and (answer := _answer_in(body)):
                    with self._lock:
                        self.answered += 1
                    return answer
                code, said = _complaint(body, self.key)
                what = "what it sent is no chat answer" if status == 200 else f"HTTP {status}"
                reason = f"{what}: {said}" if said else what
                if 400 <= status < 500 and self._learn(said):
                    continue
                self._refuse(status, code, reason, headers)
                if (seconds := asked_to_wait(headers.get("Retry-After"))) is not None:
                    if seconds > LONGEST_HOLD:
                        reason += f"; it asks to come back in {duration(seconds)}"
                        break
                    pace.hold(seconds)
                    held(seconds, reason)
            failures += 1
            if failures < tries:
                pace.rest(failures)
        if self.answered > before:
            raise NotThisOne(reason)
        raise NoAnswer(self.address.host, reason)

    def _send(self, client: httpx2.Client, messages: Sequence[Message]) -> tuple[int, httpx2.Headers, bytes]:
        """Status, headers and the beginning of the body.

        Raises:
            httpx2.HTTPError: when it cannot be sent, or no whole answer came in time.
        """
        request: dict[str, object] = {
            "model": self.model,
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": _MOST_TOKENS,
        }
        for name in tuple(self._unknown):
            request.pop(name, None)
        with self._lock:
            self.requests += 1
        end = monotonic() + self.timeout
        body = b""
        with client.stream("POST", self.address.url, json=request) as response:
            # The timeout of the client is for each piece of it.
            for piece in response.iter_bytes():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise httpx2.DecodingError("its answer has no end")
                if monotonic() > end:
                    raise httpx2.ReadTimeout(f"more than {duration(self.timeout)}")
            return response.status_code, response.headers, body

    def _learn(self, said: str) -> bool:
        """Leave out a part of the request that a complaint names. Returns whether there is a new one."""
        for name in ("max_tokens", "temperature"):
            if name in said and name not in self._unknown:
                self._unknown.add(name)
                return True
        return False

    def _refuse(self, status: int, code: str, reason: str, headers: httpx2.Headers) -> None:
        """Returns where the same request may be answered a little later.

        Raises:
            NotThisOne, UsageError: where it will not.
        """
        where = f"the endpoint {self.address.host}"
        if 300 <= status < 400:
            goal = plain(headers.get("Location", "nowhere"))
            raise UsageError(f"{where} sends to another address, {quoted(goal)}: give that, if you trust it")
        if status in (401, 402) or code == _USED_UP:
            key = "look at the key and its account" if self.key else "it needs a key: name the variable that holds one"
            raise UsageError(f"{where} does not accept the request ({reason}): {key}")
        if status in _FOR_GOOD:
            raise UsageError(
                f"{where} has no chat at its address, or no model {quoted(self.model)} ({reason}): addresses mostly "
                "end in /v1"
            )
        if 400 <= status < 500 and status not in _FOR_A_MOMENT:
            raise NotThisOne(reason)


def _answer_in(body: bytes) -> Answer | None:
    """The answer that a body holds; None where it is no chat completion. One without text is an empty answer."""
    try:
        record = parse_json(body, "it")
    except UsageError:
        return None
    choices = record.get("choices") if isinstance(record, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(record, dict) or not isinstance(message, dict):
        return None
    text = message.get("content")
    usage = record.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Answer(
        text if isinstance(text, str) else "",
        _count(counts.get("prompt_tokens")),
        _count(counts.get("completion_tokens")),
    )


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 31 else None


def _complaint(body: bytes, key: str | None) -> tuple[str, str]:
    """The code and the text of an error, in a line without the key; servers put them in different places."""
    try:
        record = parse_json(body, "it")
    except UsageError:
        return "", ""
    error = record.get("error", record) if isinstance(record, dict) else None
    found = error if isinstance(error, dict) else {"message": error}
    text = next((value for name in ("message", "detail") if isinstance(value := found.get(name), str)), "")
    if key:
        # Some repeat the key that they do not accept.
        text = text.replace(key, "***")
    code = found.get("code")
    return code if isinstance(code, str) else "", plain(" ".join(text.split()))[:_SAID]
