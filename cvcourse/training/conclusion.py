"""End of a run: evaluation of the best model, report.html and metrics.json."""

import dataclasses
import shlex

from cvcourse.figures import confusion_matrix, training_curves
from cvcourse.saved_model import read_model
from cvcourse.training._fit import facts
from cvcourse.training._watch import watch_sections
from cvcourse.training.evaluation import evaluate_held_out
from cvcourse.training.evaluation_report import confident_mistakes, most_confused_with
from cvcourse.training.explanation_report import filter_sections
from cvcourse.training.report import write_report

LOSSES = {  # name: description of its values, and their unit
    "softmax": ("cross-entropy", " (nats)"),
    "hinge": ("multiclass SVM loss", ""),
}


def evaluate_and_report(
    workdir, *, title, config, dataset, resume, batch_size, batches, loss_name, more=None
):
    """Evaluate model.keras on validation and test data, and write report.html and metrics.json.

    The test split is evaluated here and nowhere else.

    Args:
        workdir: The run's directory, as a pathlib.Path.
        title: Title of the report.
        config: Config of the run.
        dataset: Dataset.
        resume: ExactResume as `fit` returns it.
        batch_size: Number of images per step.
        batches: Function (split) -> its batches in order.
        loss_name: "softmax" or "hinge".
        more: Additional metrics, as a dict.

    Returns:
        The metrics, as `write_report` returns them. Without a test split, test_* are None.

    Raises:
        RunError: If the model cannot be read, or a file cannot be written.
    """
    remedy = "it contained the best epoch: train again in another directory"
    model = read_model(workdir / "model.keras", remedy=remedy, compile=True)
    validation, test = evaluate_held_out(model, dataset, batches, loss_name)
    return write_results(
        workdir,
        title=title,
        config=config,
        dataset=dataset,
        model=model,
        validation=validation,
        test=test,
        trained=resume,
        batch_size=batch_size,
        more=more,
        watched=watch_sections(config.watch, dataset, workdir),
    )


def write_results(
    workdir,
    *,
    title,
    config,
    dataset,
    model,
    validation,
    test,
    trained,
    batch_size,
    seconds=None,
    more=None,
    lead=(),
    sections=(),
    watched=(),
    **parts,
):
    """Write report.html, then metrics.json, from the Evaluations of a model.

    Args:
        workdir: The run's directory, as a pathlib.Path.
        title: Title of the report.
        config: Config of the run.
        dataset: Dataset.
        model: keras.Model.
        validation: Evaluation of the validation split.
        test: Evaluation of the test split, or None.
        trained: ExactResume as `fit` returns it; None without training steps.
        batch_size: Number of images per step.
        seconds: Duration of the run. If None, that of the training.
        more: Additional metrics, as a dict.
        lead: Additional paragraphs at the start of the report.
        sections: Sections before those of the results, as in `write_report`.
        watched: Sections before the table of layers.
        **parts: Additional arguments of `write_report`.

    Returns:
        The metrics, as `write_report` returns them.

    Raises:
        RunError: If a file cannot be written.
    """
    metrics = {
        "test_accuracy": test and test.accuracy,
        "test_loss": test and test.loss,
        "val_accuracy": validation.accuracy,
        "val_loss": validation.loss,
        **facts(trained, model, config, images_per_second=batch_size),
        **({} if seconds is None else {"seconds": round(seconds, 1)}),
        **(more or {}),
        "pixel_range": dataset.pixel_range,
    }
    history = trained.history if trained else []
    judged, split = (test, "test") if test else (validation, "validation")
    results = result_sections(metrics, history, model, dataset, judged, split)
    metrics = write_report(
        workdir,
        title=title,
        metrics=metrics,
        config=dataclasses.asdict(config),
        lead=[f"{config.dataset}: {dataset}", *lead],
        tiles=_tiles(metrics, LOSSES[judged.loss_name][1]),
        sections=[*sections, *results, *watched, _layers(model), _export(workdir)],
        **parts,
    )
    print(f"{split} accuracy: {judged.accuracy:.4f}")
    return metrics


def _export(workdir):
    command = f"cvcourse export --source={shlex.quote(str(workdir))} --targets=litert,onnx"
    return {
        "caption": "Export",
        "paragraphs": ["Files that run without Keras, checked, and with --measure compared:"],
        "text": command,
    }


def result_sections(metrics, history, model, dataset, evaluation, split):
    """Create the sections of a report on a trained classifier.

    Args:
        metrics: Metrics of the run.
        history: Rows of history.csv; empty without training steps.
        model: keras.Model.
        dataset: Dataset.
        evaluation: Evaluation of one split of the dataset.
        split: Name of that split.

    Returns:
        A list of sections for `write_report`.
    """
    loss, unit = LOSSES[evaluation.loss_name]
    read = f"{len(evaluation.labels):,} images of the {split} split"
    unread = "; no test split was evaluated" if metrics["test_accuracy"] is None else ""
    sections = [
        {
            "caption": "Confusion matrix",
            "paragraphs": [f"{read}{unread}."],
            "figure": confusion_matrix(evaluation.confusion, dataset.class_names),
        },
        {
            "caption": "Accuracy by class, lowest first",
            "table": _classes(evaluation.confusion, dataset.class_names),
        },
        _mistakes(evaluation, dataset, split),
        *filter_sections(model),
    ]
    if history:
        sections.insert(0, _curves(history, metrics["best_epoch"], loss, unit))
    return sections


def _tiles(metrics, unit):
    found = []
    if metrics["test_accuracy"] is not None:
        found.append((f"{100 * metrics['test_accuracy']:.2f} %", "test accuracy"))
        found.append((f"{metrics['test_loss']:.4f}", f"test loss{unit}"))
    found.append((f"{100 * metrics['val_accuracy']:.2f} %", "validation accuracy"))
    speed = "total time"
    if metrics["epochs"]:
        found.append((f"{metrics['best_epoch']} of {metrics['epochs']}", "best epoch"))
    if metrics["images_per_second"]:  # else no step was timed
        speed = f"total time; training at {metrics['images_per_second']:,.0f} images/s"
    found.append((f"{metrics['parameters']:,}", "trainable parameters"))
    found.append((f"{metrics['seconds'] / 60:.1f} min", speed))
    return [{"value": value, "words": words} for value, words in found]


def _curves(history, best_epoch, loss, unit):
    return {
        "caption": "Learning curves",
        "figure": training_curves(history, best_epoch, f"loss{unit}"),
        "notes": [
            f"The loss is the mean {loss}, without weight decay and label smoothing. Training "
            "values are averages over the epoch, with augmentation and dropout, while the weights "
            "change; validation values are measured at the end of the epoch. The saved model is "
            f"that of epoch {best_epoch}, the best one."
        ],
    }


def _classes(counts, names):
    """Create a table with a row per class, lowest accuracy first."""
    rows = []
    for label, name in enumerate(names):
        total, right = int(counts[label].sum()), int(counts[label, label])
        share = right / max(total, 1)
        bar = (share, f"{100 * share:.1f} %")
        rows.append([name, total, bar, most_confused_with(counts, label, names)])
    rows.sort(key=lambda row: row[2][0])
    return [["class", "images", "accuracy", "most often confused with"], *rows]


def _mistakes(evaluation, dataset, split):
    section = {"caption": "Most confident mistakes"}
    if mistakes := confident_mistakes(evaluation, getattr(dataset, split), dataset.class_names):
        section["gallery"] = [mistakes]
        if evaluation.loss_name == "hinge":
            section["paragraphs"] = [
                "Percentages are the softmax of the scores, which the hinge loss does not train to "
                "be probabilities."
            ]
    else:
        section["paragraphs"] = [f"None: every image of the {split} split is classified correctly."]
    return section


def _layers(model):
    rows = [
        [
            layer.name,
            type(layer).__name__,
            " x ".join("batch" if side is None else str(side) for side in layer.output.shape),
            f"{layer.count_params():,}" if layer.count_params() else "",
        ]
        for layer in model.layers
    ]
    return {
        "caption": "Layers",
        "table": [["name", "layer", "output", "parameters"], *rows],
        "fold": f"{len(rows)} layers, from raw images to logits",
    }
