"""A text model, as lm-evaluation-harness asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from heretic_tui.commands import Sampling
from heretic_tui.engine.review.text_model import Continuation, TextModel
from heretic_tui.errors import UsageError
from heretic_tui.words import quoted
from heretic_tui.work import Work

# As the harness itself: tokens of an answer, and what is drawn.
_ANSWER_TOKENS, _SEED = 256, 1234
_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
# Settings of an answer that are known, or change nothing at these values.
_KNOWN = frozenset({*_LIMITS, "until", "do_sample", "temperature", "top_p"})
_WITHOUT_EFFECT: Mapping[str, object] = {"num_beams": 1, "top_k": 0, "repetition_penalty": 1.0}


class _Request(Protocol):
    args: tuple[Any, ...]


def as_harness_model(text: TextModel, work: Work, stage: str) -> object:
    """A model that the harness can ask.

    Args:
        stage: what its progress is told as.
    """
    from lm_eval.api.model import LM

    class HarnessModel(LM):  # type: ignore[misc]  # the harness has no annotations that mypy reads
        def loglikelihood(self, requests: Sequence[_Request]) -> list[tuple[float, bool]]:
            return text.log_likelihoods([request.args[:2] for request in requests], work.progress(stage))

        def loglikelihood_rolling(self, requests: Sequence[_Request]) -> list[float]:
            return text.document_log_likelihoods([request.args[0] for request in requests], work.progress(stage))

        def generate_until(self, requests: Sequence[_Request]) -> list[str]:
            asked = [(request.args[0], _continuation(request.args[1])) for request in requests]
            return text.continued(asked, _SEED, work.progress(stage))

        def apply_chat_template(
            self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
        ) -> str:
            return text.conversation(chat_history, add_generation_prompt)

        @property
        def tokenizer_name(self) -> str:
            """Names files that keep requests; none are kept."""
            return ""

    return HarnessModel()


def _continuation(options: Mapping[str, Any]) -> Continuation:
    """From the settings that a task has for answers.

    Raises:
        UsageError: for one that would make other answers than are made here.
    """
    for name, value in options.items():
        if name not in _KNOWN and _WITHOUT_EFFECT.get(name) != value:
            raise UsageError(
                f"the task asks for answers with {quoted(name)} = {quoted(value)}, which are not made here"
            )
    until = options.get("until") or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    most = next((int(options[name]) for name in _LIMITS if options.get(name) is not None), _ANSWER_TOKENS)
    temperature = float(options.get("temperature") or 0.0)
    draws = options.get("do_sample")
    if draws and not temperature:
        temperature = 1.0
    sampling = Sampling(0.0 if draws is False else temperature, float(options.get("top_p") or 1.0))
    return Continuation(stops, most, sampling)
