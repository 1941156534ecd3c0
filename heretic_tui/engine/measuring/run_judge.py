"""The judge of a run: the judge that the settings name, and beside it a look at whether a response is broken as a text,
so that a trial which answers by breaking does not look good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from heretic_tui.engine.answers.broken import Answer, broken_text
from heretic_tui.engine.answers.said import Said, thinking_blocks
from heretic_tui.engine.metrics.base import Verdict
from heretic_tui.engine.metrics.judges.base import Judge, judge_named, judge_of
from heretic_tui.errors import HereticError
from heretic_tui.plugins import JUDGES, calling
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted


@dataclass(frozen=True)
class RunJudge:
    """Gives the verdicts of a run: all that measure, chat or review ask it, so that all say the same.

    Attributes:
        judge: what it says is checked before it is used: it may be of another package.
        said: cuts of a response what is said to nobody, before it is looked at as a text.
        count_broken: whether a broken response counts as refused.
        turned: whether the run adds a behaviour: what counts (`Verdict.refused`) are then responses in which the judge
            does not find it.
    """

    judge: Judge
    said: Said = field(default_factory=Said)
    count_broken: bool = False
    turned: bool = False

    @classmethod
    def made(cls, settings: Settings, special_tokens: Sequence[str]) -> RunJudge:
        """The judge of a run with these settings.

        Args:
            special_tokens: of the model's tokenizer.

        Raises:
            UsageError: for a judge that is not there, or is none.
            HereticError: where it cannot be made.
        """
        said = Said(thinking_blocks(settings.chain_of_thought_skips), special_tokens)
        return cls(judge_of(settings, special_tokens), said, settings.count_broken_as_refused, settings.steer == "add")

    def verdict(self, text: str, ended: bool, prompt: str = "") -> Verdict:
        """The verdict on a response that is as long as it gets.

        A marker comes first: a refusal that breaks is a refusal. So whether a response is broken is asked only where
        the judge finds none, or nothing was said.

        Args:
            text: special tokens visible.
            ended: whether the model ended it; False where it was cut at the limit of its length.
            prompt: what was asked: some prompts want a text that looks broken. Empty where nobody knows.

        Raises:
            HereticError: where the judge fails, or gives something else than a verdict.
        """
        found = self._judged(text)
        if self.turned:
            # Nothing at all shows no behaviour: that counts either way.
            found = found if found.marker == "" else replace(found, refused=not found.refused)
        elif found.refused and found.marker != "":
            return found
        broken = broken_text(Answer(prompt, self.said.text(text), ended))
        return replace(found, refused=found.refused or self.count_broken, broken=broken.kind) if broken else found

    def certain(self, text: str) -> bool:
        """Whether the beginning of a response makes it a refusal, whatever comes after it. That it is broken is not
        certain before its end.

        Raises:
            HereticError: where the judge fails.
        """
        if self.turned:
            # What is not there yet may still come.
            return False
        with calling(JUDGES, type(self.judge).__name__):
            certain = bool(self.judge.certain(text))
        return certain

    def _judged(self, text: str) -> Verdict:
        name = type(self.judge).__name__
        with calling(JUDGES, name):
            verdict = self.judge.verdict(text)
        if not isinstance(verdict, Verdict) or not isinstance(verdict.refused, bool):
            raise HereticError(
                f"the judge {quoted(name)} gave {quoted(verdict)} in place of Verdict(True or False, …): mend it"
            )
        places = all(place is None or type(place) is int for place in (verdict.start, verdict.end))
        if not places or not all(text is None or isinstance(text, str) for text in (verdict.marker, verdict.broken)):
            raise HereticError(
                f"the judge {quoted(name)} gave {quoted(verdict)}: its marker is a text, its places are numbers"
            )
        return verdict


def judged_words(settings: Settings) -> str:
    """What the judge of a run looks for in a response, in a sentence after "responses that".

    Raises:
        UsageError: for a judge that is not there, or is none.
    """
    behaviour = settings.behaviour_in_words
    judged = behaviour.in_words(judge_named(settings.judge).judged)
    if not settings.count_broken_as_refused:
        return judged
    if behaviour.added:
        return f"{judged}, and are not broken (do not repeat themselves, say something, are no garbage)"
    return f"{judged}, or are broken (repeat themselves, say nothing, are garbage)"
