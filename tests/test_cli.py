"""The command line: useful output, JSON for programs, one line and exit code 2 for mistakes."""

from __future__ import annotations

import json

import pytest

from alm.cli import main


def call(capsys, *arguments):
    """Exit code, standard output, standard error."""
    code = 0
    try:
        main(list(arguments))
    except SystemExit as stop:
        code = stop.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_plugins_lists_and_checks(capsys):
    code, out, _ = call(capsys, "plugins", "--json")
    listing = json.loads(out)
    assert code == 0
    assert "tokenizer whisper" in listing["plugins"]["alm"]["components"]
    assert {"corpus prompts", "recipe prompts", "model prompts"} <= set(listing["plugins"]["prompts"]["components"])
    assert call(capsys, "check", "prompts")[:2] == (0, "prompts: fits\n")


@pytest.mark.parametrize(("recipe", "option"), [("prompts-vocoder", "adversarial_form=0.5"), ("prompts-vocoder", "segment_units=many"), ("prompts-units", "iteration=3")])
def test_options_of_training_are_checked_with_the_rest(capsys, recipe, option):
    code, _, err = call(capsys, "check", recipe, f"train.options.{option}")
    assert code == 2 and "train.options" in err and option.split("=")[0] in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "ASR", "missing.wav"], "not a file"),
        (["run", "ARS", "missing.wav"], "did you mean AST or ASR"),
        (["run", "TTS", "", "--model", "MODEL"], "without a word"),
        (["run", "TTS", "hello", "--from", "xx", "--model", "MODEL"], "got language 'xx'"),
        (["run", "MT", "hello", "--to", "", "--model", "MODEL"], "got language ''"),
        (["run", "TTS", "hello", "--model", "no-such-model"], "a registered model"),
        (["run", "MT", "hello", "--to", "es", "-o", "x.wav", "--model", "MODEL"], "made no sound"),
        (["run", "TTS", "hello", "--speaker", "nobody", "--model", "MODEL"], "got speaker 'nobody'"),
        (["run", "TTS", "hello", "-o", "x.doc", "--model", "MODEL"], "a name ending in"),
        (["run", "TTS", "hello", "--tempo", "9", "--model", "MODEL"], "got tempo 9"),
        (["run", "TTS", "hello", "--pitch", "3", "--model", "MODEL"], "got another pitch"),
        (["check", "no-such-recipe"], "a recipe's name"),
        (["check", "prompts", "train.stepz=1"], "did you mean steps"),
        (["check", "prompts", "parts.tokenizer.use=whispr"], "did you mean whisper"),
        (["train", "prompts", "train.minutes=0"], "train.minutes"),
        (["eval", "MODEL", "--manifest", "missing.jsonl"], "does not exist"),
        (["eval", "MODEL", "--task", "AST ASR"], "a task that the model was trained on"),
        (["eval", "MODEL", "--split", "tset"], "a split with utterances"),
        (["eval", "MODEL", "--split", "dev", "--outputs", "no/such/folder.jsonl"], "a folder that is there"),
        (["run", "MT", "9" * 5000, "--to", "es", "--model", "MODEL"], "got a prompt and an answer of up to"),
        (["new-plugin", "Not A Name"], "lower-case words"),
    ],
)
def test_mistakes_end_with_one_line_and_exit_code_2(capsys, small_model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, *[str(small_model) if a == "MODEL" else a for a in arguments])
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert "Fix:" in err
    assert list(tmp_path.iterdir()) == []


def test_short_audio_is_refused(capsys, small_model, tmp_path):
    import torch

    from alm import Audio, write_audio

    write_audio(tmp_path / "one.wav", Audio(torch.zeros(1, 1), 16_000))
    code, _, err = call(capsys, "run", "ASR", str(tmp_path / "one.wav"), "--model", str(small_model))
    assert code == 2
    assert "samples" in err


def test_run_writes_sound_and_json(capsys, small_model, tmp_path):
    code, out, _ = call(capsys, "run", "TTS", "thank you", "--model", str(small_model), "-o", str(tmp_path / "a.wav"), "--json")
    assert code == 0
    assert json.loads(out)["audio"] == str(tmp_path / "a.wav")
    code, out, _ = call(capsys, "tokenize", str(tmp_path / "a.wav"), "--model", str(small_model), "--json")
    units = json.loads(out)
    assert code == 0
    assert units["frame_rate_hz"] == 25
    assert all(0 <= c < 32 for c in units["codes"][0])


def test_eval_reads_a_manifest(capsys, small_model, small_corpus, tmp_path):
    from alm.api.manifests import utterances_from_cuts

    lines = [
        {"audio": str(u.audio.path), "text": u.text, "language": u.language, "speaker": u.speaker, "group": u.group}
        for u in list(utterances_from_cuts(small_corpus / "cuts_dev.jsonl.gz"))[:3]
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    code, out, _ = call(capsys, "eval", str(small_model), "--task", "ASR", "--manifest", str(tmp_path / "m.jsonl"), "--json", "--outputs", str(tmp_path / "o.jsonl"))
    scores = {s["name"]: s for s in json.loads(out)}
    assert code == 0
    assert scores["asr/en/wer"]["clips"] == 3
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 3
    (tmp_path / "bad.jsonl").write_text('{"audio": "a.wav"}\n')
    code, _, err = call(capsys, "eval", str(small_model), "--manifest", str(tmp_path / "bad.jsonl"))
    assert code == 2
    assert "line 1" in err
    (tmp_path / "bad.jsonl").write_text('{"audio": "a.wav", "text": null, "language": "en"}\n')
    assert "got text None" in call(capsys, "eval", str(small_model), "--manifest", str(tmp_path / "bad.jsonl"))[2]
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "\xe9"}')
    assert "not UTF-8" in call(capsys, "eval", str(small_model), "--manifest", str(tmp_path / "bad.jsonl"))[2]


def test_checkpoint_of_another_vocabulary_is_refused(capsys, small_model, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    from alm.components.codebook import Codebook

    folder = shutil.copytree(small_model, tmp_path / "model")
    centroids = load_file(folder / "tokenizer-codebook/codebook.safetensors")["centroids"]
    save_file({"centroids": centroids}, folder / "tokenizer-codebook/codebook.safetensors")
    Codebook(centroids + 1).save(folder / "tokenizer-codebook")
    code, _, err = call(capsys, "run", "ASR", "x.wav", "--model", str(folder))
    assert code == 2
    (folder / "vocoder-weights/vocoder.json").write_text(
        (folder / "vocoder-weights/vocoder.json")
        .read_text()
        .replace(json.loads((small_model / "tokenizer-codebook/codebook.json").read_text())["fingerprint"], Codebook(centroids + 1).fingerprint)
    )
    code, _, err = call(capsys, "run", "MT", "hello", "--to", "es", "--model", str(folder))
    assert code == 2
    assert "vocabulary" in err
