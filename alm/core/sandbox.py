"""Files that strangers send -> Audio, decoded in processes of their own: one that crashes, hangs or wants all memory takes nobody with it."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch

from alm.api.errors import AlmError
from alm.api.types import Audio
from alm.core.audio import as_audio
from alm.core.decode import EXPORT_AGAIN, MAX_DURATION_S, READABLE


class Sandbox:
    """Decodes up to `processes` files at a time; more wait. Processes start when they are first needed, in some 0.3 s, and stay.

    Args:
        memory_mb: of address space, of a process.
        limit_s: for which a file may be decoded.
    """

    def __init__(self, processes: int = 2, memory_mb: int = 2048, limit_s: float = 120.0) -> None:
        self.memory_mb, self.limit_s = memory_mb, limit_s
        self.idle: queue.LifoQueue[subprocess.Popen[str] | None] = queue.LifoQueue()
        for _ in range(processes):
            self.idle.put(None)

    def read_audio(self, path: Path, max_duration_s: float = MAX_DURATION_S, name: str = "") -> Audio:
        """As `alm.core.audio.read_audio`.

        Args:
            name: by which whoever sent the file knows it, and by which it is called in what is said of it; its path if not given.

        Raises:
            AlmError: as there; a file on which the decoder crashes, or which takes it too long or too much memory.
        """
        try:
            return self._read(path, max_duration_s)
        except AlmError as error:
            raise AlmError(error.got.replace(str(path), name or str(path)), error.wanted, error.fix) from error

    def _read(self, path: Path, max_duration_s: float) -> Audio:
        process = self.idle.get()
        handle, out = tempfile.mkstemp(prefix="alm-decoded-")
        os.close(handle)
        try:
            if process is None or process.poll() is not None:
                process = self._started()
            answer = self._asked(process, {"path": str(path), "max_duration_s": max_duration_s, "out": out})
            if answer is None:
                process = None
                raise AlmError(f"got {path}, on which the decoder fails", READABLE, EXPORT_AGAIN)
            if "got" in answer:
                raise AlmError(answer["got"], answer["wanted"], answer["fix"])
            values = torch.from_file(out, shared=False, size=Path(out).stat().st_size // 4, dtype=torch.float32)
            return as_audio(values.view(-1, answer["channels"]).T.contiguous(), answer["sample_rate_hz"], path)
        finally:
            self.idle.put(process)
            os.unlink(out)

    def _started(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "alm.core.decode_worker", str(self.memory_mb)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each thread takes address space
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)

    def _asked(self, process: subprocess.Popen[str], request: dict[str, Any]) -> dict[str, Any] | None:
        """None of a process that is gone."""
        assert process.stdin is not None and process.stdout is not None
        timer = threading.Timer(self.limit_s, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if not answer:
            process.kill()
            process.wait()
            return None
        found: dict[str, Any] = json.loads(answer)
        return found

    def close(self) -> None:
        """Ends the processes that are idle."""
        while not self.idle.empty():
            process = self.idle.get()
            if process is not None:
                process.kill()
                process.wait()
