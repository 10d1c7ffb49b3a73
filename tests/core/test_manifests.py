"""Manifests of every kind: what goes out comes back with its ids, texts, languages and sounds."""

from __future__ import annotations

import json
import tarfile

import pytest
import torch

from alm import Audio, write_audio
from alm.api.errors import AlmError
from alm.api.types import AudioFile
from alm.core.audio import read_audio
from alm.core.manifests import WRITERS, read_cuts, write_cuts


@pytest.fixture(scope="module")
def cuts(small_corpus, tmp_path_factory):
    return list(read_cuts(small_corpus / "cuts_train.jsonl.gz", tmp_path_factory.mktemp("none")))


NAMES = {"cuts": "a.jsonl.gz", "lines": "a.jsonl", "kaldi": "kaldi", "audio-folder": "folder", "webdataset": "shards"}


def sound(cut):
    from pathlib import Path

    return read_audio(AudioFile(Path(cut.recording.sources[0].source), cut.start, cut.duration))


@pytest.mark.parametrize("kind", list(WRITERS))
def test_what_goes_out_comes_back(cuts, tmp_path, kind):
    target = tmp_path / NAMES[kind]
    assert write_cuts(cuts, target, kind if kind not in ("cuts", "lines") else "") == len(cuts)
    again = list(read_cuts(target, tmp_path / "unpacked"))
    assert len(again) == len(cuts)
    by_text = {(c.supervisions[0].text, c.supervisions[0].language): c for c in again}
    for cut in cuts:
        (said,) = cut.supervisions
        found = by_text[said.text, said.language]
        assert found.supervisions[0].speaker == said.speaker
        assert abs(sound(found).duration_s - cut.duration) < 0.01
        torch.testing.assert_close(sound(found).samples, sound(cut).samples, atol=1e-4, rtol=0)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "nothing half-written is left"


def test_a_part_of_a_file_stays_a_part(tmp_path):
    write_audio(tmp_path / "long.wav", Audio(torch.arange(32_000)[None] / 64_000.0, 16_000))
    (tmp_path / "m.jsonl").write_text(json.dumps({"audio": "long.wav", "offset_s": 0.5, "duration_s": 1.0, "text": "t", "language": "en"}))
    for name in ("b.jsonl.gz", "b.jsonl"):
        write_cuts(read_cuts(tmp_path / "m.jsonl", tmp_path), tmp_path / name)
        (cut,) = read_cuts(tmp_path / name, tmp_path)
        assert sound(cut).num_samples == 16_000 and float(sound(cut).samples[0, 0]) == pytest.approx(8000 / 64_000, abs=1e-4)
    write_cuts(read_cuts(tmp_path / "m.jsonl", tmp_path), tmp_path / "folder", "audio-folder")
    assert read_audio(next((tmp_path / "folder").glob("*.flac"))).num_samples == 16_000


def test_metadata_csv_is_read(tmp_path):
    write_audio(tmp_path / "a.wav", Audio(torch.zeros(1, 8000), 16_000))
    (tmp_path / "metadata.csv").write_text('file_name,transcription\na.wav,"one, two"\n')
    (cut,) = read_cuts(tmp_path, tmp_path)
    assert cut.supervisions[0].text == "one, two" and cut.duration == 0.5


def dataset_table(folder, cuts, suffix):
    """Cuts as Hugging Face `datasets` keeps them on disk: sounds as bytes in a struct."""
    import io

    import pyarrow as pa
    import pyarrow.parquet
    import soundfile

    rows = []
    for cut in cuts:
        buffer = io.BytesIO()
        soundfile.write(buffer, sound(cut).samples[0].numpy(), 16_000, format="FLAC")
        said = cut.supervisions[0]
        rows.append({"audio": {"bytes": buffer.getvalue(), "path": f"{len(rows)}.flac"}, "sentence": said.text, "language": said.language, "speaker_id": said.speaker})
    folder.mkdir()
    table = pa.Table.from_pylist(rows)
    if suffix == "parquet":
        pyarrow.parquet.write_table(table, folder / "train-00000-of-00001.parquet")
        return
    with pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "cache-1234.arrow").write_bytes(b"of another table")


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
def test_tables_of_datasets_are_read(cuts, tmp_path, suffix):
    dataset_table(tmp_path / "train", cuts, suffix)
    again = list(read_cuts(tmp_path / "train", tmp_path / "unpacked"))
    assert [(c.supervisions[0].text, c.supervisions[0].language, c.supervisions[0].speaker) for c in again] == [
        (c.supervisions[0].text, c.supervisions[0].language, c.supervisions[0].speaker) for c in cuts
    ]
    for cut, found in zip(cuts, again, strict=True):
        torch.testing.assert_close(sound(found).samples, sound(cut).samples, atol=1e-4, rtol=0)


def test_a_dataset_of_several_splits_asks_for_one(cuts, tmp_path):
    dataset_table(tmp_path / "train", cuts[:1], "arrow")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(AlmError, match="holds the splits train"):
        list(read_cuts(tmp_path, tmp_path / "unpacked"))


def test_a_damaged_table_is_refused(tmp_path):
    (tmp_path / "data.arrow").write_bytes(b"\0" * 100)
    with pytest.raises(AlmError, match="copy it again"):
        list(read_cuts(tmp_path, tmp_path / "unpacked"))


def test_a_shard_writes_nothing_outside_its_folder(tmp_path):
    write_audio(tmp_path / "a.wav", Audio(torch.zeros(1, 8000), 16_000))
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.add(tmp_path / "a.wav", "../../evil.wav")
    with pytest.raises(AlmError, match="inside the shard"):
        list(read_cuts(tmp_path / "evil.tar", tmp_path / "unpacked/deep"))
    assert not (tmp_path / "evil.wav").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.tar", b"no tar", "cannot be read"),
        ("x.doc", b"", "check the path"),
        ("x.jsonl", b'{"audio": "a.wav", "offset_s": -1}', "offset_s"),
        ("x.jsonl", b'{"audio": "missing.wav"}', "not a file"),
    ],
)
def test_bad_sources_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AlmError, match=message):
        write_cuts(read_cuts(tmp_path / name, tmp_path), tmp_path / "out.jsonl.gz")
    assert not (tmp_path / "out.jsonl.gz").exists()


def test_an_unknown_kind_is_refused(cuts, tmp_path):
    with pytest.raises(AlmError, match="did you mean kaldi"):
        write_cuts(cuts, tmp_path / "x", "kadli")
    with pytest.raises(AlmError, match="add --to"):
        write_cuts(cuts, tmp_path / "x")
