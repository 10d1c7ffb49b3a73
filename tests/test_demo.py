"""The main job on one clip a language: every promised figure is there, with its baseline, and the page holds the sound."""

from __future__ import annotations

import json
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
    assert promised <= names
    assert all(set(row) == {"name", "value", "unit", "baseline", "baseline_value", "clips", "command"} for row in rows)
    baselines = {(row["name"], row["baseline"]) for row in rows}
    assert {("asr/en/wer", "Whisper base"), ("asr/en/wer", "Whisper tiny.en"), ("resynthesis/en/wer", "Griffin-Lim"), ("resynthesis/en/wer", "natural speech")} <= baselines
    page = (tmp_path / "index.html").read_text()
    assert page.count("<audio") >= 10
    assert "Reference:" in page
