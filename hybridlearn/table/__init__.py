"""Frames in, arrays out: what the columns are, and how they become numbers. No torch."""

from hybridlearn.table._box import Box, is_coarse
from hybridlearn.table._edges import quantile_edges, target_edges
from hybridlearn.table._encoder import TableEncoder
from hybridlearn.table._feature_constraints import FeatureConstraints, as_constraints, as_frame, robust_deviation
from hybridlearn.table._fingerprint import row_hashes
from hybridlearn.table._frame import (
    BOOLEAN,
    CATEGORICAL,
    DATETIME,
    NUMERIC,
    read_raw_table,
    read_table,
    take_rows,
    to_datetime,
    to_float,
)
from hybridlearn.table._schema import MISSING, UNSEEN, Column, Schema, UnseenCategoryWarning
from hybridlearn.table._target_codes import fit_target_codes, target_codes
from hybridlearn.table._training_rows import TrainingRows, read_training_rows

__all__ = [
    "BOOLEAN",
    "CATEGORICAL",
    "DATETIME",
    "MISSING",
    "NUMERIC",
    "UNSEEN",
    "Box",
    "Column",
    "FeatureConstraints",
    "Schema",
    "TableEncoder",
    "TrainingRows",
    "UnseenCategoryWarning",
    "as_constraints",
    "as_frame",
    "fit_target_codes",
    "is_coarse",
    "quantile_edges",
    "read_raw_table",
    "read_table",
    "read_training_rows",
    "robust_deviation",
    "row_hashes",
    "take_rows",
    "target_codes",
    "target_edges",
    "to_datetime",
    "to_float",
]
