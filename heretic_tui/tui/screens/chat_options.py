"""How models answer in a chat: the settings, how they are put in words, and the dialog in which they are changed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Checkbox, Input, Label, Static

from heretic_tui.commands import Sampling
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.widgets.quiet_input import QuietInput

MEASURED = Sampling(temperature=0.0, max_tokens=512)


@dataclass(frozen=True)
class ChatSettings:
    """How the models are to answer. As it begins, so trials were measured."""

    system_prompt: str
    sampling: Sampling = MEASURED
    thinking: bool = False

    def to_json(self) -> dict[str, object]:
        return {"system_prompt": self.system_prompt, **asdict(self.sampling), "thinking": self.thinking}

    def in_words(self, run_prompt: str) -> str:
        """How tokens are picked, and whether a trial would answer so too.

        Args:
            run_prompt: the system prompt with which the run's trials are measured.
        """
        s = self.sampling
        how = f"sampled, T={s.temperature:g}, top-p {s.top_p:g}" if s.temperature else "greedy"
        own = ["another system prompt"] * (self.system_prompt != run_prompt) + ["thinking"] * self.thinking
        measured = "not as measured" if s.temperature or own else "as measured"
        return ", ".join([how, *own, f"at most {s.max_tokens} tokens", measured])


class ChatOptions(Dialog[ChatSettings | None]):
    """System prompt and sampling; enter takes them."""

    SCOPE = "chat-options"
    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(self, settings: ChatSettings, thinking: bool) -> None:
        super().__init__()
        self._settings, self._thinking = settings, thinking

    def body(self) -> ComposeResult:
        s = self._settings
        with Vertical(classes="dialog"):
            yield Label("Chat settings (enter applies)", classes="dialog-title", markup=False)
            for name, words, value in (
                ("system", "system prompt", s.system_prompt),
                ("temperature", "temperature (0: greedy)", f"{s.sampling.temperature:g}"),
                ("top_p", "top-p", f"{s.sampling.top_p:g}"),
                ("max_tokens", "maximum answer length, tokens", str(s.sampling.max_tokens)),
                ("seed", "seed (empty: random)", "" if s.sampling.seed is None else str(s.sampling.seed)),
            ):
                yield Label(words, markup=False)
                yield QuietInput(value, id=name, compact=True)
            if self._thinking:
                yield Checkbox("thinking", s.thinking, id="thinking", compact=True)
            yield Static("", markup=False, id="problem")

    @on(Input.Submitted)
    def _take(self) -> None:
        values = {box.id: box.value.strip() for box in self.query(Input)}
        try:
            sampling = replace(
                self._settings.sampling,
                temperature=_number(values["temperature"], 0, 5, "temperature"),
                top_p=_number(values["top_p"], 0.01, 1, "top-p"),
                max_tokens=int(_number(values["max_tokens"], 1, 32768, "maximum answer length")),
                seed=int(_number(values["seed"], 0, 2**31, "seed")) if values["seed"] else None,
            )
        except ValueError as error:
            self.query_one("#problem", Static).update(Text(str(error), f"bold {self.looks.bad}"))
            return
        boxes = self.query(Checkbox)
        thinking = boxes.first().value if boxes else False
        self.dismiss(ChatSettings(self.query_one("#system", Input).value, sampling, thinking))


def _number(text: str, low: float, high: float, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is no number") from None
    if not low <= value <= high:
        raise ValueError(f"{name}: from {low:g} to {high:g}")
    return value
