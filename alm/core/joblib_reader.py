"""The centroids of a scikit-learn k-means that joblib wrote, without running what is pickled. Knows no tokenizer.

fairseq, textlesslib and GSLM publish their codebooks so. A pickle can call any function; this reader calls none but numpy's for
arrays: every class of scikit-learn becomes an empty shell that keeps its attributes, and any other name is refused.
"""

from __future__ import annotations

import gzip
import io
import pickle
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from alm.api.errors import AlmError

SHELLS = ("sklearn", "numpy.random")  # modules whose classes are kept as attributes alone
NUMPY = {"ndarray", "dtype", "_reconstruct", "scalar"}
WANTED = "a k-means of scikit-learn that joblib or pickle wrote"


class _Shell:
    """Stands for any object: takes every argument, does nothing, keeps its state."""

    def __new__(cls, *arguments: Any, **named: Any) -> _Shell:  # noqa: ARG004
        return super().__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update({str(key): value for key, value in state.items()})


class _StoredArray(_Shell):
    """joblib's NumpyArrayWrapper: the array's bytes follow in the file."""

    shape: tuple[int, ...]
    order: str
    dtype: np.dtype

    def read(self, file: IO[bytes]) -> np.ndarray:
        if self.dtype.hasobject:
            raise pickle.UnpicklingError("an array of objects")
        if "numpy_array_alignment_bytes" in self.__dict__:
            file.read(file.read(1)[0])
        count = int(np.prod(self.shape, dtype=np.int64))
        content = file.read(count * self.dtype.itemsize)
        array = np.frombuffer(content, self.dtype, count)
        return array.reshape(self.shape[::-1]).T if self.order == "F" else array.reshape(self.shape)


class _Reader(pickle._Unpickler):  # type: ignore[name-defined]  # the one in Python, whose BUILD can be replaced
    dispatch = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._file_of_arrays = file

    def find_class(self, module: str, name: str) -> Any:
        if name == "NumpyArrayWrapper" and module.endswith("joblib.numpy_pickle"):
            return _StoredArray
        if name in NUMPY and module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray"):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        if any(module == shell or module.startswith(f"{shell}.") for shell in SHELLS):
            return _Shell
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no k-means needs")

    def load_build(self) -> None:
        super().load_build()  # type: ignore[misc]
        stack: list[Any] = self.stack  # type: ignore[attr-defined]
        if isinstance(stack[-1], _StoredArray):
            stack[-1] = stack[-1].read(self._file_of_arrays)

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]


def read_centroids(path: Path) -> np.ndarray:
    """`cluster_centers_` of the k-means in a file, [V, D] float32.

    Raises:
        AlmError: a file that is none, that names anything but numpy and scikit-learn, or that holds no centroids.
    """
    if not path.is_file():
        raise AlmError(f"got {path}, which is not a file", WANTED, "check the path")
    try:
        found = _Reader(_opened(path)).load()
        centroids = np.asarray(found.cluster_centers_, dtype=np.float32)
    except (pickle.UnpicklingError, EOFError, AttributeError, ValueError, TypeError, IndexError, KeyError, ImportError, OSError, zlib.error, MemoryError, RecursionError) as error:
        raise AlmError(f"got {path}, which cannot be read ({type(error).__name__}: {str(error)[:120]})", WANTED, "download it again, or check where it comes from") from error
    if centroids.ndim != 2 or not centroids.size or not np.isfinite(centroids).all():
        raise AlmError(f"got centroids {centroids.shape} in {path}", "finite ones, [clusters, features]", "check where it comes from")
    return centroids


def _opened(path: Path) -> IO[bytes]:
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    elif content[:1] == b"\x78":
        content = zlib.decompress(content)
    return io.BytesIO(content)
