"""Merged weights made from the source's files: they are those that the model in memory gives, and all else is as it
was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.anatomy.kept import kept_writers
from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.checkpoint.conversion import origins_of
from heretic_tui.engine.checkpoint.shards import read_tensor
from heretic_tui.engine.checkpoint.stored import stored_tensors
from heretic_tui.engine.export.folder import whole_or_absent
from heretic_tui.engine.export.streamed import NotStreamable
from heretic_tui.errors import UsageError
from heretic_tui.events import Event, Progress
from heretic_tui.run.folder import RunFolder
from heretic_tui.work import Work
from tests.support import families, tiny_models
from tests.support.exports import Heretic, record_of, searched
from tests.support.merges import all_layers, directions_for, edit_in_memory, planned, stream, tensors_in, unlike

METHODS = ("subtract", "row_normalised", "norm_preserving")


def saved(kind: str, folder: Path, shard: str = "30KB") -> PreTrainedModel:
    """A model of bfloat16, loaded from the several files that it was saved to."""
    first = families.build(kind).to(torch.bfloat16)
    first.save_pretrained(folder, max_shard_size=shard)
    again: PreTrainedModel = type(first).from_pretrained(folder, dtype=torch.bfloat16)
    again.eval().requires_grad_(False)
    return again


# Plain; tied embeddings and norms behind the writers; transposed matrices; experts that are one tensor each in the
# files; fused ones, transposed; under other names in the files; below a vision tower.
@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2", "qwen3_moe", "gpt_oss", "mixtral", "gemma3"])
@pytest.mark.parametrize("method", METHODS)
def test_it_is_what_the_model_in_memory_gives(kind: str, method: str, tmp_path: Path) -> None:
    source, out, whole = tmp_path / "source", tmp_path / "out", tmp_path / "whole"
    network = saved(kind, source)
    anatomy = examine(network)
    stream(planned(source, network, anatomy, tmp_path / "run", all_layers(anatomy), method), out)
    edit_in_memory(anatomy, all_layers(anatomy), method)
    network.save_pretrained(whole, max_shard_size="30KB")
    before, after, expected = tensors_in(source), tensors_in(out), tensors_in(whole)
    assert after.keys() == before.keys() == expected.keys()
    assert unlike(after, expected) == []
    assert unlike(after, before), "something is edited"
    assert len(list(source.glob("*.safetensors"))) > 1


@pytest.mark.parametrize("kind", ["gemma2", "gpt_oss", "qwen3_moe"])
def test_it_is_so_with_several_directions_of_a_layer(kind: str, tmp_path: Path) -> None:
    source, out, whole = tmp_path / "source", tmp_path / "out", tmp_path / "whole"
    network = saved(kind, source)
    anatomy = examine(network)
    directions, parameters = directions_for(anatomy, 3), all_layers(anatomy)
    stream(planned(source, network, anatomy, tmp_path / "run", parameters, "norm_preserving", directions), out)
    edit_in_memory(anatomy, parameters, "norm_preserving", 3)
    network.save_pretrained(whole, max_shard_size="30KB")
    assert unlike(tensors_in(out), tensors_in(whole)) == []
    assert unlike(tensors_in(out), tensors_in(source))


def test_experts_that_are_a_tensor_each_are_edited_one_by_one(tmp_path: Path) -> None:
    network = saved("qwen3_moe", tmp_path / "source")
    anatomy, tensors = examine(network), stored_tensors(tmp_path / "source")
    names = [writer.name for writer in anatomy.writers if writer.stack is not None]
    for origin in origins_of(network, tensors, names):
        assert origin.stacked
        whole = origin.to_parameters({name: read_tensor(tensors[name]) for name in origin.sources})
        (parameter,) = whole
        for at, one in enumerate(origin.apart()):
            (name,) = one.sources
            (stack,) = one.to_parameters({name: read_tensor(tensors[name])}).values()
            assert all(torch.equal(matrix, whole[parameter][at]) for matrix in stack)
            assert torch.equal(one.to_sources({parameter: stack})[name], read_tensor(tensors[name]))
    fused = saved("gpt_oss", tmp_path / "fused")
    experts = next(writer.name for writer in examine(fused).writers if writer.stack is not None)
    assert not origins_of(fused, stored_tensors(tmp_path / "fused"), [experts])[0].stacked


def test_files_keep_names_headers_and_index_and_what_is_not_edited_its_bytes(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    network = saved("qwen3_moe", source, "9KB")
    # What no class loads is of the files too, and the experts of a layer lie in more than one of them.
    first = min(source.glob("*.safetensors"))
    more = {**load_file(first), "mtp.head": torch.arange(7), "strange.scale": torch.tensor(3.0)}
    save_file(more, first, metadata={"format": "pt", "made": "by hand"})
    experts = {stored.file for name, stored in stored_tensors(source).items() if "0.mlp.experts" in name}
    assert len(experts) > 1
    anatomy = examine(network)
    stream(planned(source, network, anatomy, tmp_path / "run", all_layers(anatomy), "subtract"), out)
    names = [path.name for path in source.iterdir() if path.name.startswith("model")]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    index = "model.safetensors.index.json"
    assert (source / index).read_bytes() == (out / index).read_bytes()
    edited = {name for name in stored_tensors(source) if "down_proj" in name or "o_proj" in name}
    assert set(unlike(tensors_in(source), tensors_in(out))) == edited
    for path in source.glob("*.safetensors"):
        before, after = bytearray(path.read_bytes()), bytearray((out / path.name).read_bytes())
        assert len(before) == len(after)
        for name in edited:
            if (stored := stored_tensors(source)[name]).file == path:
                size = stored.stop - stored.start
                before[stored.start : stored.stop] = after[stored.start : stored.stop] = bytes(size)
        assert before == after


def test_what_cannot_be_streamed_says_why(tmp_path: Path) -> None:
    source = tmp_path / "source"
    network = saved("llama", source, "1GB")
    anatomy = examine(network)
    path = source / "model.safetensors"
    whole = load_file(path)

    def reason(tensors: dict[str, torch.Tensor] | None) -> str:
        path.unlink(missing_ok=True)
        if tensors:
            save_file(tensors, path, metadata={"format": "pt"})
        with pytest.raises(NotStreamable) as caught:
            planned(source, network, anatomy, tmp_path / "run", all_layers(anatomy), "subtract")
        return str(caught.value)

    name = "model.layers.1.mlp.down_proj.weight"
    assert reason({**whole, name: whole[name].to(torch.float8_e4m3fn)}) == f"{name} is stored as F8_E4M3"
    assert reason({**whole, name: whole[name][:, 1:].contiguous()}) == f"{name} has another shape than {name}"
    doubled = {**whole, name.removeprefix("model."): whole[name].clone()}
    assert reason(doubled) == f"{name} is in the weights under several names"
    left = {key: tensor for key, tensor in whole.items() if key != name}
    assert reason(left) == f"{name} is not in the weights under a name that is known"
    assert reason(None) == "the source holds no safetensors files"
    torch.save(whole, source / "pytorch_model.bin")
    assert reason(None) == "the source holds no safetensors files"


def test_an_abort_leaves_nothing_and_progress_is_by_bytes(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    network = saved("llama", source)
    anatomy = examine(network)
    plan = planned(source, network, anatomy, tmp_path / "run", all_layers(anatomy), "subtract")
    told: list[Progress] = []
    control = Control()

    def hear(event: Event) -> None:
        assert isinstance(event, Progress)
        told.append(event)
        if len(told) == 4:
            control.abort()

    with pytest.raises(Aborted), whole_or_absent(out) as beside:
        plan.write(beside, Work(hear, control))
    assert len(told) == 4
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []

    told.clear()
    with whole_or_absent(out) as beside:
        plan.write(beside, Work(told.append))  # type: ignore[arg-type]
    assert plan.size == sum(path.stat().st_size for path in source.glob("*.safetensors"))
    assert (told[0].done, told[-1].done) == (0, plan.size // 10**6)


def test_a_file_that_shrinks_meanwhile_is_told(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    network = saved("llama", source)
    anatomy = examine(network)
    plan = planned(source, network, anatomy, tmp_path / "run", all_layers(anatomy), "subtract")
    last = max(source.glob("*.safetensors"))
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(UsageError, match="has become shorter"), whole_or_absent(out) as beside:
        plan.write(beside, Work())
    assert not out.exists()


def test_what_was_found_of_the_layers_is_kept_and_checked(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", RunFolder(tmp_path / "run")
    network = saved("gemma2", source)
    anatomy = examine(network)
    plan = planned(source, network, anatomy, folder.path, all_layers(anatomy), "subtract")
    assert plan.matrices == len(anatomy.writers)
    kept = kept_writers(folder, network, fine=False)
    assert kept is not None
    for one, other in zip(anatomy.writers, kept.writers, strict=True):
        assert (one.name, one.centred) == (other.name, other.centred)
        assert one.post_norm_gain is not None
        assert other.post_norm_gain is not None
        assert torch.equal(one.post_norm_gain.float(), other.post_norm_gain)
    with pytest.raises(UsageError, match="is of another network"):
        kept_writers(folder, saved("gpt2", tmp_path / "gpt2"), fine=False)
    folder.writers.write_bytes(folder.writers.read_bytes()[:-1])
    with pytest.raises(UsageError, match="is damaged"):
        kept_writers(folder, network, fine=False)
    folder.writers.unlink()
    assert kept_writers(folder, network, fine=False) is None


def test_an_export_streams_by_default_and_is_made_again_the_same_way(
    heretic: Heretic, tmp_path: Path, sets: list[str]
) -> None:
    model = tiny_models.save(tmp_path / "model", "qwen2")
    tiny_models.network("qwen2").to(torch.bfloat16).save_pretrained(model, max_shard_size="20KB")
    (model / "model.safetensors").unlink()
    searched(heretic, model, sets, "--dtypes", "bfloat16")
    out, whole, again = tmp_path / "out", tmp_path / "whole", tmp_path / "again"
    done = heretic("export", "model", "--trial", "1", out)
    assert done.status == 0, done.err
    record = record_of(out)
    assert record["streamed"] is True
    assert "not_streamed" not in record
    assert record["dtype"] == "bfloat16"
    assert record["exported"]["figures"] == pytest.approx(record["trial"]["figures"], abs=1e-3)
    assert set(record["files"]) == {path.name for path in model.glob("*.safetensors")}
    assert len(record["files"]) > 1
    for name in ("config.json", "generation_config.json"):
        assert (out / name).read_bytes() == (model / name).read_bytes()

    done = heretic("export", "model", "--trial", "1", whole, "--max-shard-size", "1GB")
    assert done.status == 0, done.err
    assert "the size of its files is set" in done.err
    assert record_of(whole)["streamed"] is False
    assert "the size of its files is set" in record_of(whole)["not_streamed"]
    assert unlike(tensors_in(out), tensors_in(whole)) == []
    assert tensors_in(out).keys() == tensors_in(whole).keys()

    done = heretic("reproduce", out, again, runs_dir=None)
    assert done.status == 0, done.err
    assert record_of(again)["files"] == record["files"]
    assert record_of(again)["streamed"] is True


def test_a_run_of_an_older_version_is_exported_from_memory(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    (run,) = (tmp_path / "runs").iterdir()
    done = heretic("export", "model", "--trial", "0", tmp_path / "streamed")
    assert done.status == 0, done.err
    (run / "writers.safetensors").unlink()
    done = heretic("export", "model", "--trial", "0", tmp_path / "out")
    assert done.status == 0, done.err
    reason = "the run's folder does not hold what was found of its layers, as with older versions"
    assert reason in done.err
    assert record_of(tmp_path / "out")["not_streamed"] == reason
    assert record_of(tmp_path / "streamed")["streamed"] is True
    assert record_of(tmp_path / "streamed")["files"] == record_of(tmp_path / "out")["files"], "bytes are the same"
    assert not (run / "writers.safetensors").exists(), "an export writes nothing to the run"
    # A record of before does not say how its files were written: from memory.
    older = json.loads((tmp_path / "out" / "reproduce.json").read_text())
    del older["streamed"], older["not_streamed"]
    (tmp_path / "older.json").write_text(json.dumps(older))
    done = heretic("reproduce", tmp_path / "older.json", tmp_path / "again", "--model", tiny_folder, runs_dir=None)
    assert done.status == 0, done.err
    assert record_of(tmp_path / "again")["files"] == older["files"]
    assert record_of(tmp_path / "again")["streamed"] is False
