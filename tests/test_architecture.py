"""The house rules of docs/architecture.md, each a small function that complains, each shown to bite.

A rule takes one `Source` (a file and its syntax tree) and yields complaints. `PLANTED` holds sources that a
rule must refuse, `INNOCENT` sources that every rule must let pass: no rule can fall asleep unnoticed.
That `__all__` is sorted is ruff's RUF022.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "hybridlearn"

FLOORS = {
    1: ("table", "modules"),
    2: ("resampling", "training", "persistence"),
    3: ("nets", "trees"),
    4: ("crossfit",),
    5: ("features",),
    6: ("ensemble",),
    7: (
        "inspection",
        "robustness",
        "transfer",
        "recommendation",
        "reinforcement",
        "deployment",
        "distributed",
    ),
    8: ("audit",),
    9: (
        *("__init__", "__main__", "datasets", "cli", "_demo", "_report"),
        *("_cli_columns", "_cli_errors", "_cli_fit", "_cli_models", "_cli_tables"),
    ),
}
FLOOR_OF = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
CELLAR, ROOF = 0, max(FLOORS)
# The loose files of the cellar, and those under the roof, are one room each and may use each other.
ONE_ROOM = {CELLAR, ROOF}

FORBIDDEN = {
    "table": {"torch", "skorch"},
    "resampling": {"torch", "skorch"},
    "modules": {"sklearn", "skorch", "imblearn", "xgboost", "pandas"},
}
# What a bare import of each must leave unloaded: it costs seconds, or it would be a floor in disguise.
STAYS_UNLOADED = {
    "hybridlearn": {"torch", "xgboost", "skorch", "matplotlib"},
    **{f"hybridlearn.{room}": libraries for room, libraries in FORBIDDEN.items()},
}
LONGEST_FILE = 500
LONGEST_FUNCTION = 80


class Import(NamedTuple):
    """One imported name: ``from module import name as bound``; `name` is "" for a plain ``import module``."""

    line: int
    module: str
    name: str
    bound: str

    @property
    def library(self) -> str:
        return self.module.partition(".")[0]

    @property
    def path(self) -> list[str]:
        return [*self.module.split("."), *([self.name] if self.name else [])]


@dataclass(frozen=True)
class Source:
    """A Python file of the repository: its path from the root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @property
    def packages(self) -> list[str]:
        return self.path.split("/")[:-1]

    @property
    def room(self) -> str:
        """What lies directly under the package: the folder, or the loose file."""
        return self.path.split("/")[1].removesuffix(".py")

    @property
    def is_door(self) -> bool:
        """Whether users import from this file: a room's ``__init__``, or a public loose file."""
        inside = "/".join(self.path.split("/")[1:])
        return bool(re.fullmatch(r"[a-z]\w*(/__init__)?\.py", inside))

    @cached_property
    def imports(self) -> list[Import]:
        return [found for node in ast.walk(self.tree) for found in self.imports_of(node)]

    def imports_of(self, node: ast.AST) -> Iterator[Import]:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    yield Import(node.lineno, alias.name, "", bound)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = self.packages[: len(self.packages) - level + 1] if level else []
                origin = ".".join([*base, *([module] if module else [])])
                for alias in names:
                    yield Import(node.lineno, origin, alias.name, alias.asname or alias.name)
            case ast.Call(
                func=ast.Name(id="import_module" | "require") | ast.Attribute(attr="import_module" | "require"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield Import(node.lineno, module, "", "")


Rule = Callable[[Source], Iterator[str]]


def floor_of(room: str) -> int:
    """The floor of a room; an unknown public name hangs from the roof, where nothing may reach up to it."""
    return FLOOR_OF.get(room, CELLAR if is_private(room) else ROOF)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def target_room(found: Import) -> str:
    """The room that an import of our own package reaches; names of the package itself are the roof's."""
    room = found.path[1] if len(found.path) > 1 else "__init__"
    comes_from_the_top = found.module == PACKAGE and room not in FLOOR_OF and not is_private(room)
    return "__init__" if comes_from_the_top else room


def every_room_has_a_floor(source: Source) -> Iterator[str]:
    if source.room not in FLOOR_OF and not is_private(source.room):
        yield f"{source.path}: {source.room} stands on no floor of FLOORS"


def imports_go_down(source: Source) -> Iterator[str]:
    here = floor_of(source.room)
    for found in source.imports:
        if found.library != PACKAGE:
            continue
        room = target_room(found)
        there = floor_of(room)
        sideways = there == here and room != source.room and here not in ONE_ROOM
        if there > here or sideways:
            where = "beside" if sideways else "above"
            yield f"{source.path}:{found.line}: floor {here} imports {room} {where} it"


def rooms_keep_to_their_libraries(source: Source) -> Iterator[str]:
    forbidden = FORBIDDEN.get(source.room, set())
    for found in source.imports:
        if found.library in forbidden:
            yield f"{source.path}:{found.line}: {source.room}/ does without {found.library}"


def private_names_stay_in_compat(source: Source) -> Iterator[str]:
    if source.path == f"{PACKAGE}/_compat.py":
        return
    foreign = [found for found in source.imports if found.library != PACKAGE]
    for found in foreign:
        if any(is_private(part) for part in found.path):
            yield f"{source.path}:{found.line}: {'.'.join(found.path)} is private; ask _compat.py"
    bound = {found.bound for found in foreign}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and root_name(node) in bound:
            yield f"{source.path}:{node.lineno}: {ast.unparse(node)} is private; ask _compat.py"


def root_name(node: ast.expr) -> str | None:
    """The name at the left end of ``a.b.c``."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def files_are_short(source: Source) -> Iterator[str]:
    length = len(source.text.splitlines())
    if length > LONGEST_FILE:
        yield f"{source.path}: {length} lines, {LONGEST_FILE} are enough"


def functions_are_short(source: Source) -> Iterator[str]:
    """Counted from ``def`` to the end without the docstring: a long explanation is no long function."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = lines_of(node)
        if ast.get_docstring(node) is not None:
            length -= lines_of(node.body[0])
        if length > LONGEST_FUNCTION:
            yield f"{source.path}:{node.lineno}: {node.name}: {length} lines, {LONGEST_FUNCTION} are enough"


def lines_of(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def doors_list_their_names(source: Source) -> Iterator[str]:
    """A door's ``__all__`` is its public names: those it defines, and those it takes from its own room."""
    if not source.is_door:
        return
    listed = exports(source)
    if listed is None:
        yield f"{source.path}: no __all__ of plain strings at module level"
        return
    present = set(public_names(source))
    for name in sorted(present ^ set(listed)):
        yield f"{source.path}: {name} is {'missing from' if name in present else 'nowhere but in'} __all__"


def exports(source: Source) -> list[str] | None:
    for node in source.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=names) | ast.Tuple(elts=names)):
                return [name.value for name in names if isinstance(name, ast.Constant)]
    return None


def public_names(source: Source) -> Iterator[str]:
    own_room = f"{PACKAGE}.{source.room}"
    for node in source.tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names = [name]
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case ast.ImportFrom():
                found = source.imports_of(node)
                names = [one.bound for one in found if one.module.startswith(own_room)]
            case _:
                names = []
        yield from (name for name in names if not name.startswith("_"))


PACKAGE_RULES: list[Rule] = [
    every_room_has_a_floor,
    imports_go_down,
    rooms_keep_to_their_libraries,
    private_names_stay_in_compat,
    doors_list_their_names,
]
RULES: list[Rule] = [*PACKAGE_RULES, files_are_short, functions_are_short]


def sources(*folders: str) -> list[Source]:
    files = (file for folder in folders for file in sorted((ROOT / folder).rglob("*.py")))
    return [Source(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]


def rooms() -> list[str]:
    return sorted({source.room for source in sources(PACKAGE) if source.path.endswith("/__init__.py")} - {"__init__"})


def exported() -> dict[str, list[str]]:
    return {source.room: exports(source) or [] for source in sources(PACKAGE) if source.is_door}


@pytest.mark.parametrize("rule", RULES)
def test_the_house_obeys(rule: Rule) -> None:
    folders = [PACKAGE] if rule in PACKAGE_RULES else [PACKAGE, "tests", "benchmarks"]
    complaints = [complaint for source in sources(*folders) for complaint in rule(source)]
    assert not complaints, "\n".join(complaints)


LONG_BODY = "\n".join(["    x = 1"] * LONGEST_FUNCTION)
LONG_DOCSTRING = "\n".join(["    word"] * LONGEST_FUNCTION)

PLANTED: list[tuple[Rule, str, str]] = [
    (every_room_has_a_floor, "hybridlearn/attic/__init__.py", ""),
    (every_room_has_a_floor, "hybridlearn/helpers.py", ""),
    (imports_go_down, "hybridlearn/table/_schema.py", "from hybridlearn.nets import TabularMLPClassifier"),
    (imports_go_down, "hybridlearn/table/_schema.py", "import hybridlearn.crossfit._folds as folds"),
    (imports_go_down, "hybridlearn/table/_schema.py", "from hybridlearn import TableEncoder"),
    (imports_go_down, "hybridlearn/table/_schema.py", "from hybridlearn import ensemble"),
    (imports_go_down, "hybridlearn/table/_schema.py", "import hybridlearn"),
    (imports_go_down, "hybridlearn/table/_schema.py", "from ..nets._mlp import BaseTabularMLP"),
    (imports_go_down, "hybridlearn/table/_schema.py", "def f():\n    from .. import trees"),
    (
        imports_go_down,
        "hybridlearn/table/_schema.py",
        "import importlib\nimportlib.import_module('hybridlearn.nets')",
    ),
    (imports_go_down, "hybridlearn/table/_schema.py", "from hybridlearn.attic import Trunk"),
    (imports_go_down, "hybridlearn/_random.py", "from hybridlearn.table import Schema"),
    (imports_go_down, "hybridlearn/_random.py", "from hybridlearn._demo import run"),
    (imports_go_down, "hybridlearn/nets/_mlp.py", "from hybridlearn.trees import BoostedTreesClassifier"),
    (imports_go_down, "hybridlearn/robustness/_attack.py", "from ..inspection import explain"),
    (rooms_keep_to_their_libraries, "hybridlearn/table/_schema.py", "import torch.nn as nn"),
    (rooms_keep_to_their_libraries, "hybridlearn/table/_schema.py", "require('torch', purpose='speed')"),
    (rooms_keep_to_their_libraries, "hybridlearn/resampling/_smote.py", "from skorch import NeuralNet"),
    (rooms_keep_to_their_libraries, "hybridlearn/modules/_mlp.py", "from sklearn.base import BaseEstimator"),
    (private_names_stay_in_compat, "hybridlearn/nets/_mlp.py", "from sklearn.base import _fit_context"),
    (private_names_stay_in_compat, "hybridlearn/nets/_mlp.py", "import sklearn.utils._param_validation"),
    (private_names_stay_in_compat, "hybridlearn/nets/_mlp.py", "from sklearn.ensemble._base import clone"),
    (private_names_stay_in_compat, "hybridlearn/nets/_mlp.py", "import torch as t\nt.cuda._sleep(1)"),
    (private_names_stay_in_compat, "hybridlearn/nets/_mlp.py", "from xgboost import core\ncore._LIB"),
    (doors_list_their_names, "hybridlearn/table/__init__.py", ""),
    (doors_list_their_names, "hybridlearn/table/__init__.py", "__all__ = sorted(globals())"),
    (doors_list_their_names, "hybridlearn/table/__init__.py", "__all__ = ['Schema']"),
    (doors_list_their_names, "hybridlearn/table/__init__.py", "from ._schema import Schema\n__all__ = []"),
    (doors_list_their_names, "hybridlearn/datasets.py", "__all__ = []\ndef load_houses(): ..."),
    (files_are_short, "tests/test_x.py", "\n" * (LONGEST_FILE + 1)),
    (functions_are_short, "tests/test_x.py", f"def f():\n{LONG_BODY}"),
    (
        functions_are_short,
        "tests/test_x.py",
        f"class A:\n  def f(self):\n    '''Say.'''\n{LONG_BODY}\n    y = 1",
    ),
]

INNOCENT: list[tuple[str, str]] = [
    ("hybridlearn/_device.py", "from hybridlearn._extras import require\nfrom ._compat import tags"),
    ("hybridlearn/_compat.py", "from sklearn.base import _fit_context\nimport sklearn\nsklearn.utils._tags"),
    ("hybridlearn/_demo.py", "from hybridlearn.datasets import load_houses\nfrom hybridlearn import _report"),
    ("hybridlearn/__init__.py", "from hybridlearn.audit import audit"),
    ("hybridlearn/cli.py", "__all__ = ['main']\nfrom hybridlearn import HybridClassifier\ndef main(): ..."),
    (
        "hybridlearn/nets/__init__.py",
        "from __future__ import annotations\nfrom hybridlearn.table import Schema\n"
        "from hybridlearn.nets._mlp import A\nfrom ._mlp import B\nLIMIT: int = 3\n_private = 1\n"
        "__all__ = ['LIMIT', 'A', 'B']",
    ),
    (
        "hybridlearn/nets/_mlp.py",
        "import sklearn\nsklearn.__version__\nself._fitted = 1\nfrom . import _head",
    ),
    ("hybridlearn/modules/_mlp.py", f"def f():\n    '''Say.\n{LONG_DOCSTRING}\n    '''\n    x = 1"),
]


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED, ids=[rule.__name__ for rule, *_ in PLANTED])
def test_a_rule_catches_what_is_planted(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(("path", "text"), INNOCENT, ids=[path for path, _ in INNOCENT])
def test_the_rules_let_the_innocent_pass(path: str, text: str) -> None:
    assert not [complaint for rule in RULES for complaint in rule(Source(path, text))]


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def rooms_without_tests(rooms: Iterable[str], test_files: Iterable[str]) -> list[str]:
    tested = {match[1] for file in test_files if (match := re.match(r"tests/(\w+)/(?:.*/)?test_\w+\.py$", file))}
    return sorted(set(rooms) - tested)


def test_every_room_has_its_tests() -> None:
    assert rooms_without_tests(rooms(), (source.path for source in sources("tests"))) == []


def test_a_room_without_tests_is_noticed() -> None:
    files = ["tests/table/test_schema.py", "tests/nets/helper.py", "tests/test_trees.py"]
    assert rooms_without_tests(["nets", "table", "trees"], files) == ["nets", "trees"]


def reference_faults(reference: str, exported: dict[str, list[str]]) -> list[str]:
    """Where the API reference and the doors disagree: each name once, under the heading of its room."""
    described: list[tuple[str, str]] = []
    for section in re.split(r"^## ", reference, flags=re.MULTILINE)[1:]:
        room = re.match(r"`hybridlearn\.(\w+)`", section)
        if room is not None:
            names = re.findall(r"^\| `(\w+)", section, flags=re.MULTILINE)
            described += [(room[1], name) for name in names]
    offered = [(room, name) for room, names in exported.items() for name in names]
    counts = {entry: (offered.count(entry), described.count(entry)) for entry in {*offered, *described}}
    return sorted(
        f"{room}.{name}: offered {doors} times, described {rows} times"
        for (room, name), (doors, rows) in counts.items()
        if not doors == rows == 1
    )


def test_the_reference_describes_every_public_name_once() -> None:
    assert reference_faults((ROOT / "docs" / "api.md").read_text(encoding="utf-8"), exported()) == []


def test_a_gap_in_the_reference_is_noticed() -> None:
    reference = "## `hybridlearn.table`\n| `Schema` | x |\n| `Twice` | x |\n| `Twice(a)` | x |\n| `Gone` | x |\n"
    faults = reference_faults(reference, {"table": ["Missing", "Schema", "Twice"]})
    assert [fault.partition(":")[0] for fault in faults] == ["table.Gone", "table.Missing", "table.Twice"]


def test_the_top_hands_out_names_of_the_rooms() -> None:
    """The everyday names are loaded late, so only asking for them shows that they are there."""
    top = importlib.import_module(PACKAGE)
    offered = [name for names in exported().values() for name in names]
    for name in top.__all__:
        assert getattr(top, name) is not None
        assert name in dir(top)
        assert name.startswith("__") or offered.count(name) == 1, name


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after the statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    fresh = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(fresh.stdout.split())


@pytest.mark.parametrize("package", STAYS_UNLOADED)
def test_a_bare_import_stays_light(package: str) -> None:
    room = package.partition(".")[2]
    if room and room not in rooms():
        pytest.skip(f"{package} is planned")
    assert loaded_by(f"import {package}") & STAYS_UNLOADED[package] == set()


def test_a_heavy_import_is_noticed() -> None:
    assert "matplotlib" in loaded_by("import matplotlib")
