"""What every response begins with, so that the first response position is where answers begin to differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.positions import check_positions
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.reading import FIRST_READ, Reader
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import greedy
from heretic_tui.engine.session.phases.phase import RunInputs, phase
from heretic_tui.events import ResponsePrefixFound
from heretic_tui.work import ProgressReport, Work

# Tokens of the responses that are looked at, where the first are the same, before all are.
_FIRST_LOOK = 16
# Share of the responses that may be empty or different without hiding what the others have in common.
_STRAYS = 0.02


@dataclass(frozen=True)
class PreparedPrompts:
    """The prompts as the model sees them, once it is known what its responses begin with.

    Attributes:
        tokens: by the name of their set.
        reader: of the sets that directions are made from, some of whose prompts have been read; None where none has
            been.
    """

    tokens: Mapping[str, Sequence[Tokens]]
    reader: Reader | None


def set_response_prefix(run: RunInputs, model: ChatModel, work: Work) -> PreparedPrompts:
    """Give the model the response prefix that was set, or found earlier in this run, or that is found now.

    Raises:
        HereticError: where the model is not the run's own, and the folder does not hold the prefix.
        UsageError: where the longest prompt leaves no room for a response.
        Aborted: from the control, between tokens.
    """
    given, reader = run.settings.response_prefix, None
    known = run.record.response_prefix if given is None else given
    if known is not None:
        model.response_prefix = known
        work.tell(ResponsePrefixFound(prefix=known, source="detected" if given is None else "given"))
    else:
        run.require("response prefix")
        with phase("response prefix", work), run.naming(("good_prompts", FIRST_READ), ("bad_prompts", FIRST_READ)):
            sets = {name: run.sets[name] for name in ("good_prompts", "bad_prompts")}
            skips, longest = run.settings.chain_of_thought_skips, run.settings.max_response_length
            quantile = run.settings.winsorization_quantile
            found, reader = detect_response_prefix(model, sets, skips, longest, quantile, work)
            work.tell(found)
            run.folder.save_record(replace(run.record, response_prefix=found.prefix))
    tokens = {name: model.encode(prompts) for name, prompts in run.sets.items()}
    _check_positions(run, model, tokens)
    return PreparedPrompts(tokens, reader)


def _check_positions(run: RunInputs, model: ChatModel, tokens: Mapping[str, Sequence[Tokens]]) -> None:
    """Once more, now that the response prefix is known."""
    network = model.network
    longest = max((len(each) for found in tokens.values() for each in found), default=0)
    what = "the longest prompt, with the response prefix,"
    # What it would warn of was told before the model was loaded.
    check_positions(network.config, lambda: network, what, longest, run.settings.max_response_length)


def detect_response_prefix(
    model: ChatModel,
    sets: Mapping[str, Sequence[Prompt]],
    skips: Sequence[tuple[str, str]],
    longest: int,
    quantile: float,
    work: Work,
) -> tuple[ResponsePrefixFound, Reader | None]:
    """Find the common beginning of the responses to the first prompts of some sets, and leave it set on the model.

    A thinking opener, in the responses or at the end of the chat template, is closed with its matching block (`skips`
    holds pairs of opener and closed block), and the detection runs once more behind it.

    Returns:
        What was found, and what has read the first prompts as they are with it; None where nothing has.
    """
    prompts = [prompt for some in sets.values() for prompt in some[:FIRST_READ]]
    reader: Reader | None = None
    progress = work.progress("response prefix")
    model.response_prefix = ""
    source = "detected"
    if closed := _closing(model.render(prompts[0]), skips):
        model.response_prefix, source = closed, "chat template"
    for _ in range(2):
        reader = Reader(model, {name: model.encode(some) for name, some in sets.items()}, quantile)
        common = _common_text(model, reader, longest, progress, work)
        block = next((closed for opener, closed in skips if common.lstrip().startswith(opener)), None)
        if more := common if block is None else block:
            model.response_prefix += more
            reader = None
        if block is None:
            break
    return ResponsePrefixFound(prefix=model.response_prefix, source=source), reader


def _closing(rendered: str, skips: Sequence[tuple[str, str]]) -> str:
    """What closes the thinking block that a rendered prompt ends in; empty where it ends in none."""
    for opener, closed in skips:
        if rendered.rstrip().endswith(opener):
            return closed.removeprefix(opener)
    return ""


def _common_text(
    model: ChatModel,
    reader: Reader,
    longest: int,
    progress: ProgressReport,
    work: Work,
) -> str:
    firsts = _first_tokens(model, reader, progress)
    if not common_prefix(firsts):
        return ""
    tokens = [row for rows in reader.sets.values() for row in rows[:FIRST_READ]]
    for length in (min(_FIRST_LOOK, longest), longest):
        common = common_prefix(greedy(model, tokens, length, progress))
        if len(common) < length:
            break
    else:
        work.note("all responses are the same: no response prefix is used", "warning")
        return ""
    # A prefix that ended in a space or inside a character would be tokenised otherwise than the model wrote it.
    while common and ((text := model.decode(common)) != text.rstrip() or text.endswith("\ufffd")):
        common = common[:-1]
    return model.decode(common) if common else ""


def _first_tokens(model: ChatModel, reader: Reader, progress: ProgressReport) -> list[Tokens]:
    """The beginning of the responses: a token each, none where it ends the response."""
    firsts: list[Tokens] = []
    total = sum(min(FIRST_READ, len(rows)) for rows in reader.sets.values())
    for name, rows in reader.sets.items():
        before = len(firsts)

        def tell(done: int, _: int, before: int = before) -> None:
            progress(before + done, total)

        try:
            found = reader.following(name, range(min(FIRST_READ, len(rows))), tell)
        except NotFiniteError as error:
            raise NotFiniteError([before + row for row in error.rows], error.what) from None
        firsts += [[] if token in model.end_tokens else [token] for token in found]
    return firsts


def common_prefix(responses: Sequence[Tokens]) -> Tokens:
    """Longest token sequence that all but a few strays (one, or two per cent) begin with."""
    needed = len(responses) - max(1, int(_STRAYS * len(responses)))
    prefix: Tokens = []
    agreeing = list(responses)
    while True:
        following = Counter(r[len(prefix)] for r in agreeing if len(r) > len(prefix))
        if not following:
            return prefix
        token, votes = following.most_common(1)[0]
        if votes < max(needed, 2):
            return prefix
        agreeing = [r for r in agreeing if len(r) > len(prefix) and r[len(prefix)] == token]
        prefix.append(token)
