"""The folder of an export: whole or absent, with what the source has, and nothing from outside it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.export.folder import whole_or_absent
from heretic_tui.engine.session.export import export_trial
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.events import Event, ExportStep
from heretic_tui.files import replaced
from heretic_tui.run.folder import find_runs
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work
from tests.support import tiny_models
from tests.support.commands import mounted
from tests.support.exports import Heretic, searched


@pytest.mark.parametrize("name", ["preprocessor_config.json", "generation_config.json", "chat_template.jinja"])
def test_a_link_out_of_the_models_folder_is_not_followed_into_an_export(
    heretic: Heretic, tmp_path: Path, sets: list[str], name: str
) -> None:
    model = tiny_models.save(tmp_path / "model")
    secret = tmp_path / "secret"
    secret.write_bytes((model / name).read_bytes() if (model / name).is_file() else b'{"token": "mine"}')
    (model / name).unlink(missing_ok=True)
    (model / name).symlink_to(secret)
    done = heretic("run", model, *sets, "--n-trials", "2", "--seed", "5")
    assert done.status == 0
    assert f"no trial can be exported as it stands: {model / name} is a link" in done.out
    done = heretic("export", "model", "--trial", "0", tmp_path / "out")
    assert done.status == 2
    assert f"{model / name} is a link to {secret}" in done.err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()
    (model / name).unlink()
    secret.rename(model / name)
    assert heretic("export", "model", "--trial", "0", tmp_path / "out").status == 0


def test_links_of_the_hub_cache_and_to_weights_are_followed(heretic: Heretic, tmp_path: Path, sets: list[str]) -> None:
    cache = tmp_path / "models--me--model"
    model = tiny_models.save(cache / "snapshots" / "0123")
    (cache / "blobs").mkdir()
    for path in list(model.iterdir()):
        elsewhere = tmp_path if path.suffix == ".safetensors" else cache / "blobs"
        path.rename(elsewhere / f"blob-{path.name}")
        path.symlink_to(elsewhere / f"blob-{path.name}")
    searched(heretic, model, sets)
    assert heretic("export", "0123", "--trial", "0", tmp_path / "out").status == 0
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())


def test_two_exports_to_one_folder_never_take_each_others_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with whole_or_absent(out) as first:
        (first / "mine").write_text("first")
        os.utime(first, (0, 0))
        second = whole_or_absent(out)
        (second.__enter__() / "mine").write_text("second")
        assert first.is_dir(), "what another is writing is no leftover"
        out.mkdir()
        with pytest.raises(UsageError, match="something else was written there"):
            second.__exit__(None, None, None)
        out.rmdir()
    assert (out / "mine").read_text() == "first"
    left = tmp_path / ".other.killed.part"
    left.mkdir()
    os.utime(left, (0, 0))
    with whole_or_absent(tmp_path / "other"):
        assert not left.exists(), "what a killed process left"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]
    assert out.stat().st_mode & 0o777 == (tmp_path / "other").stat().st_mode & 0o777 == 0o777 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("library", ["safetensors", "torch"])
def test_a_full_disk_is_a_line_whichever_library_writes(tmp_path: Path, library: str) -> None:
    def write(to: Path) -> None:
        large = {"x": torch.zeros(100_000)}
        to = to / "file" if to.is_dir() else to
        save_file(large, to) if library == "safetensors" else torch.save(large, to)

    def written(context: AbstractContextManager[Path]) -> None:
        with context as to:
            write(to)

    with mounted(tmp_path / "small", "size=64k") as disk:
        for context in (replaced(disk / "file"), whole_or_absent(disk / "out")):
            with pytest.raises(HereticError, match=r"cannot write .*: (no space left|the file could not)"):
                written(context)
        assert list(disk.iterdir()) == []


def test_weights_without_their_card_never_have_the_name_of_an_export(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    (run,) = find_runs(tmp_path / "runs")
    out, control = tmp_path / "exports" / "out", Control()

    def hear(event: Event) -> None:
        if isinstance(event, ExportStep) and event.step == "describe":
            (beside,) = out.parent.iterdir()
            assert (beside / "model.safetensors").is_file()
            assert beside != out
            control.abort()

    with pytest.raises(Aborted):
        export_trial(run, 1, out, "merged", False, {}, load_settings(model=str(tiny_folder)), Work(hear, control))
    assert list(out.parent.iterdir()) == []
