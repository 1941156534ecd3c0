"""From a conversation to the text that a model reads: its chat template, tried out, rendered within limits and at the
time that a run began."""

from __future__ import annotations

import operator
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import jinja2
from jinja2.sandbox import SandboxedEnvironment
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import _compile_jinja_template

from heretic_tui.errors import UsageError, one_line
from heretic_tui.words import quoted

if TYPE_CHECKING:
    from _typeshed import TraceFunction

Turns = Sequence[tuple[str, str]]
_T = TypeVar("_T")

# A template of hundreds of lines takes milliseconds, and writes little more than it is given.
TIME_LIMIT = 5.0
_LONGEST = 10_000_000
_BITS = 100_000

# What must come out as it went in. Quotes, signs and line ends tell escaping, and a list printed as Python writes it.
_SYSTEM = 'Sentinel of "rules" & <rites>.\nIt\'s here to be seen.'
_USER = 'Which "jar" holds <salt> & pepper?\nIt\'s the user who asks.'
_ANSWER, _FOLLOWING = "The jar on the left holds both.", "And which of the jars holds sugar?"
# The roles whose content a template wants as a list of parts.
_FORMS: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"system", "user", "assistant"}),
    frozenset({"user"}),
)


class ChatTemplate:
    """The chat template of a tokenizer, in the one form in which it prints what it is given.

    Attributes:
        clock: the time that a template is told when it asks for the present one, local, without a zone.
        uses_clock: whether it asked so far.
        notes: what the user should know about it.

    Raises:
        UsageError: for a template that cannot be rendered, or does not print the user's text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, clock: datetime | None = None) -> None:
        self.clock = clock or datetime.now().replace(microsecond=0)
        self.uses_clock = False
        self.notes: list[str] = []
        self._tokenizer = tokenizer
        self._prompts: dict[tuple[datetime, str, tuple[str, str], bool], str] = {}
        # Code that a model brings may have a way of its own; a template alone is rendered here, with this clock.
        own = type(tokenizer).apply_chat_template is not PreTrainedTokenizerBase.apply_chat_template
        self._template = None if own else self._compiled(_source(tokenizer))
        self._parts, self._system_role = self._find_form()
        if not self._system_role:
            self.notes.append("the chat template has no system role: the system prompt goes into the user's turn")
        if problem := self._history_problem():
            self.notes.append(f"the chat template {problem}: in a chat only the first question can be asked")

    def render(self, system_prompt: str, turns: Turns, thinking: bool = False) -> str:
        """The conversation as text, up to where the model's answer begins.

        Args:
            turns: pairs of role (user, assistant) and text; the first is the user's.

        Raises:
            UsageError: when the template refuses these turns, takes too long, or writes too much.
        """
        if len(turns) > 1:
            return self._print(system_prompt, turns, self._parts, self._system_role, thinking)
        # A prompt: the phases of a run need each several times, and to print it takes longer than its tokens.
        prompt = (self.clock, system_prompt, turns[0], thinking)
        if prompt not in self._prompts:
            self._prompts[prompt] = self._print(system_prompt, turns, self._parts, self._system_role, thinking)
        return self._prompts[prompt]

    def _print(
        self, system_prompt: str, turns: Turns, parts: frozenset[str], system_role: bool, thinking: bool = False
    ) -> str:
        (role, text), *others = turns
        if system_prompt and system_role:
            turns = [("system", system_prompt), *turns]
        elif system_prompt:
            turns = [(role, f"{system_prompt}\n\n{text}"), *others]
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if role in parts else text}
            for role, text in turns
        ]
        # Templates that know `enable_thinking` answer at once with it off; the others ignore the name.
        options: dict[str, Any] = {"add_generation_prompt": True, "enable_thinking": thinking}
        template = self._template
        if template is None:
            return _limited(
                lambda: str(self._tokenizer.apply_chat_template(cast(Any, messages), tokenize=False, **options))
            )
        special = {
            name: token if isinstance(token, list) else str(token)
            for name, token in self._tokenizer.special_tokens_map.items()
        }
        options = {**special, "tools": None, "documents": None, **options}
        return _limited(lambda: _joined(template.generate(messages=messages, **options)))

    def _compiled(self, source: str) -> jinja2.Template:
        # The environment of transformers, so that a template finds the names it was written for. Its own cache would
        # compile the template without limits: constants are computed then.
        environment: SandboxedEnvironment = _compile_jinja_template("").environment.overlay()
        environment.intercepted_binops = frozenset({"+", "*", "**"})
        environment.call_binop = _bounded  # type: ignore[method-assign, assignment]
        # What is drawn at random would be another text to every phase of a run.
        environment.filters = {**environment.filters, "random": _at_random}
        names = {"strftime_now": self._strftime_now, "lipsum": _at_random}
        return _limited(lambda: environment.from_string(source, globals=names))

    def _strftime_now(self, form: str) -> str:
        self.uses_clock = True
        return self.clock.strftime(form)

    # Trying it out

    def _find_form(self) -> tuple[frozenset[str], bool]:
        """The roles whose content is given as parts, and whether there is a system role: some templates raise at one,
        some drop it in silence; either way its text goes into the user's turn."""
        problem = ""
        for system_role in (True, False):
            for parts in _FORMS:
                try:
                    text = self._print(_SYSTEM, (("user", _USER),), parts, system_role)
                except _TooMuch:
                    raise
                except UsageError as error:
                    reason = str(error)
                else:
                    if _SYSTEM in text and _USER in text:
                        return parts, system_role
                    reason = (
                        "the model's chat template drops or changes what the user says: for "
                        f"{quoted(_USER, 80)} it prints {quoted(text, 200)}"
                    )
                # What it does with the plainest form of all says most.
                if not parts:
                    problem = reason
        raise UsageError(problem)

    def _history_problem(self) -> str | None:
        turns = (("user", _USER), ("assistant", _ANSWER), ("user", _FOLLOWING))
        problem = ""
        for parts in (self._parts, self._parts ^ {"assistant"}):
            try:
                text = self._print(_SYSTEM, turns, parts, self._system_role)
            except UsageError as error:
                problem = f"takes no earlier turns ({error})"
                continue
            places = [text.find(said) for said in (_USER, _ANSWER, _FOLLOWING)]
            if -1 not in places and places == sorted(places):
                self._parts = parts
                return None
            problem = "drops or changes earlier turns"
        return problem


def clock_of(kept: str | None, created: float | None) -> datetime | None:
    """The time that a run's templates are told: the one that was kept, and for runs of older versions the one when the
    run was made. None where neither is known.

    Raises:
        UsageError: when what is kept is no time.
    """
    try:
        if kept is not None:
            return datetime.fromisoformat(kept).replace(tzinfo=None)
        return None if created is None else datetime.fromtimestamp(int(created))
    except (ValueError, OverflowError, OSError) as error:
        said = kept if kept is not None else created
        raise UsageError(f"the time in the run's record is no time: {quoted(said)}") from error


def _source(tokenizer: PreTrainedTokenizerBase) -> str:
    """The text of the template; of several, the default one."""
    found = tokenizer.chat_template
    if isinstance(found, dict):
        named = dict(found)
        found = named.get("default") or (next(iter(named.values())) if len(named) == 1 else None)
        if found is None:
            raise UsageError(
                f"the model has several chat templates and none is the default: {quoted(', '.join(named))}"
            )
    if not isinstance(found, str):
        raise UsageError(f"the model's chat template is no text: {quoted(found)}")
    if found.startswith("\ufeff"):
        raise UsageError(
            "the model's chat template begins with a byte order mark, and every prompt would: save it without one"
        )
    return found


# Limits


class _TooMuch(UsageError):
    """A template that takes too long or writes too much."""


class _Beyond(BaseException):
    """Raised in the middle of a template: no `except Exception` in the libraries that it runs through may take it."""


def _limited(work: Callable[[], _T]) -> _T:
    """What the work gives, or an end to it when it takes too long or makes too much of something.

    Templates are code by the author of the model. Nothing can stop one from another thread; so each line of Python that
    it comes to, and each value that a function gives back to it, is looked at on the way.
    """
    # Time of this thread, so that neither a busy machine nor a stopped process counts.
    end = time.thread_time() + TIME_LIMIT

    def look(frame: FrameType, event: str, value: object) -> TraceFunction:
        if event == "return" and isinstance(value, str | list | tuple | dict) and len(value) > _LONGEST:
            raise _Beyond(f"makes more than {_LONGEST:,} characters or items")
        if time.thread_time() > end:
            raise _Beyond(f"takes more than {TIME_LIMIT:g} s")
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        return work()
    except _Beyond as error:
        raise _TooMuch(f"the model's chat template {error} for one conversation: does it loop for ever?") from None
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(
            f"the model's chat template is no valid template: line {error.lineno}: {one_line(error)}"
        ) from (error)
    except Exception as error:  # a template raises whatever its author chose
        raise UsageError(f"the model's chat template cannot be rendered: {one_line(error)}") from error
    finally:
        sys.settrace(before)


def _joined(pieces: Iterable[str]) -> str:
    written, length = [], 0
    for piece in pieces:
        length += len(piece)
        if length > _LONGEST:
            raise _Beyond(f"writes more than {_LONGEST:,} characters")
        written.append(piece)
    return "".join(written)


def _at_random(*_: object, **__: object) -> NoReturn:
    raise jinja2.TemplateError("it draws at random, so that a prompt would never be the same text twice")


def _bounded(context: object, sign: str, left: object, right: object) -> object:
    """An operator of a template, refused where its result would fill the memory before anyone could look at it."""
    if sign == "**" and isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > _BITS:
        raise _Beyond("computes with numbers too large")
    if sign == "*":
        for one, other in ((left, right), (right, left)):
            if isinstance(one, int) and isinstance(other, str | list | tuple) and one * len(other) > _LONGEST:
                raise _Beyond(f"makes more than {_LONGEST:,} characters or items")
        if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > _BITS:
            raise _Beyond("computes with numbers too large")
    return {"+": operator.add, "*": operator.mul, "**": operator.pow}[sign](left, right)
