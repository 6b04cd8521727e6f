"""What torch loads late is loaded whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from hybridlearn.training._load import _interrupt_waits


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C is heard: a process in the background may have been told not to listen."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_waits_for_the_end(ctrl_c: None) -> None:
    done = []

    def work() -> None:
        with _interrupt_waits():
            signal.raise_signal(signal.SIGINT)
            done.append("all")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_is_not_hidden_and_the_handler_is_back(ctrl_c: None) -> None:
    with pytest.raises(ImportError), _interrupt_waits():
        raise ImportError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_threads_have_no_say_in_signals() -> None:
    done: list[bool] = []

    def work() -> None:
        with _interrupt_waits():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


FIRST = """
import signal, sys
from sklearn.datasets import load_breast_cancer
from hybridlearn import HybridClassifier, TabularMLPClassifier

class Presses:
    def find_spec(self, name, path=None, target=None):
        if name == "torch._dynamo.decorators":
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
X, y = load_breast_cancer(return_X_y=True)
net = TabularMLPClassifier(hidden_layer_sizes=(4,), max_epochs=1)
hybrid = HybridClassifier(estimators=[("net", net)], cv=2)
sys.meta_path.insert(0, Presses())
try:
    hybrid.fit(X[:60], y[:60])
except KeyboardInterrupt:
    print("interrupted")
hybrid.fit(X[:60], y[:60])
print("fitted")
"""


def test_a_first_fit_that_is_interrupted_leaves_a_process_that_can_fit() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["interrupted", "fitted"], done.stderr
