"""Decodes with k2, for alm's search `k2`."""

from __future__ import annotations

from typing import Any

from alm_k2 import numerics
from alm_k2.numerics import Reading, compile_graph

__all__ = ["compile_graph", "decode"]


def decode(log_probs: list[Any], graph: Any, options: Any) -> list[list[Reading]]:
    """Readings of each clip, best first; none where no path was left."""
    lattice, order = numerics.lattices(log_probs, graph, options.beam, options.lattice_beam, options.max_active)
    if options.readings > 1:
        sorted_readings = numerics.n_best(lattice, options.readings, options.paths)
    else:
        sorted_readings = [[reading] if reading is not None else [] for reading in numerics.best(lattice)]
    found: list[list[Reading]] = [[] for _ in log_probs]
    for row, index in enumerate(order):
        found[index] = sorted_readings[row]
    return found
