"""Prompts of a review: held out from directions and search, by default what these leave of their own data sets;
prompts that only look harmful, with what is expected of each; and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heretic_tui.engine.inputs.prompts import (
    Prompt,
    PromptList,
    PromptSets,
    key_of,
    load_beside,
    load_prompt_set,
    sliced,
)
from heretic_tui.errors import UsageError
from heretic_tui.settings.prompt_sets import PromptSet
from heretic_tui.settings.schema import Settings
from heretic_tui.words import counted, nearest, quoted

# Where each set's prompts come from when it names no data set: of these sets the sources, the first one first.
_SOURCES = {
    "review_good_prompts": ("good_evaluation_prompts", "good_prompts"),
    "review_bad_prompts": ("bad_evaluation_prompts", "bad_prompts"),
}
HARMLESS, HARMFUL, LOOKALIKE = "review_good_prompts", "review_bad_prompts", "review_lookalike_prompts"
TEXTS = "review_texts"

# Names that a column of expected verdicts often has.
_EXPECTED_COLUMNS = ("expected", "label", "verdict", "final_label")
_REFUSED = frozenset({"unsafe", "refuse", "refused", "refusal", "harmful", "full_refusal", "true", "yes", "1"})
_ANSWERED = frozenset(
    {"safe", "answer", "answered", "comply", "compliance", "full_compliance", "harmless", "false", "no", "0"}
)


@dataclass(frozen=True)
class ReviewPrompts:
    """What a review asks.

    Attributes:
        sets: prompts by the names of their settings; empty where there are none.
        languages: of the prompts of a set, where its source tells them.
        expected: whether each prompt that looks harmful should be refused.
        texts: whose perplexity is measured.
        notes: what the user should know of them.
    """

    sets: PromptSets
    languages: Mapping[str, Sequence[str]] = field(default_factory=dict)
    expected: Sequence[bool] = ()
    texts: Sequence[str] = ()
    notes: Sequence[str] = ()


def review_prompts(settings: Settings, used: PromptSets) -> ReviewPrompts:
    """Read the prompts of a review, and take out of them whatever directions or search saw.

    Args:
        used: the prompts that the run is made from.

    Raises:
        UsageError: for a set that is named and cannot be read, in one line.
    """
    seen = {key_of(prompt) for prompts in used.values() for prompt in prompts}
    sets: dict[str, tuple[Prompt, ...]] = {}
    languages: dict[str, Sequence[str]] = {}
    notes: list[str] = []
    for name in _SOURCES:
        spec: PromptSet = getattr(settings, name)
        if not spec.dataset:
            rest = _rest(settings, name, seen, notes)
            sets[name] = tuple(sliced(rest, spec.split, name))
            if not rest:
                notes.append(
                    f"{name}: directions and search use all prompts of their data sets, none is held out: name a data "
                    f"set (--{name.replace('_', '-')})"
                )
            continue
        found = load_prompt_set(spec, name, settings.system_prompt)
        notes += found.notes
        kept = [place for place, prompt in enumerate(found.prompts) if key_of(prompt) not in seen]
        if len(kept) < len(found.prompts):
            first = next(prompt for prompt in found.prompts if key_of(prompt) in seen)
            notes.append(
                f"{name}: {counted(len(found.prompts) - len(kept), 'prompt')} left out that directions or search have "
                f"seen (the first: {quoted(first.text)})"
            )
        sets[name] = tuple(found.prompts[place] for place in kept)
        if not kept:
            raise UsageError(f"{name}: directions and search have seen every prompt of it; name others")
        if said := load_beside(spec, name, settings.review_language_column):
            languages[name] = [said[place].strip() or "unknown" for place in kept]
    spec = settings.review_lookalike_prompts
    lookalike = load_prompt_set(spec, LOOKALIKE, settings.system_prompt) if spec.dataset else PromptList([])
    sets[LOOKALIKE] = tuple(lookalike.prompts)
    texts = load_prompt_set(settings.review_texts, TEXTS, "") if settings.review_texts.dataset else PromptList([])
    return ReviewPrompts(
        sets,
        languages,
        _expected(settings, len(lookalike.prompts)),
        [prompt.text for prompt in texts.prompts],
        [*notes, *lookalike.notes, *texts.notes],
    )


def _rest(settings: Settings, name: str, seen: set[tuple[str, str]], notes: list[str]) -> list[Prompt]:
    """What directions and search leave of their data sets, in their order, each once."""
    found: dict[tuple[str, str], Prompt] = {}
    for source in _SOURCES[name]:
        spec: PromptSet = getattr(settings, source)
        split = (spec.split or "").partition("[")[0] or None
        whole = spec.model_copy(update={"split": split})
        try:
            prompts = load_prompt_set(whole, source, settings.system_prompt).prompts
        except UsageError as error:
            # What was read for the run may not be there any more; the review may still do without.
            notes.append(f"{name}: what {source} leaves cannot be read ({error})")
            continue
        for prompt in prompts:
            if (key := key_of(prompt)) not in seen:
                found.setdefault(key, prompt)
    return list(found.values())


def _expected(settings: Settings, prompts: int) -> list[bool]:
    """Whether each prompt that looks harmful should be refused; where nothing says so, none should."""
    spec = settings.review_lookalike_prompts
    if not prompts:
        return []
    wanted = settings.review_expected_column
    for column in (wanted,) if wanted else _EXPECTED_COLUMNS:
        if said := load_beside(spec, LOOKALIKE, column):
            return [_refused(word, row, column) for row, word in enumerate(said, start=1)]
    if wanted:
        raise UsageError(f"{LOOKALIKE}: {spec.dataset}: no column {quoted(wanted)} of expected verdicts")
    return [False] * prompts


def _refused(word: str, row: int, column: str) -> bool:
    said = word.strip().lower().replace(" ", "_")
    if said not in _REFUSED | _ANSWERED:
        known = "safe or unsafe, answered or refused"
        raise UsageError(
            f"{LOOKALIKE}: row {row} of column {quoted(column)} says {quoted(word)}"
            f"{nearest(said, sorted(_REFUSED | _ANSWERED))}; an expected verdict is {known}"
        )
    return said in _REFUSED
