"""Tokenizing a manifest: shards that lhotse and SlamKit read, bad clips set aside, and the same bytes after kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from alm import Audio, read_audio, write_audio
from alm.api.errors import AlmError
from alm.core.devices import has_bfloat16
from alm.core.tokenize import Job, read_clips, tokenize, tokenizer_parts


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def cuts(small_corpus):
    return small_corpus / "cuts_train.jsonl.gz"


@pytest.fixture(scope="module")
def lines(cuts, tmp_path_factory):
    """The same clips as JSON lines."""
    path = tmp_path_factory.mktemp("lines") / "clips.jsonl"
    path.write_text("".join(json.dumps({"audio": str(clip.audio.path), "text": "t", "language": "en"}) + "\n" for clip in read_clips(cuts)))
    return path


def test_shards_are_read_by_lhotse_and_hold_the_units_of_single_clips(cuts, small_model, tmp_path):
    from lhotse import CutSet

    report = tokenize(Job(cuts, tmp_path / "out", str(small_model), shard_clips=10))
    tokenizer = tokenizer_parts(str(small_model), "cpu").load("tokenizer")
    found = list(CutSet.from_shar(in_dir=tmp_path / "out/cuts"))
    assert report.clips == len(found) == 24 and report.bad == 0
    assert len(list((tmp_path / "out/cuts").iterdir())) == 3
    for cut, given in zip(found, read_clips(cuts), strict=True):
        assert cut.id == given.id and cut.supervisions[0].text == given.cut.supervisions[0].text
        alone = tokenizer.encode([read_audio(given.audio).resample(16_000)])[0]
        assert cut.units == alone.codes.tolist() and cut.units_tokenizer == alone.fingerprint
        assert cut.load_audio().shape[1] > 0


def test_lines_are_what_slamkit_reads(lines, small_model, tmp_path):
    tokenize(Job(lines, tmp_path / "out", str(small_model)))
    entries = [json.loads(line) for line in (tmp_path / "out/units/000000.jsonl").read_text().splitlines()]
    assert len(entries) == 24
    for entry in entries:
        assert len(entry["units"]) == len(entry["duration"]) > 0 and all(isinstance(u, int) for u in entry["units"])
        assert os.path.exists(entry["file_name"])


def test_bad_clips_are_set_aside_with_their_reasons(lines, small_model, tmp_path):
    good = [json.loads(line) for line in lines.read_text().splitlines()][:4]
    (tmp_path / "text.wav").write_text("no sound")
    write_audio(tmp_path / "short.wav", Audio(torch.zeros(1, 40), 16_000))
    bad = [{"audio": "text.wav"}, {"audio": "short.wav"}, {"audio": "missing.flac"}]
    manifest = tmp_path / "some.jsonl"
    manifest.write_text("".join(json.dumps(entry) + "\n" for entry in [bad[0], *good[:2], bad[1], bad[2], *good[2:]]))
    with pytest.raises(AlmError, match="got 3 clips that cannot be tokenized.*--retry.*--max-bad 3"):
        tokenize(Job(manifest, tmp_path / "out", str(small_model)))
    report = tokenize(Job(manifest, tmp_path / "out", str(small_model), max_bad=3))
    assert (report.clips, report.bad) == (7, 3)
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "out/quarantine/000000.jsonl").read_text().splitlines()]
    assert "cannot be decoded" in reasons[0] and "got 40 samples" in reasons[1] and "not a file" in reasons[2]
    assert len((tmp_path / "out/units/000000.jsonl").read_text().splitlines()) == 4
    write_audio(tmp_path / "short.wav", Audio(torch.rand(1, 16_000), 16_000))
    assert tokenize(Job(manifest, tmp_path / "out", str(small_model), max_bad=3), retry=True).bad == 2


def test_a_folder_of_another_job_is_refused(cuts, lines, small_model, tmp_path):
    tokenize(Job(cuts, tmp_path / "out", str(small_model)))
    before = files_of(tmp_path / "out")
    assert tokenize(Job(cuts, tmp_path / "out", str(small_model))).seconds == 0, "nothing is done twice"
    for other, what in ((Job(lines, tmp_path / "out", str(small_model)), "manifest"), (Job(cuts, tmp_path / "out", str(small_model), shard_clips=3), "shard_clips")):
        with pytest.raises(AlmError, match=f"another {what}"):
            tokenize(other)
    assert files_of(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "without a line"), ("{", "line 1"), ('{"text": "a"}\n', "no key 'audio'"), ("[]\n", "a JSON object"), ('{"recording": 1, "type": "MonoCut"}\n', "cannot be read")],
)
def test_manifests_that_are_none_are_refused(small_model, tmp_path, content, message):
    (tmp_path / "m.jsonl").write_text(content)
    with pytest.raises(AlmError, match=message):
        tokenize(Job(tmp_path / "m.jsonl", tmp_path / "out", str(small_model)))


def test_models_without_a_trained_tokenizer_are_refused(workspace):
    with pytest.raises(AlmError, match="no codebook"):
        tokenizer_parts(str(workspace / "units.yaml"), "cpu") if (workspace / "units.yaml").exists() else pytest.skip()
    with pytest.raises(AlmError, match="no tokenizer"):
        tokenizer_parts("prompts-text", "cpu")


def test_a_job_killed_at_any_moment_ends_with_the_same_bytes(cuts, small_model, tmp_path):
    """kill -9 at random moments, ten of them with ALM_ALL_CLIPS=1, two otherwise; then a run to the end."""
    tokenize(Job(cuts, tmp_path / "whole", str(small_model), bfloat16=has_bfloat16("cpu"), shard_clips=1))  # as the command chooses
    command = [
        sys.executable,
        "-c",
        "from alm.cli import main; main()",
        "tokenize",
        str(cuts),
        str(tmp_path / "killed"),
        "--model",
        str(small_model),
        "--shard-clips",
        "1",
        "--json",
    ]
    chance = random.Random(0)
    stopped = []
    for _ in range(10 if os.environ.get("ALM_ALL_CLIPS") else 2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wanted = len(stopped) and chance.randrange(1, 3)  # ten times at most 18 of 24 shards, and what is finished before the signal arrives
        shards = tmp_path / "killed/units"
        before = len(list(shards.glob("*.jsonl"))) if shards.exists() else 0
        while process.poll() is None and (not shards.exists() or len(list(shards.glob("*.jsonl"))) < before + wanted):
            time.sleep(0.002)
        time.sleep(chance.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        stopped.append(len(list(shards.glob("*.jsonl"))) if shards.exists() else 0)
    assert stopped[-1] < 24, "it was never interrupted before its end"
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")
