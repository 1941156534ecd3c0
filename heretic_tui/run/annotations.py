"""annotations.jsonl: what people say of a run: marked trials, tags, notes, and verdicts that they overrule; one JSON
object a line, appended by any process of the user, read by any. The last word on a thing counts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, TypeVar

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import append, parse_json, trim_torn_line
from heretic_tui.records import read
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.lock import BusyError, alone

# What a person gives of a response: it declines, it answers, or it is no usable text.
Ruling: TypeAlias = Literal["refused", "answered", "broken"]
RULINGS: tuple[Ruling, ...] = ("refused", "answered", "broken")


def counts_refused(ruling: str | None, counts_broken: bool) -> bool:
    """Whether a response on which this was said counts as refused.

    Args:
        counts_broken: whether one that is called broken does.
    """
    return ruling == "refused" or (ruling == "broken" and counts_broken)


K = TypeVar("K")
V = TypeVar("V")

LONGEST_NOTE, LONGEST_TAG, MOST_TAGS = 4000, 24, 12
_TAG = re.compile(r"[^\W_][\w.+-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LARGEST_TRIAL = 2**31
# No line of ours is longer; one that is holds something else.
_LONGEST_LINE = 1 << 16
# Bytes that are read at a look: hours of typing fill a thousandth of it.
_AT_ONCE = 1 << 24


def digest(text: str) -> str:
    """By what a prompt or a response is known: SHA-256 in hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A trial is marked, or no longer."""

    type: ClassVar[str] = "mark"
    trial: int
    on: bool

    def problem(self) -> str | None:
        return _trial_problem(self.trial)


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A trial has a tag, one lower-case word, or no longer."""

    type: ClassVar[str] = "tag"
    trial: int
    tag: str
    on: bool

    def problem(self) -> str | None:
        return _trial_problem(self.trial) or tag_problem(self.tag)


@dataclass(frozen=True, kw_only=True)
class Note:
    """The note on a trial, in place of the one before; empty where there is to be none."""

    type: ClassVar[str] = "note"
    trial: int
    note: str

    def problem(self) -> str | None:
        return _trial_problem(self.trial) or note_problem(self.note)


@dataclass(frozen=True, kw_only=True)
class Overruling:
    """A person's verdict on a response, wherever it was given to this prompt; None takes it back.

    Attributes:
        prompt, text: digests of the prompt, and of the response as far as the person saw it.
    """

    type: ClassVar[str] = "verdict"
    prompt: str
    text: str
    verdict: Ruling | None

    def problem(self) -> str | None:
        known = _DIGEST.fullmatch(self.prompt) and _DIGEST.fullmatch(self.text)
        return None if known else "a digest is 64 hexadecimal digits"


Word: TypeAlias = Mark | Tag | Note | Overruling
_KINDS: dict[str, type[Mark] | type[Tag] | type[Note] | type[Overruling]] = {
    kind.type: kind for kind in (Mark, Tag, Note, Overruling)
}


def tag_problem(tag: str) -> str | None:
    """Why a word cannot be a tag; None where it can."""
    if len(tag) <= LONGEST_TAG and tag == tag.lower() and _TAG.fullmatch(tag):
        return None
    return f"a tag is one word of at most {LONGEST_TAG} lower-case letters, digits, - _ . and +"


def note_problem(note: str) -> str | None:
    """Why a text cannot be a note; None where it can."""
    return None if len(note) <= LONGEST_NOTE else f"a note has at most {LONGEST_NOTE:,} characters"


def _trial_problem(trial: int) -> str | None:
    return None if 0 <= trial <= _LARGEST_TRIAL else f"there is no trial {trial}"


class Annotations:
    """What people say of the trials of one run, as far as it was read: call `refresh` to see what others wrote since.

    Args:
        folder: the run's; None while there is none, and nothing can be said.

    Attributes:
        path: the file; None where there is no folder.
        problems: what of the file could not be read, a sentence each, for whoever shows it to take.
        changes: grows with every change, so that others can tell whether they have seen the latest.
    """

    def __init__(self, folder: RunFolder | None = None) -> None:
        self.path = folder.annotations if folder else None
        self.problems: list[str] = []
        self.changes = 0
        self._seen: tuple[int, ...] | None = None
        self._told = False
        self._forget()

    def _forget(self) -> None:
        self._offset = self._line = 0
        self._marks: dict[int, None] = {}
        self._tags: dict[int, list[str]] = {}
        self._notes: dict[int, str] = {}
        self._verdicts: dict[str, dict[str, Ruling]] = {}

    # What was said

    @property
    def marks(self) -> list[int]:
        """Numbers of the marked trials, the one that was marked last at the end."""
        return list(self._marks)

    def marked(self, trial: int) -> bool:
        return trial in self._marks

    def tags(self, trial: int) -> tuple[str, ...]:
        """In the order in which they were given."""
        return tuple(self._tags.get(trial, ()))

    def note(self, trial: int) -> str:
        """The note, of several lines perhaps; empty where there is none."""
        return self._notes.get(trial, "")

    def first_line(self, trial: int) -> str:
        """The first line of the note that is not empty."""
        return next((line.strip() for line in self.note(trial).splitlines() if line.strip()), "")

    @property
    def trials(self) -> list[int]:
        """Numbers of the trials that something is said of."""
        return sorted({*self._marks, *self._tags, *self._notes})

    @property
    def overruled(self) -> int:
        """How many responses people gave a verdict on."""
        return sum(len(given) for given in self._verdicts.values())

    @property
    def all_tags(self) -> list[str]:
        return sorted({tag for tags in self._tags.values() for tag in tags})

    @property
    def verdicts(self) -> Mapping[str, Mapping[str, Ruling]]:
        """The verdicts that people gave, by the digest of the prompt, then that of the response."""
        return self._verdicts

    def verdict(self, prompt: str, *texts: str) -> Ruling | None:
        """The verdict that a person gave on a response; None where the judge's stands.

        Args:
            texts: digests of the response: decoded to its end first, then as it was measured.
        """
        given = self._verdicts.get(prompt)
        return next((given[text] for text in texts if text in given), None) if given else None

    def present(self, word: Word) -> Word:
        """What is said now of the thing that a word is about: to say it again undoes the word."""
        match word:
            case Mark():
                return Mark(trial=word.trial, on=self.marked(word.trial))
            case Tag():
                return Tag(trial=word.trial, tag=word.tag, on=word.tag in self.tags(word.trial))
            case Note():
                return Note(trial=word.trial, note=self.note(word.trial))
            case Overruling():
                verdict = self.verdict(word.prompt, word.text)
                return Overruling(prompt=word.prompt, text=word.text, verdict=verdict)

    # Saying something

    def say(self, *words: Word) -> None:
        """Write words to the file, and take them in.

        Raises:
            UsageError: for a word that cannot be, or a trial with too many tags.
            HereticError: when the file cannot be written to; nothing is said then.
        """
        if self.path is None:
            raise UsageError("no run is open: there is nothing to make a note of")
        for word in words:
            if problem := word.problem() or self._too_many(word):
                raise UsageError(problem)
        lines = "".join(_line(word) for word in words).encode("utf-8", errors="replace")
        try:
            # A link could lead anywhere, and opening a FIFO would wait for its reader.
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
            file = os.open(self.path, flags, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise UsageError(f"{self.path} is no regular file: move it away")
                with alone(file):
                    trim_torn_line(self.path)
                    append(file, lines)
            finally:
                os.close(file)
        except BusyError:
            raise HereticError(f"cannot write {self.path}: another process is writing to it; try again") from None
        except OSError as error:
            raise HereticError(f"cannot write {self.path}: {error.strerror or error}") from error
        self.refresh()

    def _too_many(self, word: Word) -> str | None:
        if not isinstance(word, Tag) or not word.on or word.tag in self.tags(word.trial):
            return None
        return f"a trial has at most {MOST_TAGS} tags" if len(self.tags(word.trial)) >= MOST_TAGS else None

    # Reading

    def refresh(self) -> bool:
        """Take in what was written since the last look; whether anything changed. While nothing was, this asks for no
        more than the file's size and time."""
        if self.path is None:
            return False
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError:
            # Not there yet, or taken away: nothing is said then.
            return self._replaced(None)
        seen = (found.st_ino, found.st_size, found.st_mtime_ns)
        if seen == self._seen:
            return False
        grown = self._seen is not None and found.st_ino == self._seen[0] and found.st_size > self._seen[1]
        changed = False if grown else self._replaced(seen)
        self._seen = seen
        return self._read() or changed

    def _replaced(self, seen: tuple[int, ...] | None) -> bool:
        """Another file lies there than the one that was read, or none."""
        known = bool(self._marks or self._tags or self._notes or self._verdicts)
        self._seen = seen
        self._forget()
        self.changes += known
        return known

    def _read(self) -> bool:
        assert self.path is not None
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise OSError("it is no regular file")
                data = os.pread(file, _AT_ONCE, self._offset)
            finally:
                os.close(file)
        except OSError as error:
            self._tell(f"cannot read {self.path}: {error.strerror or error}")
            return False
        if len(data) == _AT_ONCE:
            self._tell(f"{self.path} is too long: what it says at its end is left out")
        damaged: list[tuple[int, str]] = []
        changed = False
        # After the last newline comes nothing, or a partial line.
        for line in data.split(b"\n")[:-1]:
            self._offset += len(line) + 1
            self._line += 1
            try:
                word = _word(line)
            except (UsageError, ValueError) as error:
                damaged.append((self._line, str(error)))
            else:
                changed |= word is not None and self._take(word)
        self.changes += changed
        if damaged:
            number, reason = damaged[0]
            more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
            self._tell(f"{self.path} is damaged at line {number}{more} ({reason}): what it said there is left out")
        return changed

    def _tell(self, problem: str) -> None:
        """Once: the file is read again whenever it grows."""
        if not self._told:
            self.problems.append(problem)
            self._told = True

    def _take(self, word: Word) -> bool:
        """Whether it changes anything."""
        if self.present(word) == word:
            return False
        match word:
            case Mark():
                _keep(self._marks, word.trial, None, word.on)
            case Tag():
                others = [tag for tag in self.tags(word.trial) if tag != word.tag]
                tags = ([*others, word.tag] if word.on else others)[:MOST_TAGS]
                _keep(self._tags, word.trial, tags, bool(tags))
            case Note():
                _keep(self._notes, word.trial, word.note, bool(word.note))
            case Overruling():
                given = dict(self._verdicts.get(word.prompt, {}))
                if word.verdict is None:
                    given.pop(word.text, None)
                else:
                    given[word.text] = word.verdict
                _keep(self._verdicts, word.prompt, given, bool(given))
        return True


def read_annotations(folder: RunFolder) -> Annotations:
    """What people say of the trials of a run, as its folder has it now."""
    annotations = Annotations(folder)
    annotations.refresh()
    return annotations


def _keep(held: dict[K, V], key: K, value: V, there: bool) -> None:
    """The value of a key as its last one, or none."""
    held.pop(key, None)
    if there:
        held[key] = value


def _line(word: Word) -> str:
    said = {"time": round(time.time(), 3), "type": word.type, **vars(word)}
    return json.dumps(said, ensure_ascii=False) + "\n"


def _word(line: bytes) -> Word | None:
    """What a line says; None for a kind of word that this version does not know.

    Raises:
        UsageError, ValueError: for a line that is damaged.
    """
    if len(line) > _LONGEST_LINE:
        raise UsageError("it is too long")
    record = parse_json(line, "it")
    if not isinstance(record, dict) or not isinstance(record.get("type"), str):
        raise UsageError("it is no object with a 'type'")
    kind = _KINDS.get(record["type"])
    if kind is None:
        return None
    word: Word = read(kind, record)
    if problem := word.problem():
        raise UsageError(problem)
    return word
