"""What is known of a run before it starts: of each setting whether it can be used, and what the run will take.

It grows while a thread looks: every step of `survey` gives all that is known so far."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from heretic_tui.errors import UsageError
from heretic_tui.machine import Looker as MachineLooker
from heretic_tui.machine import disk_free
from heretic_tui.run.earlier import EarlierTimes, earlier_times
from heretic_tui.run.plan import (
    DiskPlan,
    Load,
    MemoryPlan,
    Needs,
    TimePlan,
    WorkersPlan,
    disk_plan,
    gpus_needed,
    memory_plan,
    time_as_before,
    time_by_speed,
    workers_plan,
)
from heretic_tui.run.speeds import Speed, recall_speed, speed_about
from heretic_tui.settings.model_names import folder_of
from heretic_tui.settings.own_markers import markers_problem
from heretic_tui.settings.packages import lacking_for_quantization
from heretic_tui.settings.prompt_sets import KEPT_SET, PromptSet
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.titles import title_of, with_titles
from heretic_tui.settings.workers import worker_count
from heretic_tui.tui.findings import (
    Finding,
    cached_data,
    methods_finding,
    model_finding,
    named_model,
    path_of,
    place_findings,
    search_findings,
    set_finding,
    workers_finding,
)
from heretic_tui.tui.model_files import (
    Device,
    ModelFacts,
    missing_model,
    model_facts,
    place_of_weights,
)
from heretic_tui.tui.plan_looks import ModelLook, SetLook, SetsLook, TextLook
from heretic_tui.tui.preview import SETS, Looker
from heretic_tui.words import bits_of, counted, plain, size_words

# Of the setting `device_map`, ways to spread the layers over all GPUs.
_SPREAD = ("auto", "balanced", "balanced_low_0")
# Bytes of the GPU that is spoken of where this machine has none.
A_GPU = 80 * 10**9
# Tokens of a prompt in its template, and of the longest of a set, where the set was not read.
A_PROMPT, A_LONG_PROMPT = 64, 128


@dataclass(frozen=True)
class Outlook:
    """All that is known so far.

    Attributes:
        findings: by the key of a setting.
        facts: of the model, read at once; `model` is known when its files were looked at.
        longest, tokens: tokens of the longest prompt, and of all, of each set that was looked at.
        kept_prompts: how many prompts each set of prompts to keep has that was looked at.
        notes: what one should know, a sentence each.
        download: what has to come from the Hub, in words.
        free_disk: bytes where the run will lie; None where that cannot be told.
        times: what the latest run of the model took here.
        speed: what a probe of the model found here.
        complete: whether nothing is being looked at any more.
    """

    settings: Settings
    findings: Mapping[str, Finding] = field(default_factory=dict)
    facts: ModelFacts | None = None
    model: ModelLook | None = None
    sets: SetsLook = field(default_factory=SetsLook)
    longest: Mapping[str, int] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)
    kept_prompts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    download: tuple[str, ...] = ()
    device: Device | None = None
    free_disk: int | None = None
    times: EarlierTimes | None = None
    speed: Speed | None = None
    complete: bool = False

    def __post_init__(self) -> None:
        said = {key: replace(each, reason=with_titles(each.reason)) for key, each in self.findings.items()}
        object.__setattr__(self, "findings", said)
        object.__setattr__(self, "notes", tuple(map(with_titles, self.notes)))

    def finding(self, key: str) -> Finding | None:
        return self.findings.get(key)

    def with_refused(self, refused: Mapping[str, str]) -> Outlook:
        """The same, with what was typed for a setting and could not be taken beside its value."""
        more = {
            key: replace(self.finding(key) or Finding("unknown"), note=f"not {plain(text)[:20]}")
            for key, text in refused.items()
        }
        return replace(self, findings={**self.findings, **more}) if more else self

    @property
    def counts(self) -> Mapping[str, int]:
        """Prompts of each set: as many as are left of it, or as its slice says where it was not read."""
        return {name: self._kept.get(name, _sliced(self.settings, name)) for name in SETS}

    @property
    def kept_sets(self) -> Mapping[str, int]:
        """The prompts to keep by the names of their sets, as many as they are, or as a slice says."""
        return {name: self.kept_prompts.get(name, _slice_end(name)) for name in kept_names(self.settings)}

    def _tokens_of_kept(self, name: str) -> int:
        return self.tokens.get(name, A_PROMPT * self.kept_sets[name])

    @property
    def unread(self) -> list[str]:
        """Sets whose prompts are reckoned with as usual ones, since they lie where nobody has read them yet."""
        return [name for name in SETS if name not in self.tokens] if self.complete else []

    @property
    def _kept(self) -> Mapping[str, int]:
        return self.sets.kept or {}

    @property
    def load(self) -> Load:
        """What is to be computed; sets that were not read are reckoned with usual prompts."""
        counts = self.counts
        assumed = {name: A_PROMPT * counts[name] for name in self.unread}
        tokens = {**dict.fromkeys(SETS, 0), **assumed, **self.tokens}
        longest = [A_LONG_PROMPT] if assumed else []
        good, bad = "good_evaluation_prompts", "bad_evaluation_prompts"
        return Load(
            rows=self.settings.batch_size or self.settings.max_batch_size,
            batches=self._cards,
            longest=max([*self.longest.values(), *longest], default=0),
            response=self.settings.max_response_length,
            evaluation=tokens[good] + tokens[bad],
            harmful=tokens[bad],
            # Prompts to keep are read as those are that directions are made from.
            training=tokens["good_prompts"] + tokens["bad_prompts"] + sum(map(self._tokens_of_kept, self.kept_sets)),
            prompts=counts[good] + counts[bad],
            decoded=counts[bad],
            tried=sum(min(counts[name], self.settings.layer_test_prompts) for name in (good, bad))
            * len(self.settings.direction_method),
        )

    @property
    def workers(self) -> WorkersPlan:
        """Those that are reckoned with here; none before the devices are known, or where these are too few."""
        gpus = self.device.gpus if self.device else 0
        try:
            count = worker_count(self.settings, gpus)
        except UsageError:
            count = 0
        return workers_plan(count, self.settings.worker_gpus, gpus)

    @property
    def _cards(self) -> int:
        """Over how many GPUs the layers of one model are spread."""
        if self.device is None or self.settings.device_map not in _SPREAD:
            return 1
        return max(1, int(self.settings.worker_gpus) if self.workers.count else self.device.gpus)

    @property
    def row_bytes(self) -> int:
        """What a row of the largest batch takes of the cache; 0 where that is not known."""
        needs, load = self.model.needs if self.model else None, self.load
        return (load.longest + load.response) * needs.token if needs and needs.token else 0

    @property
    def memory(self) -> MemoryPlan | None:
        """What lies in memory; None before the model and the device are known."""
        needs = self.model.needs if self.model else None
        return self._memory(needs, needs.weights) if needs else None

    def _memory(self, needs: Needs, weights: int) -> MemoryPlan | None:
        if self.device is None:
            return None
        workers = self.workers
        return memory_plan(needs, self.load, round(workers.share * self.device.free), weights, workers.count or 1)

    @property
    def fits_in_bits(self) -> int | None:
        """The most bits, fewer than those of the setting, in which the model fits; None where there are none."""
        needs = self.model.needs if self.model else None
        if needs is None:
            return None
        fewer = (bits for bits in needs.by_bits if bits < bits_of(self.settings.quantization))
        plans = {bits: self._memory(needs, needs.by_bits[bits]) for bits in fewer}
        return max((bits for bits, plan in plans.items() if plan and (plan.fits or plan.fits_smaller)), default=None)

    @property
    def gpus(self) -> Mapping[int, int] | None:
        """How many GPUs of this machine, or of `A_GPU` bytes where it has none, the model takes in so many bits."""
        needs = self.model.needs if self.model else None
        return gpus_needed(needs, self.load, self.gpu_bytes) if needs else None

    @property
    def gpu_bytes(self) -> int:
        return self.device.each or A_GPU if self.device else A_GPU

    @property
    def disk(self) -> DiskPlan | None:
        """What a run and an export take; None before the model is known."""
        needs = self.model.needs if self.model else None
        if needs is None or self.model is None:
            return None
        return disk_plan(needs, {**self.counts, **self.kept_sets}, self.settings.keep_residuals, self.model.stored)

    @property
    def time(self) -> TimePlan | None:
        """By an earlier run of the model, or a probe; None where neither tells."""
        trials, workers = self.settings.n_trials, self.workers
        if self.times:
            return time_as_before(self.times, trials, workers, self.device.gpus if self.device else 0)
        if self.speed is None or self.model is None:
            return None
        return time_by_speed(self.speed, self.load, self.model.stored, self.settings.batch_size, trials, workers)

    @property
    def to_fix(self) -> list[str]:
        """Keys of the settings that no run can start with."""
        return [key for key, finding in self.findings.items() if finding.state == "bad"]


def survey(settings: Settings, looker: Looker, machine: MachineLooker) -> Iterator[Outlook]:
    """Look at everything, what takes least first."""
    findings: dict[str, Finding] = {
        key: Finding("looking") for key in ("model", *SETS) if key != "model" or settings.model
    }
    known = Outlook(settings, findings)
    known = replace(known, facts=model_facts(settings.model), findings={**findings, **place_findings(settings)})
    known = _with(known, "workers", workers_finding(settings, None))
    known = _with(known, "model", named_model(settings))
    if lacking := lacking_for_quantization(settings):
        known = _with(known, "quantization", Finding("bad", "cannot be used", lacking))
    looks = {name: looker.prompt_set(settings, name) for name in SETS}
    for name, look in looks.items():
        known = _with(known, name, set_finding(settings, name, look))
    sets = looker.sets(settings)
    known = _with_sets(known, sets, looks)
    for name in kept_names(settings):
        known = _with_kept(known, name, looker.prompt_set(settings, name))
    known = replace(known, download=_downloads(settings, looks))
    yield known
    runs, sample = path_of(settings.runs_dir), machine.look()
    times = earlier_times(runs, _names_of(settings.model))
    known = replace(known, device=place_of_weights(sample), free_disk=disk_free(runs), times=times)
    known = replace(known, speed=_speed(settings, [gpu.name for gpu in sample.gpus]))
    known = _with(known, "workers", workers_finding(settings, known.device))
    yield known
    if settings.model and folder_of(settings.model, settings.model_commit) is not None:
        model = looker.model(settings)
        if model is not None:
            known = replace(known, model=model, notes=(*known.notes, *model.notes))
            known = _with(known, "model", model_finding(settings, model))
            if not model.whole and not model.problem:
                known = replace(known, download=(f"weights of {size_words(model.stored)}", *known.download))
            yield known
            if model.problem is None:
                for name in SETS:
                    known = _with_text(known, name, looker.text(settings, name))
                for name in kept_names(settings):
                    if text := looker.text(settings, name):
                        known = _with_kept_text(known, name, text)
    known = _with(known, "direction_method", methods_finding(settings))
    if problem := markers_problem(settings):
        known = _with(known, "refusal_markers", Finding("bad", "", problem))
    for key, finding in search_findings(settings).items():
        known = _with(known, key, finding)
    yield replace(known, complete=True)


def _with(known: Outlook, key: str, finding: Finding | None) -> Outlook:
    return known if finding is None else replace(known, findings={**known.findings, key: finding})


def _names_of(model: str) -> frozenset[str]:
    folder = folder_of(model)
    return frozenset({model, *([str(folder.resolve())] if folder else [])})


def _speed(settings: Settings, gpus: Sequence[str]) -> Speed | None:
    """What a probe found before; None where there was none."""
    folder = folder_of(settings.model, settings.model_commit)
    about = speed_about(folder, settings.dtypes[0], gpus) if folder else None
    return recall_speed(about) if about else None


def _sliced(settings: Settings, name: str) -> int:
    """The prompts that a set has by the slice that was set; 0 where it says nothing."""
    spec: PromptSet = getattr(settings, name)
    return _slice_end(spec.split or "")


def _slice_end(text: str) -> int:
    found = re.search(r"\[:(\d+)\]$", text)
    return int(found[1]) if found else 0


# Prompt sets


def _with_sets(known: Outlook, sets: SetsLook, looks: Mapping[str, SetLook]) -> Outlook:
    known = replace(known, sets=sets, notes=(*(n for look in looks.values() for n in look.notes), *sets.notes))
    if sets.problem:
        name, reason = sets.problem
        known = _with(known, name, Finding("bad", "", reason.removeprefix(f"{name}: ")))
    for name, count in (sets.kept or {}).items():
        gone = [(sets.in_evaluation or {}).get(name, 0), "in eval"], [(sets.twice or {}).get(name, 0), "twice"]
        words = [f"{number:,} {what}" for number, what in gone if number]
        left = " left out" if words and "evaluation" not in name else ""
        known = _with(known, name, Finding("good", ", ".join([f"{count:,}", *words]) + left))
    return known


def _with_text(known: Outlook, name: str, look: TextLook | None) -> Outlook:
    finding = known.finding(name)
    if look is None or finding is None or finding.state != "good":
        return known
    if look.problem:
        return _with(known, name, replace(finding, state="bad", reason=look.problem.removeprefix(f"{name}, ")))
    return _with_tokens(known, name, look)


def kept_names(settings: Settings) -> list[str]:
    """What the sets of prompts to keep are called among the others."""
    return [KEPT_SET + text for text in settings.keep_prompts]


def _with_kept(known: Outlook, name: str, look: SetLook) -> Outlook:
    """A set of prompts to keep by itself."""
    before = known.finding("keep_prompts")
    if look.problem:
        # It begins with the set's name, and has that of the file behind it.
        reason = look.problem.removeprefix(f"{name}: ").removeprefix("keep_prompts: ")
        return _with(known, "keep_prompts", Finding("bad", "", reason))
    if look.prompts is None:
        return known
    counts = {**known.kept_prompts, name: look.prompts}
    known = replace(known, kept_prompts=counts)
    if before and before.state == "bad":
        return known
    return _with(known, "keep_prompts", Finding("good", f"{sum(counts.values()):,}"))


def _with_kept_text(known: Outlook, name: str, look: TextLook) -> Outlook:
    if name not in known.kept_prompts:
        # What is wrong with it has been said.
        return known
    if look.problem:
        return _with(known, "keep_prompts", Finding("bad", "", look.problem.removeprefix(f"{name}, ")))
    return _with_tokens(known, name, look)


def _with_tokens(known: Outlook, name: str, look: TextLook) -> Outlook:
    """What the tokenizer made of a set."""
    return replace(
        known,
        longest={**known.longest, name: look.longest},
        tokens={**known.tokens, name: look.tokens},
        notes=tuple(dict.fromkeys((*known.notes, *look.notes))),
    )


def _downloads(settings: Settings, looks: Mapping[str, SetLook]) -> tuple[str, ...]:
    """What has to come from the Hub at the start."""
    found = []
    if settings.model and missing_model(settings.model) is None:
        folder = folder_of(settings.model, settings.model_commit)
        if folder is None:
            found.append("the model")
    unread = [name for name, look in looks.items() if look.prompts is None and not look.problem]
    lacking = {dataset for name in unread if not cached_data(dataset := getattr(settings, name).dataset)}
    if lacking:
        found.append(counted(len(lacking), "data set"))
    return tuple(found)


def to_fix_words(outlook: Outlook) -> str:
    """`1 thing to fix before starting: harmful prompts (eval)`."""
    keys = outlook.to_fix
    if not keys:
        return ""
    names = ", ".join(title_of(key) for key in keys)
    return f"{counted(len(keys), 'thing')} to fix before starting: {names}"
