"""Files of an evaluation: predictions, confusion matrix, and the tables and figures of a report."""

import contextlib
import csv

import numpy as np

from cvcourse.figures import confusion_matrix, reliability_diagram
from cvcourse.files import replacing

HEADINGS = ("file", "true", "predicted", "correct", "probability")
DRAWN = 100  # maximum number of classes for a figure of the confusion matrix
CONFUSIONS = 20  # rows in the table of the most frequent ones
MISTAKES = 24  # images in the gallery


def write_predictions(path, evaluation, names, class_names):
    """Write a CSV file with a row per image, atomically.

    Columns: name of the image, true class, predicted class, 1 for a correct prediction, probability
    of the predicted class, and the probability of every class.

    Args:
        path: Path of the file.
        evaluation: Evaluation.
        names: Names of the images.
        class_names: Names of the classes. A name in HEADINGS is written as P(NAME).

    Raises:
        OSError: If the file cannot be written.
    """
    columns = [f"P({name})" if name in HEADINGS else name for name in class_names]
    probabilities = evaluation.probabilities
    rows = zip(names, evaluation.labels, evaluation.predictions, probabilities, strict=True)
    with _table(path) as table:
        table.writerow([*HEADINGS, *columns])
        for name, label, predicted, row in rows:
            judged = [class_names[label], class_names[predicted], int(label == predicted)]
            shares = [f"{share:.6g}" for share in (row[predicted], *row)]
            table.writerow([name, *judged, *shares])


def write_confusion(path, evaluation, class_names):
    """Write the confusion matrix as a CSV file: true classes by rows, predicted ones by columns.

    Args:
        path: Path of the file.
        evaluation: Evaluation.
        class_names: Names of the classes.

    Raises:
        OSError: If the file cannot be written.
    """
    with _table(path) as table:
        table.writerow(["true", *class_names])
        for name, counts in zip(class_names, evaluation.confusion, strict=True):
            table.writerow([name, *counts])


def evaluation_metrics(evaluation, class_names, reliability):
    """Compute the metrics of an evaluation for metrics.json.

    Args:
        evaluation: Evaluation.
        class_names: Names of the classes.
        reliability: Counts, mean confidences and accuracies (bins,) of the probabilities.

    Returns:
        A dict of plain values. Undefined values are None: precision of a class that is never
        predicted, recall of a class without images, top5_accuracy below 6 classes.
    """
    counts, confidences, accuracies = reliability
    scores = evaluation.by_class()
    edges = np.linspace(0, 1, len(counts) + 1)
    return {
        "images": len(evaluation.labels),
        "accuracy": evaluation.accuracy,
        "top5_accuracy": evaluation.top5_accuracy,
        "loss": evaluation.loss,
        "loss_name": evaluation.loss_name,
        "macro": evaluation.macro(),
        "classes": [
            {
                "name": name,
                **{key: _defined(scores[key][i]) for key in ("precision", "recall", "f1")},
                "support": int(scores["support"][i]),
            }
            for i, name in enumerate(class_names)
        ],
        "reliability": [
            {
                "above": float(edges[i]),
                "to": float(edges[i + 1]),
                "images": int(counts[i]),
                "confidence": float(confidences[i]) if counts[i] else None,
                "accuracy": float(accuracies[i]) if counts[i] else None,
            }
            for i in range(len(counts))
        ],
    }


def evaluation_sections(evaluation, split, names, class_names, metrics, reliability):
    """Create the tables, figures and galleries of an evaluation's report.

    Args:
        evaluation: Evaluation.
        split: The evaluated Split.
        names: Names of the images.
        class_names: Names of the classes.
        metrics: As `evaluation_metrics` returns them, and `ece`.
        reliability: As in `evaluation_metrics`.

    Returns:
        A dict with `tables`, `figures` and `galleries` for `write_report`.
    """
    counts = evaluation.confusion
    there = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    figures = {}
    if len(there) <= DRAWN:
        figures["Confusion matrix"] = confusion_matrix(
            counts[np.ix_(there, there)], [class_names[i] for i in there]
        )
    figures["Reliability: accuracy by confidence"] = reliability_diagram({"": reliability})
    mistakes = confident_mistakes(evaluation, split, class_names, names)
    return {
        "tables": {
            "Summary": _summary(metrics),
            "Classes, lowest recall first": _classes(metrics["classes"], counts, class_names),
            "Most frequent confusions": _confusions(counts, class_names),
        },
        "figures": figures,
        "galleries": {"Most confident mistakes": mistakes} if mistakes else {},
    }


def confident_mistakes(evaluation, split, class_names, names=None):
    """Create a gallery of the wrong predictions with the highest probability.

    Args:
        evaluation: Evaluation.
        split: The evaluated Split.
        class_names: Names of the classes.
        names: Names of the images. If None, their numbers.

    Returns:
        A list of pairs (image, text).
    """
    examples, probabilities = evaluation.confident_mistakes(MISTAKES)
    return [
        (
            split.images[int(i)],
            f"{class_names[evaluation.labels[i]]}, predicted as "
            f"{class_names[evaluation.predictions[i]]} ({share:.1%})\n"
            f"{names[i] if names else f'image {i}'}",
        )
        for i, share in zip(examples, probabilities, strict=True)
    ]


def most_confused_with(counts, label, class_names):
    """Find the most frequent wrong prediction for the examples of a class.

    Args:
        counts: Confusion matrix (classes, classes).
        label: Number of the true class.
        class_names: Names of the classes.

    Returns:
        Name of the predicted class and the number of examples, as text; "" if there is none.
    """
    others = counts[label].copy()
    others[label] = 0
    return f"{class_names[others.argmax()]} ({others.max()})" if others.any() else ""


def _summary(metrics):
    unit = " (nats)" if metrics["loss_name"] == "softmax" else ""
    rows = [
        ("images", f"{metrics['images']:,}"),
        ("accuracy", _percent(metrics["accuracy"])),
        ("top-5 accuracy", _percent(metrics["top5_accuracy"])),
        (f"loss, {metrics['loss_name']}{unit}", f"{metrics['loss']:.4f}"),
        ("expected calibration error", _percent(metrics["ece"])),
        *(
            (f"macro {name.replace('f1', 'F1')}", _percent(value))
            for name, value in metrics["macro"].items()
        ),
    ]
    return [["", ""], *rows]


def _classes(classes, counts, names):
    rows = []
    for i, one in enumerate(classes):
        if one["support"]:
            shares = [_percent(one[key]) for key in ("precision", "recall", "f1")]
            mostly = most_confused_with(counts, i, names)
            rows.append((one["recall"], [names[i], one["support"], *shares, mostly]))
    rows.sort(key=lambda row: row[0])
    title = ["class", "images", "precision", "recall", "F1", "most often confused with"]
    return [title, *(row for _, row in rows)]


def _confusions(counts, names):
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSIONS]
    pairs = [np.unravel_index(place, wrong.shape) for place in order]
    rows = [[names[i], names[j], int(wrong[i, j])] for i, j in pairs if wrong[i, j]]
    return [["true class", "predicted", "images"], *rows]


def _percent(value):
    return "–" if value is None else f"{value:.2%}"


def _defined(value):
    return None if np.isnan(value) else float(value)


@contextlib.contextmanager
def _table(path):
    """Context manager: yield the csv.writer of a file that is written atomically."""
    with replacing(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        yield csv.writer(file)
