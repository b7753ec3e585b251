"""The end of a run: the best model on validation and test data, the report, metrics.json."""

import dataclasses
import math

from cvcourse.errors import RunError
from cvcourse.files import write_json
from cvcourse.saved_model import read_model
from cvcourse.training.evaluation import evaluate_held_out
from cvcourse.training.machine import machine, versions
from cvcourse.training.report import write_report


def conclude(workdir, *, title, config, dataset, resume, batch_size, batches, loss_name, more=None):
    """Judge model.keras, write report.html and last metrics.json, print where they lie.

    The test split is evaluated here and nowhere else. `batches(split)` is the evaluation stream of
    a split, `resume` the run's ExactResume, `loss_name` softmax or hinge, `more` are further
    metrics. Returns the metrics; test_* are None where there is no test split. Raises RunError
    where a file cannot be written.
    """
    remedy = "it held the best epoch: train anew in another directory"
    model = read_model(workdir / "model.keras", remedy=remedy, compile=True)
    validation, test = evaluate_held_out(model, dataset, batches, loss_name)
    per_second = resume.timed_steps and resume.timed_steps * batch_size / resume.step_seconds
    return write_results(
        workdir,
        title=title,
        config=config,
        dataset=dataset,
        model=model,
        validation=validation,
        test=test,
        history=resume.history,
        best_epoch=resume.best_epoch,
        seconds=resume.total_seconds(),
        images_per_second=per_second,
        more=more,
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
    history,
    best_epoch,
    seconds,
    images_per_second,
    more=None,
    **sections,
):
    """Write report.html and last metrics.json from the Evaluations of a model; see `conclude`.

    `more` are further metrics, `sections` further parts of the report (`write_report` names them).
    """
    metrics = {
        "test_accuracy": test and test.accuracy,
        "test_loss": test and test.loss,
        "val_accuracy": validation.accuracy,
        "val_loss": validation.loss,
        "best_epoch": best_epoch,
        "epochs": len(history),
        "seconds": round(seconds, 1),
        "images_per_second": images_per_second and round(images_per_second, 1),
        "parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
        **(more or {}),
        "pixel_range": dataset.pixel_range,
        "seed": config.seed,
        "machine": machine(),
        "versions": versions(),
    }
    judged, split = (test, "test") if test else (validation, "validation")
    report, finished = workdir / "report.html", workdir / "metrics.json"
    try:
        write_report(
            report,
            title=title,
            metrics=metrics,
            config=dataclasses.asdict(config),
            history=history,
            model=model,
            dataset=dataset,
            evaluation=judged,
            split=split,
            **sections,
        )
        write_json(finished, metrics)
    except OSError as error:
        raise RunError(f"cannot write to {workdir}: {error.strerror}") from error
    print(f"{split} accuracy: {judged.accuracy:.4f}")
    print(f"report: {report}\nmodel: {workdir / 'model.keras'}")
    return metrics
