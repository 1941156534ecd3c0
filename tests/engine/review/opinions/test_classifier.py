"""Opinions of a text-classification model, compared with what transformers' own pipeline says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    pipeline,
)

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.review.opinions.base import Opinion, Pair, SecondOpinion
from heretic_tui.engine.review.opinions.classifier import ClassifierChoice, ClassifierOpinions
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.events import Event, Notice, Progress
from heretic_tui.work import Work
from tests.support.classifiers import words_tokenizer

# fmt: off
WORDS = [
    "how", "do", "i", "brew", "a", "potion", "sorry", "no", "cannot", "help", "you", "with", "that", "take", "three",
    "leaves", "of", "mint", "and", "stir", "it", "slowly", "boil", "water", "first", "then", "add", "salt", "user",
    "assistant",
]
# fmt: on
LABELS: dict[str, Opinion] = {"Refusal": "refused", "Answer": "answered"}
PAIRS = [
    Pair("how do i brew a potion", " ".join(WORDS[start : start + length]))
    for start in range(0, 24, 3)
    for length in (2, 5, 9)
]


def make(
    folder: Path, kind: str = "bert", labels: tuple[str, ...] = ("Answer", "Refusal"), positions: int = 64
) -> Path:
    """A classifier with random weights, whose labels are each given about as often."""
    torch.manual_seed(0)
    shared: dict[str, Any] = {
        "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
        "max_position_embeddings": positions, "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }  # fmt: skip
    network: Any
    if kind == "bert":
        network = BertForSequenceClassification(BertConfig(pad_token_id=0, **shared))
    elif kind == "roberta":
        network = RobertaForSequenceClassification(RobertaConfig(pad_token_id=0, **shared))
    else:
        network = LlamaForSequenceClassification(LlamaConfig(pad_token_id=None, num_key_value_heads=2, **shared))
    tokenizer = words_tokenizer(WORDS, pad=kind != "llama")
    network.eval()
    head = {"bert": "classifier", "roberta": "classifier.out_proj", "llama": "score"}[kind]
    matrix = network.get_submodule(head).weight
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
        if len(labels) == 2:
            # Away from what all texts have in common.
            matrix[1] = -matrix[0]
            states = torch.stack([_before_head(network, head, tokenizer, pair.response) for pair in PAIRS])
            common = states.mean(0)
            matrix[0] -= common * (matrix[0] @ common) / (common @ common)
            matrix[1] = -matrix[0]
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _before_head(network: Any, head: str, tokenizer: PreTrainedTokenizerFast, text: str) -> torch.Tensor:
    """What the last matrix is given of a text (of a decoder: of its last token)."""
    seen: list[torch.Tensor] = []
    hook = network.get_submodule(head).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(**tokenizer(text, return_tensors="pt"))
    hook.remove()
    return seen[0].reshape(-1, seen[0].shape[-1])[-1]


def by_pipeline(folder: Path, texts: list[str]) -> list[Opinion]:
    """What transformers says of each text by itself."""
    judge = pipeline("text-classification", model=str(folder), device="cpu")
    return [LABELS[judge(text)[0]["label"]] for text in texts]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("bert") / "judge")


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama"])
def test_opinions_are_those_of_the_pipeline(tmp_path: Path, kind: str) -> None:
    folder = make(tmp_path / kind, kind)
    expected = by_pipeline(folder, [pair.response for pair in PAIRS])
    assert {*expected} == {"refused", "answered"}
    events: list[Event] = []
    judge: SecondOpinion = ClassifierOpinions(ClassifierChoice(str(folder), LABELS), batch_size=4)
    blank = Pair("how", " \n")
    assert judge.give([*PAIRS, blank, PAIRS[1]], Work(events.append)) == [*expected, "nonsense", expected[1]]
    assert judge.cost(PAIRS) is None
    distinct = len({pair.response for pair in PAIRS})
    told = [(event.done, event.total) for event in events if isinstance(event, Progress) and "opinion" in event.stage]
    assert told[0] == (0, distinct)
    assert told[-1] == (distinct, distinct)
    assert not notices(events)


def test_it_can_read_the_prompt_too_in_the_form_that_it_knows(bert: Path) -> None:
    odd = Pair("take {response} user", "stir it {prompt} slowly")
    reads = "user {prompt} [SEP] assistant {response}"
    texts = [f"user {pair.prompt} [SEP] assistant {pair.response}" for pair in [*PAIRS, odd]]
    judge = ClassifierOpinions(ClassifierChoice(str(bert), LABELS, reads=reads))
    assert judge.give([*PAIRS, odd], Work()) == by_pipeline(bert, texts)
    with pytest.raises(UsageError, match=r"has to hold \{response\}"):
        ClassifierOpinions(ClassifierChoice(str(bert), LABELS, reads="{prompt}")).check(Work())


def test_a_label_without_a_meaning_is_no_opinion(bert: Path) -> None:
    expected = by_pipeline(bert, [pair.response for pair in PAIRS])
    found = ClassifierOpinions(ClassifierChoice(str(bert), {"Refusal": "refused"})).give(PAIRS, Work())
    assert found == ["refused" if opinion == "refused" else "unknown" for opinion in expected]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"Refused": "refused"}, "has no label 'Refused': did you mean 'Refusal'? (there are: 'Answer', 'Refusal')"),
        ({"LABEL_7": "refused"}, "(there are: 'Answer', 'Refusal')"),
        ({"Refusal": "declined"}, "cannot mean 'declined': give one of refused, evaded, answered, nonsense"),
        ({"Refusal": "unknown"}, "cannot mean 'unknown'"),
        ({}, "say what the labels of"),
    ],
)
def test_wrong_labels_are_refused_before_the_weights_are_read(
    bert: Path, tmp_path: Path, labels: dict[str, Any], words: str
) -> None:
    (tmp_path / "config.json").write_bytes((bert / "config.json").read_bytes())
    with pytest.raises(UsageError) as said:
        ClassifierOpinions(ClassifierChoice(str(tmp_path), labels)).check(Work())
    assert words in str(said.value)
    assert "\n" not in str(said.value)
    # Right ones are no error there.
    ClassifierOpinions(ClassifierChoice(str(tmp_path), LABELS)).check(Work())


def test_labels_with_control_characters_are_told_visibly(tmp_path: Path) -> None:
    folder = make(tmp_path / "judge", labels=("\x1b[31mRefusal", "Answer"))
    with pytest.raises(UsageError) as said:
        ClassifierOpinions(ClassifierChoice(str(folder), LABELS)).check(Work())
    assert str(said.value).isprintable()


def test_what_is_no_classifier_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    for model, words in (
        (str(tiny_folder), "is a LlamaForCausalLM: take a model for text classification"),
        (str(tmp_path / "nowhere"), "no such model folder"),
        ("nobody/nothing", "nobody/nothing"),
        (str(make(tmp_path / "one", labels=("score",))), "has 1 label"),
    ):
        with pytest.raises(UsageError) as said:
            ClassifierOpinions(ClassifierChoice(model, LABELS)).check(Work())
        assert words in str(said.value)
        assert "\n" not in str(said.value)


def test_a_head_that_would_be_drawn_at_random_is_refused(bert: Path, tmp_path: Path) -> None:
    folder = make(tmp_path / "judge")
    weights = load_file(folder / "model.safetensors")
    del weights["classifier.weight"], weights["classifier.bias"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UsageError, match=r"cannot be used: .*classifier.weight"):
        ClassifierOpinions(ClassifierChoice(str(folder), LABELS)).give(PAIRS, Work())


def test_weights_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    folder = make(tmp_path / "judge")
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] = torch.full_like(weights["classifier.bias"], float("nan"))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(HereticError, match="gives no finite numbers"):
        ClassifierOpinions(ClassifierChoice(str(folder), LABELS)).give(PAIRS, Work())


def test_of_several_labels_that_may_hold_at_once_none_need_hold(tmp_path: Path) -> None:
    folder = make(tmp_path / "judge")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] -= 1000
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert {*ClassifierOpinions(ClassifierChoice(str(folder), LABELS)).give(PAIRS, Work())} == {"unknown"}


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_of_a_long_response_the_beginning_is_judged(tmp_path: Path, kind: str) -> None:
    folder = make(tmp_path / kind, kind, positions=16)
    limit = 16 if kind == "bert" else 15
    long = Pair("how", " ".join(WORDS[:30]))
    events: list[Event] = []
    found = ClassifierOpinions(ClassifierChoice(str(folder), LABELS)).give([long, PAIRS[0]], Work(events.append))
    # Two of the tokens stand around the text.
    assert found == by_pipeline(folder, [" ".join(WORDS[: limit - 2]), PAIRS[0].response])
    (said,) = notices(events)
    assert said.startswith(f"1 response of more than the {limit} tokens that")


def test_a_prompt_that_leaves_no_room_for_the_response_leaves_no_opinion(bert: Path) -> None:
    long = Pair(" ".join(["stir"] * 100), "sorry")
    events: list[Event] = []
    choice = ClassifierChoice(str(bert), LABELS, reads="{prompt} [SEP] {response}")
    found = ClassifierOpinions(choice).give([long, PAIRS[0]], Work(events.append))
    assert found[0] == "unknown"
    assert found[1] != "unknown"
    assert len(notices(events)) == 1
    assert "the prompt alone is more than the 64 tokens" in notices(events)[0]


def test_an_abort_ends_it_between_batches(bert: Path) -> None:
    control = Control()

    def heard(event: Event) -> None:
        if isinstance(event, Progress) and "opinion" in event.stage and event.done:
            control.abort()

    with pytest.raises(Aborted):
        ClassifierOpinions(ClassifierChoice(str(bert), LABELS), batch_size=2).give(PAIRS, Work(heard, control))
