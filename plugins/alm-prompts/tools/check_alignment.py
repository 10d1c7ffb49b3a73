"""How well `alm align` finds where words begin and end, by pauses that people have labelled: Debian's festvox-ru, one Russian speaker.

    apt-get download festvox-ru && dpkg-deb -x festvox-ru_*.deb /tmp/festvox-ru
    python tools/check_alignment.py /tmp/festvox-ru --clips 60

Where a pause of 0.15 s or longer begins a word ends, and where it ends a word begins. Prints the mean shift, and the mean distance.
"""

import argparse
import re
from pathlib import Path

from alm.core.align import Aligner
from alm.core.audio import prepare, read_audio

SHORTEST_PAUSE_S, FARTHEST_S = 0.15, 0.4  # a word farther away belongs to another pause

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=Path)
parser.add_argument("--model", default="prompts")
parser.add_argument("--clips", type=int, default=60)
arguments = parser.parse_args()

voice = next(arguments.folder.rglob("txt.done.data")).parent.parent
lines = re.findall(r'\(\s*(\S+)\s+"(.*)"\s*\)', (voice / "etc/txt.done.data").read_text(errors="replace"))[: arguments.clips]
aligner = Aligner(arguments.model)
clips = [prepare(read_audio(voice / f"wav/{name}.wav"), aligner.rate_hz) for name, _ in lines]
found = aligner.align(clips, [text for _, text in lines], ["ru"] * len(lines))
shifts: dict[str, list[float]] = {"starts": [], "ends": []}
for (name, _), marks in zip(lines, found, strict=True):
    labels = [line.split() for line in (voice / f"lab/{name}.lab").read_text().splitlines() if line[:1].isdigit()]
    stops = [float(stop) for stop, *_ in labels]
    for start, stop, phone in zip([0.0, *stops], stops, [phone for _, _, phone in labels], strict=False):
        if phone != "pau" or stop - start < SHORTEST_PAUSE_S or not marks:
            continue
        for kind, place, times in (("starts", stop, [m.start_s for m in marks]), ("ends", start, [m.stop_s for m in marks])):
            shift = min((time - place for time in times), key=abs)
            if abs(shift) < FARTHEST_S and 0 < place < stops[-1]:
                shifts[kind].append(1000 * shift)
for kind, values in shifts.items():
    print(f"{kind}: {len(values)} pauses, shift {sum(values) / len(values):+.0f} ms, distance {sum(map(abs, values)) / len(values):.0f} ms")
