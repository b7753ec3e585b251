"""What surrounds `fit()`: exact resume, the best model, evaluation and the report."""

from cvcourse.training.best_model import BestModel, class_names, load_model, save_model
from cvcourse.training.conclusion import conclude
from cvcourse.training.doctor_report import write_examination
from cvcourse.training.evaluation import Evaluation, evaluate
from cvcourse.training.exact_resume import ExactResume
from cvcourse.training.layer_statistics import LayerStatistics, layer_statistics
from cvcourse.training.machine import machine, precision, someone_watches, versions
from cvcourse.training.progress import DataLossIsLoss, EpochLine
from cvcourse.training.report import write_report
from cvcourse.training.snapshots import Snapshots

__all__ = [
    "BestModel",
    "DataLossIsLoss",
    "EpochLine",
    "Evaluation",
    "ExactResume",
    "LayerStatistics",
    "Snapshots",
    "class_names",
    "conclude",
    "evaluate",
    "layer_statistics",
    "load_model",
    "machine",
    "precision",
    "save_model",
    "someone_watches",
    "versions",
    "write_examination",
    "write_report",
]
