"""One look at all the rooms below: what was learned, and how far it can be trusted."""

from hybridlearn.audit._calibration import expected_calibration_error, reliability_curve
from hybridlearn.audit._imbalance import ImbalanceReport, imbalance_report

__all__ = ["ImbalanceReport", "expected_calibration_error", "imbalance_report", "reliability_curve"]
