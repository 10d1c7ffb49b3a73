"""lhotse cuts -> Utterances. What a corpus plugin that ships a lhotse manifest calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alm.api.errors import AlmError
from alm.api.types import AudioFile, Utterance


def utterances_from_cuts(manifest: Path) -> Iterator[Utterance]:
    """Utterances of a lhotse cuts manifest; audio paths are relative to the manifest's folder.

    A cut's one supervision gives text, language and speaker; its custom field `prompt`, if any, is the group that
    parallel utterances share.

    Raises:
        AlmError: no such manifest, or a cut that has not exactly one supervision.
    """
    from lhotse import CutSet

    if not manifest.exists():
        raise AlmError(f"got manifest {manifest}, which does not exist", "a lhotse cuts file", "check the path and the split's name")
    for cut in CutSet.from_file(manifest):
        if len(cut.supervisions) != 1:
            raise AlmError(f"cut {cut.id!r} of {manifest} has {len(cut.supervisions)} supervisions", "one", "call cuts.trim_to_supervisions() first")
        (supervision,) = cut.supervisions
        source = Path(cut.recording.sources[0].source)
        audio = AudioFile(source if source.is_absolute() else manifest.parent / source, cut.start, cut.duration)
        group = (supervision.custom or {}).get("prompt", cut.id)
        yield Utterance(cut.id, audio, supervision.text or "", supervision.language or "", supervision.speaker or "", group)
