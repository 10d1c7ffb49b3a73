"""Manifests -> Utterances: lhotse cuts, and JSON lines. What a corpus plugin that ships a manifest calls."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from alm.api.errors import AlmError
from alm.api.types import AudioFile, Mark, Marks, MediaFile, Utterance

if TYPE_CHECKING:
    from lhotse.cut import MonoCut


def utterances_from_cuts(manifest: Path) -> Iterator[Utterance]:
    """Utterances of a lhotse cuts manifest, read one by one; audio paths are relative to the manifest's folder.

    A cut's one supervision gives text, language and speaker; its custom field `prompt`, if any, is the group that
    parallel utterances share.

    Raises:
        AlmError: no such manifest, or a cut that has not exactly one supervision.
    """
    for cut in cuts_of(manifest):
        if len(cut.supervisions) != 1:
            raise AlmError(f"cut {cut.id!r} of {manifest} has {len(cut.supervisions)} supervisions", "one", "call cuts.trim_to_supervisions() first")
        (supervision,) = cut.supervisions
        custom = supervision.custom or {}
        other = custom.get("other_audio")
        yield Utterance(
            cut.id,
            cut_audio(cut, manifest),
            supervision.text or "",
            supervision.language or "",
            supervision.speaker or "",
            custom.get("prompt", cut.id),
            _labels_of(supervision),
            AudioFile(manifest.parent / other) if other else None,
        )


def _labels_of(supervision: Any) -> dict[str, str | Marks]:
    """Its custom fields in text, its gender, and its alignments as marks: those of "word" by the name "words"."""
    labels: dict[str, str | Marks] = {name: value for name, value in (supervision.custom or {}).items() if isinstance(value, str) and name not in ("prompt", "other_audio")}
    if supervision.gender:
        labels["gender"] = supervision.gender
    for kind, items in (supervision.alignment or {}).items():
        labels[f"{kind}s"] = tuple(Mark(item.symbol, item.start, item.end) for item in items)
    return labels


def cuts_of(manifest: Path) -> Iterator[MonoCut]:
    """The cuts of a lhotse manifest, read one by one.

    Raises:
        AlmError: no such manifest, one that lhotse cannot read, or a cut that is not a piece of one recording in one file.
    """
    from lhotse import CutSet
    from lhotse.cut import MonoCut

    if not manifest.exists():
        raise AlmError(f"got manifest {manifest}, which does not exist", "a lhotse cuts file", "check the path and the split's name")
    try:
        for cut in CutSet.from_jsonl_lazy(manifest):
            if not isinstance(cut, MonoCut) or cut.recording is None or len(cut.recording.sources) != 1 or cut.recording.sources[0].type != "file":
                raise AlmError(f"got cut {cut.id!r} in {manifest}", "a piece of one recording in one file", "save the audio of mixed cuts first (cuts.save_audios)")
            yield cut
    except AlmError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AlmError(f"got manifest {manifest}, which cannot be read ({type(error).__name__}: {error})", "a lhotse cuts file", "write it with CutSet.to_file") from error


def cut_audio(cut: MonoCut, manifest: Path) -> AudioFile:
    """What a cut means of its recording; a relative path starts from the manifest's folder."""
    source = Path(cut.recording.sources[0].source)
    return AudioFile(source if source.is_absolute() else manifest.parent / source, cut.start, cut.duration)


def utterances_from_lines(manifest: Path, required: tuple[str, ...] = ("text", "language")) -> Iterator[Utterance]:
    """JSON lines with `audio`, `text`, `language`, `speaker`, `id` and `group`, read one by one; audio paths start from the
    file's folder, `offset_s` and `duration_s` name a part of a file. A line without `id` or `group` has its number. `labels` is an object of
    texts, and of lists of [text, start, stop] in seconds; `other_audio` a second recording; `media` an object of files by modality.

    Args:
        required: keys that each line must have.

    Raises:
        AlmError: a line that is not such an object, with its number; a manifest without a line.
    """
    empty = True
    for number, entry in lines_of(manifest):
        empty = False
        values = {"id": number, "group": number} | entry
        missing = [name for name in required if name not in values]
        if missing:
            raise AlmError(f"{manifest} line {number}: no key {missing[0]!r}", f"an object with {', '.join(required)}", "correct the line")
        wrong = [
            name for name in ("audio", "text", "language", "speaker", "other_audio") if not isinstance(values.get(name, "") if name in required else values.get(name) or "", str)
        ]
        if wrong:
            raise AlmError(f"{manifest} line {number}: got {wrong[0]} {values[wrong[0]]!r}", "a string", "correct the line")
        part = (values.get("offset_s") or 0.0, values.get("duration_s"))
        if not isinstance(part[0], int | float) or not isinstance(part[1], int | float | None) or part[0] < 0 or part[1] is not None and part[1] <= 0:
            raise AlmError(f"{manifest} line {number}: got offset_s {part[0]!r} and duration_s {part[1]!r}", "seconds, 0 or more and above 0", "correct the line")
        audio = AudioFile(manifest.parent / values["audio"], *part) if values.get("audio") else None
        text, language, speaker = (values.get(name) or "" for name in ("text", "language", "speaker"))
        other = AudioFile(manifest.parent / values["other_audio"]) if values.get("other_audio") else None
        labels = _read_labels(values.get("labels") or {}, f"{manifest} line {number}")
        media = values.get("media") or {}
        if not isinstance(media, dict) or not all(isinstance(path, str) for path in media.values()):
            raise AlmError(f"{manifest} line {number}: got media {str(media)[:60]}", 'an object such as {"image": "a.png"}', "correct the line")
        files = {modality: MediaFile(manifest.parent / path, modality) for modality, path in media.items()}
        yield Utterance(str(values["id"]), audio, text, language, speaker, str(values["group"]), labels, other, media=files)
    if empty:
        raise AlmError(f"got manifest {manifest} without a line", "at least one", "add lines")


def _read_labels(found: Any, where: str) -> dict[str, str | Marks]:
    """
    Raises:
        AlmError: what is neither a text nor a list of [text, start, stop].
    """
    wanted = 'an object such as {"emotion": "happy", "words": [["press", 0.1, 0.4]]}'
    if not isinstance(found, dict):
        raise AlmError(f"{where}: got labels {str(found)[:60]}", wanted, "correct the line")
    labels: dict[str, str | Marks] = {}
    for name, value in found.items():
        if isinstance(value, list):
            try:
                labels[name] = tuple(Mark(str(text), float(start), float(stop)) for text, start, stop in value)
                continue
            except (TypeError, ValueError):
                pass
        if not isinstance(value, str):
            raise AlmError(f"{where}: got label {name} {str(value)[:60]}", wanted, "correct the line")
        labels[name] = value
    return labels


def lines_of(manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a .jsonl or .jsonl.gz file with their line numbers from 1; empty lines are passed over.

    Raises:
        AlmError: no such file, one that is not UTF-8 or not gzip, or a line that is no object.
    """
    if not manifest.is_file():
        raise AlmError(f"got manifest {manifest}, which does not exist", "a JSON-lines file", "check the path")
    with _opened(manifest) as file:
        try:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    entry = json.loads(line)
                except json.JSONDecodeError as error:
                    raise AlmError(f"{manifest} line {number}: {error}", "a JSON object", "correct the line") from error
                if not isinstance(entry, dict):
                    raise AlmError(f"{manifest} line {number}: got {line.strip()[:60]}", "a JSON object", "correct the line")
                yield number, entry
        except UnicodeDecodeError as error:
            raise AlmError(f"got manifest {manifest}, which is not UTF-8", "a JSON-lines file in UTF-8", "save it as UTF-8") from error
        except (OSError, EOFError) as error:
            raise AlmError(f"got manifest {manifest}, which cannot be read ({error})", "JSON lines, plain or as gzip", "write it again") from error


def _opened(path: Path) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


def holds_cuts(manifest: Path) -> bool:
    """Whether a manifest's first line is a lhotse cut."""
    return "recording" in next(lines_of(manifest), (0, {}))[1]
