"""A chat model as a model of plain text, which is how benchmarks ask it: how probable one text is after another, how
probable a document is, and what the model goes on with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from heretic_tui.commands import Sampling
from heretic_tui.engine.anatomy.writers import embedding_matrix
from heretic_tui.engine.edits.attach import Edits, attached
from heretic_tui.engine.finite import NotFiniteError, most_likely
from heretic_tui.engine.inputs.positions import longest_text
from heretic_tui.engine.inputs.tokens import Tokens, beyond
from heretic_tui.engine.measuring.rows import Row, decode_rows, drawing
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.engine.model.decoding import LOOK_EVERY
from heretic_tui.engine.review.likelihood import beginning_of, nats_of, rows_that_fit
from heretic_tui.errors import UsageError
from heretic_tui.words import counted
from heretic_tui.work import ProgressReport, Work

# Tokens that are read at once of a document, at most: the logits of all of them are needed.
LONGEST_WINDOW = 2048


@dataclass(frozen=True)
class Continuation:
    """How a text is gone on with: up to a stop (left out), an end token, or `most` tokens."""

    stops: tuple[str, ...]
    most: int
    sampling: Sampling


@dataclass(frozen=True)
class _Span:
    """Tokens of a text; the last `scored` of them are asked for, the others are what comes before."""

    tokens: Tokens
    scored: int


class TextModel:
    """A model under edits, asked about texts.

    Args:
        work: told and obeyed between batches and tokens, beside the model's own.
        chat: texts are those of `conversation`: the template has written their special tokens, and none are added.
            Else they are plain text, and begin with the token that the tokenizer puts there.
    """

    def __init__(self, model: ChatModel, edits: Edits, work: Work, chat: bool) -> None:
        self._model = model
        self._edits = edits
        self._work = work
        self._chat = chat
        self._vocabulary = len(embedding_matrix(model.network))
        self._most = longest_text(model.network.config)
        tokenizer = model.tokenizer
        starts = (tokenizer.bos_token_id, tokenizer.eos_token_id)
        # What stands before a text that nothing stands before.
        self._start: int = next((token for token in starts if token is not None), model.pad_token)
        self._bos = tokenizer.bos_token if isinstance(tokenizer.bos_token, str) else None
        self._begin = beginning_of(model)

    def conversation(self, messages: Sequence[Mapping[str, str]], answering: bool = True) -> str:
        """Messages (`role`, `content`) as the model reads them when it is to answer, with the response prefix that
        trials are measured with.

        Args:
            answering: false: the last message is the beginning of the answer.

        Raises:
            UsageError: when the template refuses them.
        """
        system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
        turns = [(message["role"], message["content"]) for message in messages if message["role"] != "system"]
        begun = "" if answering else turns.pop()[1]
        return self._model.template.render(system, turns) + self._model.response_prefix + begun

    def log_likelihoods(
        self, pairs: Sequence[tuple[str, str]], progress: ProgressReport | None = None
    ) -> list[tuple[float, bool]]:
        """For each pair of a text and what follows it: the log-probability of the second (natural logarithm, the sum
        over its tokens), and whether the model would have said it greedily.

        Raises:
            UsageError: when the embedding has no row for a token.
            NotFiniteError: when logits are not finite.
            torch.OutOfMemoryError: when a single text is too much.
            Aborted: from the control, between batches.
        """
        return self._scores([self._pair(context, following) for context, following in pairs], progress)

    def document_log_likelihoods(self, texts: Sequence[str], progress: ProgressReport | None = None) -> list[float]:
        """The log-probability of each document, as above. One that is longer than what can be read at once is read in
        windows, each token counted once; all windows but the first begin at a token that was counted."""
        longest = min(self._most or LONGEST_WINDOW, LONGEST_WINDOW)
        windows = [list(self._windows(self._tokens(text, plain=True), longest)) for text in texts]
        scores = iter(self._scores([window for some in windows for window in some], progress))
        return [sum(next(scores)[0] for _ in some) for some in windows]

    def continued(
        self, asked: Sequence[tuple[str, Continuation]], seed: int, progress: ProgressReport | None = None
    ) -> list[str]:
        """What each text is gone on with, without special tokens.

        Args:
            seed: with the text's place in the list it decides what is drawn, where something is.

        Raises:
            UsageError: for more tokens than the model has room for, and as above.
        """
        beginnings = self._beginnings(asked)
        rows = [Row(tokens, self._edits, how.most) for tokens, (_, how) in zip(beginnings, asked, strict=True)]
        found: dict[int, str] = {}

        def heard(row: int, response: Tokens, ended: str | None) -> bool:
            if ended is None and len(response) % LOOK_EVERY:
                return False
            text = self._text(response)
            stops = [place for stop in asked[row][1].stops if stop and (place := text.find(stop)) >= 0]
            if ended is None and not stops:
                return False
            found[row] = text[: min(stops, default=len(text))]
            if progress:
                progress(len(found), len(rows))
            return True

        # Rows that are drawn alike share batches.
        for sampling in dict.fromkeys(how.sampling for _, how in asked):
            places = [place for place, (_, how) in enumerate(asked) if how.sampling == sampling]
            choose = drawing(sampling, [seed + place for place in places]) if sampling.temperature else None

            def heard_of(row: int, response: Tokens, ended: str | None, places: list[int] = places) -> bool:
                return heard(places[row], response, ended)

            for _ in decode_rows(self._model, [rows[place] for place in places], heard_of, choose):
                self._work.checkpoint()
        return [found[row] for row in range(len(rows))]

    # Text and tokens

    def _tokens(self, text: str, plain: bool = False) -> Tokens:
        """Tokens of a text; `plain`: without the one that texts begin with in any case."""
        tokens: Tokens = self._model.tokenizer(text, add_special_tokens=False)["input_ids"]
        if not (plain or self._chat or (self._bos and text.startswith(self._bos))):
            tokens = self._begin + tokens
        if problem := beyond(tokens, self._vocabulary, self._model.tokenizer):
            raise UsageError(problem)
        return tokens

    def _text(self, tokens: Tokens) -> str:
        text = self._model.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text if isinstance(text, str) else "".join(text)

    def _pair(self, context: str, following: str) -> _Span:
        # A blank before a word belongs to the word's token.
        before = context.rstrip()
        following = context[len(before) :] + following
        if not following:
            return _Span([], 0)
        if not before:
            tokens = self._tokens(following, plain=True)
            return self._after_start(tokens)
        # Together, so that the tokens are those of the text as it is read.
        tokens = self._tokens(before + following)
        scored = max(1, len(tokens) - len(self._tokens(before)))
        return _Span(tokens, scored) if scored < len(tokens) else self._after_start(tokens)

    def _after_start(self, tokens: Tokens) -> _Span:
        """All tokens of a text that nothing stands before."""
        if tokens[:1] == [self._start]:
            return _Span(tokens, len(tokens) - 1)
        return _Span([self._start, *tokens], len(tokens))

    def _windows(self, tokens: Tokens, longest: int) -> Iterator[_Span]:
        whole = [self._start, *tokens]
        counted_already = 0
        while counted_already < len(tokens):
            end = min(counted_already + longest, len(tokens))
            # As many tokens are read as can be: the last window has more before it.
            yield _Span(whole[max(0, end - longest) : end + 1], end - counted_already)
            counted_already = end

    def _beginnings(self, asked: Sequence[tuple[str, Continuation]]) -> list[Tokens]:
        """Tokens of the texts that are gone on with, so many at most that there is room for the answer."""
        whole = [self._tokens(text) or [self._start] for text, _ in asked]
        if self._most is None:
            return whole
        if (longest := max((how.most for _, how in asked), default=0)) >= self._most:
            raise UsageError(f"an answer of {longest:,} tokens is asked for, and the model was made for {self._most:,}")
        short = [tokens[how.most - self._most :] for tokens, (_, how) in zip(whole, asked, strict=True)]
        self._tell_cut(sum(len(one) < len(other) for one, other in zip(short, whole, strict=True)))
        return short

    # Scores

    def _scores(self, spans: Sequence[_Span], progress: ProgressReport | None) -> list[tuple[float, bool]]:
        """The log-probability of what is asked for of each span, and whether it is the greedy choice. What is read for
        several of them (one question, answers of a token each) is read once."""
        spans = self._shortened(spans)
        found: list[tuple[float, bool]] = [(0.0, True)] * len(spans)
        asked: dict[tuple[int, ...], list[int]] = {}
        for place, span in enumerate(spans):
            if span.scored:
                asked.setdefault(tuple(span.tokens[:-1]), []).append(place)
        rows = sorted(([*tokens] for tokens in asked), key=lambda row: -len(row))
        model, done, size = self._model, 0, self._model.batch_size

        def score(chunk: Sequence[Tokens], batch: Batch) -> None:
            each = [asked[tuple(chunk[row])] for row in batch.rows]
            last = max(spans[place].scored for places in each for place in places)
            logits = model.logits(batch.ids, batch.mask, batch.positions, None, last=last)
            for line, places in enumerate(each):
                for place in places:
                    found[place] = self._score(logits[line], spans[place], place)

        try:
            while rows:
                self._work.checkpoint()
                most = max(spans[place].scored for row in rows[: model.batch_size] for place in asked[tuple(row)])
                count = min(model.batch_size, rows_that_fit(model, most))
                chunk, rows = rows[:count], rows[count:]
                with attached(model.anatomy.writers, self._edits):
                    model.in_batches(chunk, partial(score, chunk))
                done += len(chunk)
                if progress:
                    progress(done, len(asked))
        finally:
            # Where these take too much memory, the trials of a search need not.
            model.batch_size = size
        return found

    def _shortened(self, spans: Sequence[_Span]) -> list[_Span]:
        """Spans of no more tokens than the model was made for: of longer ones the beginning is left out."""
        if self._most is None:
            return [*spans]
        # The last token is not read.
        short = [span.tokens[-(self._most + 1) :] for span in spans]
        self._tell_cut(sum(len(tokens) < len(span.tokens) for tokens, span in zip(short, spans, strict=True)))
        return [
            _Span(tokens, min(span.scored, len(tokens) - 1)) if tokens else span
            for tokens, span in zip(short, spans, strict=True)
        ]

    def _tell_cut(self, texts: int) -> None:
        if texts:
            self._work.note(
                f"{counted(texts, 'text')} with more than the {self._most:,} tokens that the model was made for: the "
                "beginning is left out",
                "warning",
            )

    def _score(self, logits: Tensor, span: _Span, place: int) -> tuple[float, bool]:
        """From raw logits (positions, vocabulary) that end where the span does."""
        own, targets = logits[-span.scored :], span.tokens[-span.scored :]
        try:
            nats = nats_of(own, targets)
        except NotFiniteError:
            raise NotFiniteError([place]) from None
        return -nats, most_likely(own).tolist() == targets
