"""Manifests of one kind -> another: `alm manifest SOURCE TARGET`. lhotse cuts inside; sounds are read only where a kind carries them.

Read: lhotse cuts, JSON lines, Kaldi data folders, Hugging Face datasets (sound files beside metadata.jsonl or metadata.csv, or what
`save_to_disk` wrote, or parquet files, with the sounds inside), and WebDataset tar shards. Written: the same, but for Arrow and parquet.
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from alm.api.errors import AlmError, UnknownNameError, did_you_mean
from alm.api.manifests import cut_audio, cuts_of, holds_cuts, lines_of, utterances_from_lines
from alm.api.types import Audio, AudioFile
from alm.core.audio import header_of, read_audio, write_audio
from alm.core.files import atomic_folder, gzipped, write_bytes, write_text

SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3")
TEXT_KEYS = ("text", "transcription", "sentence", "transcript")
SPEAKER_KEYS = ("speaker", "speaker_id", "client_id")
SHARD_CLIPS = 1000
TABLE_ROWS = 100  # at a time: their sounds are in memory


def read_cuts(source: Path, unpacked: Path) -> Iterator[Any]:
    """The cuts of a manifest of any kind that is read; paths of their sounds are absolute.

    Args:
        unpacked: where sounds that come inside a tar shard are written.

    Raises:
        AlmError: a source of no such kind, or an entry of it that cannot be read.
    """
    if source.name.endswith((".jsonl", ".jsonl.gz")):
        yield from _from_cuts(source) if holds_cuts(source) else _from_lines(source)
    elif source.is_dir() and (source / "wav.scp").exists():
        yield from _from_kaldi(source)
    elif source.is_dir() and any((source / name).exists() for name in ("metadata.jsonl", "metadata.csv")):
        yield from _from_audio_folder(source)
    elif source.suffix == ".tar" or source.is_dir() and any(source.glob("*.tar")):
        yield from _from_webdataset([source] if source.is_file() else sorted(source.glob("*.tar")), unpacked)
    elif source.is_dir() and (tables := _tables(source)):
        yield from _from_tables(tables, unpacked)
    elif (source / "dataset_dict.json").exists():
        splits = ", ".join(sorted(path.name for path in source.iterdir() if path.is_dir()))
        raise AlmError(f"got source {source}, which holds the splits {splits}", "one of them", f"write: {source / splits.split(', ')[0]}")
    else:
        wanted = "lhotse cuts or JSON lines (.jsonl, .jsonl.gz), or a folder with wav.scp, metadata.jsonl, metadata.csv, *.arrow, *.parquet or tar shards"
        raise AlmError(f"got source {source}", wanted, "check the path")


def cut_of(name: str, audio: AudioFile, text: str = "", language: str = "", speaker: str = "", custom: dict[str, Any] | None = None) -> Any:
    """A cut of a sound file, or of a part of it; reads the file's header."""
    from lhotse import AudioSource, Recording, SupervisionSegment
    from lhotse.cut import MonoCut

    rate, channels, samples = header_of(audio.path)
    source = AudioSource("file", list(range(channels)), str(audio.path.resolve()))
    recording = Recording(name, [source], rate, samples, samples / rate)
    seconds = audio.duration_s if audio.duration_s is not None else samples / rate - audio.offset_s
    supervision = SupervisionSegment(name, name, 0.0, seconds, text=text or None, language=language or None, speaker=speaker or None, custom=custom)
    return MonoCut(name, audio.offset_s, seconds, 0, [supervision], recording=recording)


def _from_cuts(source: Path) -> Iterator[Any]:
    for cut in cuts_of(source):
        cut.recording.sources[0].source = str(cut_audio(cut, source).path.resolve())
        yield cut


def _from_lines(source: Path) -> Iterator[Any]:
    for utterance in utterances_from_lines(source, ("audio",)):
        assert utterance.audio is not None
        yield cut_of(utterance.id, utterance.audio, utterance.text, utterance.language, utterance.speaker, {"prompt": utterance.group})


def _from_kaldi(source: Path) -> Iterator[Any]:
    """wav.scp, segments, text, utt2spk, utt2lang. Commands in place of files, which lhotse's reader would run, are refused."""
    table = {name: _kaldi_table(source / name) for name in ("wav.scp", "segments", "text", "utt2spk", "utt2lang")}
    for recording, path in table["wav.scp"].items():
        if path.endswith("|"):
            raise AlmError(f"got recording {recording!r} of {source} as a command ({path[:60]})", "the name of a sound file", "write the sounds to files first")
    whole = {name: f"{name} 0 0" for name in table["wav.scp"]}
    for name, value in (table["segments"] or whole).items():
        fields = value.split()
        try:
            path, start, end = table["wav.scp"][fields[0]], float(fields[1]), float(fields[2])
        except (KeyError, IndexError, ValueError) as error:
            raise AlmError(f"got segment {name} {value} in {source}", "a recording of wav.scp, its start and its end in seconds", "correct the line") from error
        audio = AudioFile(source / path, start, end - start if table["segments"] else None)
        text, language, speaker = (table[file].get(name, "") for file in ("text", "utt2lang", "utt2spk"))
        yield cut_of(name, audio, text, language, speaker)


def _kaldi_table(path: Path) -> dict[str, str]:
    """Lines of an id and the rest; {} where the file is not there."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    fields = [line.split(maxsplit=1) for line in lines if line.strip()]
    return {first: "".join(rest).strip() for first, *rest in fields}


def _from_audio_folder(source: Path) -> Iterator[Any]:
    for number, entry in _metadata(source):
        if not isinstance(entry.get("file_name"), str):
            raise AlmError(f"{source} metadata line {number}: no file_name", "the name of a sound file", "correct the line")
        yield _cut_about(entry["file_name"], AudioFile(source / entry["file_name"]), entry)


def _cut_about(name: str, audio: AudioFile, entry: dict[str, Any]) -> Any:
    """A cut with text, language and speaker under the keys that data sets use."""
    text, speaker = (next((str(entry[key]) for key in keys if entry.get(key) not in (None, "")), "") for keys in (TEXT_KEYS, SPEAKER_KEYS))
    return cut_of(name, audio, text, str(entry.get("language") or ""), speaker)


def _metadata(source: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if (source / "metadata.jsonl").exists():
        yield from lines_of(source / "metadata.jsonl")
        return
    with (source / "metadata.csv").open(encoding="utf-8", newline="") as file:
        yield from enumerate(csv.DictReader(file), start=2)


def _from_webdataset(shards: list[Path], unpacked: Path) -> Iterator[Any]:
    """Members of one key belong together: KEY.flac, KEY.json, KEY.txt."""
    for shard in shards:
        try:
            with tarfile.open(shard) as tar:
                members = {member.name: member for member in tar if member.isfile()}
                for name in members:
                    stem, suffix = name[: -len(Path(name).suffix)], Path(name).suffix.lower()
                    if suffix not in SOUNDS:
                        continue
                    if Path(name).is_absolute() or ".." in Path(name).parts:
                        raise AlmError(f"got member {name!r} in {shard}", "a name inside the shard", "make the shard again")
                    target = unpacked / f"{stem}{suffix}"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    write_bytes(target, _member(tar, members[name]))
                    about = json.loads(_member(tar, members[f"{stem}.json"])) if f"{stem}.json" in members else {}
                    if f"{stem}.txt" in members:
                        about["text"] = _member(tar, members[f"{stem}.txt"]).decode().strip()
                    yield _cut_about(stem, AudioFile(target), about)
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            if isinstance(error, AlmError):
                raise
            raise AlmError(f"got shard {shard}, which cannot be read ({type(error).__name__}: {str(error)[:120]})", "a tar file of WebDataset", "copy it again") from error


def _tables(source: Path) -> list[Path]:
    """Arrow or parquet files of a data set; `save_to_disk` lists its own, beside which caches may lie."""
    state = source / "state.json"
    if state.exists():
        return [source / file["filename"] for file in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
    return sorted([*source.glob("*.arrow"), *source.glob("*.parquet")])


def _from_tables(tables: list[Path], unpacked: Path) -> Iterator[Any]:
    """Arrow or parquet files of Hugging Face `datasets`: a column of `Audio` is a struct of bytes and path; one of the two is there."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise AlmError(f"got {tables[0]}, which pyarrow reads, and it is not installed", "pyarrow", "run: pip install pyarrow") from error
    for table in tables:
        try:
            parquet = table.suffix == ".parquet"
            batches = pyarrow.parquet.ParquetFile(table).iter_batches(TABLE_ROWS) if parquet else iter(pa.ipc.open_stream(pa.memory_map(str(table))))
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows):
                sound = next((value for value in row.values() if isinstance(value, dict) and {"bytes", "path"} <= value.keys()), None)
                if sound is None:
                    raise AlmError(f"{table} row {number}: no column of sound", "a column of type Audio", "cast it: dataset.cast_column('audio', Audio(decode=False))")
                named = Path(sound["path"] or "")
                name = str(row.get("id") or named.stem or f"{table.stem}-{number}")
                path = table.parent / named
                if sound["bytes"]:
                    path = unpacked / f"{table.stem}-{number}{named.suffix if named.suffix in SOUNDS else '.wav'}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_bytes(path, sound["bytes"])
                yield _cut_about(name, AudioFile(path), row)
        except (pa.ArrowException, OSError) as error:
            raise AlmError(f"got table {table}, which cannot be read ({str(error)[:120]})", "an Arrow stream or parquet file of `datasets`", "copy it again") from error


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def write_cuts(cuts: Iterable[Any], target: Path, kind: str = "") -> int:
    """Writes a manifest and returns how many cuts it has; it appears whole or not at all.

    Args:
        kind: cuts, lines, kaldi, audio-folder or webdataset; "" goes by the name: .jsonl.gz is cuts, .jsonl is lines.

    Raises:
        UnknownNameError: another kind, or a name that tells none.
        AlmError: a place that cannot be written to.
    """
    by_name = "cuts" if target.name.endswith(".jsonl.gz") else "lines" if target.name.endswith(".jsonl") else ""
    chosen = kind or by_name
    if chosen not in WRITERS:
        raise UnknownNameError(f"got kind {chosen!r} for {target}", "a kind of manifest", f"add --to: {did_you_mean(chosen, WRITERS)}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return WRITERS[chosen](cuts, target)
    except OSError as error:
        raise AlmError(f"got target {target}, which cannot be written ({error.strerror})", "a writable place", "choose another") from error


def _to_cuts(cuts: Iterable[Any], target: Path) -> int:
    """Sounds below the manifest's folder are named from there, so that the folder can be moved."""
    lines, below = [], target.parent.resolve()
    for cut in cuts:
        for source in cut.recording.sources:
            if Path(source.source).is_relative_to(below):
                source.source = str(Path(source.source).relative_to(below))
        lines.append(json.dumps(cut.to_dict(), ensure_ascii=False) + "\n")
    write_bytes(target, gzipped("".join(lines)))
    return len(lines)


def _to_lines(cuts: Iterable[Any], target: Path) -> int:
    lines = []
    for cut in cuts:
        whole = cut.start == 0 and abs(cut.duration - cut.recording.duration) < 1e-3
        part = {} if whole else {"offset_s": cut.start, "duration_s": cut.duration}
        lines.append(json.dumps({"id": cut.id, "audio": cut.recording.sources[0].source, **part, **_about(cut)}, ensure_ascii=False))
    write_text(target, "".join(line + "\n" for line in lines))
    return len(lines)


def _to_kaldi(cuts: Iterable[Any], target: Path) -> int:
    """Sounds as wav files, which Kaldi reads without a command; ids without slashes."""
    tables: dict[str, list[str]] = {name: [] for name in ("wav.scp", "text", "utt2spk", "utt2lang", "spk2utt")}
    speakers: dict[str, list[str]] = {}
    with atomic_folder(target) as folder:
        for cut in cuts:
            name, about = _file_name(cut.id), _about(cut)
            write_audio(folder / "wav" / f"{name}.wav", sound_of(cut))
            speaker = about.get("speaker") or name
            speakers.setdefault(speaker, []).append(name)
            rows = {"wav.scp": f"wav/{name}.wav", "text": about.get("text", ""), "utt2spk": speaker, "utt2lang": about.get("language", "")}
            for file, value in rows.items():
                tables[file].append(f"{name} {value}".rstrip())
        tables["spk2utt"] = [f"{speaker} {' '.join(sorted(names))}" for speaker, names in speakers.items()]
        for file, lines in tables.items():
            (folder / file).write_text("".join(line + "\n" for line in sorted(lines)), encoding="utf-8")
    return len(tables["wav.scp"])


def _to_audio_folder(cuts: Iterable[Any], target: Path) -> int:
    lines = []
    with atomic_folder(target) as folder:
        for cut in cuts:
            name = f"{_file_name(cut.id)}.flac"
            write_audio(folder / name, sound_of(cut))
            lines.append(json.dumps({"file_name": name, **_about(cut)}, ensure_ascii=False) + "\n")
        (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
    return len(lines)


def _to_webdataset(cuts: Iterable[Any], target: Path) -> int:
    remaining, count, number = iter(cuts), 0, 0
    with atomic_folder(target) as folder:
        while some := list(islice(remaining, SHARD_CLIPS)):
            with tarfile.open(folder / f"{number:06d}.tar", "w") as tar:
                for cut in some:
                    sound = folder / ".sound.flac"
                    write_audio(sound, sound_of(cut))
                    for suffix, content in (("flac", sound.read_bytes()), ("json", json.dumps(_about(cut), ensure_ascii=False).encode())):
                        member = tarfile.TarInfo(f"{_file_name(cut.id)}.{suffix}")
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
                    sound.unlink()
            number, count = number + 1, count + len(some)
    return count


def _about(cut: Any) -> dict[str, str]:
    """Text, language and speaker, where they are known."""
    said = cut.supervisions[0] if cut.supervisions else None
    values = {"text": " ".join(s.text for s in cut.supervisions if s.text), "language": said and said.language, "speaker": said and said.speaker}
    return {key: value for key, value in values.items() if value}


def sound_of(cut: Any) -> Audio:
    """The recording of a cut whose path is absolute, as `read_cuts` gives them."""
    return read_audio(AudioFile(Path(cut.recording.sources[0].source), cut.start, cut.duration))


def _file_name(name: str) -> str:
    """An id as one file's name: dots and slashes mean something in paths and in tar keys."""
    return name.replace("/", "_").replace(".", "_")


WRITERS: dict[str, Callable[[Iterable[Any], Path], int]] = {
    "cuts": _to_cuts,
    "lines": _to_lines,
    "kaldi": _to_kaldi,
    "audio-folder": _to_audio_folder,
    "webdataset": _to_webdataset,
}
