"""The engine `ray`: a tokenizing job over a Ray cluster, by Ray Data. Sees chunks and reports, no sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from alm.api.engines import OnClips, Report
from alm.api.errors import AlmError
from alm.api.hookspecs import hookimpl

ALM_PLUGIN_API = 1


@hookimpl
def register_engines(register: Callable[..., None]) -> None:
    register("ray", run)


class _Actor:
    """One worker process: makes the worker once, then is given rows with a chunk each."""

    def __init__(self, make_worker: Callable[[], Callable[[Any], Report]]) -> None:
        self.worker = make_worker()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        import pickle

        report = self.worker(pickle.loads(row["chunk"]))  # what this program put there itself
        return {"clips": report.clips, "seconds": report.seconds, "bad": report.bad}


def run(make_worker: Callable[[], Callable[[Any], Report]], chunks: Iterable[Any], on_clips: OnClips) -> Iterator[Report]:
    """See alm.api.engines.Engine.

    Raises:
        AlmError: a worker that failed, with the first line of its error.
    """
    import pickle

    import ray
    from ray.exceptions import RayError

    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"chunk": pickle.dumps(chunk)} for chunk in chunks]
    if not rows:
        return
    cpus, gpus = float(os.environ.get("ALM_RAY_CPUS", 2)), float(os.environ.get("ALM_RAY_GPUS", 0))
    at_once = max(1, min(len(rows), int(ray.cluster_resources().get("CPU", 1) // cpus)))
    data = ray.data.from_items(rows, override_num_blocks=len(rows))
    done = data.map(_Actor, fn_constructor_args=(make_worker,), num_cpus=cpus, num_gpus=gpus or None, concurrency=at_once)
    try:
        for row in done.iter_rows():
            report = Report(row["clips"], row["seconds"], row["bad"])
            on_clips(report.clips, report.seconds)
            yield report
    except RayError as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise AlmError(
            f"got a worker that failed ({reason})", "workers that see the manifest's sounds and the output folder", "correct it and run the same command again"
        ) from error
