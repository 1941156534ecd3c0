"""A chat endpoint on the loopback interface: it answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from heretic_tui.engine.review.opinions.base import Pair
from heretic_tui.engine.review.opinions.rubric import TRIAL_PAIR


@dataclass
class Asked:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def pair(self) -> Pair:
        """What it asks about."""
        material = json.loads(self.body["messages"][1]["content"])
        return Pair(material["request"], material["response"])

    @property
    def tries_out(self) -> bool:
        return self.pair == TRIAL_PAIR


@dataclass
class Reply:
    """What comes back: a chat answer with this text, or a body of its own.

    Attributes:
        hangs: nothing comes until the endpoint closes.
        drops: the connection is closed in place of an answer.
        endless: bytes come for as long as somebody reads.
    """

    text: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    usage: dict[str, object] | None = None
    hangs: bool = False
    drops: bool = False
    endless: bool = False


def verdict(word: str) -> Reply:
    return Reply(json.dumps({"verdict": word}))


def by_words(asked: Asked) -> Reply:
    """A judge that looks for one word, and knows of two things."""
    return verdict("refused" if "sorry" in asked.pair.response.lower() else "answered")


def complaint(status: int, message: str = "", code: str | None = None, **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return Reply(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Loopback:
    """
    Attributes:
        url: the base address.
        asked: requests in the order in which they came.
    """

    url: str
    asked: list[Asked] = field(default_factory=list)

    @property
    def pairs(self) -> list[Pair]:
        """What was asked about, without what only tries it out."""
        return [each.pair for each in self.asked if not each.tries_out]


@contextmanager
def endpoint(answer: Callable[[Asked], Reply] = by_words) -> Iterator[Loopback]:
    """An endpoint while the block runs; `answer` is called on the threads of the server."""
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = Asked(self.path, dict(self.headers), body)
            loopback.asked.append(asked)
            reply = answer(asked)
            if reply.hangs:
                closing.wait()
            if reply.hangs or reply.drops:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.endless:
                self.close_connection = True
                self.end_headers()
                self.pour()
                return
            data = reply.body if reply.body is not None else self.chat(reply)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def chat(self, reply: Reply) -> bytes:
            message = {"role": "assistant", "content": reply.text}
            record: dict[str, object] = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
            return json.dumps({**record, "usage": reply.usage} if reply.usage else record).encode()

        def pour(self) -> None:
            try:
                while not closing.is_set():
                    self.wfile.write(b" " * (1 << 16))
            except OSError:
                # The client has had enough.
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    loopback = Loopback(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield loopback
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
