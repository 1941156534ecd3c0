"""Export: how and where a trial is written, the card that goes with it, progress, and the figures measured."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Checkbox, Input, Label, Select, Static

from heretic_tui.commands import Export
from heretic_tui.errors import UsageError
from heretic_tui.events import ExportFinished, ExportStarted
from heretic_tui.figures import in_tables
from heretic_tui.files import user_path
from heretic_tui.records import Misfit, read
from heretic_tui.report.model_card import card_text
from heretic_tui.run.exports import ExportFigures, ExportRecord, MeasuredFigures, TrialFigures
from heretic_tui.settings.older import as_now
from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.messages import CancelCommand, SendCommand
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.words import duration, plain, size_words

_KINDS = (
    ("merged: a whole model", "merged"),
    ("adapter: LoRA", "adapter"),
    ("adapter: DoRA (exact for edits that keep row lengths)", "dora"),
)


class ExportScreen(Dialog[None]):
    """Stays open while the export runs; closing it leaves the export running."""

    SCOPE = "export"
    BINDINGS = [
        Binding("escape", "close", "Close"),
        # Before the line to type in, which cuts with this key.
        Binding("ctrl+x", "cancel_export", "Cancel export", priority=True),
        Binding("ctrl+s", "start", "Start"),
    ]

    def __init__(self, trial: int) -> None:
        super().__init__()
        self._trial = trial
        # What was asked for and has not ended.
        self._asked: Export | None = None
        # The last thing told of an export when this one was asked for: not of this one.
        self._before: ExportStarted | ExportFinished | None = None

    def body(self) -> ComposeResult:
        with Vertical(classes="dialog large"):
            yield Label(f"Export trial {self._trial}", classes="dialog-title", markup=False)
            yield Select(_KINDS, value="merged", allow_blank=False, id="kind", compact=True)
            with Horizontal(classes="field"):
                yield Label("folder", markup=False)
                yield QuietInput(str(self._folder("merged")), id="out", compact=True)
            with Horizontal(classes="field"):
                yield Label("Hub", markup=False)
                yield QuietInput("", placeholder="OWNER/NAME to upload to; empty: folder only", id="hub", compact=True)
            with Horizontal(classes="field", id="hub-more"):
                yield Checkbox("private", True, id="private", compact=True)
                yield QuietInput("", placeholder=_token_words(), password=True, id="token", compact=True)
            yield Static("", markup=False, id="export-facts")
            with Horizontal(classes="buttons"):
                yield Button("Start  ctrl+s", id="start", variant="primary", compact=True)
                yield Button("Close  esc", id="close", compact=True)
            with VerticalScroll(id="card"):
                yield Static("", markup=False, id="card-text")

    def on_mount(self) -> None:
        self.query_one("#out").focus()
        self._paint_facts()
        self.query_one("#card-text", Static).update(safe_lines(card_text(self._record("merged"))))

    def _folder(self, kind: str) -> Path:
        assert self.view.folder is not None
        return self.view.folder.path / "exports" / f"trial-{self._trial}-{kind}"

    def _record(self, kind: str) -> ExportRecord:
        """What the card is made from, as far as it is known before the export."""
        state = self.view.state
        trial = state.trials[self._trial]
        assert state.opened is not None
        found = state.coverage
        coverage = f"{found.editable} of {found.found} matrices that write to the residual stream" if found else ""
        commit = state.opened.settings.get("model_commit")
        return ExportRecord(
            model=state.opened.model,
            model_commit=str(commit) if commit else None,
            settings=as_now(state.opened.settings, "the journal"),
            identity={},
            batch_size=1,
            response_prefix="",
            kind="merged" if kind == "merged" else "adapter",
            dora=False,
            parameters=trial.parameters.to_json() if trial.parameters else {},
            coverage=coverage,
            figures=state.figures,
            base=MeasuredFigures(figures=state.base.figures if state.base else {}, prompts=trial.prompts),
            trial=TrialFigures(number=trial.number, figures=trial.figures, prompts=trial.prompts),
            files={},
            not_measured="they will be, when they are written",
        )

    def _typed(self) -> Path:
        """The folder that was typed.

        Raises:
            UsageError: when there can be no such folder.
        """
        return user_path(self.query_one("#out", Input).value.strip())

    @property
    def _kind(self) -> str:
        return str(self.query_one("#kind", Select).value)

    def _needed(self) -> int:
        model = self.view.state.model
        if model is None:
            return 0
        # 4-bit models are written in 16 bits.
        whole = model.weight_bytes if model.quantization == "none" else model.parameters * 2
        return whole if self._kind == "merged" else whole // 200

    def _no_engine(self) -> str:
        words = self.view.no_engine
        if self.view.alive or self.view.folder is None:
            return words
        return f"{words}\nOr from a shell: heretic-tui export {self.view.folder.name} --trial {self._trial} FOLDER"

    def _paint_facts(self, problem: str = "") -> None:
        if self._asked:
            return
        needed = self._needed()
        text = Text(f"needs about {size_words(needed)}")
        try:
            out = self._typed()
            there = next((p for p in (out, *out.absolute().parents) if os.path.exists(p)), Path("/"))
            free = shutil.disk_usage(there).free
        except UsageError as error:
            problem = problem or str(error)
        except OSError as error:
            problem = problem or f"nothing is known of that disk: {error.strerror}"
        else:
            text.append(f", {size_words(free)} are free there")
            if os.path.exists(out):
                problem = problem or "that folder exists already: choose another name"
            elif needed > free:
                problem = problem or "there is not enough room on that disk"
        if not self.view.can_ask:
            problem = self._no_engine()
        if problem:
            text.append("\n" + problem, "bold red")
        elif self.view.searching:
            text.append("\nwaits for the end of the running trial; the search goes on afterwards")
        self.query_one("#export-facts", Static).update(text)

    @on(Input.Changed)
    def _changed(self) -> None:
        self._paint_facts()

    @on(Select.Changed, "#kind")
    def _kind_changed(self) -> None:
        box = self.query_one("#out", Input)
        if box.value in {str(self._folder(kind)) for _, kind in _KINDS}:
            box.value = str(self._folder(self._kind))
        self.query_one("#card-text", Static).update(safe_lines(card_text(self._record(self._kind))))
        self._paint_facts()

    @on(Button.Pressed, "#start")
    @on(Input.Submitted)
    def action_start(self) -> None:
        if self._asked:
            return
        if not self.view.can_ask:
            self._paint_facts()
            return
        try:
            out = self._typed()
        except UsageError:
            # The line shows it already, as it was typed.
            self._paint_facts()
            return
        if os.path.exists(out):
            self._paint_facts("choose a folder that does not exist yet")
            return
        kind, hub = self._kind, self.query_one("#hub", Input).value.strip()
        token = self.query_one("#token", Input)
        self._asked = Export(
            trial=self._trial,
            out=str(out),
            kind="merged" if kind == "merged" else "adapter",
            dora=kind == "dora",
            hub=hub or None,
            private=self.query_one("#private", Checkbox).value,
            token=token.value or None,
        )
        self._before = self.view.state.export
        self.ask(SendCommand(self._asked))
        token.value = ""
        self.query_one("#start", Button).disabled = True
        self.ticked()

    def ticked(self) -> None:
        """How far the export is that was asked for here."""
        if not self._asked:
            return
        state, text = self.view.state, Text()
        facts = self.query_one("#export-facts", Static)
        export = state.export
        if export is None or export is self._before:
            text.append("waiting for the end of the running trial\n" if self.view.searching else "waiting\n", "bold")
            text.append("ctrl+x takes it back; esc closes this and lets it wait")
        elif isinstance(export, ExportFinished):
            text = self._result(export)
            self._asked = None
            self.query_one("#start", Button).disabled = False
        elif progress := state.progress:
            left = f", {duration(progress.seconds_left)} left" if progress.seconds_left else ""
            text.append(f"{progress.stage}: {progress.done} of {progress.total}{left}\n", "bold")
            text.append("ctrl+x cancels and leaves nothing behind; esc closes this and lets it go on")
        else:
            text.append("loading")
        facts.update(text)

    def _result(self, export: ExportFinished) -> Text:
        text = Text()
        if export.error:
            text.append(safe_lines(export.error).plain + "\n", "bold red")
        if export.result is None:
            return text
        text.append(f"written: {safe_lines(export.out).plain}\n", "bold")
        if export.url:
            text.append(f"uploaded: {safe_lines(export.url).plain}\n", "bold")
        try:
            found = read(ExportFigures, export.result)
        except Misfit:
            # An older version wrote it.
            return text
        figures = in_tables(found.figures)
        for name, measured in (
            ("base model", found.base),
            ("trial", found.trial),
            ("exported files", found.exported),
        ):
            if measured:
                cells = (figure.text(measured.figures.get(figure.key), measured.prompts) for figure in figures)
                widths = (8 if figure.counted else 0 for figure in figures)
                said = zip((plain(figure.short) for figure in figures), cells, widths, strict=True)
                text.append(f"{name:15} {'   '.join(f'{short} {cell:>{width}}' for short, cell, width in said)}\n")
        if found.not_measured:
            text.append(f"not measured: {safe_lines(found.not_measured).plain}")
        return text

    def action_cancel_export(self) -> None:
        if self._asked:
            self.ask(CancelCommand(self._asked))

    @on(Button.Pressed, "#close")
    def action_close(self) -> None:
        self.dismiss(None)


def _token_words() -> str:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    if os.environ.get("HF_TOKEN"):
        return "token: from HF_TOKEN"
    return "token: from the Hub's own file" if (home / "token").is_file() else "token with write access"
