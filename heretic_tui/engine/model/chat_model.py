"""A chat model in memory: its template, its tokens, its batches and its forward pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache

from heretic_tui.engine.anatomy.few_bits import numbers
from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.anatomy.writers import Anatomy, embedding_matrix, text_config
from heretic_tui.engine.inputs.chat_template import ChatTemplate, Turns
from heretic_tui.engine.inputs.positions import stored_positions
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.tokens import Tokens, WholeText, beyond
from heretic_tui.engine.memory import halving
from heretic_tui.engine.model.in_turn import InTurn
from heretic_tui.engine.threads import ThreadWatch
from heretic_tui.errors import UsageError
from heretic_tui.events import ModelLoaded
from heretic_tui.words import counted
from heretic_tui.work import ProgressReport, Work


@dataclass(frozen=True)
class Batch:
    """Left-padded rows. `rows` are the positions of the rows in the caller's list.

    Shapes: ids, mask, positions (rows, longest), all int64 on the model's device.
    """

    rows: list[int]
    ids: Tensor
    mask: Tensor
    positions: Tensor


class ChatModel:
    """A loaded model with its tokenizer. One edit at most is attached to it at any time.

    Attributes:
        network: the transformers model, in eval mode, gradients off.
        template: how a conversation becomes text.
        anatomy: decoder layers and writers.
        positions: how many tokens a text can have at most; None where there is no end to them.
        batch_size: rows in one forward pass; halved for good when memory runs out.
        work: what is told and obeyed between batches and tokens.
        response_prefix: text that every response is made to begin with.
        padding_safe: whether a row answers the same with padding before it as without; where it does not (a recurrent
            or convolutional state takes the padding in), all rows of a batch have one length.
        cache_works: whether rows can be decoded with a cache that transformers makes; see capabilities.py.
        threads: looks between passes at how the CPU computes; None on another device.
        in_turn: how passes follow each other where layers lie on several devices; set by capabilities.py.
    """

    def __init__(
        self,
        network: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        work: Work,
        fine: bool = False,
        post_norms: bool = True,
        anatomy: Anatomy | None = None,
    ) -> None:
        self.network = network.eval()
        self.network.requires_grad_(False)
        self.tokenizer = tokenizer
        self.template = ChatTemplate(tokenizer)
        for note in self.template.notes:
            work.note(note)
        self.anatomy: Anatomy = anatomy or examine(network, fine, post_norms)
        self.batch_size = 1
        self.response_prefix = ""
        self.padding_safe = True
        self.cache_works = True
        self.threads: ThreadWatch | None = None
        # What it was loaded from: the format where that is quantised, and bytes.
        self.stored_as, self.stored_bytes = "", 0
        self.in_turn = InTurn()
        self.work = work
        forward = inspect.signature(network.forward).parameters
        # transformers renamed the argument in 5.x; both names are in use among the versions we accept.
        self._cache_name = "cache" if "cache" in forward else "past_key_values"
        self._takes_positions = "position_ids" in forward
        self._takes_logits_to_keep = "logits_to_keep" in forward
        self.positions = stored_positions(network.config, network)
        self._rows = len(embedding_matrix(network))
        self.end_tokens = self._end_tokens()
        if not any(0 <= end < self._rows for end in self.end_tokens):
            work.note("no token ends a response (eos_token_id): each goes on to its full length", "warning")
        # Padding is masked, so any token will do that the embedding has a row for: one that was added may lack it.
        pads = (tokenizer.pad_token_id, *sorted(self.end_tokens), 0)
        self.pad_token: int = next(pad for pad in pads if pad is not None and 0 <= pad < self._rows)

    @property
    def device(self) -> torch.device:
        return embedding_matrix(self.network).device

    @property
    def dtype(self) -> torch.dtype:
        dtype = self.network.dtype
        assert isinstance(dtype, torch.dtype)
        return dtype

    @property
    def unembedding(self) -> nn.Module:
        """The module that makes logits of the stream."""
        head = self.network.get_output_embeddings()
        assert isinstance(head, nn.Module), "the model has no output embeddings"
        return head

    @property
    def depth(self) -> int:
        """Number of decoder layers."""
        return len(self.anatomy.layers)

    @property
    def hidden_size(self) -> int:
        return int(text_config(self.network).hidden_size)

    def describe(self, quantization: str) -> ModelLoaded:
        parameters = list(self.network.parameters())
        return ModelLoaded(
            architecture=type(self.network).__name__,
            layers=self.depth,
            hidden_size=self.hidden_size,
            parameters=sum(map(numbers, parameters)),
            weight_bytes=sum(p.numel() * p.element_size() for p in parameters),
            dtype=str(self.dtype).removeprefix("torch."),
            device=str(self.device),
            quantization=quantization,
            thinking="enable_thinking" in str(self.tokenizer.chat_template),
            stored_as=self.stored_as,
            stored_bytes=self.stored_bytes,
        )

    # Text to tokens

    def render(self, prompt: Prompt) -> str:
        """The prompt as the model sees it: chat template, generation prompt, response prefix."""
        return self.template.render(prompt.system_prompt, (("user", prompt.text),)) + self.response_prefix

    def encode(self, prompts: Sequence[Prompt]) -> list[Tokens]:
        """Token ids of each rendered prompt. No special tokens are added: the template wrote them all.

        Raises:
            UsageError: when the embedding has no row for one of them.
        """
        return self._encode([self.render(prompt) for prompt in prompts])

    def encode_turns(self, system_prompt: str, turns: Turns, thinking: bool) -> Tokens:
        """Token ids of a conversation, up to where the model's answer begins: with the response prefix, as trials are
        measured, unless the model is to think.

        Raises:
            UsageError: when the template refuses or drops turns, the embedding has no row for a token, or the
                conversation is longer than the model has positions.
        """
        text = self.template.render(system_prompt, turns, thinking)
        if turns[-1][1].strip() not in text:
            raise UsageError("the model's chat template drops or changes the last question after these turns")
        tokens = self._encode([text if thinking else text + self.response_prefix])[0]
        if self.positions is not None and len(tokens) > self.positions:
            raise UsageError(
                f"the conversation has {len(tokens):,} tokens, and the model has {self.positions:,} positions: begin "
                "another one"
            )
        return tokens

    def _encode(self, texts: list[str]) -> list[Tokens]:
        encoded: list[Tokens] = self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        for tokens in encoded:
            if problem := beyond(tokens, self._rows, self.tokenizer):
                raise UsageError(problem)
        return encoded

    def decode(self, tokens: Tokens) -> str:
        """Text with special tokens visible: thinking blocks are marked by them in some models."""
        text = self.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text if isinstance(text, str) else "".join(text)

    def _end_tokens(self) -> frozenset[int]:
        ends: set[int] = set()
        generation = getattr(self.network, "generation_config", None)
        for value in (getattr(generation, "eos_token_id", None), self.tokenizer.eos_token_id):
            ends.update(value if isinstance(value, list) else [] if value is None else [value])
        return frozenset(ends)

    # Batches

    def batch(self, rows: list[int], tokens: Sequence[Tokens]) -> Batch:
        longest = max(len(tokens[row]) for row in rows)
        ids = torch.full((len(rows), longest), self.pad_token, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for line, row in enumerate(rows):
            length = len(tokens[row])
            ids[line, longest - length :] = torch.tensor(tokens[row])
            mask[line, longest - length :] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        return Batch(rows, ids.to(self.device), mask.to(self.device), positions.to(self.device))

    def in_batches(
        self,
        tokens: Sequence[Tokens],
        each: Callable[[Batch], None],
        progress: ProgressReport | None = None,
    ) -> None:
        """Call `each` on batches that cover all rows, longest first, so that memory runs out early or not at all.

        When memory runs out the batch size is halved, for good, and the same rows are done again.

        Raises:
            torch.OutOfMemoryError: when a single row is too much.
            Aborted: from the control, between batches.
        """
        order = sorted(range(len(tokens)), key=lambda row: -len(tokens[row]))

        def attempt(rows: list[int], count: int) -> int:
            self.work.checkpoint()
            with torch.inference_mode():
                each(self.batch(rows[:count], tokens))
            return count

        done = 0
        while done < len(order):
            rows = order[done : done + self.batch_size]
            if not self.padding_safe:
                rows = [row for row in rows if len(tokens[row]) == len(tokens[rows[0]])]
            done += halving(len(rows), partial(attempt, rows), self.shrink, self.work.spare)
            if progress:
                progress(done, len(order))

    def shrink(self, rows: int) -> int:
        """Make the batch size half of so many rows, with which memory ran out. Returns it."""
        self.batch_size = max(1, rows // 2)
        self.work.note(f"out of memory at {rows} rows: batch size is now {self.batch_size}", "warning")
        return self.batch_size

    def fewer_at_once(self) -> bool:
        """Have half as many passes under way, since memory ran out. Returns whether there were several."""
        if self.in_turn.window == 1:
            return False
        self.in_turn.window //= 2
        left = counted(self.in_turn.window, "batch", "batches")
        self.work.note(f"out of memory: {left} under way at once from now on", "warning")
        return True

    # Forward pass

    def new_cache(self) -> DynamicCache | WholeText:
        return DynamicCache(config=self.network.config) if self.cache_works else WholeText()

    def next_token_logits(
        self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Cache | WholeText | None
    ) -> Tensor:
        """Raw float32 logits of the token after the last, shape (rows, vocabulary)."""
        if isinstance(cache, WholeText):
            ids, positions = cache.grown(ids, positions)
            cache = None
        return self.logits(ids, mask, positions, cache, last=1)[:, -1]

    def as_attention_mask(self, visible: Tensor) -> Tensor:
        """What is visible, bool (rows, 1, tokens, columns), as the model's attention takes it."""
        if self.network.config._attn_implementation == "sdpa":
            return visible
        return torch.zeros_like(visible, dtype=self.dtype).masked_fill(~visible, torch.finfo(self.dtype).min)

    def logits(self, ids: Tensor, mask: Tensor | None, positions: Tensor, cache: Cache | None, last: int = 0) -> Tensor:
        """Raw float32 logits, shape (rows, positions, vocabulary).

        Args:
            last: only so many last positions' are needed; a model that can leaves the others out. 0: all are.
        """
        if self.threads:
            self.threads.look()
        options: dict[str, object] = {}
        if cache is not None:
            options[self._cache_name] = cache
        if self._takes_positions:
            options["position_ids"] = positions
        if last and self._takes_logits_to_keep:
            options["logits_to_keep"] = last
        out = self.network(input_ids=ids, attention_mask=mask, use_cache=cache is not None, **options)
        logits: Tensor = out.logits
        return logits.float()
