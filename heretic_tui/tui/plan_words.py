"""The plan of a run in words, as Setup and the command `plan` have it: memory, GPUs, disk, time."""

from __future__ import annotations

from typing import cast

from heretic_tui.records import as_json
from heretic_tui.tui.outlook import A_PROMPT, Outlook
from heretic_tui.words import counted, duration, plain, quantity, size_words

NOT_KNOWN = "not known"
# Columns of the names before the words.
NAMES = 9


def memory_words(outlook: Outlook) -> tuple[str, bool | None]:
    """What lies in memory, and whether it fits; None where that is not known."""
    plan, device, workers, load = outlook.memory, outlook.device, outlook.workers, outlook.load
    free = ""
    if device:
        theirs = " on their GPUs" if workers.share < 1 else ""
        free = f"{size_words(plan.free if plan else device.free)} free{theirs}"
        free += f" ({device.name}, {size_words(device.total)} in all)"
    if plan is None:
        return (f"{NOT_KNOWN}; {free}" if free else NOT_KNOWN), None
    rows = counted(load.rows, "row")
    if load.batches > 1:
        rows = f"{load.batches} batches of {rows}"
    parts = f"each of {counted(workers.count, 'worker')}: " if workers.count > 1 else ""
    parts += (
        f"{size_words(plan.weights)} weights + {size_words(plan.edits)} edits + {size_words(plan.kept)} kept states"
    )
    parts += f" + {size_words(plan.cache)} cache ({rows})" if plan.cache else ", without the cache"
    fits = plan.fits or plan.fits_smaller
    if plan.fits:
        verdict = "fits"
    elif fits:
        verdict = f"fits with batches of up to {counted(plan.rows or 0, 'row')}"
    elif bits := outlook.fits_in_bits:
        verdict = f"does not fit, in {bits} bits it does"
    else:
        verdict = "does not fit"
    assumed = f"\n(prompts that were not read are reckoned with {A_PROMPT} tokens each)" if outlook.unread else ""
    return f"{parts}\nneeds {size_words(plan.whole)} of {free}: {verdict}{assumed}", fits


def workers_words(outlook: Outlook) -> str:
    """What is reckoned with of workers; empty where none are asked for."""
    settings, workers, device = outlook.settings, outlook.workers, outlook.device
    if settings.workers == "0":
        return ""
    if device is None:
        return NOT_KNOWN
    alone = "memory and time are those of one process"
    if not workers.count:
        if settings.ray_address:
            return f"as many as the cluster has GPUs, which is not known; {alone}"
        return (
            f"there are too few GPUs for them; {alone}" if device.gpus else f"there is no GPU to start one on; {alone}"
        )
    if device.gpus:
        each = f"a model on {settings.worker_gpus:g} GPU{'' if settings.worker_gpus <= 1 else 's'}"
        pace = f"{workers.pace:g} times as fast as one process" if workers.pace > 1 else "as fast as one process"
    else:
        each, pace = "a model, and a share of the processors", "as fast together as one process"
    where = ", and as if all were on this machine" if settings.ray_address else ""
    return f"{workers.count}, each with {each}: reckoned {pace}{where}"


def gpus_words(outlook: Outlook) -> str:
    """How many GPUs the model takes in 16, 8 and 4 bits."""
    found = outlook.gpus
    if found is None:
        return NOT_KNOWN
    numbers = ", ".join(f"{number} in {bits} bits" for bits, number in found.items())
    own = outlook.device is not None and outlook.device.each > 0
    return f"{numbers} (of {size_words(outlook.gpu_bytes)}{' each, as here' if own else ' each'})"


def disk_words(outlook: Outlook, timed: bool = True) -> str:
    """What a run and an export take, and what is free.

    Args:
        timed: whether what depends on the machine is said.
    """
    free = "free space is not known"
    if timed and outlook.free_disk is not None:
        free = f"{size_words(outlook.free_disk)} free"
    plan = outlook.disk
    if plan is None:
        return free
    kept = "" if outlook.settings.keep_residuals else " (residuals are not kept)"
    return f"run {size_words(plan.run)}{kept}, a merged export {size_words(plan.export)}; {free}"


def time_words(outlook: Outlook, way: str) -> str:
    """How long it takes, by an earlier run of the model or a probe.

    Args:
        way: how it is found out where it is not known.
    """
    plan, trials = outlook.time, outlook.settings.n_trials
    if plan is None:
        return f"not known before the first trial; {way} in some 20 s"
    about, up_to = ("at most", "up to ") if plan.at_most else ("about", "")
    parts = (
        f"first trial after {duration(plan.first)}, then {counted(trials, 'trial')} of {up_to}{duration(plan.trial)}"
    )
    parts += f" + layers {duration(plan.analysis)}" if plan.analysis else ""
    return f"{about} {duration(plan.whole)}: {parts}\n({_basis(outlook)})"


def _basis(outlook: Outlook) -> str:
    """What the time rests on."""
    if times := outlook.times:
        now, then = outlook.settings.screening, times.screening
        other = (
            "" if now == then else f", with screening {then}: with {now} it takes {'more' if now == 'off' else 'less'}"
        )
        if {now, then} == {"safe", "fast"}:
            other = f", with screening {then}"
        if times.workers != outlook.workers.count:
            other = f", with {counted(times.workers, 'worker')}" if times.workers else ", with one process"
            other += f", screening {then}" if now != then else ""
        return f"as {times.run} took, {counted(times.trials, 'trial')}{other}"
    speed = outlook.speed
    assert speed is not None
    own = "" if speed.own == speed.layers else f", weights of {speed.own} of them"
    own += ", not quantized" if outlook.settings.quantization != "none" else ""
    loading = "" if speed.loading else "; without what a download takes"
    return (
        f"by a probe of {duration(speed.seconds)} in {speed.dtype} on {speed.device}, all {speed.layers} layers{own}; "
        f"trials that are screened or cut short take less{loading}"
    )


def model_words(outlook: Outlook) -> str:
    """What the model is."""
    found, facts, finding = outlook.model, outlook.facts, outlook.finding("model")
    if finding and finding.state == "bad" and outlook.settings.model:
        return finding.note or "cannot be used"
    if found and not found.problem:
        layers = f"{counted(found.layers, 'layer')} of {found.hidden:,}"
        return f"{found.architecture}, {layers}, {quantity(found.parameters)} parameters"
    if facts is None:
        return "known when it is downloaded" if outlook.settings.model else "not chosen"
    layers = f", {counted(facts.layers, 'layer')} of {facts.hidden_size}" if facts.layers else ""
    return f"{facts.architecture}{layers}, {size_words(facts.weight_bytes)}, {facts.dtype or 'dtype not given'}"


def download_words(outlook: Outlook) -> str:
    """What has to come from the Hub; empty where nothing has."""
    return f"to download at start: {', '.join(outlook.download)}" if outlook.download else ""


def plan_lines(outlook: Outlook) -> list[str]:
    """The whole plan as lines for people."""
    found = outlook.model
    matrices = f"{found.edited} of {found.found} matrices" if found and not found.problem else NOT_KNOWN
    texts = {
        "model": model_words(outlook),
        "edits": matrices,
        "workers": workers_words(outlook),
        "memory": memory_words(outlook)[0],
        "GPUs": gpus_words(outlook),
        "disk": disk_words(outlook),
        "time": time_words(outlook, "heretic-tui plan --probe measures it"),
        "network": download_words(outlook) or "nothing to download",
    }
    lines = [
        f"{'' if at else name:{NAMES}}{line}"
        for name, text in texts.items()
        if text
        for at, line in enumerate(text.split("\n"))
    ]
    return [plain(line) for line in (*lines, *(f"{'note':{NAMES}}{note}" for note in outlook.notes))]


def plan_json(outlook: Outlook) -> dict[str, object]:
    """The plan for programs, in bytes and seconds; null is what is not known."""
    device, plan = outlook.device, outlook.memory
    return {
        "model": outlook.settings.model,
        "parameters": outlook.model.parameters if outlook.model else None,
        "device": as_json(device),
        "memory": {**cast(dict[str, object], as_json(plan)), "whole": plan.whole, "fits": plan.fits} if plan else None,
        "workers": as_json(outlook.workers),
        "gpus": {"bytes": outlook.gpu_bytes, **{f"in_{b}_bits": n for b, n in (outlook.gpus or {}).items()}},
        "disk": {**cast(dict[str, object], as_json(outlook.disk or {})), "free": outlook.free_disk},
        "time": as_json(outlook.time),
        "earlier_run": outlook.times.run if outlook.times else None,
        "probe": as_json(outlook.speed),
        "unread_prompts": outlook.unread,
        "download": list(outlook.download),
        "to_fix": outlook.to_fix,
        "notes": list(outlook.notes),
    }
