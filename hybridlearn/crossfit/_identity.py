"""What a fit hangs on, told so that it is the same in any process: the key under which a finished fit is kept."""

from __future__ import annotations

import copyreg
from hashlib import sha256
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from hybridlearn._compat import lasting_state, requests_of
from hybridlearn.table import row_hashes

_PLAIN = (bool, int, float, complex, str, bytes, bytearray, type(None), type(...))


class NoIdentityError(TypeError):
    """Something cannot be told apart from others of its kind in another process."""


class Identities:
    """Describes things by plain values and hashes; what is big is hashed once.

    Attributes
    ----------
    named : dict of str to class or function
        Those that were met, by ``module:qualname``; of code, the name is all that counts.
    """

    def __init__(self) -> None:
        self.named: dict[str, Any] = {}
        self._known: dict[int, tuple[Any, Any]] = {}
        self._open: set[int] = set()

    def key(self, thing: Any) -> str:
        """Hash of a description, 64 hexadecimal digits."""
        return _digest(repr(self.of(thing)).encode())

    def of(self, thing: Any) -> Any:
        """A description: equal for things that are equal, in this process and in any other.

        Raises
        ------
        NoIdentityError
            On lambdas, local functions, and what contains itself or has no state to show.
        """
        if type(thing) in _PLAIN:
            return type(thing).__name__, repr(thing)
        if id(thing) in self._known:
            return self._known[id(thing)][0]
        if id(thing) in self._open:
            raise NoIdentityError(f"a {type(thing).__name__} contains itself")
        self._open.add(id(thing))
        try:
            found = self._describe(thing)
        finally:
            self._open.remove(id(thing))
        # with the thing itself, lest another gets its id
        self._known[id(thing)] = found, thing
        return found

    def _describe(self, thing: Any) -> Any:
        if isinstance(thing, list | tuple):
            return self._name(type(thing)), [self.of(item) for item in thing]
        if isinstance(thing, set | frozenset):
            return self._name(type(thing)), sorted(repr(self.of(item)) for item in thing)
        if type(thing) is dict:
            return "dict", [(self.of(key), self.of(value)) for key, value in thing.items()]
        if isinstance(thing, type | FunctionType | BuiltinFunctionType):
            return "named", self._name(thing)
        if isinstance(thing, np.ndarray | np.generic):
            return self._of_array(np.asarray(thing))
        if isinstance(thing, pd.DataFrame | pd.Series | pd.Index):
            return self._of_pandas(thing)
        if sparse.issparse(thing):
            rows = thing.tocsr()
            return "sparse", thing.format, thing.shape, [self.of(a) for a in (rows.data, rows.indices, rows.indptr)]
        if hasattr(thing, "get_params"):
            # what it was given, and what it has learned where it comes fitted
            state = lasting_state(vars(thing))
            told = [(name, self.of(state[name])) for name in sorted(state)]
            return self._name(type(thing)), told, self.of(requests_of(thing))
        if type(thing).__module__.partition(".")[0] == "torch" and hasattr(thing, "detach"):
            return "tensor", self.of(thing.detach().cpu().numpy())
        return self._of_object(thing)

    def _of_array(self, array: np.ndarray) -> Any:
        if array.dtype.hasobject:
            return "array", array.shape, [self.of(item) for item in array.ravel().tolist()]
        if array.dtype.names:
            # between the fields there may be anything
            return "records", [(name, self._of_array(array[name])) for name in array.dtype.names]
        return "array", array.dtype.str, array.shape, _digest(np.ascontiguousarray(array).tobytes())

    def _of_pandas(self, table: Any) -> Any:
        if isinstance(table, pd.RangeIndex):
            return "range", table.start, table.stop, table.step, self.of(table.name)
        frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame({0: table})
        kinds = [self._of_dtype(dtype) for dtype in frame.dtypes]
        names = self.of(list(table.columns) if frame is table else [table.name])
        index = None if isinstance(table, pd.Index) else self.of(table.index)
        return "frame", names, kinds, index, self.of(row_hashes(frame, np.zeros(len(frame))))

    def _of_dtype(self, dtype: Any) -> Any:
        levels = self.of(dtype.categories.tolist()) if isinstance(dtype, pd.CategoricalDtype) else None
        return str(dtype), levels, getattr(dtype, "ordered", None)

    def _of_object(self, thing: Any) -> Any:
        """As pickle would see it, without pickling."""
        try:
            reduce = copyreg.dispatch_table.get(type(thing))
            reduced: Any = reduce(thing) if reduce else thing.__reduce_ex__(4)
        except Exception as error:
            raise NoIdentityError(f"a {type(thing).__name__} has no state to show ({error})") from error
        if isinstance(reduced, str):
            return "named", f"{type(thing).__module__}:{reduced}"
        return "object", [self.of(list(part) if hasattr(part, "__next__") else part) for part in reduced]

    def _name(self, thing: Any) -> str:
        if "<" in thing.__qualname__:
            raise NoIdentityError(f"{thing.__qualname__} is local or a lambda; define it at the top of a module")
        name = f"{thing.__module__}:{thing.__qualname__}"
        self.named[name] = thing
        return name


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()
