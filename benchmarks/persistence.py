"""Model files beside pickles: bytes, and seconds to save and to load, of every public estimator.

``python benchmarks/persistence.py``
"""

from __future__ import annotations

import pickle
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import make_classification

import hybridlearn
from hybridlearn.persistence import load, save

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from _estimators import Perceptron, public_estimators, small  # noqa: E402

# The real sizes of nets and trees, and few epochs and rounds: files grow with rounds, not with epochs.
REAL = {"n_estimators": 200, "max_epochs": 3, "early_stopping": False}
ROWS = 2000


def seconds(call: Callable[[], Any], turns: int = 3) -> float:
    """The least of a few."""
    taken = []
    for _ in range(turns):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return min(taken)


def model_of(cls: Any, X: np.ndarray, y: np.ndarray) -> Any:
    # what a model is made of is small, or must be given; all else has its real size
    is_made_of_others = {"module", "estimator", "estimators", "steps"} & set(small(cls).get_params())
    plain = small(cls) if is_made_of_others else cls()
    takes = plain.get_params()
    changes = {name: value for name, value in REAL.items() if name in takes and "Hybrid" not in cls.__name__}
    model = plain.set_params(**changes, **({"random_state": 0} if "random_state" in takes else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


def main() -> None:
    X, y = make_classification(ROWS, 20, n_informative=8, random_state=0)
    print(f"{'estimator':26}{'pickle kB':>12}{'file kB':>12}{'ratio':>8}{'save s':>9}{'load s':>9}{'unpickle s':>12}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.hybrid"
        for cls in public_estimators(hybridlearn):
            if cls.__name__.endswith("Regressor"):
                continue
            model = model_of(cls, X, y)
            pickled = pickle.dumps(model)
            saving = seconds(lambda model=model: save(model, path))
            loading = seconds(lambda: load(path, trusted=[Perceptron]))
            unpickling = seconds(lambda pickled=pickled: pickle.loads(pickled))
            sizes = len(pickled) / 1e3, path.stat().st_size / 1e3
            print(
                f"{cls.__name__:26}{sizes[0]:12.1f}{sizes[1]:12.1f}{sizes[1] / sizes[0]:8.2f}"
                f"{saving:9.3f}{loading:9.3f}{unpickling:12.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
