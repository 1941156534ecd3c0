"""Responses in another language than their prompts, and the many that only have some words of one."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence

import pytest

from heretic_tui.engine.answers.broken import Answer, what_is_broken
from heretic_tui.engine.answers.languages import Languages
from heretic_tui.errors import UsageError

pytest.importorskip("lingua", reason="the extra `review` is not installed")

PROMPTS = {
    "English": "How can I keep my houseplants healthy during a long and dark winter?",
    "German": "Wie halte ich meine Zimmerpflanzen in einem langen und dunklen Winter gesund?",
    "French": "Comment garder mes plantes d'intérieur en bonne santé pendant un hiver long et sombre ?",
    "Spanish": "¿Cómo puedo mantener sanas mis plantas de interior durante un invierno largo y oscuro?",
    "Russian": "Как сохранить комнатные растения здоровыми в течение долгой и тёмной зимы?",
    "Chinese": "在漫长而黑暗的冬天里，我怎样才能让室内植物保持健康并且好好生长？",
}
ANSWERS = {
    "English": "Put them close to a window, since there is little light in winter, and water them less than in summer. "
    "Keep them away from radiators, which dry the air, and wipe the dust off their leaves now and then.",
    "German": "Stellen Sie die Pflanzen nah ans Fenster, da es im Winter wenig Licht gibt, und gießen Sie sie seltener als "
    "im Sommer. Halten Sie sie von Heizkörpern fern, die die Luft austrocknen, und wischen Sie ab und zu den Staub ab.",
    "French": "Placez-les près d'une fenêtre, car il y a peu de lumière en hiver, et arrosez-les moins qu'en été. Éloignez-les "
    "des radiateurs, qui dessèchent l'air, et essuyez de temps en temps la poussière sur leurs feuilles.",
    "Spanish": "Colóquelas cerca de una ventana, porque en invierno hay poca luz, y riéguelas menos que en verano. Aléjelas "
    "de los radiadores, que resecan el aire, y limpie de vez en cuando el polvo de sus hojas con un paño húmedo.",
    "Russian": "Поставьте их поближе к окну, потому что зимой мало света, и поливайте реже, чем летом. Держите их подальше "
    "от батарей, которые сушат воздух, и время от времени протирайте листья от пыли влажной тряпкой.",
    "Chinese": "把它们放在靠近窗户的地方，因为冬天光线很少，浇水也要比夏天少一些。让它们远离暖气片，因为暖气会使空气变得干燥，"
    "并且不时用湿布擦去叶子上的灰尘，这样植物就能更好地呼吸。",
}


@pytest.fixture(scope="module")
def languages() -> Languages:
    return Languages()


@pytest.mark.parametrize("asked", PROMPTS)
@pytest.mark.parametrize("answered", ANSWERS)
def test_an_answer_is_broken_in_another_language_and_fine_in_its_own(
    asked: str, answered: str, languages: Languages
) -> None:
    answer = Answer(PROMPTS[asked], ANSWERS[answered], True)
    found = what_is_broken(answer, languages)
    if asked == answered:
        assert found is None
    else:
        assert found
        assert (found.kind, found.why) == ("language", f"{answered}, to a prompt in {asked}")
        assert what_is_broken(answer) is None, "without lingua it is not looked for"


def test_an_answer_that_goes_over_into_another_language_is_broken(languages: Languages) -> None:
    drifted = ANSWERS["English"] + " " + ANSWERS["Chinese"]
    assert languages.other_in(PROMPTS["English"], drifted) == "Chinese, to a prompt in English"
    little = ANSWERS["English"] * 3 + " Guten Morgen, liebe Freunde."
    assert languages.other_in(PROMPTS["English"], little) is None


FINE: Mapping[str, Sequence[str]] = {
    "a short answer": (PROMPTS["English"], "Oui, bien sûr."),
    "a short prompt": ("Hola", ANSWERS["English"]),
    "a prompt that wants another language": (
        "Please write to my landlord in German about the heating.",
        ANSWERS["German"],
    ),
    "a translation": ("Translate this text for my friend, who has a lot of houseplants.", ANSWERS["French"]),
    "code": (
        PROMPTS["German"],
        "```python\ndef water(plants):\n    for plant in plants:\n        plant.water_every_other_day()\n    return plants\n```",
    ),
    "names": (
        PROMPTS["English"],
        "Monstera deliciosa, Ficus benjamina, Sansevieria trifasciata, Spathiphyllum wallisii.",
    ),
    "a language that can be taken for it": (
        "Hvordan kan jeg holde mine stueplanter sunde i løbet af en lang og mørk vinter?",
        "Sett dem nær et vindu, siden det er lite lys om vinteren, og vann dem mindre enn om sommeren. Hold dem unna ovner.",
    ),
    "a list in German with English terms": (
        "Welche Fähigkeiten braucht ein Entwickler in einem modernen Unternehmen am meisten?",
        "- Cloud Computing und Machine Learning\n- Erfahrung mit Continuous Integration\n- gute Kommunikation im Team und "
        "Geduld bei der Suche nach Fehlern",
    ),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_no_other_language_or_was_wanted_is_fine(name: str, languages: Languages) -> None:
    prompt, text = FINE[name]
    assert languages.other_in(prompt, text) is None


def test_without_the_package_the_check_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without_lingua(name: str, *others: object) -> object:
        if name == "lingua":
            raise ImportError(name)
        return found(name, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_lingua)
    with pytest.raises(UsageError, match=r"not looked for without lingua: pip install 'heretic-tui\[review\]'$"):
        Languages()


def test_a_prompt_of_one_sentence_is_enough(languages: Languages) -> None:
    for answered, text in ANSWERS.items():
        expected = None if answered == "English" else f"{answered}, to a prompt in English"
        assert languages.other_in("Explain how to build a bomb", text) == expected


def test_where_the_language_of_the_prompt_is_in_doubt_nothing_is_said(languages: Languages) -> None:
    # All its long words are French too.
    assert languages.other_in("How can we reduce air pollution?", ANSWERS["French"]) is None
    assert languages.other_in("How can we reduce air pollution?", ANSWERS["Chinese"])
    # By its letters the first is German, and the second may be Spanish or Italian as well.
    assert languages.other_in("Convert 25 Celsius to Fahrenheit", ANSWERS["English"]) is None
    for answered in ("English", "Spanish", "German"):
        assert languages.other_in("Best pizza in Rome and Barcelona?", ANSWERS[answered]) is None


def test_a_short_end_in_a_script_without_blanks_counts_by_what_it_says(languages: Languages) -> None:
    # 83 characters against 200, that say as much.
    halves = ANSWERS["English"] + ANSWERS["Chinese"]
    assert languages.other_in(PROMPTS["English"], halves) == "Chinese, to a prompt in English"
