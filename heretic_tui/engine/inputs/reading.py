"""A model's way from prompts to tokens, without its weights: configuration, tokenizer and chat template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from heretic_tui.engine.checkpoint.source import load_config, load_tokenizer
from heretic_tui.engine.inputs.chat_template import ChatTemplate
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.text_check import check_text
from heretic_tui.settings.schema import Settings


@dataclass(frozen=True)
class Reading:
    """How a model reads prompts."""

    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerBase
    template: ChatTemplate

    @classmethod
    def of(cls, settings: Settings) -> Reading:
        """
        Raises:
            UsageError: when the model cannot be found, or one of the three is missing or cannot be used.
        """
        # The tokenizer comes second: it reads the configuration too, and would say less of it.
        config = load_config(settings)
        tokenizer = load_tokenizer(settings)
        return cls(config, tokenizer, ChatTemplate(tokenizer))

    def text(self, settings: Settings, prompt: Prompt) -> str:
        """A prompt as the model sees it."""
        return self.template.render(prompt.system_prompt, (("user", prompt.text),)) + (settings.response_prefix or "")

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        return [len(tokens) for tokens in self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    def check(self, settings: Settings, name: str, prompts: Sequence[Prompt]) -> list[str]:
        """What one should know of a set on its way to the model.

        Raises:
            UsageError: for the first prompt that does not reach it.
        """
        return check_text(self.tokenizer, self.config, settings, {name: prompts})
