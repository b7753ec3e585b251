"""An evaluation as files: a row an image, a row a class, and the report's tables and figures."""

import contextlib
import csv

import numpy as np

from cvcourse.figures import confusion_matrix, reliability_diagram
from cvcourse.files import replacing

HEADINGS = ("file", "true", "predicted", "correct", "probability")
DRAWN = 100  # classes up to which the confusion matrix is drawn
CONFUSIONS = 20  # in the table of the most frequent ones
MISTAKES = 24  # pictures


def write_predictions(path, evaluation, names, class_names):
    """Write a CSV file with a row an image, atomically.

    The columns are the image's name, its true and its predicted class, 1 for a right prediction,
    the predicted class' probability, and the probability of every class.

    Args:
        path: Path of the file.
        evaluation: Evaluation.
        names: Names of the images.
        class_names: Names of the classes. One that is a heading already is written as P(NAME).

    Raises:
        OSError: If it cannot be written.
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
    """Write the confusion matrix as a CSV file: a row a true class, a column a predicted one.

    Args:
        path: Path of the file.
        evaluation: Evaluation.
        class_names: Names of the classes.

    Raises:
        OSError: If it cannot be written.
    """
    with _table(path) as table:
        table.writerow(["true", *class_names])
        for name, counts in zip(class_names, evaluation.confusion, strict=True):
            table.writerow([name, *counts])


def evaluation_metrics(evaluation, class_names, reliability):
    """Count what metrics.json holds of an evaluation.

    Args:
        evaluation: Evaluation.
        class_names: Names of the classes.
        reliability: Counts, mean confidences and accuracies (bins,) of the probabilities.

    Returns:
        A dict of plain values. Undefined ones are None: of a class, its precision where it is never
        predicted, its recall where it has no images; top5_accuracy below 6 classes.
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
    """Make the tables, figures and pictures of an evaluation's report.

    Args:
        evaluation: Evaluation.
        split: Its Split.
        names: Names of the images.
        class_names: Names of the classes.
        metrics: As `evaluation_metrics` gives them, and `ece`.
        reliability: As `evaluation_metrics` takes it.

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
    """Make a gallery of the wrong predictions that the model was surest of.

    Args:
        evaluation: Evaluation.
        split: Its Split.
        class_names: Names of the classes.
        names: Names of the images; None for their numbers.

    Returns:
        A list of pairs of an image and a text.
    """
    examples, probabilities = evaluation.confident_mistakes(MISTAKES)
    return [
        (
            split.images[int(i)],
            f"{class_names[evaluation.labels[i]]}, predicted as "
            f"{class_names[evaluation.predictions[i]]} at {share:.1%}\n"
            f"{names[i] if names else f'no. {i}'}",
        )
        for i, share in zip(examples, probabilities, strict=True)
    ]


def mostly_taken_for(counts, label, class_names):
    """Find the class that examples of a class are wrongly predicted as most often.

    Args:
        counts: Confusion matrix (classes, classes).
        label: Number of the true class.
        class_names: Names of the classes.

    Returns:
        Its name and how often, as text; "" where there is none.
    """
    others = counts[label].copy()
    others[label] = 0
    return f"{class_names[others.argmax()]} ({others.max()})" if others.any() else ""


def _summary(metrics):
    unit = " (nats)" if metrics["loss_name"] == "softmax" else ""
    rows = [
        ("images", f"{metrics['images']:,}"),
        ("accuracy", _percent(metrics["accuracy"])),
        ("among the five likeliest classes", _percent(metrics["top5_accuracy"])),
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
            mostly = mostly_taken_for(counts, i, names)
            rows.append((one["recall"], [names[i], one["support"], *shares, mostly]))
    rows.sort(key=lambda row: row[0])
    title = ["class", "images", "precision", "recall", "F1", "mostly confused with"]
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
    """Context manager: the csv.writer of a file that appears whole or not at all."""
    with replacing(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        yield csv.writer(file)
