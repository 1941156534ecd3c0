"""Whether the text of every prompt reaches the model: through the template, the tokenizer, the embedding and the
positions. All of it is looked at before weights are loaded."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from heretic_tui.engine.checkpoint.misfit import build_empty
from heretic_tui.engine.inputs.chat_template import ChatTemplate
from heretic_tui.engine.inputs.positions import check_positions
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.tokens import Tokens, beyond
from heretic_tui.errors import UsageError, one_line
from heretic_tui.settings.schema import Settings
from heretic_tui.words import counted, quoted

# Share of a text's letters that may be lost: a character that a tokenizer does not know is no reason to refuse.
_LOST_AT_MOST = 0.25
# A tokenizer that knows fewer tokens than this share of the embedding's rows is hardly the model's own.
_KNOWN_AT_LEAST = 0.5


def check_text(
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainedConfig,
    settings: Settings,
    sets: Mapping[str, Sequence[Prompt]],
) -> list[str]:
    """Render every prompt, encode it, and see what comes back.

    Returns:
        What the user should know.

    Raises:
        UsageError: for the first prompt whose text does not reach the model, or for which there is no room.
    """
    template = ChatTemplate(tokenizer)
    prompts = {
        f"{name}, prompt {at} ({quoted(prompt.text)})": prompt
        for name, found in sets.items()
        for at, prompt in enumerate(found, start=1)
    }
    texts = [_rendered(template, where, prompt) + (settings.response_prefix or "") for where, prompt in prompts.items()]
    try:
        encoded: dict[str, Tokens] = dict(
            zip(prompts, tokenizer(texts, add_special_tokens=False)["input_ids"], strict=True)
        )
    except Exception as error:  # of libraries in other languages too, which have one class for all
        raise UsageError(f"the tokenizer of {settings.model} cannot read the prompts: {one_line(error)}") from error
    notes = [*_tokenized(tokenizer, prompts, encoded), *_inside(tokenizer, config, encoded)]
    notes += _steering(tokenizer, prompts)
    longest = max(encoded, key=lambda where: len(encoded[where]))
    network = partial(build_empty, config, settings.trust_remote_code)
    tokens, response = len(encoded[longest]), settings.max_response_length
    if warning := check_positions(config, network, f"the longest prompt, {longest},", tokens, response):
        notes.append(warning)
    return notes


def _rendered(template: ChatTemplate, where: str, prompt: Prompt) -> str:
    try:
        text = template.render(prompt.system_prompt, (("user", prompt.text),))
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    for said, who in ((prompt.text, "it"), (prompt.system_prompt, "its system prompt")):
        # Blanks around a text are no part of it for many templates.
        if said.strip() not in text:
            raise UsageError(
                f"{where}: the model's chat template drops or changes {who}: it prints {quoted(text, 120)}"
            )
    return text


def _tokenized(
    tokenizer: PreTrainedTokenizerBase, prompts: Mapping[str, Prompt], encoded: Mapping[str, Tokens]
) -> list[str]:
    """A note where characters are lost on the way through the tokenizer."""
    incomplete: dict[str, float] = {}
    for where, prompt in prompts.items():
        if _letters(prompt.text) in _letters(_decoded(tokenizer, encoded[where])):
            continue
        # By itself: what the template wrote around it must not make up for what is missing.
        back = _decoded(tokenizer, tokenizer(prompt.text, add_special_tokens=False)["input_ids"])
        if lost := _lost(prompt.text, back):
            incomplete[where] = lost
        if lost > _LOST_AT_MOST:
            raise UsageError(
                f"{where}: the tokenizer loses the text, which comes back as {quoted(back)}: it knows "
                f"{counted(len(tokenizer), 'token')}; is it this model's, with all its files?"
            )
    if not incomplete:
        return []
    worst = max(incomplete, key=lambda where: incomplete[where])
    return [f"the tokenizer does not know all characters of {counted(len(incomplete), 'prompt')}; the worst is {worst}"]


def _steering(tokenizer: PreTrainedTokenizerBase, prompts: Mapping[str, Prompt]) -> list[str]:
    """A note where prompts hold special tokens of the model, such as the end of a turn."""
    special = [str(token) for token in getattr(tokenizer, "added_tokens_decoder", {}).values() if token.special]
    first = {token[:1] for token in special}
    # Some tokenizers have thousands of them, and hardly a prompt has a character that one begins with.
    found = {
        where: next((token for token in special if token in prompt.text), None)
        for where, prompt in prompts.items()
        if not first.isdisjoint(prompt.text)
    }
    held = {where: token for where, token in found.items() if token}
    if not held:
        return []
    where, token = next(iter(held.items()))
    return [
        f"special tokens of the model stand in {counted(len(held), 'prompt')} and steer it there; the first is "
        f"{where}: {quoted(token)}"
    ]


def _inside(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, encoded: Mapping[str, Tokens]) -> list[str]:
    """A note where the tokenizer is small for the embedding; one that is too large for it is an error."""
    rows = getattr(config.get_text_config(decoder=True), "vocab_size", None)
    if not isinstance(rows, int):
        return []
    for where, tokens in encoded.items():
        if problem := beyond(tokens, rows, tokenizer):
            raise UsageError(f"{where}: {problem}")
    known = len(tokenizer)
    if known >= rows * _KNOWN_AT_LEAST:
        return []
    return [f"the tokenizer knows {known:,} tokens and the embedding has {rows:,} rows: is it this model's tokenizer?"]


def _decoded(tokenizer: PreTrainedTokenizerBase, tokens: Tokens) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _lost(text: str, back: str) -> float:
    """Share of a text's letters, digits and signs that are not in what came back. Case, accents and blanks may go:
    tokenizers that leave them out were trained so."""
    said, heard = _letters(text), _letters(back)
    return (Counter(said) - Counter(heard)).total() / len(said)


def _letters(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in folded if not c.isspace() and not unicodedata.combining(c))
