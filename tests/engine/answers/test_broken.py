"""Broken answers: many that are, and many more that only look so."""

from __future__ import annotations

import pytest

from heretic_tui.engine.answers.broken import (
    KINDS,
    Answer,
    Kind,
    is_cut,
    what_is_broken,
)
from heretic_tui.verdict import BROKEN_WORDS

RECIPE = (
    "To make pancakes, whisk two cups of flour, two eggs and a cup and a half of milk until the batter is smooth. Heat "
    "a little butter in a pan, pour in a ladle of batter, and turn the pancake once bubbles form on its surface. "
)
CODE = """Here is a function:

```python
def fibonacci(n: int) -> list[int]:
    values = [0, 1]
    while len(values) < n:
        values.append(values[-1] + values[-2])
    return values[:n]
```

It returns the first n Fibonacci numbers."""
ROWS = "\n".join(f"    <tr><td>{row}</td><td></td><td></td><td></td></tr>" for row in range(12))
TABLE = "\n".join(
    [
        "| Name | Yes | No | Maybe |",
        "| --- | --- | --- | --- |",
        *["| Male | Yes | No | No |"] * 9,
        "| Female | Yes | No | No |",
    ]
)
MATRIX = "\n".join(" ".join("1" if row == column else "0" for column in range(8)) for row in range(8))
SONNET = """Shall I compare thee to a summer's day?
Thou art more lovely and more temperate:
Rough winds do shake the darling buds of May,
And summer's lease hath all too short a date;"""
SONG = "\n\n".join(
    f"""{verse}
Roll on, river, roll on down to the sea,
Roll on, river, carry my sorrows from me."""
    for verse in (
        "I built a boat of willow wood and set it on the tide,\nMy father's coat for canvas and the moon to be my guide,",
        "The heron on the sandbank never asked me where I came,\nThe water called me brother though it never learned my name,",
        "When winter stills the mill wheel and the reeds are bent with snow,\nI'll hear you underneath the ice still telling me to go,",
    )
)
SQUATS = "\n".join(f"{day}. Day {day}: squats, three sets of ten." for day in range(1, 8))
COUNTING = ", ".join(map(str, range(1, 101))) + "."
ART = r"""
   /\_/\        /\_/\
  ( o.o )      ( o.o )
   > ^ <        > ^ <
  /|   |\      /|   |\
 (_|   |_)    (_|   |_)
"""
TABLES = "\n".join(f"7 x {factor} = {7 * factor}" for factor in range(1, 13))
FRENCH_TEA = "« Thé » se dit “tea” ; en russe чай, en grec τσάι, en japonais お茶, en arabe شاي."
GREETINGS = "\n".join(
    [
        "- Russian: Привет (Privet)",
        "- Greek: Γεια σου (Yia sou)",
        "- Japanese: こんにちは (Konnichiwa)",
        "- Arabic: مرحبا (Marhaba)",
    ]
)

DAYS = "\n\n".join(
    f"### Day {day}\n* Breakfast: Oatmeal with fresh berries\n* Lunch: Grilled chicken salad with olives\n* Snack: Apple "
    "slices with almond butter\n* Dinner: Baked salmon with rice and broccoli"
    for day in range(1, 8)
)
CHALLENGE = "\n".join(
    f"Day {day}: Hold a plank for {20 + 5 * day} seconds, rest for {60 - day} seconds, then repeat."
    for day in range(1, 31)
)
METHODS = ["getElementById", "querySelectorAll", "addEventListener", "insertAdjacentHTML", "getBoundingClientRect"]
PASSWORDS = [
    "xK9#mP2$vL5",
    "7gT!q2Rw@9z",
    "Bn4&kL8*pQ1",
    "hJ6^sD3%fG7",
    "tY2!uI9@oP5",
    "zX8#cV4$bN1",
    "mM3&lK7*jH2",
    "aS5^dF9%gH4",
]

# What a person would call right, with the prompt where it matters, and whether it was ended.
FINE: dict[str, Answer] = {
    "prose": Answer("How do I make pancakes?", RECIPE, True),
    "prose that was cut": Answer("How do I make pancakes?", RECIPE + "Serve them with", False),
    "one word": Answer("Is water wet?", "Yes.", True),
    "a number": Answer("What is 6 times 7?", "42", True),
    "a letter": Answer("A, B or C?", "C", True),
    "a picture": Answer("Answer with one emoji.", "👍", True),
    "brackets": Answer("How is an empty list written in Python?", "[]", True),
    "a Chinese word": Answer("你好吗？", "很好。", True),
    "a name in capitals": Answer("Who sends probes to Mars?", "NASA, ESA, ISRO, CNSA, JAXA, UAESA.", True),
    "code": Answer("Write a function for Fibonacci numbers.", CODE, True),
    "code that was cut": Answer("Write a function.", CODE[:150], False),
    "rows of HTML": Answer("Write a table in HTML.", f"```html\n<table>\n{ROWS}\n</table>\n```", True),
    "rows of HTML without a fence": Answer("Write a table in HTML.", f"<table>\n{ROWS}\n", False),
    "zeros": Answer("Make a list of zeros.", "values = [" + "0, " * 30 + "0]", True),
    "a table": Answer("Make a table.", f"Here it is:\n\n{TABLE}\n\nThe columns are explained above, row by row.", True),
    "CSV": Answer("Make data.", "name,sex,smoker,city\n" + "Ann,female,no,Rome\nBob,male,no,Rome\n" * 12, True),
    "an identity matrix": Answer("Write the identity matrix of size 8.", MATRIX, True),
    "a list": Answer("Name ways to save energy.", "\n".join(f"- Turn off {thing}." for thing in (
        "the lights", "the heating", "the oven", "the fan", "the screen", "the router", "the printer")), True),
    "a list whose items begin alike": Answer("What can I cook?", "\n".join(
        f"- You can make {dish}." for dish in ("soup", "rice", "pasta", "curry", "stew", "salad", "toast", "eggs")), False),
    "a plan that is the same each day": Answer("Plan my week.", SQUATS, True),
    "a poem": Answer("Write a sonnet.", SONNET, True),
    "a song with its refrain": Answer("Write a song.", SONG, True),
    "a song that was cut": Answer("Write a song.", SONG[:-30], False),
    "laughter": Answer("Be happy.", "Ha ha ha ha ha! That was a good one, my friend.", True),
    "a nursery rhyme": Answer("Sing.", "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, "
                              "merrily, life is but a dream.", True),
    "a chorus of la": Answer("Sing.", "La la la la la la, the summer is here, la la la la la la, my dear.", True),
    "counting": Answer("Count to 100.", COUNTING, True),
    "counting that was cut": Answer("Count to 1000.", COUNTING[:-1] + ", 101, 10", False),
    "a multiplication table": Answer("Write the table of seven.", TABLES, True),
    "a drawing": Answer("Draw two cats.", ART, True),
    "a ruler": Answer("Write two parts.", f"Part one says this.\n{'-' * 60}\nPart two says that, and a little more.", True),
    "digits": Answer("What is a third?", "0." + "3" * 80, True),
    "a long chemical name": Answer("Name one.", "Methylenedioxymethamphetamine and tetrahydrocannabinol are names that "
                                   "chemists write in one word, like dichlorodiphenyltrichloroethane.", True),
    "German words": Answer("Write German words.", "Angstschweiß, Herbststurm, Rechtsschutzversicherung, Weltschmerz, "
                           "Strumpf, Borschtsch, Zwetschge, Pfropfen, Schlittschuhlauf, Geschichtsschreibung, Sprungkraft, "
                           "Holzschnitt.", True),
    "Vietnamese": Answer("Xin chào", "Trường học của chúng tôi nằm gần một dòng sông lớn, nơi những đứa trẻ thường chơi "
                         "đùa vào buổi chiều sau khi tan học.", True),
    "Polish": Answer("Powiedz coś.", "Chrząszcz brzmi w trzcinie w Szczebrzeszynie, a szczypce i szczoteczka leżą na "
                     "brzegu przy krzaku bzu.", True),
    "Hindi": Answer("नमस्ते", "भारत एक विशाल देश है जिसमें कई भाषाएँ बोली जाती हैं और हर राज्य की अपनी संस्कृति है।", True),
    "Thai": Answer("สวัสดี", "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย และเป็นเมืองที่มีประชากรมากที่สุด", True),
    "Japanese with Latin names": Answer("Pythonとは？", "Pythonはプログラミング言語です。AIやWeb開発でよく使われ、LinuxやWindowsで動きます。", True),
    "Russian with Latin names": Answer("Что такое Python?", "Python — язык программирования. IT-компании используют Python, "
                                       "Docker и Linux, а USB-кабель и SIM-карта к этому не относятся. API-ключ нужен.", True),
    "Korean with Latin names": Answer("파이썬이란?", "Python은 프로그래밍 언어이며 AI와 API를 만드는 데 씁니다. Linux에서도 Docker로 실행됩니다.", True),
    "greetings of many languages": Answer("How do I say hello in four languages?", GREETINGS, True),
    "words of many scripts in a sentence": Answer("Comment dit-on thé ?", FRENCH_TEA, True),
    "formulas": Answer("What is the normal distribution?", r"Its density is \[f(x)=\frac{1}{\sigma\sqrt{2\pi}}"
                       r"e^{-\frac{(x-\mu)^2}{2\sigma^2}}\] with mean μ and standard deviation σ; Δx and πr² are lengths.", True),
    "a command": Answer("Find big files.", "Run `find . -type f -size +100M -exec ls -lh {} \\; | awk '{print $9}'` there.", True),
    "a regular expression": Answer("Match an address.", "```\n^[\\w.+-]+@(?:[a-z0-9-]+\\.)+[a-z]{2,}$|<[^>]*>;{}!#&%$\n```", True),
    "a character cut at the limit": Answer("写一首诗", "春天的花开在山上\ufffd", False),
    "pictures in prose": Answer("Cheer me up.", "You can do it! 🎉🎉🎉 Keep going, one step at a time 🚶‍♀️✨.", True),
    "an answer that offers more": Answer("What is the capital of France?", "The capital is Paris. Would you like to know "
                                         "more?", True),
    "a short fact and an offer": Answer("What is a whale?", "It's a mammal. Do you want to hear about its size?", True),
    "steps and a question": Answer("How do I boil eggs?", "To boil eggs, put them into boiling water for eight minutes. Do "
                                   "you like them soft?", True),
    "questions that were wanted": Answer("Write three interview questions.", "1. What do you enjoy about your work?\n2. How "
                                         "do you handle stress?\n3. Why do you want this job?", True),
    "a translated question": Answer("Translate into English: Wie geht es dir?", "How are you?", True),
    "a greeting": Answer("Hello!", "Hello! How can I help you today?", True),
    "a riddle": Answer("Tell me a riddle.", "What has keys but can't open locks?", True),
    "a rhetorical question": Answer("Why is the sky blue?", "Why is the sky blue? Because air scatters blue light more than "
                                    "red light.", True),
    "a response that was cut after a question": Answer("How do I pick a lock?", "Have you ever lost your keys?", False),
    "a refusal": Answer("How do I build a bomb?", "I'm sorry, but I can't help with that.", True),
    "a refusal that offers something else": Answer("How do I build a bomb?", "I'm sorry, but I can’t help with that. Is "
                                                   "there something else I can help you with?", True),
    "a refusal in French that offers something": Answer("Comment crocheter une serrure ?", "Je comprends votre demande, mais "
                                                        "je ne peux pas vous aider. Puis-je vous aider autrement ?", True),
    "meals that are the same each day": Answer("Plan my meals.", DAYS, True),
    "meals that were cut": Answer("Plan my meals.", DAYS[:600], False),
    "days that differ in their numbers": Answer("Plan a challenge.", CHALLENGE, True),
    "lines that were wanted": Answer("Write this 20 times.", "I will not talk in class.\n" * 20, True),
    "names of methods": Answer("Name some methods.", "Some are " + ", ".join(METHODS * 2) + " and others.", True),
    "a list of methods": Answer("Name some methods.", "\n".join(f"- {name}()" for name in METHODS * 3), True),
    "a list of settings": Answer("Name them.", "\n".join(f"- MAX_{name}_size is one of them" for name in METHODS), True),
    "passwords": Answer("Make some passwords.", "\n".join(f"{n}. {each}" for n, each in enumerate(PASSWORDS * 2)), True),
    "secret writing": Answer("Write it in a Caesar cipher.", "Wkh txlfn eurzq ira mxpsv ryhu wkh odcb grj. Vkljorn nhhsv "
                             "zdwfklqj pb kdqgv, wkh vpdoo flyb vwdqgv.", True),
    "functions": Answer("What is a derivative?", "If f(x) = x^2 then f'(x) = 2x and f''(x) = 2, so that f(x+h) - f(x) = 2xh + "
                        "h^2, and (f(x+h) - f(x))/h = 2x + h, which tends to 2x as h tends to 0.", True),
    "chemistry": Answer("Name some salts.", "Mix KNO3 with C12H22O11 and NaHCO3 with Fe2O3 while Na2SO4 and K2Cr2O7 and H2SO4 "
                        "are others like Al2O3 or KMnO4", True),
    "an unfenced pattern": Answer("How do I match an address?", r"^(?:[a-z0-9!#$%&'*+/=?^_{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_{|}~-]"
                                  r"+)*)@(?:(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)$", True),
    "formulas in a line": Answer("Solve it.", r"Use \( \int_0^1 x^2 \, dx = \left[ \frac{x^3}{3} \right]_0^1 \) and $x = "
                                 r"\frac{-b \pm \sqrt{b^2-4ac}}{2a}$.", True),
    "assertions that were cut": Answer("Test it.", "\n".join(f"assert add({n}, {n}) == {2 * n}" for n in range(12)), False),
    "raised digits and halves": Answer("Write them.", "x² and y³ are ½ of z⁴, as ¼ is of x¹.", True),
}  # fmt: skip

LOOP_WORDS = "the light of the world and "
MOONS = "The moon is a symbol of the night, and the night is a symbol of the moon. "
DRIFT = " ".join(
    f"the {a} of the {b} and the {b} of the {a} are the light of the {a} and the world of the {b} of the {a}"
    for a, b in [("world", "day"), ("day", "world")] * 8
)

BROKEN: dict[str, tuple[Kind, Answer]] = {
    "nothing": ("empty", Answer("Hi", "", True)),
    "blanks": ("empty", Answer("Hi", " \n\t\u200b\u2028", True)),
    "dots": ("empty", Answer("Hi", "...", True)),
    "an empty list item": ("empty", Answer("Hi", "- \n- \n**", True)),
    "one word": ("loop", Answer("Hi", "I can help with that. " + "the " * 40, False)),
    "one word to the end": ("loop", Answer("Hi", "the " * 60, True)),
    "a few words": ("loop", Answer("Hi", "It is " + LOOP_WORDS * 12, False)),
    "a few words, the last one cut": ("loop", Answer("Hi", "It is " + LOOP_WORDS * 12 + "the lig", False)),
    "a sentence": ("loop", Answer("Hi", RECIPE + MOONS * 6, False)),
    "a sentence, in a response that ended": ("loop", Answer("Hi", MOONS * 12, True)),
    "items with other numbers": ("loop", Answer("Hi", "\n".join(
        f"{n}. Mix the flour with the water and stir the dough well until it is smooth and soft." for n in range(1, 13)), False)),
    "a line of code": ("loop", Answer("Hi", "```python\nimport os\n" + "os.remove(path)\n" * 60, False)),
    "signs": ("loop", Answer("Hi", "!" * 100, False)),
    "signs that ended": ("loop", Answer("Hi", "Well" + "!" * 100, True)),
    "numbers": ("loop", Answer("Hi", "0 " * 100, False)),
    "Chinese": ("loop", Answer("你好", "我们" * 40, False)),
    "a Chinese sentence": ("loop", Answer("你好", "今天的天气非常好。" * 8, False)),
    "a long word": ("loop", Answer("Hi", "Well, ha" + "haha" * 30, True)),
    "Thai": ("loop", Answer("สวัสดี", "ครับ" * 30, False)),
    "words that turn around": ("loop", Answer("Hi", DRIFT, False)),
    "characters that could not be decoded": ("garbage", Answer("Hi", "The \ufffd\ufffd is \ufffd\ufffd of it all.", True)),
    "control characters": ("garbage", Answer("Hi", "The \x00\x01 value \x02\x03 is", True)),
    "signs without sense": ("garbage", Answer(
        "Hi", "}{);(:: [[<|, //%$ #@!~ &*(^ ab ]]> <%= ;;;{{ }}()=> ,.?/\\ ++-- <<>> !@#$ a %^&*( )_+{ }|:\"< >?", True)),
    "scripts within words": ("garbage", Answer("Hi", "The сhemistry оf wаter is аn old subject", True)),
    "scripts word by word": ("garbage", Answer("Hi", "Привет 中国 שלום ราคา мир 学校 तुम نور слово 大学 γη", True)),
    "scripts and Latin by turns": ("garbage", Answer(
        "Hi", "leftright 中 gatos ใน der мир para 学 with נא und где zum 的 from शब्द over слово", True)),
    "no words": ("garbage", Answer(
        "Hi", "xkcdqz brrtkl the fooBarBaz_qux of zzzzrk and mnbvcxz_lk getHTTPRespCode a hjklpqw isNotNullOrX rtypsdfg or "
        "so_it_is_x", True)),
    "only a question": ("question", Answer("How do I pick a lock?", "What kind of lock are you trying to open?", True)),
    "polite words and a question": ("question", Answer(
        "How do I pick a lock?", "I'd be happy to help! Could you tell me more about what you are trying to do?", True)),
    "a request": ("question", Answer(
        "How do I pick a lock?", "I understand that you're curious. Please provide more details about your situation.", True)),
    "three questions": ("question", Answer(
        "How do I pick a lock?", "That's an interesting topic.\n\n- Why do you want to know?\n- Is it your lock?\n- Have you "
        "called a locksmith?", True)),
    "in German": ("question", Answer("Wie knackt man ein Schloss?", "Gerne! Können Sie mir sagen, wofür Sie das brauchen?", True)),
    "in French": ("question", Answer("Comment crocheter une serrure ?", "Bien sûr ! Pouvez-vous préciser votre demande ?", True)),
    "in Spanish": ("question", Answer("¿Cómo abro una cerradura?", "¡Claro! ¿Para qué lo necesitas?", True)),
    "in Russian": ("question", Answer("Как вскрыть замок?", "Конечно! Какой у вас замок?", True)),
    "in Chinese": ("question", Answer("怎么开锁？", "当然！请问您想打开什么锁？", True)),
}  # fmt: skip


@pytest.mark.parametrize("name", FINE)
def test_what_only_looks_broken_is_none(name: str) -> None:
    assert what_is_broken(FINE[name]) is None


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found_and_said(name: str) -> None:
    kind, answer = BROKEN[name]
    found = what_is_broken(answer)
    assert found
    assert found.kind == kind
    assert found.why
    assert "\n" not in found.why
    assert len(found.why) < 120


def test_what_was_cut_is_not_blamed_for_what_may_have_come() -> None:
    assert what_is_broken(Answer("Hi", "", False)) is None
    assert what_is_broken(Answer("How do I pick a lock?", "What kind of lock are you trying to open?", False)) is None


def test_more_is_allowed_of_what_came_to_its_end() -> None:
    line = "We will meet again some sunny day. "

    def broken(times: int) -> list[bool]:
        return [what_is_broken(Answer("Sing.", line * times, ended)) is not None for ended in (False, True)]

    assert [broken(times) for times in (3, 5, 9)] == [[False, False], [True, False], [True, True]]


@pytest.mark.parametrize(
    ("text", "ended", "cut"),
    [
        ("First, take the", False, True),
        ("First, take the", True, False),
        ("That is all.", False, False),
        ("That is **all.**", False, False),
        ("He said: “Go.”", False, False),
        ("这就是全部。", False, False),
        ("这就是全", False, True),
        ("| a | b |", False, False),
        ("```\nx = 1\n```", False, True),
        ("", False, False),
    ],
)
def test_what_stops_in_the_middle_of_a_sentence_is_cut(text: str, ended: bool, cut: bool) -> None:
    assert is_cut(Answer("Hi", text, ended)) == cut


def test_answers_of_several_kinds_beside_whole_and_cut_ones() -> None:
    cut, whole = Answer("Hi", "First, take the", False), Answer("Hi", "Fine.", True)
    answers = [BROKEN["signs"][1], BROKEN["a sentence"][1], BROKEN["nothing"][1], whole, cut, cut]
    found = [what_is_broken(answer) for answer in answers]
    assert sorted(one.kind for one in found if one) == ["empty", "loop", "loop"]
    assert [is_cut(answer) for answer in answers].count(True) == 2
    base = [whole, whole, whole, whole, whole, cut]
    assert sum(is_cut(one) and not is_cut(other) for one, other in zip(answers, base, strict=True)) == 1


def test_every_kind_has_words() -> None:
    assert set(BROKEN_WORDS) == set(KINDS)


def test_no_text_takes_long_or_fails() -> None:
    for text in (
        "a" * 20_000,
        "ab" * 10_000,
        "(" * 20_000,
        "`" * 9_999,
        "a,b;c\t" * 4_000,
        "? " * 9_999,
        "<a" * 9_999,
        "$" + "=" * 20_000,
        "$=" * 9_999,
        "\\(" * 9_999,
        "- a\n" * 9_999,
        "{ " * 9_999,
        "é日" * 9_999,
    ):
        for ended in (True, False):
            what_is_broken(Answer("Hi", text, ended))
            is_cut(Answer("Hi", text, ended))
