"""Model files that are not what their writer made of them, and a watch over who loads them.

``python _mutants.py FOLDER FIRST LAST`` loads the mutants of these numbers, and the forged files where FIRST is 0, and
prints what came of them.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import sys
import tracemalloc
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from _forged import FORGED, MANIFEST, PICKLE, parts_of, sealed, zipped
from _models import numbers, table

from hybridlearn.persistence import ModelFileError, _names, load

# mutants, by number


def flipped(data: bytes, rng: random.Random, low: int = 0, high: int | None = None) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(low, len(data) if high is None else high)
        changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut_or_grown(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return rng.choice([data[:at], data[at:], data[:at] + rng.randbytes(8) + data[at:], data + data[:at], data * 2])


def headers_flipped(data: bytes, rng: random.Random) -> bytes:
    """In what the zip says of a part, in front of it or in its directory."""
    starts = [i for mark in (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06") for i in find_all(data, mark)]
    at = rng.choice(starts)
    return flipped(data, rng, at, min(at + 60, len(data)))


def find_all(data: bytes, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


def swapped(data: bytes, rng: random.Random) -> bytes:
    parts = parts_of(data)
    one, other = rng.sample(sorted(parts), 2)
    return zipped({**parts, one: parts[other], other: parts[one]})


def some_pickled(data: bytes, rng: random.Random) -> bytes:
    parts = parts_of(data)
    return zipped({**parts, rng.choice(sorted(parts)): PICKLE})


def said_otherwise(data: bytes, rng: random.Random) -> bytes:
    """Something in the manifest is another number or text."""
    parts = parts_of(data)
    return zipped({**parts, MANIFEST: json.dumps(altered(json.loads(parts[MANIFEST]), rng)).encode()})


def part_flipped(data: bytes, rng: random.Random) -> bytes:
    parts = parts_of(data)
    name = rng.choice(sorted(parts))
    return zipped({**parts, name: flipped(parts[name], rng)})


SPECIAL = [None, True, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, "", "nan", "os:system", [], {}, {"#": 0}, {"#": 3}]


def altered(value: Any, rng: random.Random) -> Any:
    """JSON with one of its places changed."""
    if rng.random() < 0.1 or not isinstance(value, dict | list) or not value:
        return rng.choice(SPECIAL) if rng.random() < 0.7 or not isinstance(value, int) else value + rng.choice([-1, 1])
    if isinstance(value, list):
        at = rng.randrange(len(value))
        choice = rng.random()
        if choice < 0.1:
            return value[:at] + value[at + 1 :]
        if choice < 0.2:
            return value[:at] + value[:1] + value[at:]
        return [*value[:at], altered(value[at], rng), *value[at + 1 :]]
    name = rng.choice(sorted(value))
    if rng.random() < 0.1:
        return {key: item for key, item in value.items() if key != name}
    return {**value, name: altered(value[name], rng)}


def numbers_changed(part: bytes, rng: random.Random) -> bytes:
    """In a booster: a number of a list of 4 bytes each, or a digit of a number that is text."""
    if rng.random() < 0.2:
        match = rng.choice(list(re.finditer(rb"SL\0{7}[\x01-\x09](\d+)", part)))
        at = rng.randrange(*match.span(1))
        return part[:at] + b"%d" % rng.randrange(10) + part[at + 1 :]
    lists = [(m.end(), int(m[1].hex(), 16)) for m in re.finditer(rb"\[\$[ld]#L(\0{6}..)", part, re.DOTALL)]
    start, length = rng.choice([one for one in lists if one[1]])
    at = start + 4 * rng.randrange(length)
    number = rng.choice([0, 1, 2, 3, -1, -2, length - 1, length, length + 1, 10**6, 2**31 - 1, -(2**31)])
    return part[:at] + number.to_bytes(4, "big", signed=True) + part[at + 4 :]


def resealed(data: bytes, rng: random.Random) -> bytes:
    """A part is changed, and the manifest is right about it again."""
    parts = parts_of(data)
    name = rng.choice(sorted(set(parts) - {MANIFEST}))
    part = parts[name]
    if name == "objects.json" and rng.random() < 0.8:
        whole = json.loads(part)
        at = rng.randrange(len(whole["nodes"]))
        whole["nodes"][at] = altered(whole["nodes"][at], rng)
        part = json.dumps(whole).encode()
    elif name.endswith(".skops") and rng.random() < 0.9:
        inner = parts_of(part)
        inner["schema.json"] = json.dumps(altered(json.loads(inner["schema.json"]), rng)).encode()
        part = zipped(inner)
    elif name.endswith(".ubj") and rng.random() < 0.6:
        part = numbers_changed(part, rng)
    else:
        # in arrays, half of the time in what is said of them
        head = 2000 if name.endswith(".safetensors") and rng.random() < 0.5 else len(part)
        part = flipped(part, rng, 0, min(head, len(part))) if rng.random() < 0.8 else cut_or_grown(part, rng)
    return sealed({**parts, name: part})


BROKEN = [flipped, cut_or_grown, headers_flipped, swapped, some_pickled, said_otherwise, part_flipped]


def mutant(files: list[bytes], number: int) -> tuple[bytes, int, bool]:
    """A mutated file, the place of the honest one, and whether its manifest is right."""
    rng = random.Random(number)
    which, is_sealed = rng.randrange(len(files)), number % 2 == 1
    change = resealed if is_sealed else rng.choice(BROKEN)
    return change(files[which], rng), which, is_sealed


# the watch

WATCHED = (
    "exec",
    "compile",
    "import",
    "subprocess.",
    "os.",
    "socket.",
    "pickle.",
    "marshal.",
    "ctypes.dlopen",
    "open",
    "code.",
)
HARMLESS = {"os.fstat", "os.listdir", "os.scandir", "os.stat"}


class Watch:
    """Notes what is done in a process while it is on."""

    def __init__(self) -> None:
        self.is_on = False
        self.seen: list[str] = []
        sys.addaudithook(self.note)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.is_on or not event.startswith(WATCHED) or event in HARMLESS:
            return
        if event == "open" and (arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) == 0:
            return
        self.seen.append(f"{event} {arguments!r}"[:300])


def told(model: Any) -> bytes:
    model = model["model"] if isinstance(model, dict) else model
    X = table()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(model.predict_proba(numbers(X) if getattr(model, "only_numbers", False) else X)).tobytes()


class Loader:
    """Loads files under the watch."""

    def __init__(self, folder: Path):
        self.path = folder / f"mutant {os.getpid()}"
        self.watch = Watch()
        self.faults: list[str] = []
        self.counts = {"refused": 0, "the same": 0, "another": 0}
        self.peak = 0
        self.model: Any = None

    def load(self, data: bytes) -> str | None:
        """Why a file is refused; None where it is loaded."""
        self.path.write_bytes(data)
        self.model, error = None, None
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        self.watch.is_on = True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.model = load(self.path)
        except ModelFileError as refused:
            error = str(refused)
        except BaseException as other:
            self.watch.seen.append(f"{type(other).__name__}: {other}")
        self.watch.is_on = False
        self.peak = tracemalloc.get_traced_memory()[1] - before
        return error

    def judge(self, name: str, limit: int) -> None:
        self.faults += [f"{name}: {event}" for event in self.watch.seen]
        self.watch.seen.clear()
        if self.peak > limit:
            self.faults.append(f"{name}: {self.peak} bytes, not {limit}")


def main(folder: Path, first: int, last: int) -> None:
    for room in _names._ROOMS | _names._FUNCTION_ROOMS | {f"hybridlearn.{home}" for home in _names._HOMES}:
        import_module(room)
    files = [path.read_bytes() for path in sorted(folder.glob("*.hybrid"))]
    loader = Loader(folder)
    expected, limits = [], []
    tracemalloc.start()
    for file in files * 2:
        assert loader.load(file) is None
        expected.append(told(loader.model))
        limits.append(2 * loader.peak)
    # what is done once in a process is done
    expected, limits = expected[len(files) :], limits[len(files) :]
    loader.load(PICKLE)
    for make, _ in FORGED.values() if first == 0 else ():
        loader.load(make(files[0]))
    loader.watch.seen.clear()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    forged_said = {}
    for name, (make, _) in FORGED.items() if first == 0 else ():
        forged_said[name] = loader.load(make(files[0])) or "loaded"
        loader.judge(name, limits[0])
    for number in range(first, last):
        print(number, file=sys.stderr, flush=True)
        data, which, is_sealed = mutant(files, number)
        error = loader.load(data)
        loader.judge(f"mutant {number}", limits[which])
        if error is None and loader.model is not None:
            try:
                same = told(loader.model) == expected[which]
            except Exception as broken:
                same, loader.model = False, broken
            loader.counts["the same" if same else "another"] += 1
            if not (same or is_sealed):
                loader.faults.append(f"mutant {number} is another model: {loader.model!r}"[:300])
        else:
            loader.counts["refused"] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / resident
    print(json.dumps({"forged": forged_said, "faults": loader.faults, "counts": loader.counts, "grown": grown}))


if __name__ == "__main__":
    # the classes of this file are those of `_mutants`
    import _mutants

    _mutants.main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
