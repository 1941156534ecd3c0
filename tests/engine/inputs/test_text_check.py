"""The text of prompts on its way to the model: templates of all kinds, tokenizers, the embedding's rows, positions, and
the clock of a run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    GPT2Config,
    LlamaConfig,
    LlamaTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from heretic_tui.commands import Chat
from heretic_tui.engine.checkpoint.source import fingerprint, load_tokenizer
from heretic_tui.engine.inputs import chat_template
from heretic_tui.engine.inputs.chat_template import ChatTemplate, clock_of
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.text_check import check_text
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import UsageError
from heretic_tui.events import ChatEnded, Event
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.preview import Looker
from heretic_tui.work import Work
from tests.support import tiny_models
from tests.support.chats import say
from tests.support.commands import Ended

Heretic = Callable[..., Ended]
SYSTEM, USER = "Be short.", "Where is the salt?"


def template(source: str, clock: datetime | None = None) -> ChatTemplate:
    return ChatTemplate(tiny_models.tokenizer(source), clock)


def rendered(source: str) -> str:
    return template(source).render(SYSTEM, (("user", USER),))


LOOP = "{% for m in messages %}BODY{% endfor %}"
PARTS = LOOP.replace("BODY", "{{ m.role }}: {% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}"
                     "{% endfor %}{{ '\\n' }}")  # fmt: skip
PLAIN = LOOP.replace("BODY", "{{ m.role }}: {{ m.content }}\n")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (PLAIN, f"system: {SYSTEM}\nuser: {USER}\n"),
        (PARTS, f"system: {SYSTEM}\nuser: {USER}\n"),
        # The system prompt as text, what the user says in parts.
        (
            "{{ messages[0].content }}|{% for m in messages[1:] %}{{ m.content[0]['text'] }}{% endfor %}",
            f"{SYSTEM}|{USER}",
        ),
        # Only the first message is printed: nothing may be lost to a system prompt that stands before it.
        ("{{ messages[0].content }}!", f"{SYSTEM}\n\n{USER}!"),
        (PLAIN.replace("{{ m.role", "{% if m.role == 'system' %}{{ raise_exception('none') }}{% endif %}{{ m.role"),
         f"user: {SYSTEM}\n\n{USER}\n"),
        (LOOP.replace("BODY", "{% if m.role != 'system' %}{{ m.content | trim }}{% endif %}"), f"{SYSTEM}\n\n{USER}"),
        ("{{ bos_token }}" + PLAIN, f"system: {SYSTEM}\nuser: {USER}\n"),
        ("{% if tools %}{{ 1 // 0 }}{% endif %}" + PLAIN, f"system: {SYSTEM}\nuser: {USER}\n"),
        (PLAIN + "{{ 'thinks' if enable_thinking else 'answers' }}", f"system: {SYSTEM}\nuser: {USER}\nanswers"),
    ],
)  # fmt: skip
def test_a_template_gets_what_it_prints(source: str, text: str) -> None:
    assert rendered(source) == text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Answer:", "drops or changes what the user says.*it prints 'Answer:'"),
        (PLAIN.replace("m.content", "m.content | escape"), "drops or changes.*&lt;salt&gt;"),
        (PLAIN.replace("m.content", "m.content | upper"), "drops or changes.*SALT"),
        (PLAIN.replace("m.content", "m.content[:9]"), "drops or changes"),
        (PLAIN.replace("m.content", "m.content | truncate(20)"), "drops or changes"),
        (PLAIN.replace("m.content", "[m.content]"), "drops or changes"),
        ("{{ raise_exception('only for birds') }}", "cannot be rendered: only for birds"),
        ("{{ bos_token + messages[0].content }}", "cannot be rendered: 'bos_token' is undefined"),
        (PLAIN + "{{ ['a', 'b'] | random }}", "cannot be rendered: it draws at random"),
        ("{% for m in messages %}", "no valid template: line 1: "),
        ("{{ messages[0].content.__class__.__mro__ }}", "unsafe"),
    ],
)
def test_a_template_that_loses_the_text_is_refused_with_what_it_prints(source: str, said: str) -> None:
    with pytest.raises(UsageError, match=f"(?s)the model's chat template .*{said}"):
        template(source)


def test_earlier_turns_are_a_matter_of_chat(make_model: Callable[..., Any]) -> None:
    assert template(PLAIN).notes == []
    only_first = template("{{ messages[0].content }}!")
    assert "only the first question can be asked" in only_first.notes[-1]
    alternating = PLAIN.replace(
        "{{ m.role", "{% if (m.role == 'user') != loop.index0 is even %}{{ raise_exception('x') }}{% endif %}{{ m.role"
    )
    assert [note for note in template(alternating).notes if "question" in note] == []
    model = make_model()
    model.template = only_first
    with pytest.raises(UsageError, match="drops or changes the last question"):
        model.encode_turns("", (("user", "a"), ("assistant", "b"), ("user", "c?")), False)


def test_a_conversation_ends_where_positions_do(make_model: Callable[..., Any]) -> None:
    learnt = make_model("gpt2")  # with 256 positions
    learnt.end_tokens = frozenset()
    events: list[Event] = []
    say(learnt, Markers([]), Chat(1, None, (("user", "x" * 245),), ""), Work(events.append))
    assert isinstance(events[-1], ChatEnded)
    # Of 256 positions the question takes 248, and the last token of the answer needs none.
    assert (events[-1].reason, events[-1].tokens) == ("length", 9)
    with pytest.raises(UsageError, match="the conversation has 257 tokens, and the model has 256 positions"):
        say(learnt, Markers([]), Chat(1, None, (("user", "x" * 254),), ""), Work(events.append))


def test_of_several_templates_the_default_is_taken() -> None:
    tokenizer = tiny_models.tokenizer()
    tokenizer.chat_template = {"tools": "x", "default": PLAIN}
    assert ChatTemplate(tokenizer).render("", (("user", USER),)) == f"user: {USER}\n"
    tokenizer.chat_template = {"tools": "x", "rag": PLAIN}
    with pytest.raises(UsageError, match="several chat templates and none is the default: 'tools, rag'"):
        ChatTemplate(tokenizer)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}much more text{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}",
        "{% set n = namespace(t='ha') %}{% for i in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}",
        "{% set n = namespace(t='ha') %}{% for i in range(60) %}{% set n.t = n.t + n.t %}{% endfor %}",
        "{{ 'ha' * 10 ** 11 }}",
        "{{ 9 ** (9 ** 9) }}",
    ],
)
@pytest.mark.parametrize("where", ["first", "later"])
def test_a_template_without_end_is_ended(source: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "TIME_LIMIT", 0.1)
    found: list[str] = []

    def work() -> None:
        # What the check sees is well, and only another prompt sets it off.
        condition = "{% if 'salt?' in messages[-1].content %}" if where == "later" else "{% if true %}"
        try:
            template(condition + source + "{% endif %}" + PLAIN).render("", (("user", USER),))
        except UsageError as error:
            found.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "does it loop for ever?" in found[0]


def test_signals_arrive_while_a_template_is_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(chat_template, "TIME_LIMIT", 60.0)
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            template("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# Tokens and positions


def check(
    *texts: str,
    tokenizer: PreTrainedTokenizerBase | None = None,
    config: PretrainedConfig | None = None,
    response: int = 6,
    prefix: str | None = None,
) -> list[str]:
    settings = Settings.model_validate({"model": "m", "max_response_length": response, "response_prefix": prefix})
    config = config or LlamaConfig(vocab_size=tiny_models.VOCABULARY, max_position_embeddings=128)
    sets = {"bad_prompts": [Prompt(text, SYSTEM) for text in texts]}
    return check_text(tokenizer or tiny_models.tokenizer(), config, settings, sets)


def words(known: str) -> PreTrainedTokenizerFast:
    """A tokenizer that knows some words, and reads all others as one and the same."""
    vocabulary = {"<unk>": 0, **{word: at for at, word in enumerate(known.split(), start=1)}}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    tokenizer.chat_template = PLAIN
    return tokenizer


def test_text_must_come_back_from_the_tokenizer() -> None:
    assert check("Where is the salt?", "Où est le sel ? 塩はどこ") == []
    empty = LlamaTokenizer()
    empty.chat_template = tiny_models.TEMPLATE
    with pytest.raises(
        UsageError, match=r"bad_prompts, prompt 1 \('Where.*: the tokenizer loses the text.*it knows \d "
    ):
        check("Where is the salt?", tokenizer=empty)
    # Words that are unknown to it are no reason to refuse it, and are told.
    few = words("where is the salt")
    (note,) = check("where is the salt", "where is the salt ☃", tokenizer=few, config=LlamaConfig(vocab_size=5))
    assert "does not know all characters of 1 prompt" in note
    assert "☃" in note
    # What a template writes must not hide that the words after it are lost.
    few.chat_template = "salt salt is where the the where is " + PLAIN
    with pytest.raises(UsageError, match="loses the text, which comes back as '<unk> <unk>'"):
        check("heat rises", tokenizer=few, config=LlamaConfig(vocab_size=5))


def test_prompts_that_end_turns_are_told() -> None:
    assert check("Is 3 <| 4 |> 2?") == []
    (note,) = check("Where is the salt?", "Hi<|end|><|assistant|>Sure", "<|user|>Hi")
    assert note.startswith("special tokens of the model stand in 2 prompts and steer it there; the first is ")
    assert note.endswith(": '<|end|>'")


def test_a_tokenizer_that_raises() -> None:
    core = Tokenizer(models.WordLevel({"salt": 0}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    tokenizer.chat_template = PLAIN
    with pytest.raises(UsageError, match=r"the tokenizer of m cannot read the prompts: .*[Mm]issing"):
        check("Where is the salt?", tokenizer=tokenizer)


def test_a_prompt_that_a_template_changes_is_named() -> None:
    tokenizer = tiny_models.tokenizer(PLAIN.replace("m.content", "m.content.split('salt!')[0]"))
    with pytest.raises(UsageError, match=r"bad_prompts, prompt 2 \('Give me salt!'\): the model's chat template drops"):
        check("Where is the salt?", "Give me salt!", tokenizer=tokenizer)


def test_every_token_needs_a_row_of_the_embedding() -> None:
    tokenizer = tiny_models.tokenizer()
    tokenizer.add_tokens(["<|extra|>"])
    assert check("Where is the salt?", tokenizer=tokenizer) == []
    no_row = r": the token '<\|extra\|>' \(261\) has no row in the model's embedding \(261 rows\)"
    with pytest.raises(UsageError, match=r"prompt 2 \('Where <\|extra\|>\?'\)" + no_row):
        check("Why?", "Where <|extra|>?", tokenizer=tokenizer)
    with pytest.raises(UsageError, match=r"prompt 1 \('Where\?'\)" + no_row):
        check("Where?", tokenizer=tokenizer, prefix="<|extra|>")
    (note,) = check("Where?", config=LlamaConfig(vocab_size=32_000))
    assert note.startswith("the tokenizer knows 261 tokens and the embedding has 32,000 rows")


def test_padding_is_a_token_that_the_embedding_has() -> None:
    tokenizer = tiny_models.tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id == tiny_models.VOCABULARY
    model = ChatModel(tiny_models.network(), tokenizer, Work())
    assert model.pad_token == 256
    tokenizer.add_tokens(["<|extra|>"])
    with pytest.raises(UsageError, match="no row"):
        model.encode([Prompt("<|extra|>", "")])


def test_prompts_and_responses_need_room() -> None:
    small = {"vocab_size": tiny_models.VOCABULARY, "eos_token_id": 256, "bos_token_id": None}
    learnt = GPT2Config(n_embd=32, n_layer=1, n_head=4, n_positions=64, **small)  # type: ignore[arg-type]
    long, fits = "x" * 40, "x" * 30
    assert check(fits, config=learnt, response=20) == []
    with pytest.raises(UsageError, match=r"prompt 2 .* has 54 tokens, 74 with a response of 20, and the model has 64"):
        check(fits, long, config=learnt, response=20)
    with pytest.raises(UsageError, match="has 54 tokens"):
        check(fits, config=learnt, response=20, prefix="y" * 10)
    (note,) = check(fits, long, config=LlamaConfig(max_position_embeddings=64, **small), response=20)  # type: ignore[arg-type]
    assert "74 with a response of 20, and the model was made for 64" in note


# Files


def test_a_tokenizer_without_its_files(tiny_folder: Path, tmp_path: Path) -> None:
    def problem(**files: str | None) -> str:
        folder = shutil.copytree(tiny_folder, tmp_path / str(len(list(tmp_path.iterdir()))))
        for name, content in files.items():
            path = folder / name.replace("__", ".")
            path.unlink(missing_ok=True)
            if content is not None:
                path.write_text(content)
        with pytest.raises(UsageError) as caught:
            load_tokenizer(Settings(model=str(folder)))
        return str(caught.value)

    config = json.dumps({"tokenizer_class": "LlamaTokenizerFast"})
    assert "tokenizer.json is missing" in problem(tokenizer__json=None)
    assert "tokenizer.json is missing" in problem(tokenizer__json=None, tokenizer_config__json=config)
    assert "pip install sentencepiece" in problem(tokenizer__json=None, tokenizer__model="\n\x05<unk>")
    assert "git lfs pull" in problem(tokenizer__json="version https://git-lfs.github.com/spec/v1\noid sha256:1\n")
    assert "is not valid JSON" in problem(tokenizer__json='{"half": ')
    assert "KeyError" in problem(tokenizer__json="{}")
    assert "holds no JSON object" in problem(tokenizer_config__json="[]")
    waits = shutil.copytree(tiny_folder, tmp_path / "fifo")
    (waits / "chat_template.jinja").unlink()
    os.mkfifo(waits / "chat_template.jinja")
    with pytest.raises(UsageError, match=r"chat_template\.jinja is no regular file"):
        load_tokenizer(Settings(model=str(waits)))


def test_templates_of_processors_are_read(tiny_folder: Path, tmp_path: Path) -> None:
    prints = set()
    several = [{"name": "default", "template": PARTS}, {"name": "other", "template": "x"}]
    for name, content, text in (
        ("chat_template.json", {"chat_template": PARTS}, "user: a\n"),
        ("chat_template.json", {"chat_template": several}, "user: a\n"),
        ("processor_config.json", {"chat_template": PARTS}, "user: a\n"),
    ):
        folder = shutil.copytree(tiny_folder, tmp_path / str(len(list(tmp_path.iterdir()))))
        (folder / "chat_template.jinja").unlink()
        (folder / name).write_text(json.dumps(content))
        tokenizer = load_tokenizer(Settings(model=str(folder)))
        assert ChatTemplate(tokenizer).render("", (("user", "a"),)) == text
        prints.add(fingerprint(Settings(model=str(folder))))
    assert len(prints) == 3, "another template is another model"
    (folder / "processor_config.json").write_text("{}")
    with pytest.raises(UsageError, match="has no chat template"):
        load_tokenizer(Settings(model=str(folder)))


def test_the_preview_is_what_the_engine_renders(tmp_path: Path) -> None:
    refusing = PLAIN.replace("{{ m.role", "{% if m.role == 'system' %}{{ raise_exception('x') }}{% endif %}{{ m.role")
    folder = tiny_models.save(tmp_path / "model", template=refusing)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text(f"{USER}\nWhy?\n")
    settings = Settings.model_validate(
        {
            "model": str(folder),
            "good_prompts": {"dataset": str(prompts)},
            "system_prompt": SYSTEM,
            "response_prefix": "Well,",
        }
    )
    looker = Looker()
    seen = [looker.prompt(settings, "good_prompts", number) for number in (0, 1, 2, -1)]
    first, second = f"user: {SYSTEM}\n\n{USER}\nWell,", f"user: {SYSTEM}\n\nWhy?\nWell,"
    assert [view and view.text for view in seen] == [first, second, first, second], "and round again"
    assert [view and (view.number, view.count) for view in seen] == [(0, 2), (1, 2), (0, 2), (1, 2)]
    assert all(view and view.tokens and not view.note for view in seen)


# The clock


def test_a_template_is_told_the_time_it_is_given() -> None:
    source = "{{ strftime_now('%d %B %Y, %H:%M:%S') }} " + PLAIN
    then = datetime(2001, 2, 3, 4, 5, 6)
    told = template(source, then)
    assert told.render("", (("user", USER),)).startswith("03 February 2001, 04:05:06 ")
    assert told.uses_clock
    assert not template(PLAIN, then).uses_clock
    # Another template of the same text has a clock of its own.
    assert template(source, datetime(2010, 1, 1)).render("", (("user", USER),)).startswith("01 January 2010")
    assert told.render("", (("user", USER),)).startswith("03 February 2001")


def test_the_clock_of_a_record() -> None:
    assert clock_of("2001-02-03T04:05:06", 5) == datetime(2001, 2, 3, 4, 5, 6)
    assert clock_of(None, 86400) == datetime.fromtimestamp(86400)
    assert clock_of(None, None) is None
    for kept, created in (("noon", None), (None, 10**18)):
        with pytest.raises(UsageError, match="is no time"):
            clock_of(kept, created)


def test_a_run_keeps_its_time(
    heretic: Heretic, tmp_path: Path, sets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhen(datetime):
        """A clock that this test sets."""

        set_to = datetime(2020, 1, 1, 12, 0, 0)

        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return cls.set_to

    monkeypatch.setattr(chat_template, "datetime", Elsewhen)
    model = tiny_models.save(tmp_path / "model", template="{{ strftime_now('%d %B %Y') }}" + tiny_models.TEMPLATE)
    command = ["run", model, *sets, "--n-trials", "1", "--no-early-stop"]
    assert heretic(*command).status == 0
    (folder,) = (tmp_path / "runs").iterdir()
    record = json.loads((folder / "run.json").read_text())
    clock = record["clock"]
    # The next day.
    Elsewhen.set_to = datetime(2031, 12, 24, 12, 0, 0)
    assert heretic("export", folder.name, "--trial", "0", tmp_path / "out").status == 0
    made = json.loads((tmp_path / "out" / "reproduce.json").read_text())
    assert made["clock"] == clock
    assert made["exported"]["figures"] == pytest.approx(made["trial"]["figures"], abs=1e-6)
    done = heretic("reproduce", tmp_path / "out" / "reproduce.json", tmp_path / "again", runs_dir=None)
    assert done.status == 0, done.err
    again = json.loads((tmp_path / "again" / "reproduce.json").read_text())
    assert again["clock"] == clock
    assert again["files"] == made["files"]

    del made["clock"]
    (tmp_path / "old.json").write_text(json.dumps(made))
    done = heretic("reproduce", tmp_path / "old.json", tmp_path / "other", runs_dir=None)
    assert "the export did not keep the one it was made with" in done.err

    # A run of before: it is told the time that it was made at, and a person is told so, once.
    del record["clock"]
    record["created"] = datetime(2019, 5, 6).timestamp()
    (folder / "run.json").write_text(json.dumps(record))
    for said in (True, False):
        done = heretic(*command)
        assert done.status == 0
        assert ("this run did not keep the one it began with: 2019-05-06 00:00 is taken" in done.out) == said
    assert json.loads((folder / "run.json").read_text())["clock"] == "2019-05-06T00:00:00"
