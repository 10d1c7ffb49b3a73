"""Finite-state searches for alm: `k2` and `kaldi`. Importing this imports neither torch nor k2.

k2's own environment has no alm: alm_k2.numerics and alm_k2.graphs stand by themselves there.
"""

import importlib.util

if importlib.util.find_spec("alm") is not None:
    from alm_k2.hooks import ALM_PLUGIN_API, register_searches

    __all__ = ["ALM_PLUGIN_API", "register_searches"]
