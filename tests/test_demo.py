"""The main job on one clip a language: every promised figure is there, with its baseline, and the page holds the sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_report_has_every_figure_beside_its_baseline(tmp_path):
    command = [sys.executable, str(ROOT / "demos/report.py"), "--clips", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "report.json").read_text())
    names = {row["name"] for row in rows}
    promised = {"asr/en/wer", "asr/ru/cer", "ast/fr-en/bleu", "mt/es-en/bleu", "s2st/es-en/asr_bleu", "tts/en/wer", "resynthesis/en/wer", "resynthesis/en/dnsmos"}
    promised |= {f"resynthesis/en/{name}" for name in ("wer-tiny.en", "right-speaker", "mcd", "f0_rmse")}
    promised |= {"ctc/en/wer", "ctc-beam/en/wer", "ctc+lm/en/wer", "rescored/en/wer", "vad/f1", "speaker/eer", "language/accuracy"}
    assert promised <= names
    assert all(set(row) == {"name", "value", "unit", "baseline", "baseline_value", "clips", "command"} for row in rows)
    baselines = {(row["name"], row["baseline"]) for row in rows}
    assert {("tts/en/wer", "cascade"), ("tts/en/dnsmos", "cascade")} <= baselines
    assert {("asr/en/wer", "Whisper base"), ("asr/en/wer", "Whisper tiny.en"), ("resynthesis/en/wer", "Griffin-Lim"), ("resynthesis/en/wer", "natural speech")} <= baselines
    page = (tmp_path / "index.html").read_text()
    assert page.count("<audio") >= 10
    assert "Reference:" in page


def compare(folder, *arguments):
    environment = {**os.environ, "ALM_RUNS": str(folder / "runs")}
    return subprocess.run([sys.executable, str(ROOT / "demos/compare_tokenizers.py"), *arguments], capture_output=True, text=True, cwd=folder, env=environment)


def test_tokenizers_are_compared_from_codebook_to_table(tmp_path, workspace):
    english = ["--set", "data.corpora=[{use: prompts, languages: [en]}]", "--set", "train.steps=2", "--set", "train.validate_every_steps=0"]
    done = compare(tmp_path, "mfcc", *english, "--clips", "1")
    assert done.returncode == 0, done.stderr
    (line,) = json.loads((tmp_path / "out/tokenizers.json").read_text()).values()
    assert line["units per s"] == 50 and 0 < line["PNMI"] < 1 and line["ASR CER en"] > 50, "two steps teach nobody to read"
    assert "| mfcc | 50 |" in done.stdout
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/final/*")}
    again = compare(tmp_path, "mfcc", *english, "--stages", "codebook,asr,vocoder")
    assert again.returncode == 0 and made == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/final/*")}, "what is finished is not run again"


def test_an_unknown_stage_is_refused(tmp_path):
    done = compare(tmp_path, "usm", "--stages", "listen")
    assert done.returncode == 2 and "one of pretrain" in done.stderr and not list(tmp_path.iterdir())
