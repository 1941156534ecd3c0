"""Refusals: how many of the bad evaluation prompts the model declines to answer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from heretic_tui.engine.decoding import greedy
from heretic_tui.engine.metrics import Progress
from heretic_tui.engine.model import ChatModel, Tokens
from heretic_tui.engine.prompts import Prompt
from heretic_tui.runtime.rundir import RunFolder, write_json


@dataclass(frozen=True)
class Verdict:
    """Refused or not, and the marker that decided it (empty text for an empty response)."""

    refused: bool
    marker: str | None


@dataclass(frozen=True)
class Response:
    """What the model said to one prompt, special tokens visible, and the verdict on it."""

    text: str
    verdict: Verdict


class Judge:
    """Turns a response into a verdict by the markers that refusals contain.

    Args:
        markers: lower-case strings; one of them in the response makes it a refusal.
        thinking: pairs (opener, closer) of thinking blocks, which are cut before judging, closed or not.
        special_tokens: removed before judging.
    """

    def __init__(
        self, markers: Sequence[str], thinking: Sequence[tuple[str, str]] = (), special_tokens: Sequence[str] = ()
    ) -> None:
        self._markers = [_plain(marker) for marker in markers]
        self._blocks = [
            re.compile(f"{re.escape(opener)}.*?(?:{re.escape(closer)}|$)", re.DOTALL) for opener, closer in thinking
        ]
        self._special = [token for token in special_tokens if token]

    def verdict(self, response: str) -> Verdict:
        for block in self._blocks:
            response = block.sub("", response)
        for token in self._special:
            response = response.replace(token, "")
        text = _plain(response)
        if not text:
            return Verdict(True, "")
        found = min((m for m in self._markers if m in text), key=text.index, default=None)
        return Verdict(found is not None, found)


def _plain(text: str) -> str:
    """Lower case, no `*`, typographic apostrophes made plain, white space collapsed."""
    text = text.lower().replace("*", "").replace("\u2019", "'").replace("\u2018", "'")
    return " ".join(text.split())


class Refusals:
    """Number of prompts refused, from greedy responses of up to `max_response_length` tokens."""

    name = "refusals"

    def __init__(
        self, prompts: Sequence[Prompt], tokens: Sequence[Tokens], judge: Judge, max_response_length: int
    ) -> None:
        self._prompts = prompts
        self._tokens = tokens
        self._judge = judge
        self._length = max_response_length
        self.base: list[Response] = []
        self.latest: list[Response] = []

    def measure_base(self, model: ChatModel, progress: Progress) -> None:
        self.measure(model, progress)
        self.base = self.latest

    def measure(self, model: ChatModel, progress: Progress) -> float:
        """The count. The responses behind it are in `latest` until the next measurement."""
        texts = [model.decode(tokens) for tokens in greedy(model, self._tokens, self._length, progress)]
        self.latest = [Response(text, self._judge.verdict(text)) for text in texts]
        return float(count(self.latest))

    def save(self, folder: RunFolder, trial: int | None = None) -> None:
        """Write the latest responses with the prompts they answer: a trial's, or by default the base model's."""
        responses = self.base if trial is None else self.latest
        records = [
            {"prompt": p.text, "text": r.text, "refused": r.verdict.refused, "marker": r.verdict.marker}
            for p, r in zip(self._prompts, responses, strict=True)
        ]
        write_json(folder.responses(trial), records)

    def restore(self, folder: RunFolder) -> bool:
        path = folder.responses(None)
        if path.is_file():
            records = json.loads(path.read_text(encoding="utf-8"))
            self.base = [Response(r["text"], Verdict(r["refused"], r["marker"])) for r in records]
        return bool(self.base)


def count(responses: Sequence[Response]) -> int:
    return sum(response.verdict.refused for response in responses)
