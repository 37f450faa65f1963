"""Compare networks on the same annotations: plan, trainings, scores, table, findings.

A comparison is a folder of runs. Importing this loads no torch; trainings run in an engine.
"""

from napari_tem_rf.comparison.disagreement import Place, disagreement, most_different
from napari_tem_rf.comparison.ensemble import Ensemble
from napari_tem_rf.comparison.findings import BaselineOffer, Findings, findings
from napari_tem_rf.comparison.holdout import HeldOut, HeldOutImage, hold_out
from napari_tem_rf.comparison.jobs import (
    ContestantJob,
    predict_baseline,
    predict_ensemble,
    prediction_path,
)
from napari_tem_rf.comparison.plan import (
    BASELINES,
    ComparisonPlan,
    ComparisonSettings,
    Contestant,
    asked_settings,
    grid,
    network_name,
    seeds,
)
from napari_tem_rf.comparison.recall import recall_images
from napari_tem_rf.comparison.record import Comparison, ComparisonRecord, read_comparison
from napari_tem_rf.comparison.report import REPORT, report_on, write_report
from napari_tem_rf.comparison.results import (
    SCORES,
    Costs,
    ImageScores,
    Result,
    image_table,
    network_table,
    result_table,
)
from napari_tem_rf.comparison.running import ComparisonReport, run_comparison

__all__ = [
    "BASELINES",
    "REPORT",
    "SCORES",
    "BaselineOffer",
    "Comparison",
    "ComparisonPlan",
    "ComparisonRecord",
    "ComparisonReport",
    "ComparisonSettings",
    "Contestant",
    "ContestantJob",
    "Costs",
    "Ensemble",
    "Findings",
    "HeldOut",
    "HeldOutImage",
    "ImageScores",
    "Place",
    "Result",
    "asked_settings",
    "disagreement",
    "findings",
    "grid",
    "hold_out",
    "image_table",
    "most_different",
    "network_name",
    "network_table",
    "predict_baseline",
    "predict_ensemble",
    "prediction_path",
    "read_comparison",
    "recall_images",
    "report_on",
    "result_table",
    "run_comparison",
    "seeds",
    "write_report",
]
