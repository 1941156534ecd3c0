"""The progress bars of transformers as progress events: while it loads and writes weights, it calls
nothing else of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from transformers.utils.logging import set_tqdm_hook

from heretic_tui.work import Work

# What transformers calls its bars, and what they are called here.
_STAGES = {"Loading weights": "tensors loaded", "Writing model shards": "shards written"}


class _Bar:
    """Hands on the items that a bar counts; between two of them a pause or an abort takes effect."""

    def __init__(self, stage: str, items: Iterable[object], work: Work) -> None:
        self._stage, self._items, self._work = stage, items, work

    def __iter__(self) -> Iterator[object]:
        items = list(self._items)
        report = self._work.progress(self._stage)
        for done, item in enumerate(items):
            self._work.checkpoint()
            report(done, len(items))
            yield item
        self._work.checkpoint()
        report(len(items), len(items))


@contextmanager
def bars_as_progress(work: Work) -> Iterator[None]:
    """Within the block the bars of loading and saving are events.

    Raises:
        Aborted: from the control, between two tensors or shards.
    """

    def hook(factory: Callable[..., object], args: tuple[Iterable[object], ...], options: dict[str, object]) -> object:
        stage = _STAGES.get(str(options.get("desc")))
        return _Bar(stage, args[0], work) if stage and args else factory(*args, **options)

    before = set_tqdm_hook(hook)
    try:
        yield
    finally:
        set_tqdm_hook(before)
