"""What is published, as strangers get it: wheels in a fresh environment, outside the repository; a plugin of one's own beside them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from urllib.request import urlopen

import pytest

from alm.core.scaffold import new_plugin

ROOT = Path(__file__).parents[1]
MINE = ("alm_audio", "alm_prompts", "alm_k2", "alm_piper", "alm_ray", "alm_silero", "alm_vision")


class Fresh:
    """An environment that has the locked packages of this one, and of alm what was built as a wheel."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.wheels = folder, folder / "wheels"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        self.bin = folder / "venv/bin"
        site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv"), "platbase": str(folder / "venv")}))
        others = folder / "packages"  # all but alm's own: their editable installs would hide what is missing in a wheel
        others.mkdir()
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if not entry.name.startswith((*MINE, *(f"__editable__{sep}{name}" for name in MINE for sep in ("_", ".", "___")))):
                (others / entry.name).symlink_to(entry)
        (site / "packages.pth").write_text(f"{others}\n")

    def install(self, *sources: Path) -> None:
        before, copies = set(self.wheels.glob("*.whl")), []
        for source in sources:  # a build leaves files beside its sources
            copies.append(self.folder / "sources" / source.name)
            left_out = shutil.ignore_patterns(".git", ".venv*", "out", "build", "*.egg-info", "__pycache__", "plugins", "notebooks", "docs")
            shutil.copytree(source, copies[-1], ignore=left_out)
        build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(self.wheels), *map(str, copies)]
        subprocess.run(build, check=True, capture_output=True)
        new = sorted(set(self.wheels.glob("*.whl")) - before)
        subprocess.run([str(self.bin / "pip"), "install", "-q", "--no-deps", "--no-index", *map(str, new)], check=True, capture_output=True)

    def environment(self) -> dict[str, str]:
        return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, "ALM_RUNS": str(self.folder / "runs"), "ALM_CACHE": str(self.folder / "cache")}

    def run(self, *command: str) -> str:
        done = subprocess.run([str(self.bin / command[0]), *command[1:]], capture_output=True, text=True, cwd=self.folder, env=self.environment(), check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    environment = Fresh(tmp_path_factory.mktemp("fresh"))
    environment.install(ROOT, ROOT / "plugins/alm-prompts")
    return environment


def test_a_wheel_speaks_and_shows_its_page_outside_the_repository(fresh):
    assert fresh.run("python", "-c", "import alm, alm_prompts; print(alm.__file__, alm_prompts.__file__)").count(str(fresh.folder / "venv")) == 2
    fresh.run("alm", "run", "TTS", "thank you", "-o", "thanks.wav")
    heard = json.loads(fresh.run("alm", "run", "ASR", "thanks.wav", "--json"))
    assert heard["texts"] == ["thank you"]
    page = subprocess.Popen(
        [str(fresh.bin / "alm"), "demo", "prompts", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=fresh.folder,
        env={**fresh.environment(), "PYTHONUNBUFFERED": "1"},
    )
    try:
        address = next(found[0] for line in page.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        assert json.loads(urlopen(f"{address}/config", timeout=60).read())["title"] == "alm"
    finally:
        page.terminate()
        page.wait(30)


def test_a_new_plugin_conforms_and_trains_without_touching_core(fresh):
    """Its own tests, the conformance checks, and its recipe."""
    package = new_plugin("alm-loud", fresh.folder)
    assert len((package / "src/alm_loud/tokenizer.py").read_text().splitlines()) < 40
    fresh.install(package)
    assert "2 passed" in fresh.run("python", "-m", "pytest", "-q", str(package / "tests"))
    checked = fresh.run("alm", "plugins", "--check", "--plugin", "alm-loud")
    assert "passed     alm-loud: tokenizer alm-loud-loudness" in checked and "0 failed" in checked
    fresh.run("alm", "check", "alm-loud")
    fresh.run("alm", "train", "alm-loud-text", "--quiet")
    fresh.run("alm", "train", "alm-loud", "--quiet", "train.steps=3", "train.minutes=0", "train.validate_every_steps=0")
    assert (fresh.folder / "runs/alm-loud/final/model.safetensors").exists()
