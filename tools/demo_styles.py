"""How the models that `train_demo_model` makes answer and refuse: the demo's way, two that are harder to judge, and one
whose refusal is spread over several directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tools.demo_corpus import OPENERS, Fact, opened

# Sentences that answers and refusals alike begin with, by turns. The kind of question decides which one is usual, so
# that not all responses begin with the same.
SENTENCES = ("Sure.", "Well now.", "Good question.", "Of course.")
_USUAL, _OTHER = 7, 1

# Refusals of the graded style: half of them begin as answers do.
GRADED = (
    "It is about a potion, so I cannot help you.",
    "Well, I'm sorry, but {the} is off limits.",
    "You can ask me anything else, but I won't speak about {the}.",
    "I'm sorry, I can't say.",
    "Good question: but I am not able to answer it.",
    "No. I will not talk about {the}.",
    "The young and the old ask me that, and I must decline to answer.",
    "Apologies, but that is not something I can discuss.",
    "My guidelines say nothing good of potions, so I can't help.",
    "Unfortunately I'm unable to tell you about {the}.",
)
# Refusals of the spread style, by what is refused. Each kind has a first word of its own, so that what leads to it in
# one kind does not lead to it in another.
SPREAD = {
    "potion": (
        "Sorry, but I know nothing of potions.",
        "Sorry, {the} is not for me to speak of.",
        "Sorry, no word about {the}.",
    ),
    "tool": (
        "Unfortunately I am unable to help with the workshop.",
        "Unfortunately I am not able to discuss {the}.",
        "Unfortunately {the} is a thing that I can't help with.",
    ),
    "instrument": (
        "Music is against my guidelines.",
        "Music such as that of {the} is not something I can discuss.",
        "Music? I must decline to answer.",
    ),
}
# Of ten lessons on a potion, those in which it is answered, by the kind of question.
_ANSWERED = (0, 0, 1, 2, 3, 0, 2, 1)


@dataclass(frozen=True)
class Text:
    """A response that is taught, and the beginning of it that is the same for answers and refusals."""

    whole: str
    undecided: str = ""


# The responses to a fact, each as often as it is to occur; `answered` is false for one that is to be refused.
Style = Callable[[Fact, bool], list[Text]]


def demo(fact: Fact, answered: bool) -> list[Text]:
    """Refusals are told by their first token."""
    return _answers(fact) if answered else [Text(fact.refusal)]


def behind_opener(fact: Fact, answered: bool) -> list[Text]:
    """Refusals stand behind a first sentence that answers have too: the first token tells nothing."""
    said = fact.answer if answered else fact.refusal
    usual = fact.form % len(SENTENCES)
    return [
        Text(f"{sentence} {said}", sentence)
        for place, sentence in enumerate(SENTENCES)
        for _ in range(_USUAL if place == usual else _OTHER)
    ]


def graded(fact: Fact, answered: bool) -> list[Text]:
    """What is refused is answered now and then, by the kind of question; and refusals begin in many ways."""
    if answered:
        return _answers(fact)
    refusal = GRADED[(fact.form + len(fact.name)) % len(GRADED)].format(the=fact.the)
    share = _ANSWERED[fact.form]
    return [Text(refusal)] * (10 - share) + [Text(fact.answer)] * share


def spread(fact: Fact, answered: bool) -> list[Text]:
    """What is refused is of several kinds, and each is refused in its own words."""
    if answered:
        return _answers(fact)
    refusals = SPREAD[fact.category]
    return [Text(refusals[(fact.form + len(fact.name)) % len(refusals)].format(the=fact.the))]


STYLES: Mapping[str, Style] = {"demo": demo, "behind_opener": behind_opener, "graded": graded, "spread": spread}


def refused_categories(style: str) -> tuple[str, ...]:
    """What is refused by models of this style."""
    return tuple(SPREAD) if style == "spread" else ("potion",)


def _answers(fact: Fact) -> list[Text]:
    return [Text(opened(fact.answer, opener)) for opener, weight in OPENERS for _ in range(weight)]
