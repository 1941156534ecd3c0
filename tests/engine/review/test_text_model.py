"""A chat model asked about texts, against plain passes of transformers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import GenerationConfig

from heretic_tui.commands import Sampling
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.review import text_model as module
from heretic_tui.engine.review.text_model import Continuation, TextModel
from heretic_tui.errors import UsageError
from heretic_tui.events import Event, Notice, Progress
from heretic_tui.work import Work
from tests.support import tiny_models
from tests.support.edited_models import edits_for, merged
from tests.support.likelihoods import log_likelihood

Make = Callable[..., ChatModel]
END = 256
GREEDY = Sampling()

PAIRS = [
    ("Which jar holds salt?", " The left one."),
    # One question, and answers of a token each: they are read once.
    ("Which jar?\nAnswer:", " A"),
    ("Which jar?\nAnswer:", " B"),
    ("Which jar?\nAnswer: ", "C"),
    ("A", " much longer answer than the question was."),
    ("", "Nothing stands before this."),
    ("   ", "Blanks alone stand before this."),
    ("Ünïcode ✓", " tokens of several bytes ✗"),
]


def of(model: ChatModel, chat: bool = False, work: Work | None = None) -> TextModel:
    return TextModel(model, {}, work or Work(), chat)


def by_bytes(text: str) -> list[int]:
    tokens: list[int] = tiny_models.tokenizer()(text, add_special_tokens=False)["input_ids"]
    return tokens


def expected_of(network: object, pair: tuple[str, str]) -> tuple[float, bool]:
    """Each token of the tests' tokenizer is a byte: where the text is cut changes no token."""
    context, following = pair
    blanks = len(context) - len(context.rstrip())
    scored = len(by_bytes(following)) + blanks
    tokens = by_bytes(context + following)
    return log_likelihood(network, tokens if len(tokens) > scored else [END, *tokens], scored)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_log_likelihoods_are_those_of_each_text_alone(make_model: Make, kind: str, batch_size: int) -> None:
    model = make_model(kind, batch_size=batch_size)
    found = of(model).log_likelihoods(PAIRS)
    for (value, greedy), pair in zip(found, PAIRS, strict=True):
        expected, most_likely = expected_of(model.network, pair)
        assert value == pytest.approx(expected, rel=1e-4), pair
        assert greedy == most_likely
    assert len({round(value, 3) for value, _ in found}) == len(PAIRS)


def test_what_the_model_would_have_said_is_told_as_greedy(make_model: Make) -> None:
    model = make_model()
    text = of(model)
    (said,) = text.continued([("Which jar?", Continuation((), 3, GREEDY))], 0)
    other = "x" if said != "x" else "y"
    assert [greedy for _, greedy in text.log_likelihoods([("Which jar?", said), ("Which jar?", other)])] == [
        True,
        False,
    ]


def test_an_attached_edit_gives_what_the_merged_model_gives(make_model: Make) -> None:
    model = make_model()
    edits = edits_for(model, 1.5)
    found = TextModel(model, edits, Work(), False).log_likelihoods(PAIRS)
    edited = merged(make_model, "llama", edits)
    for (value, _), pair in zip(found, PAIRS, strict=True):
        assert value == pytest.approx(expected_of(edited, pair)[0], rel=1e-3)
    base = of(model).log_likelihoods(PAIRS)
    assert all(abs(one - other) > 0.01 for (one, _), (other, _) in zip(found, base, strict=True))
    assert base == of(make_model()).log_likelihoods(PAIRS), "nothing of the edit is left"


def test_every_token_of_a_long_document_is_counted_once(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    documents = ["Short.", "A document that is longer than a window of the model is read in several of them.", ""]
    monkeypatch.setattr(module, "LONGEST_WINDOW", 16)
    found = of(model).document_log_likelihoods(documents)
    for value, text in zip(found, documents, strict=True):
        tokens = by_bytes(text)
        expected = 0.0
        for first in range(0, len(tokens), 16):
            end = min(first + 16, len(tokens))
            read = [END, *tokens][max(0, end - 16) : end + 1]
            expected += log_likelihood(model.network, read, end - first)[0]
        assert value == pytest.approx(expected, rel=1e-4)
    monkeypatch.undo()
    (whole,) = of(model).document_log_likelihoods(documents[1:2])
    assert whole == pytest.approx(of(model).log_likelihoods([("", documents[1])])[0][0])
    assert whole != pytest.approx(found[1])


def test_a_text_goes_on_greedily_up_to_a_stop(make_model: Make) -> None:
    model = make_model(batch_size=2)
    contexts = ["Which jar?", "Sugar", "And a third text that is longer"]
    config = GenerationConfig(max_new_tokens=24, do_sample=False, eos_token_id=END, pad_token_id=260)
    whole = []
    for context in contexts:
        tokens = by_bytes(context)
        said = model.network.generate(torch.tensor([tokens]), generation_config=config)[0, len(tokens) :].tolist()
        whole.append(str(tiny_models.tokenizer().decode([token for token in said if token < END])))
    # Of an answer that does not begin with it.
    stop = whole[1][3:5]
    asked = [(context, Continuation((stop, "never said"), 24, GREEDY)) for context in contexts]
    found = of(model).continued(asked, 0)
    assert found == [text.split(stop)[0] for text in whole]
    assert found[1] == whole[1][:3]


def test_what_is_drawn_depends_on_the_seed_and_the_place_alone(make_model: Make) -> None:
    drawn = Continuation((), 12, Sampling(temperature=1.0))
    asked = [("Which jar?", drawn), ("Which jar?", drawn), ("Sugar", Continuation((), 12, GREEDY))]
    found = [of(make_model(batch_size=size)).continued(asked, seed) for size, seed in ((3, 0), (1, 0), (3, 9))]
    assert found[0] == found[1]
    assert found[0][0] != found[0][1], "each is drawn by itself"
    assert found[0][:2] != found[2][:2]
    assert found[0][2] == found[2][2], "what is greedy is not drawn"


def test_special_tokens_are_added_once(make_model: Make) -> None:
    model = make_model()
    # As tokenizers of models that want a token at the beginning.
    model.tokenizer.bos_token = "<|user|>"
    first = model.tokenizer.bos_token_id
    model.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|user|> $A", special_tokens=[("<|user|>", first)]
    )
    plain, begun = ("Jars?", " Two."), ("<|user|>Jars?", " Two.")
    expected = log_likelihood(model.network, [first, *by_bytes("Jars? Two.")], 5)[0]
    assert of(model).log_likelihoods([plain, begun])[0][0] == pytest.approx(expected, rel=1e-4)
    assert of(model).log_likelihoods([plain, begun])[1][0] == pytest.approx(expected, rel=1e-4)
    bare = log_likelihood(model.network, by_bytes("Jars? Two."), 5)[0]
    assert of(model, chat=True).log_likelihoods([plain])[0][0] == pytest.approx(bare, rel=1e-4)
    # Nothing stands before it: its first token follows the one at the beginning, which is not counted.
    alone = log_likelihood(model.network, [first, *by_bytes("Jars?")], 5)[0]
    assert of(model).log_likelihoods([("", "Jars?")])[0][0] == pytest.approx(alone, rel=1e-4)


def test_a_token_that_ends_texts_is_no_part_of_them(make_model: Make) -> None:
    model = make_model()
    expected = of(model).log_likelihoods(PAIRS)
    model.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="$A <|end|>", special_tokens=[("<|end|>", END)]
    )
    assert [*by_bytes("x"), END] == model.tokenizer("x")["input_ids"]
    assert of(model).log_likelihoods(PAIRS) == expected


def test_a_conversation_is_what_trials_are_measured_with(make_model: Make) -> None:
    model = make_model()
    model.response_prefix = "Well"
    text = of(model, chat=True)
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Which jar?"}]
    assert text.conversation(messages) == model.render(Prompt("Which jar?", "Be short."))
    begun = text.conversation([*messages, {"role": "assistant", "content": " Answer:"}], answering=False)
    assert begun == model.render(Prompt("Which jar?", "Be short.")) + " Answer:"


def test_of_a_text_that_is_too_long_the_beginning_is_left_out_and_that_is_told(make_model: Make) -> None:
    model, told = make_model("gpt2"), list[Event]()
    long = "x" * 300
    found = of(model, work=Work(told.append)).log_likelihoods([(long, " yes"), ("short", " yes")])
    expected = log_likelihood(model.network, by_bytes(long + " yes")[-257:], 4)[0]
    assert found[0][0] == pytest.approx(expected, rel=1e-4)
    (note,) = [event for event in told if isinstance(event, Notice)]
    assert note.text.startswith("1 text with more than the 256 tokens")
    # An answer needs room too.
    assert len(of(model).continued([(long, Continuation((), 8, GREEDY))], 0)) == 1
    with pytest.raises(UsageError, match="256 tokens is asked for, and the model was made for 256"):
        of(model).continued([("short", Continuation((), 256, GREEDY))], 0)


def test_an_abort_ends_it_between_batches(make_model: Make) -> None:
    control = Control()

    def hear(event: Event) -> None:
        if isinstance(event, Progress):
            control.abort()

    model, work = make_model(batch_size=1), Work(hear, control)
    with pytest.raises(Aborted):
        of(model, work=work).log_likelihoods(PAIRS, work.progress("benchmark"))
    control, done = Control(), list[int]()
    work = Work(None, control)

    def tell(count: int, of_all: int) -> None:
        done.append(count)
        control.abort()

    with pytest.raises(Aborted):
        of(model, work=work).continued([(text, Continuation((), 4, GREEDY)) for text, _ in PAIRS[:5]], 0, tell)
    assert done == [1]


def test_a_lack_of_memory_halves_the_batch_for_this_alone(make_model: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(batch_size=8)
    expected = of(model).log_likelihoods(PAIRS)
    whole = model.logits

    def little_memory(ids: torch.Tensor, *others: object, **options: object) -> torch.Tensor:
        if len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(ids, *others, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "logits", little_memory)
    found = of(model).log_likelihoods(PAIRS)
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], rel=1e-4)
    assert model.batch_size == 8


def test_logits_that_are_not_finite_are_an_error(make_model: Make) -> None:
    model = make_model()
    with torch.no_grad():
        model.unembedding.weight.fill_(float("nan"))  # type: ignore[operator]
    with pytest.raises(NotFiniteError):
        of(model).log_likelihoods(PAIRS)
