"""The documents keep their word: their code runs, their links lead somewhere, their lists match the package.

Notebooks take minutes: `make notebooks` runs them, the tests see to it that it was done.

The Python blocks of a file run in order in one namespace, in an empty folder. What cannot run in a test (it
takes hours, or a cluster) is fenced as ``python no-run``; there are few.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import hybridlearn

ROOT = Path(__file__).parents[1]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))
DOCUMENTS = [*GUIDES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]
MOST_NOT_RUN = 3
NEARLY_PYTHON = {"", "py", "python3", "pycon", "ipython"}


class Block(NamedTuple):
    """A fenced block: what its fence says, its text, and the line where the text starts."""

    info: str
    text: str
    line: int

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]


def blocks(markdown: str) -> list[Block]:
    fences = re.finditer(r"^```([^\n]*)\n(.*?)^```$", markdown, flags=re.MULTILINE | re.DOTALL)
    return [Block(one[1].strip(), one[2], markdown.count("\n", 0, one.start(2)) + 1) for one in fences]


def run(markdown: str, name: str) -> dict[str, Any]:
    """Run the Python blocks; a traceback shows the line of the document."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(markdown):
        if block.info == "python":
            exec(compile("\n" * (block.line - 1) + block.text, name, "exec"), namespace)
    return namespace


def dead_links(document: Path) -> list[str]:
    """Targets of links and pictures that are no file of the repository; web addresses are not followed."""
    targets = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", document.read_text(encoding="utf-8"))
    local = [target for target in targets if not re.match(r"[a-z]+:", target)]
    return [target for target in local if not (document.parent / target).exists()]


def notebook_faults(notebook: dict[str, Any]) -> list[str]:
    """Cells of code that were not run, not in their order, or ended in an error, or warned of files of a machine."""
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    faults = [
        f"cell {i} has number {cell['execution_count']}"
        for i, cell in enumerate(cells, start=1)
        if cell["execution_count"] != i
    ]
    outputs = [(i, output) for i, cell in enumerate(cells, start=1) for output in cell["outputs"]]
    faults += [f"cell {i} fails" for i, output in outputs if output["output_type"] == "error"]
    return faults + [f"cell {i} says something on stderr" for i, output in outputs if output.get("name") == "stderr"]


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


@pytest.mark.parametrize("document", GUIDES, ids=name_of)
def test_the_code_runs(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(text_of(document), name_of(document))


def test_a_fence_is_plain_and_few_are_not_run() -> None:
    """A block that is fenced as anything but ``python`` would be skipped in silence."""
    fences = [block for document in GUIDES for block in blocks(text_of(document))]
    assert [block for block in fences if block.language in NEARLY_PYTHON] == []
    assert {block.info for block in fences if block.language == "python"} <= {"python", "python no-run"}
    assert sum(block.info == "python no-run" for block in fences) <= MOST_NOT_RUN


@pytest.mark.parametrize("document", NOTEBOOKS, ids=name_of)
def test_notebooks_are_executed(document: Path) -> None:
    assert notebook_faults(json.loads(text_of(document))) == []


def test_a_cell_that_was_not_run_or_failed_is_noticed() -> None:
    def cell(number: int | None, **output: str) -> dict[str, Any]:
        return {"cell_type": "code", "execution_count": number, "outputs": [output] if output else []}

    good = [cell(1), {"cell_type": "markdown"}, cell(2, output_type="stream", name="stdout")]
    assert notebook_faults({"cells": good}) == []
    bad = [cell(1), cell(None), cell(3, output_type="error"), cell(4, output_type="stream", name="stderr")]
    assert len(notebook_faults({"cells": bad})) == 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    assert dead_links(document) == []


def test_the_changelog_knows_the_version() -> None:
    version = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["version"]
    assert hybridlearn.__version__ == version
    assert re.search(rf"^## \[{re.escape(version)}\]", text_of(ROOT / "CHANGELOG.md"), flags=re.MULTILINE)


def test_the_floor_plan_is_true() -> None:
    """The plan marks as built exactly the rooms and loose public files that exist."""
    plan = re.findall(r"^\| \d \| `(\w+)` \|.*\| (built|planned) \|$", text_of(ROOT / "docs/architecture.md"), re.M)
    package = ROOT / "hybridlearn"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    files = {path.stem for path in package.glob("*.py") if not path.name.startswith("_")}
    assert len(plan) == len(dict(plan))
    assert {room for room, state in plan if state == "built"} == rooms | files


DOCUMENT = """# Title

```python
x = 1
```

```bash
rm -rf everything
```

```python no-run
x = 2
```

```python
y = x + 1
```

[here](there.md), [gone](gone.md#part), ![far](https://example.org/a.png), [below](#title)
"""


def test_blocks_run_in_order_in_one_namespace() -> None:
    assert [block.info for block in blocks(DOCUMENT)] == ["python", "bash", "python no-run", "python"]
    namespace = run(DOCUMENT, "planted")
    assert (namespace["x"], namespace["y"]) == (1, 2)


def test_a_block_that_fails_names_its_line() -> None:
    with pytest.raises(ZeroDivisionError) as failure:
        run(DOCUMENT.replace("y = x + 1", "y = x / 0"), "planted")
    assert (failure.traceback[-1].path, failure.traceback[-1].lineno + 1) == ("planted", 16)


def test_a_dead_link_is_noticed(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(DOCUMENT)
    (tmp_path / "there.md").touch()
    assert dead_links(document) == ["gone.md"]
