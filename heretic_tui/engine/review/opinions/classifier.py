"""Opinions of a text-classification model from the Hub or a folder, whose labels the user gives a meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from heretic_tui.control import Aborted
from heretic_tui.engine.checkpoint.misfit import Report, refuse_misfit, with_report
from heretic_tui.engine.checkpoint.source import download, hub_options, locate, unavailable
from heretic_tui.engine.memory import halving
from heretic_tui.engine.model.progress_bars import bars_as_progress
from heretic_tui.engine.review.opinions.base import GIVEN, Cost, Opinion, Pair, SecondOpinion, opinions_on
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.settings.schema import Settings
from heretic_tui.words import counted, nearest, plain, quoted
from heretic_tui.work import Work

# Tokens that are read of a text where neither tokenizer nor configuration name a limit.
_NO_LIMIT = 8192
# Tokenizers without a limit of their own name one of 10^30.
_NO_LENGTH = 10**6
# A response of which fewer tokens than this are read, fewer than half of the limit and not all, is not judged.
_ENOUGH = 32
# What configurations call a classifier that may find several labels in a text, or none.
_SEVERAL = "multi_label_classification"

_SLOT = re.compile(r"\{(prompt|response)\}")


@dataclass(frozen=True)
class ClassifierChoice:
    """A classifier as the user chose it.

    Attributes:
        model: folder or Hub id.
        labels: the opinion that each label of the model is. Those that are not named are no opinion (unknown).
        commit: commit, branch or tag of a Hub model.
        reads: the text that it is handed, in the form that it was trained on, with {response} in it, and {prompt} where
            it reads that too.
    """

    model: str
    labels: Mapping[str, Opinion]
    commit: str | None = None
    reads: str = "{response}"


@dataclass(frozen=True)
class _Loaded:
    """
    Attributes:
        limit: tokens of a text that are read.
        pads: whether texts of different lengths can be in one batch.
    """

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    limit: int
    pads: bool


class ClassifierOpinions(SecondOpinion):
    """Loads the model when it is first asked, and keeps it until it is released.

    Args:
        device: where it computes.
        batch_size: texts that are read at once; halved where memory runs out.
    """

    def __init__(self, choice: ClassifierChoice, device: str = "cpu", batch_size: int = 16) -> None:
        self._choice, self._device, self._batch_size = choice, device, batch_size
        # What the rooms below find files and say errors by.
        self._settings = Settings(model=choice.model, model_commit=choice.commit)
        self._meaning: list[Opinion] = []
        self._loaded: _Loaded | None = None
        self.name = plain(choice.model)
        self.spent: Cost | None = None

    def check(self, work: Work) -> None:
        """Look at the model's configuration, without its weights."""
        if self._meaning:
            return
        if "{response}" not in self._choice.reads:
            raise UsageError(
                f"what the classifier {quoted(self._choice.model)} reads has to hold {{response}}, and is "
                f"{quoted(self._choice.reads)}"
            )
        source = locate(self._choice.model)
        try:
            config: PretrainedConfig = AutoConfig.from_pretrained(source, **hub_options(self._settings))
        except Exception as error:
            raise UsageError(self._unavailable(error)) from error
        self._meaning = _meanings(self._choice, config)

    def cost(self, pairs: Sequence[Pair]) -> None:
        return None

    def give(self, pairs: Sequence[Pair], work: Work) -> list[Opinion]:
        return opinions_on(pairs, partial(self._give, work=work))

    def release(self) -> None:
        self._loaded = None

    def _give(self, asked: list[Pair], work: Work) -> dict[Pair, Opinion]:
        self.check(work)
        loaded = self._loaded = self._loaded or self._load(work)
        tokens = {pair: _tokens(loaded.tokenizer, self._text(pair)) for pair in asked}
        unread = [pair for pair in asked if not self._has_room(pair, tokens[pair], loaded)]
        found: dict[Pair, Opinion] = dict.fromkeys(unread, "unknown")
        # Texts of about one length are read together.
        left = sorted((pair for pair in asked if pair not in found), key=tokens.__getitem__)
        report = work.progress("second opinion")
        done = 0
        while done < len(left):
            work.checkpoint()
            report(done, len(left))
            rows = left[done : done + (self._batch_size if loaded.pads else 1)]
            opinions = halving(len(rows), partial(self._judge, rows, loaded), self._halve, work.spare)
            found |= zip(rows, opinions, strict=False)
            done += len(opinions)
        report(done, len(left))
        self._tell_lengths(tokens, unread, loaded, work)
        return found

    def _judge(self, pairs: Sequence[Pair], loaded: _Loaded, size: int) -> list[Opinion]:
        """The opinions on the first few pairs."""
        texts = [self._text(pair) for pair in pairs[:size]]
        batch = loaded.tokenizer(
            texts, padding=loaded.pads, truncation=True, max_length=loaded.limit, return_tensors="pt"
        )
        with torch.inference_mode():
            logits = loaded.network(**batch.to(loaded.network.device)).logits.float().cpu()
        if not torch.isfinite(logits).all():
            raise HereticError(f"the classifier {quoted(self._choice.model)} gives no finite numbers: it is damaged")
        # Where each label is a question of its own, none may hold.
        some = getattr(loaded.network.config, "problem_type", None) != _SEVERAL
        return [self._meaning[int(row.argmax())] if some or row.max() > 0 else "unknown" for row in logits]

    def _halve(self, size: int) -> int:
        self._batch_size = max(1, size // 2)
        return self._batch_size

    def _text(self, pair: Pair) -> str:
        """What the classifier reads: both are put in at once, so that no prompt can hold the place of a response."""
        parts = {"prompt": pair.prompt, "response": pair.response}
        text = _SLOT.sub(lambda slot: parts[slot[1]], self._choice.reads)
        # Tokenizers take no half characters.
        return text.encode(errors="replace").decode()

    def _has_room(self, pair: Pair, tokens: int, loaded: _Loaded) -> bool:
        """Whether enough of the response is read, or all of it."""
        if tokens <= loaded.limit:
            return True
        around = _tokens(loaded.tokenizer, self._text(Pair(pair.prompt, "")))
        return loaded.limit - around >= min(tokens - around, _ENOUGH, loaded.limit // 2)

    def _tell_lengths(self, tokens: Mapping[Pair, int], unread: list[Pair], loaded: _Loaded, work: Work) -> None:
        reads = f"more than the {loaded.limit:,} tokens that {self.name} reads"
        if cut := sum(length > loaded.limit for length in tokens.values()) - len(unread):
            work.note(f"{counted(cut, 'response')} of {reads}: their beginning was judged")
        if unread:
            work.note(f"no opinion on {counted(len(unread), 'response')}: the prompt alone is {reads}", "warning")

    def _load(self, work: Work) -> _Loaded:
        download(self._settings, work)
        source = locate(self._choice.model)
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, **hub_options(self._settings))
            with bars_as_progress(work):
                network, info = with_report(AutoModelForSequenceClassification)(
                    source,
                    **self._placement(),
                    # They are refused below, by name.
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                    **hub_options(self._settings),
                )
        except (UsageError, Aborted):
            raise
        except Exception as error:
            raise UsageError(self._unavailable(error)) from error
        try:
            refuse_misfit(network, Report.of(network, info))
        except UsageError as error:
            raise UsageError(f"the classifier {quoted(self._choice.model)} cannot be used: {error}") from error
        # Some find the last token by the padding: they take a batch where they know it.
        pads = tokenizer.pad_token_id is not None and getattr(network.config, "pad_token_id", None) is not None
        # What refuses does so at the beginning.
        tokenizer.truncation_side = "right"
        return _Loaded(network, tokenizer, _limit(network, tokenizer), pads)

    def _placement(self) -> dict[str, object]:
        # Many CPUs multiply half-precision matrices at a fraction of the speed.
        return {"dtype": torch.float32} if self._device == "cpu" else {"dtype": "auto", "device_map": self._device}

    def _unavailable(self, error: Exception) -> str:
        if "trust_remote_code" in str(error):
            return f"the classifier {quoted(self._choice.model)} brings code of its own, which is not run: take another"
        return f"the classifier cannot be used: {unavailable(self._settings, error)}"


def _meanings(choice: ClassifierChoice, config: PretrainedConfig) -> list[Opinion]:
    """The opinion that each output of a classifier is.

    Raises:
        UsageError: for a model that is no classifier, and for labels that it does not have.
    """
    what = f"the classifier {quoted(choice.model)}"
    classes = config.architectures or []
    if classes and not any(name.endswith("ForSequenceClassification") for name in classes):
        raise UsageError(f"{what} is a {plain(classes[0])}: take a model for text classification")
    names = {index: str(name) for index, name in sorted((config.id2label or {}).items())}
    if list(names) != list(range(len(names))) or len(names) < 2:
        raise UsageError(f"{what} has {counted(len(names), 'label')}: take one that tells two things apart, or more")
    there = ", ".join(quoted(name) for name in names.values())
    for label, opinion in choice.labels.items():
        if label not in names.values():
            hint = nearest(label, names.values())
            raise UsageError(f"{what} has no label {quoted(label)}{hint} (there are: {there})")
        if opinion not in GIVEN:
            raise UsageError(
                f"the label {quoted(label)} of {what} cannot mean {quoted(opinion)}: give one of {', '.join(GIVEN)}"
            )
    if not choice.labels:
        raise UsageError(f"say what the labels of {what} mean: {there}, each one of {', '.join(GIVEN)}")
    return [choice.labels.get(name, "unknown") for name in names.values()]


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    return len(tokenizer(text, truncation=False, verbose=False)["input_ids"])


def _limit(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """How many tokens of a text a classifier reads: as the tokenizer says, and no more than there are positions."""
    limits = [tokenizer.model_max_length] if tokenizer.model_max_length < _NO_LENGTH else []
    positions = getattr(network.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        # In models of RoBERTa's kind positions begin behind that of the padding.
        unused = max(
            (
                module.padding_idx + 1
                for name, module in network.named_modules()
                if isinstance(module, nn.Embedding) and "position" in name and module.padding_idx is not None
            ),
            default=0,
        )
        limits.append(positions - unused)
    return min(limits, default=_NO_LIMIT)
