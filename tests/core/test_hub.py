"""Models that are handed on: saved whole, with a card; pushed to a hub and opened from it, over HTTP as the hub's own client speaks it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

import alm
from alm.api.errors import AlmError
from alm.cli import main
from alm.core.model_card import CardScore


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as its client asks of it: repositories of one branch, kept in memory."""

    files: dict[str, dict[str, bytes]] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def log_message(self, *_):
        pass

    def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            self.files.setdefault(name, {})
            self.answer(json.dumps({"url": f"{self.address}/{name}", "id": name}).encode())
        elif self.path == "/api/validate-yaml":
            self.answer(json.dumps({"errors": [], "warnings": []}).encode())
        elif "/preupload/" in self.path:
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            self.answer(json.dumps({"files": files}).encode())
        elif "/commit/" in self.path:
            name = re.match(r"/api/models/(.+?)/commit/", self.path)[1]
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.files[name][entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            self.answer(json.dumps({"success": True, "commitOid": "a" * 40, "commitUrl": f"{self.address}/{name}/commit/{'a' * 40}", "hookOutput": ""}).encode())
        else:
            self.answer(b'{"error": "unknown"}', 404)

    def do_GET(self):
        if found := re.match(r"/api/models/([^/]+/[^/]+)(/revision/[^/?]+)?$", self.path.split("?")[0]):
            if found[1] not in self.files:
                self.answer(b'{"error": "Repository not found"}', 404, X_Error_Code="RepoNotFound")
                return
            siblings = [{"rfilename": path} for path in self.files[found[1]]]
            self.answer(json.dumps({"id": found[1], "modelId": found[1], "sha": "a" * 40, "siblings": siblings, "private": False, "tags": [], "downloads": 0}).encode())
        elif found := re.match(r"/api/models/([^/]+/[^/]+)/tree/", self.path):
            tree = [{"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()} for path, data in self.files[found[1]].items()]
            self.answer(json.dumps(tree).encode())
        elif found := re.match(r"/([^/]+/[^/]+)/resolve/[^/]+/([^?]+)", self.path):
            data = self.files.get(found[1], {}).get(found[2])
            if data is None:
                self.answer(b"", 404, X_Error_Code="EntryNotFound")
            else:
                self.answer(data, ETag=f'"{hashlib.sha1(data).hexdigest()}"', X_Repo_Commit="a" * 40)
        else:
            self.answer(b'{"error": "unknown"}', 404)

    do_HEAD = do_GET


@pytest.fixture(scope="module")
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_a_saved_model_is_whole(small_model, workspace, clip, tmp_path):
    """It answers as before when everything that it came from is gone."""
    model = alm.load(str(small_model))
    folder = model.save_pretrained(tmp_path / "handed-on", scores=[CardScore("asr/en/wer", 12.345, "%", 64)])
    elsewhere = shutil.move(folder, tmp_path / "elsewhere")
    again = alm.Pipeline.from_pretrained(str(elsewhere))
    assert again.run("ASR", clip, "en").emitted == model.run("ASR", clip, "en").emitted
    assert again.run("TTS", "thank you", "en").emitted == model.run("TTS", "thank you", "en").emitted
    recipe = (Path(elsewhere) / "recipe.yaml").read_text()
    assert str(workspace) not in recipe.split("data:")[0] and "run:" not in recipe
    card = (Path(elsewhere) / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "alm" and front["license"] == "other"
    (result,) = front["model-index"][0]["results"]
    assert result["metrics"][0] == {"type": "wer", "value": 12.35, "name": "asr/en/wer"}
    assert "| asr/en/wer | 12.35 % | 64 |" in card and "tokenizer `mfcc`: not stated" in card and "use: unit-vocos" in card


def test_a_recipe_that_stands_is_saved_with_what_it_takes_from_elsewhere(clip, tmp_path):
    model = alm.load("prompts-reader")
    model.save_pretrained(tmp_path / "reader")
    again = alm.load(str(tmp_path / "reader"))
    assert again.parts.load_options("encoder").adapter == "dir:encoder-adapter" and (tmp_path / "reader/encoder-adapter/adapter.safetensors").exists()
    assert again.transcribe(clip, "en") == model.transcribe(clip, "en")
    assert "automatic-speech-recognition" in (tmp_path / "reader/README.md").read_text()


def test_a_model_goes_to_the_hub_and_comes_back(hub, small_model, clip, tmp_path):
    """By the commands, in processes of their own that know the hub's address alone."""
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "cache"), "HF_TOKEN": "hf_test", "HF_HUB_DISABLE_XET": "1"}
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps([{"name": "asr/en/wer", "value": 8.5, "unit": "%", "clips": 64}]))

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", "alm", *arguments], capture_output=True, text=True, env=environment, timeout=300, check=False)

    pushed = run("push", str(small_model), "someone/small", "--scores", str(scores))
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout.strip().endswith("/commit/" + "a" * 40)
    held = Hub.files["someone/small"]
    assert {"recipe.yaml", "README.md", "model.safetensors", "vocabulary.json"} <= set(held) and not any(path.endswith((".ckpt", ".pkl", ".bin")) for path in held)
    alm.write_audio(tmp_path / "clip.wav", clip)
    spoken = run("run", "ASR", str(tmp_path / "clip.wav"), "--model", "hf:someone/small@main", "--json")
    assert spoken.returncode == 0, spoken.stderr
    assert json.loads(spoken.stdout)["texts"] == [alm.load(str(small_model)).transcribe(clip, "en")]
    missing = run("run", "TTS", "hello", "--model", "hf:someone/nothing@main")
    assert missing.returncode == 2 and "hf:someone/nothing@main, which cannot be fetched" in missing.stderr
    code = "import alm; print(alm.Pipeline.from_pretrained('someone/small').tasks)"
    opened = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert opened.stdout.strip() == str(alm.load(str(small_model)).tasks), opened.stderr


def test_what_cannot_be_handed_on_is_told(small_model, tmp_path, capsys):
    with pytest.raises(AlmError, match="ORG/NAME"):
        alm.load(str(small_model)).push_to_hub("alone")
    for text, message in (
        ("{}", "without a list"),
        ("[1]", "name, value, unit and clips"),
        ('[{"name": "wer", "value": 1, "unit": "%", "clips": 1}]', "TASK/LANGUAGES/METRIC"),
        ("no", "cannot be read"),
    ):
        (tmp_path / "scores.json").write_text(text)
        with pytest.raises(SystemExit, match="2"):
            main(["save", str(small_model), str(tmp_path / "model"), "--scores", str(tmp_path / "scores.json")])
        assert message in capsys.readouterr().err and not (tmp_path / "model").exists()
