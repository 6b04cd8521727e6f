"""Optional packages: imported where they are needed, or named with the pip line that brings them."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from hybridlearn._extras import _EXTRA_OF, require


def test_a_package_that_is_there_is_imported() -> None:
    import matplotlib.colors

    assert require("matplotlib.colors", purpose="a picture") is matplotlib.colors


@pytest.mark.parametrize(("package", "extra"), _EXTRA_OF.items())
def test_a_package_that_is_not_there_is_named_with_the_pip_line(
    monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    expected = f"load_x needs the package {package}, which is not installed: pip install 'hybridlearn[{extra}]'"
    with pytest.raises(ImportError, match=f"^{re.escape(expected)}$"):
        require(package, purpose="load_x")


def test_a_part_of_a_package_brings_the_line_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"plot needs the package matplotlib.*pip install 'hybridlearn\[plots\]'"):
        require("matplotlib.pyplot", purpose="plot")


def test_the_extras_of_the_project_bring_what_the_errors_promise() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    for package, extra in _EXTRA_OF.items():
        brought = [re.match(r"[\w-]+", line)[0] for line in project["optional-dependencies"][extra]]
        # what is imported as veritas is called dtai-veritas
        assert {package, f"dtai-{package}"} & set(brought), f"hybridlearn[{extra}] does not bring {package}"
