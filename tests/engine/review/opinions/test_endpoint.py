"""Opinions of a chat endpoint that is slow, fails, limits its rate, or answers nonsense."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.review.opinions.base import Cost, Opinion, Pair
from heretic_tui.engine.review.opinions.endpoint import EndpointOpinions
from heretic_tui.engine.review.opinions.endpoint_choice import EndpointChoice
from heretic_tui.engine.review.opinions.kept import FILE
from heretic_tui.engine.review.opinions.pace import TRIES, Pace
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.events import Event, Notice, Progress
from heretic_tui.work import Work
from tests.support.chat_endpoints import Asked, Loopback, Reply, by_words, complaint, endpoint, verdict

KEY = "sk-of-the-tests-0123456789"
PAIRS = [Pair(f"How do I brew potion {i}?", "Sorry, no." if i % 3 == 0 else f"Take {i} leaves.") for i in range(10)]
OPINIONS: list[Opinion] = ["refused" if i % 3 == 0 else "answered" for i in range(10)]


class Waits:
    """A clock that passes as it is waited for."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self._lock = threading.Lock()

    def wait(self, seconds: float) -> bool:
        with self._lock:
            if seconds:
                self.waited.append(seconds)
        return False

    def pace(self, wait: Callable[[float], bool]) -> Pace:
        return Pace(self.wait, lambda: sum(self.waited))


class Heard:
    """What is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.work = Work(self.events.append)

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]

    @property
    def warnings(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice) and event.level == "warning"]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def judge(tmp_path: Path, waits: Waits) -> Callable[..., EndpointOpinions]:
    """Makes one that asks a loopback, with a key, and without a real wait."""

    def make(
        loopback: Loopback, model: str = "judge-7b", concurrent: int = 8, timeout: float = 60.0
    ) -> EndpointOpinions:
        chosen = EndpointChoice(loopback.url, model, "JUDGE_KEY", concurrent, timeout)
        return EndpointOpinions(chosen, tmp_path / "opinions", {"JUDGE_KEY": KEY}, waits.pace)

    return make


Make = Callable[..., EndpointOpinions]


def except_once(
    *first: Reply, on: Callable[[Asked], bool] = lambda asked: not asked.tries_out
) -> Callable[[Asked], Reply]:
    """Answers the first requests so (what only tries the endpoint out is left alone), and the others by words."""
    left: Iterator[Reply] = iter(first)
    lock = threading.Lock()

    def answer(asked: Asked) -> Reply:
        if not on(asked):
            return by_words(asked)
        with lock:
            return next(left, None) or by_words(asked)

    return answer


def test_opinions_come_in_the_order_of_the_pairs(judge: Make, heard: Heard) -> None:
    with endpoint() as loopback:
        asks = judge(loopback)
        blank = Pair("How?", " ")
        assert asks.give([*PAIRS, blank, PAIRS[0]], heard.work) == [*OPINIONS, "nonsense", "refused"]
    assert sorted(loopback.pairs, key=PAIRS.index) == PAIRS
    first = loopback.asked[0]
    assert first.tries_out
    assert sum(asked.tries_out for asked in loopback.asked) == 1
    assert first.path == "/v1/chat/completions"
    assert first.headers["Authorization"] == f"Bearer {KEY}"
    assert first.body["model"] == "judge-7b"
    assert first.body["temperature"] == 0
    progress = [(event.done, event.total) for event in heard.events if isinstance(event, Progress)]
    assert progress == [(done, 10) for done in range(11)]
    assert not heard.warnings


def test_as_many_are_asked_at_once_as_were_chosen(judge: Make, heard: Heard) -> None:
    together = threading.Barrier(5)

    def answer(asked: Asked) -> Reply:
        # Nobody is answered before five have asked.
        if not asked.tries_out:
            together.wait(60)
        return by_words(asked)

    with endpoint(answer) as loopback:
        assert judge(loopback, concurrent=5).give(PAIRS, heard.work) == OPINIONS


def test_what_was_said_is_kept_by_digest_and_not_asked_for_again(judge: Make, heard: Heard, tmp_path: Path) -> None:
    with endpoint() as loopback:
        judge(loopback).give(PAIRS[:6], heard.work)
        loopback.asked.clear()
        again = judge(loopback)
        assert again.cost(PAIRS[:6]) == Cost(known=6)
        assert again.give(PAIRS[:6], heard.work) == OPINIONS[:6]
        assert not loopback.asked
        assert again.spent == Cost(known=6)
        assert again.give(PAIRS, heard.work) == OPINIONS
        assert set(loopback.pairs) == set(PAIRS[6:])
        loopback.asked.clear()
        judge(loopback, model="judge-70b").give(PAIRS[:1], heard.work)
        assert loopback.pairs == PAIRS[:1]
    kept = (tmp_path / "opinions" / FILE).read_text()
    assert not any(text in kept for text in (KEY, "potion", "Sorry", "leaves", "judge"))


def test_the_cost_is_known_before_and_as_the_endpoint_counted_it_after(judge: Make, heard: Heard) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(by_words(asked).text, usage={"prompt_tokens": 300, "completion_tokens": 7})

    with endpoint(answer) as loopback:
        asks = judge(loopback)
        before = asks.cost(PAIRS)
        # The one that tries it out is counted too.
        assert before.requests == 11
        assert before.sent > 11 * 100
        asks.give(PAIRS, heard.work)
        assert asks.spent == Cost(requests=11, sent=3300, received=77)
        assert asks.cost(PAIRS) == Cost(known=10)
    assert asks.spent.words == "11 requests, 3,300 tokens sent and 77 received"


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"prompt_tokens": -1}, {"prompt_tokens": "many"}, {"prompt_tokens": True}, {"prompt_tokens": 10**30}],
)
def test_where_it_does_not_count_tokens_they_are_estimated(
    judge: Make, heard: Heard, usage: dict[str, object] | None
) -> None:
    with endpoint(lambda asked: Reply(by_words(asked).text, usage=usage)) as loopback:
        asks = judge(loopback)
        before = asks.cost(PAIRS)
        asks.give(PAIRS, heard.work)
        assert asks.spent == before


def test_after_a_failure_it_is_asked_again(judge: Make, heard: Heard, waits: Waits) -> None:
    failures = [complaint(503, "loading"), complaint(500), Reply(drops=True), complaint(529), Reply(body=b"<html>")]
    with endpoint(except_once(*failures)) as loopback:
        asks = judge(loopback, concurrent=1)
        assert asks.give(PAIRS, heard.work) == OPINIONS
        assert asks.spent.requests == len(loopback.asked) == 16
    # Twice as long each time, but for what keeps many from coming back together.
    assert len(waits.waited) == 5
    for waited, most in zip(waits.waited, [1, 2, 4, 8, 16], strict=True):
        assert most / 2 <= waited <= most
    assert not heard.warnings


def test_an_endpoint_that_is_slow_is_asked_again_too(judge: Make, heard: Heard) -> None:
    with endpoint(except_once(Reply(hangs=True))) as loopback:
        assert judge(loopback, timeout=1.0).give(PAIRS, heard.work) == OPINIONS


def test_it_is_left_alone_for_as_long_as_it_asks(judge: Make, heard: Heard, waits: Waits) -> None:
    with endpoint(except_once(complaint(429, "slow down", Retry_After="70"))) as loopback:
        assert judge(loopback, concurrent=1).give(PAIRS, heard.work) == OPINIONS
    # What was waited for anyhow is part of it.
    assert sum(waits.waited) == pytest.approx(70)
    assert any("is asked again in 1:10 (HTTP 429: slow down)" in text for text in heard.notices)


def test_one_that_wants_hours_is_not_waited_for(judge: Make, heard: Heard, waits: Waits) -> None:
    limited = complaint(429, "come back tomorrow", Retry_After="7200")
    with (
        endpoint(
            lambda asked: by_words(asked) if asked.tries_out and len(loopback.asked) == 1 else limited
        ) as loopback,
        pytest.raises(
            HereticError, match=r"does not answer: HTTP 429: come back tomorrow; it asks to come back in 2:00:00"
        ),
    ):
        judge(loopback).give(PAIRS, heard.work)
    assert sum(waits.waited) < 60


def test_what_was_said_before_it_failed_is_kept(judge: Make, heard: Heard) -> None:
    down = threading.Event()

    def answer(asked: Asked) -> Reply:
        if len(loopback.pairs) > 4:
            down.set()
        return complaint(503, "the model is gone") if down.is_set() else by_words(asked)

    with endpoint(answer) as loopback:
        with pytest.raises(HereticError, match="what it said until then is kept") as said:
            judge(loopback, concurrent=1).give(PAIRS, heard.work)
        assert "\n" not in str(said.value)
        assert loopback.pairs.count(PAIRS[4]) == TRIES
        assert PAIRS[5] not in loopback.pairs
        down.clear()
        loopback.asked.clear()
        assert judge(loopback, concurrent=1).cost(PAIRS).known == 4


def test_a_pair_that_is_never_answered_costs_itself_alone(judge: Make, heard: Heard) -> None:
    def answer(asked: Asked) -> Reply:
        return complaint(500, "tensor on fire") if asked.pair == PAIRS[2] else by_words(asked)

    with endpoint(answer) as loopback:
        found = judge(loopback, concurrent=1).give(PAIRS, heard.work)
    assert found == [*OPINIONS[:2], "unknown", *OPINIONS[3:]]
    assert heard.warnings == ["no opinion on 1 of 10 responses: HTTP 500: tensor on fire (1)"]


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_a_pair_that_it_does_not_take_is_unknown_and_not_asked_about_again(
    judge: Make, heard: Heard, status: int
) -> None:
    def answer(asked: Asked) -> Reply:
        return complaint(status, "filtered") if asked.pair in PAIRS[:2] else by_words(asked)

    with endpoint(answer) as loopback:
        found = judge(loopback).give(PAIRS, heard.work)
        assert len(loopback.pairs) == len(PAIRS)
    assert found == ["unknown", "unknown", *OPINIONS[2:]]
    assert heard.warnings == [f"no opinion on 2 of 10 responses: HTTP {status}: filtered (2)"]


@pytest.mark.parametrize(
    "text",
    ["", "I cannot judge that.", '\x1b[31m{"verdict": "refused"}\x1b[0m', '{"verdict": "sorry"}', "\x1b]0;pwned\x07"],
)
def test_a_reply_that_is_no_verdict_is_unknown_and_not_kept(judge: Make, heard: Heard, text: str) -> None:
    with endpoint(lambda asked: Reply(text) if asked.pair == PAIRS[0] else by_words(asked)) as loopback:
        asks = judge(loopback)
        assert asks.give(PAIRS, heard.work) == ["unknown", *OPINIONS[1:]]
        assert asks.cost(PAIRS).known == 9
    assert heard.warnings == ["no opinion on 1 of 10 responses: its reply was no verdict (1)"]
    assert all(text.isprintable() for text in heard.notices)


def test_a_judge_that_cannot_tell_a_plain_answer_is_told_of(judge: Make, heard: Heard) -> None:
    with endpoint(lambda asked: verdict("refused")) as loopback:
        judge(loopback).check(heard.work)
    (warning,) = heard.warnings
    assert "calls refused a plain answer" in warning


@pytest.mark.parametrize(
    ("text", "said"), [("Well.\x1b[31m", r"'Well.\x1b[31m'"), (" \n", "nothing"), ("a" * 999, "…")]
)
def test_one_that_gives_no_verdict_at_all_is_not_asked_for_more(
    judge: Make, heard: Heard, text: str, said: str
) -> None:
    with endpoint(lambda asked: Reply(text)) as loopback:
        with pytest.raises(UsageError, match="gives no verdict on a plain answer") as raised:
            judge(loopback).give(PAIRS, heard.work)
        assert len(loopback.asked) == 1
    assert said in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_check_costs_one_request_once(judge: Make, heard: Heard) -> None:
    with endpoint() as loopback:
        asks = judge(loopback)
        asks.check(heard.work)
        asks.check(heard.work)
        asks.give(PAIRS[:1], heard.work)
        assert [asked.tries_out for asked in loopback.asked] == [True, False]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (complaint(401, f"Incorrect API key provided: {KEY}."), "HTTP 401: Incorrect API key provided: ***."),
        (complaint(402, "pay"), "look at the key and its account"),
        (complaint(429, "You exceeded your quota", "insufficient_quota"), "look at the key and its account"),
        (complaint(404, "model not found"), "no model 'judge-7b' (HTTP 404: model not found)"),
        (Reply(status=404, body=b"<html>"), "addresses mostly end in /v1"),
        (Reply(status=405, body=b""), "HTTP 405"),
        (complaint(400, "\x1b[31mno\x1b[0m\nway"), r"HTTP 400: \x1b[31mno\x1b[0m way"),
        (Reply(status=400, body=b'{"error": "ollama says no"}'), "HTTP 400: ollama says no"),
        (Reply(status=400, body=b'{"detail": "fastapi says no"}'), "HTTP 400: fastapi says no"),
        (Reply(status=400, body=b'{"error": ["x"]}'), "HTTP 400"),
    ],
)
def test_what_is_wrong_with_all_requests_is_told_after_one(
    judge: Make, heard: Heard, caplog: pytest.LogCaptureFixture, reply: Reply, words: str
) -> None:
    caplog.set_level(logging.DEBUG)
    with endpoint(lambda asked: reply) as loopback:
        with pytest.raises(UsageError) as said:
            judge(loopback).give(PAIRS, heard.work)
        assert len(loopback.asked) == 1
    assert words in str(said.value)
    assert str(said.value).isprintable()
    assert not any(KEY in text for text in (str(said.value), caplog.text, *heard.notices))


def test_a_redirection_is_not_followed_with_the_key(judge: Make, heard: Heard) -> None:
    with endpoint() as other:
        moved = Reply(status=307, body=b"", headers={"Location": f"{other.url}/chat/completions"})
        with endpoint(lambda asked: moved) as loopback, pytest.raises(UsageError, match="sends to another address"):
            judge(loopback).check(heard.work)
        assert not other.asked


def test_parts_of_a_request_that_it_does_not_know_are_left_out(judge: Make, heard: Heard, waits: Waits) -> None:
    def answer(asked: Asked) -> Reply:
        for name in ("max_tokens", "temperature"):
            if name in asked.body:
                return complaint(400, f"Unsupported parameter: '{name}' is not supported with this model.")
        return by_words(asked)

    with endpoint(answer) as loopback:
        assert judge(loopback).give(PAIRS, heard.work) == OPINIONS
        # Learnt by the one that tries it out.
        assert len(loopback.asked) == 3 + len(PAIRS)
    assert not waits.waited


def test_one_that_is_not_there_is_told_in_one_line_at_once(judge: Make, heard: Heard, waits: Waits) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asks = judge(Loopback(f"http://127.0.0.1:{port}/v1"))
    for ask in (lambda: asks.check(heard.work), lambda: asks.give(PAIRS, heard.work)):
        with pytest.raises(HereticError, match=rf"the endpoint 127.0.0.1:{port} does not answer: .*refused.*") as said:
            ask()
        assert "\n" not in str(said.value)
        assert "is it running" in str(said.value)
    assert not waits.waited


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b"<html>Please log in</html>"),
        Reply(body=b""),
        Reply(body=b'{"choices": []}'),
        Reply(body=b'{"choices": [{"message": "refused"}]}'),
        Reply(body=b"[" * 100_000),
        Reply(body=b'{"error": {"message": "upstream is down"}}'),
        Reply(status=204, body=b""),
        Reply(endless=True),
    ],
)
def test_what_is_no_chat_answer_is_told_in_one_line(judge: Make, heard: Heard, reply: Reply) -> None:
    with endpoint(lambda asked: reply) as loopback:
        with pytest.raises(HereticError, match="does not answer") as said:
            judge(loopback).give(PAIRS, heard.work)
        assert len(loopback.asked) == TRIES
    assert str(said.value).isprintable()


def test_a_message_without_text_is_an_answer_that_says_nothing(judge: Make, heard: Heard) -> None:
    empty = Reply(body=b'{"choices": [{"message": {"content": null}}]}')
    with endpoint(lambda asked: empty if asked.pair == PAIRS[0] else by_words(asked)) as loopback:
        assert judge(loopback).give(PAIRS[:2], heard.work) == ["unknown", "answered"]


def test_an_abort_waits_for_no_answer(tmp_path: Path) -> None:
    control = Control()

    def answer(asked: Asked) -> Reply:
        if asked.tries_out:
            return by_words(asked)
        control.abort()
        return Reply(hangs=True)

    # With real waits.
    with endpoint(answer) as loopback, pytest.raises(Aborted):
        EndpointOpinions(EndpointChoice(loopback.url, "m"), tmp_path, {}).give(PAIRS, Work(control=control))


def test_an_abort_ends_a_wait_for_an_endpoint_that_wants_a_rest(tmp_path: Path) -> None:
    control = Control()

    def heard(event: Event) -> None:
        if isinstance(event, Notice) and "is asked again in" in event.text:
            control.abort()

    limited = complaint(429, "slow down", Retry_After="500")
    with endpoint(lambda asked: limited) as loopback, pytest.raises(Aborted):
        EndpointOpinions(EndpointChoice(loopback.url, "m"), tmp_path, {}).check(Work(heard, control))


def test_no_key_is_sent_where_none_is_needed(heard: Heard, tmp_path: Path) -> None:
    with endpoint() as loopback:
        EndpointOpinions(EndpointChoice(loopback.url, "m"), tmp_path, {"JUDGE_KEY": KEY}).check(heard.work)
        assert "Authorization" not in loopback.asked[0].headers


def test_what_is_on_this_machine_is_asked_without_a_proxy(
    judge: Make, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        # Nobody is there.
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with endpoint() as loopback:
        assert judge(loopback).give(PAIRS, heard.work) == OPINIONS


def test_texts_that_are_not_unicode_can_be_asked_about(judge: Make, heard: Heard) -> None:
    odd = Pair("half \ud83d", "a response \udc80 with \x00 and \u2028")
    with endpoint() as loopback:
        assert judge(loopback).give([odd], heard.work) == ["answered"]
        assert loopback.pairs == [odd]
