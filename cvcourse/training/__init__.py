"""Training with Keras' `fit`: exact resume, the best model, evaluation and the report."""

from cvcourse.deprecation import renamed_attributes
from cvcourse.settings import precision
from cvcourse.training._features import (
    LAST,
    computed_features,
    depths,
    features,
    for_any_size,
    stages,
    vector,
    with_classifier,
)
from cvcourse.training._fit import facts, fit
from cvcourse.training._layer_statistics import LayerStatistics, layer_statistics
from cvcourse.training._machine import is_interactive, machine, vector_extensions, versions
from cvcourse.training._watch import require_map, watch
from cvcourse.training.backbone import Backbone, best_scaling
from cvcourse.training.best_model import BestModel, class_names, load_model, save_model
from cvcourse.training.checkpoint import data_fingerprint
from cvcourse.training.conclusion import evaluate_and_report, write_results
from cvcourse.training.doctor_report import examination_sections
from cvcourse.training.embedding_report import (
    embedding_sections,
    label_agreement,
    neighbors_of_each,
)
from cvcourse.training.evaluation import Evaluation, as_logits, evaluate, evaluate_held_out
from cvcourse.training.evaluation_report import (
    evaluation_metrics,
    evaluation_sections,
    write_confusion,
    write_predictions,
)
from cvcourse.training.exact_resume import ExactResume, history_columns, read_history
from cvcourse.training.explanation_report import (
    TRUST_NOTES,
    explanation_figure,
    explanation_metrics,
    explanation_sections,
    trust_sentences,
    unit_sections,
)
from cvcourse.training.feature_space import (
    MAX_POINTS,
    NEIGHBORS,
    map_of_split,
    nearest,
    neighbors_gallery,
    tsne,
)
from cvcourse.training.probe import Probe, fit_probe
from cvcourse.training.progress import (
    EpochLine,
    EpochTensorBoard,
    LogUnregularizedLoss,
    weighted_metrics,
)
from cvcourse.training.report import write_report
from cvcourse.training.snapshots import Snapshots
from cvcourse.training.transfer_learning import (
    accuracy_tables,
    choose_method,
    judge_fine_tuning,
    unfreeze,
)

__all__ = [
    "LAST",
    "MAX_POINTS",
    "NEIGHBORS",
    "TRUST_NOTES",
    "Backbone",
    "BestModel",
    "EpochLine",
    "EpochTensorBoard",
    "Evaluation",
    "ExactResume",
    "LayerStatistics",
    "LogUnregularizedLoss",
    "Probe",
    "Snapshots",
    "accuracy_tables",
    "as_logits",
    "best_scaling",
    "choose_method",
    "class_names",
    "computed_features",
    "data_fingerprint",
    "depths",
    "embedding_sections",
    "evaluate",
    "evaluate_and_report",
    "evaluate_held_out",
    "evaluation_metrics",
    "evaluation_sections",
    "examination_sections",
    "explanation_figure",
    "explanation_metrics",
    "explanation_sections",
    "facts",
    "features",
    "fit",
    "fit_probe",
    "for_any_size",
    "history_columns",
    "is_interactive",
    "judge_fine_tuning",
    "label_agreement",
    "layer_statistics",
    "load_model",
    "machine",
    "map_of_split",
    "nearest",
    "neighbors_gallery",
    "neighbors_of_each",
    "precision",
    "read_history",
    "require_map",
    "save_model",
    "stages",
    "trust_sentences",
    "tsne",
    "unfreeze",
    "unit_sections",
    "vector",
    "vector_extensions",
    "versions",
    "watch",
    "weighted_metrics",
    "with_classifier",
    "write_confusion",
    "write_predictions",
    "write_report",
    "write_results",
]

__getattr__ = renamed_attributes(
    __name__,
    MAPPED="MAX_POINTS",
    in_the_plane="tsne",
    someone_watches="is_interactive",
    DataLossIsLoss="LogUnregularizedLoss",
    conclude="evaluate_and_report",
)
