"""The documentation is built without a warning, and has a place for every command, recipe and hook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from alm.api import hookspecs
from alm.cli.common import app
from alm.core.config import recipes

ROOT = Path(__file__).parents[1]


def test_the_site_is_whole(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [line for line in done.stderr.splitlines() if "WARNING" in line]
    pages = {name: (tmp_path / f"reference/{name}/index.html").read_text() for name in ("cli", "recipes", "tasks", "hooks", "api")}
    commands = [command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands]
    assert len(commands) > 20 and all(f'id="alm-{name}"' in pages["cli"] for name in commands)
    assert all(f'id="{name}"' in pages["recipes"] for name in recipes())
    hooks = [name for name in dir(hookspecs) if name.startswith("register_")]
    assert all(f'id="{name}"' in pages["hooks"] for name in hooks)
    assert all(f"alm.api.{name}" in pages["api"] for name in ("types.Audio", "interfaces.Tokenizer", "demos.DemoPage", "testing.check_tokenizer"))
    assert "fonts.googleapis" not in "".join(pages.values()), "nothing is fetched from elsewhere"
