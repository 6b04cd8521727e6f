"""What is resampled has classes."""

from __future__ import annotations

from typing import Any

from sklearn.utils.multiclass import type_of_target


def check_has_classes(y: Any, sampler: Any) -> None:
    """A ValueError that names the alternatives where `y` holds numbers, not classes."""
    if type_of_target(y, input_name="y").startswith("continuous"):
        raise ValueError(
            f"Unknown label type: continuous; {type(sampler).__name__} resamples by classes. In a regression weigh "
            "rows (sample_weight), or resample by bins of the target: pd.qcut(y, 10, labels=False)"
        )
