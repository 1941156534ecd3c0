"""Pictures of both prompt sets, layer by layer: a PNG for each, and a GIF that moves from one to the next."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from heretic_tui.engine.analysis.projections import pacmap_plane, plane_along, principal_components, turned
from heretic_tui.engine.analysis.record import leading_of_run, save_views
from heretic_tui.engine.directions.medians import geometric_median
from heretic_tui.engine.directions.residual_store import ResidualStore, open_residuals
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.run.folder import RunFolder
from heretic_tui.work import Work

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.collections import PathCollection
    from numpy.typing import NDArray

    # 8-bit colours, (height, width, 3).
    Picture: TypeAlias = NDArray[np.uint8]

_NAMES = {"pacmap": "PaCMAP", "pca": "principal components"}
# Blue and orange that colour-blind people tell apart, and marks that differ.
_LOOKS = {"good": ("#0072b2", "o"), "bad": ("#d55e00", "^")}
_PIXELS = (800, 640)
_DPI = 100
# Frames of the GIF between two layers and on each, and milliseconds a frame.
_BETWEEN, _STILL, _FRAME = 7, 5, 80
# The GIF's side, as a share of the picture's: hundreds of frames are kept in memory until it is written.
_SHRINK = 0.75


def check_extra(method: str) -> None:
    """Raises:
    UsageError: when a package that the plots need is missing, with what to install.
    """
    needed = ["matplotlib", "imageio", *(["pacmap", "sklearn"] if method == "pacmap" else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"plots need {', '.join(missing)}: pip install 'heretic-tui[research]'")


def plot_run(
    folder: RunFolder,
    method: str,
    layers: Sequence[int] | None,
    title: str,
    out: Path,
    animate: bool,
    work: Work,
) -> list[Path]:
    """Draw a run's prompts, and keep where they lie for the screen. `layers` None: all, and the embedding output.

    Args:
        method: pacmap, pca, or one of the run's direction methods.

    Raises:
        UsageError: for missing packages, a run without residuals or directions, or layers that are not there.
        Aborted: from the control.
    """
    check_extra(method)
    store = open_residuals(folder)
    if layers is not None and (beyond := [layer for layer in layers if layer >= store.depth]):
        raise UsageError(f"there is no layer {beyond[0]}: the model has layers 0 to {store.depth - 1}")
    seed = folder.read_record().seed or 0
    directions = None
    if method not in _NAMES:
        found = leading_of_run(folder)
        if found is None:
            raise UsageError(f"run {folder.name} has no directions yet: the same `heretic-tui run` command finds them")
        directions = found[method]
    views = views_of(store, method, seed, work, directions)
    good = store.count("good_prompts")
    try:
        save_views(folder, method, views, good)
    except HereticError as error:
        work.note(f"the screen will not show this view: {error}", "warning")
    indices = range(store.depth + 1) if layers is None else [layer + 1 for layer in layers]
    return write_plots(views, good, indices, title, method, out, animate, work)


def views_of(store: ResidualStore, method: str, seed: int, work: Work, directions: Tensor | None = None) -> Tensor:
    """Where every prompt lies, (layers + 1, prompts, 2) with the good ones first; each layer turned so that the sets'
    medians lie left and right, and PaCMAP started from the layer before.

    Args:
        directions: of the direction method that it is drawn by, (layers + 1, hidden): from left to right.

    Raises:
        Aborted: from the control, between layers.
    """
    views: list[Tensor] = []
    start: Tensor | None = None
    progress = work.progress(_name(method))
    for index in range(store.depth + 1):
        work.checkpoint()
        good = store.layer("good_prompts", index)
        points = torch.cat([good, store.layer("bad_prompts", index)])
        before = views[-1] if views else None
        if directions is not None:
            start = plane_along(points, directions[index], before)
        else:
            plane = principal_components(points, 2) if method == "pca" else pacmap_plane(points, start, seed)
            start = turned(plane, len(good), before)
        views.append(start)
        progress(index + 1, store.depth + 1)
    return torch.stack(views)


def write_plots(
    views: Tensor,
    good: int,
    layers: Sequence[int],
    title: str,
    method: str,
    out: Path,
    animate: bool,
    work: Work,
) -> list[Path]:
    """Write layer-NN.png for the residual indices given, and layers.gif through all of them.

    Args:
        views: (layers + 1, prompts, 2); `good` of the prompts are good ones, and come first.

    Returns:
        The files.

    Raises:
        UsageError: when the folder cannot be written to.
        Aborted: from the control, between pictures; those that are written stay.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror}") from error
    canvas = _Canvas(good, views.shape[1] - good, title, method)
    progress = work.progress("pictures")
    planes = {index: scaled(views[index], good) for index in layers}
    files = []
    for done, index in enumerate(layers, 1):
        work.checkpoint()
        path = out / (f"layer-{index - 1:02}.png" if index else "embedding.png")
        canvas.draw(planes[index], _label(index))
        canvas.save(path)
        files.append(path)
        progress(done, len(layers))
    if animate and len(layers) > 1:
        path = out / "layers.gif"
        frames = []
        told = work.progress("frames of the animation")
        total = len(layers) * _STILL + (len(layers) - 1) * _BETWEEN
        for plane, index in steps(planes):
            work.checkpoint()
            canvas.draw(plane, _label(index))
            frames.append(canvas.frame())
            told(len(frames), total)
        _write_gif(path, frames)
        files.append(path)
    return files


def scaled(plane: Tensor, good: int) -> Tensor:
    """Within -1 and 1, both axes by the same factor, with the sets' geometric medians as two more rows at the end."""
    medians = [geometric_median(plane[:good]), geometric_median(plane[good:])]
    return torch.cat([plane, torch.stack(medians)]) / plane.abs().max().clamp(min=1e-12)


def steps(planes: Mapping[int, Tensor]) -> Iterator[tuple[Tensor, int]]:
    """The planes of the animation with the index to write on each: still on each layer, in small steps between
    them."""
    layers = list(planes)
    for here, there in zip(layers, [*layers[1:], None], strict=True):
        for _ in range(_STILL):
            yield planes[here], here
        if there is not None:
            for step in range(1, _BETWEEN + 1):
                share = step / (_BETWEEN + 1)
                eased = share * share * (3 - 2 * share)
                yield torch.lerp(planes[here], planes[there], eased), here if share < 0.5 else there


def _name(method: str) -> str:
    return _NAMES.get(method) or f"along the directions of {method}"


def _label(index: int) -> str:
    return f"layer {index - 1}" if index else "embedding"


class _Canvas:
    """One figure, whose points move."""

    def __init__(self, good: int, bad: int, title: str, method: str) -> None:
        # Not pyplot: it keeps every figure in memory for a window.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._good = good
        figure = Figure(figsize=(_PIXELS[0] / _DPI, _PIXELS[1] / _DPI), dpi=_DPI, layout="constrained")
        self._canvas = FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.set_xlim(-1.08, 1.08)
        axes.set_ylim(-1.08, 1.08)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color("#bbbbbb")
        # matplotlib takes dollar signs for mathematics, and a model's name can be any text.
        self._heading = axes.set_title("", loc="left", fontsize=15, fontweight="bold", parse_math=False)
        axes.set_title(f"{title}, {_name(method)}", loc="right", fontsize=10, color="#555555", parse_math=False)
        size = max(6.0, min(36.0, 9000 / (good + bad)))
        self._points: dict[str, PathCollection] = {}
        self._medians: dict[str, PathCollection] = {}
        for name, count in (("good", good), ("bad", bad)):
            colour, mark = _LOOKS[name]
            label = f"{name} prompts ({count})"
            self._points[name] = axes.scatter(
                [], [], s=size, c=colour, marker=mark, alpha=0.65, linewidths=0, label=label
            )
        for name in ("good", "bad"):
            colour, mark = _LOOKS[name]
            self._medians[name] = axes.scatter(
                [], [], s=150, c=colour, marker=mark, edgecolors="black", linewidths=1.5, label=f"{name}, median"
            )
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)

    def draw(self, plane: Tensor, label: str) -> None:
        self._heading.set_text(label)
        rows = plane.numpy()
        self._points["good"].set_offsets(rows[: self._good])
        self._points["bad"].set_offsets(rows[self._good : -2])
        self._medians["good"].set_offsets(rows[-2:-1])
        self._medians["bad"].set_offsets(rows[-1:])
        self._canvas.draw()

    def save(self, path: Path) -> None:
        try:
            self._canvas.figure.savefig(path)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def frame(self) -> Picture:
        """The picture as 8-bit colours, (height, width, 3), smaller than the PNG."""
        import numpy as np
        from PIL import Image

        picture = Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")
        return np.asarray(picture.resize((round(picture.width * _SHRINK), round(picture.height * _SHRINK))))


def _write_gif(path: Path, frames: list[Picture]) -> None:
    import imageio.v3

    # Few colours: two sets on white, and their blends.
    imageio.v3.imwrite(path, frames, extension=".gif", duration=_FRAME, loop=0, palettesize=32)
