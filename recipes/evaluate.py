"""Evaluate a trained model on a dataset, its own or a new one, without training.

    cvcourse evaluate runs/train/flowers photos/
    cvcourse evaluate runs/train/digits digits
    cvcourse evaluate mobilenet_v2 imagenet_folder/

MODEL is a run directory, a .keras or .cvz file, a file of `cvcourse export`, or a network with
published weights; DATASET is a dataset of `train`. Classes are matched by name, ImageNet's also by
WordNet id (n01440764). The first lines of the output describe the evaluated images. With
--split=auto they are the test split of a dataset that has one. Of a folder PATH/CLASS/*.jpg they
are the tenth that the run held out for test, if the model was trained on the folder, and otherwise
all images.

The directory of the evaluation contains metrics.json, predictions.csv (a row per image, with the
probability of every class), confusion.csv (a row per true class) and report.html.
"""

import dataclasses
import pathlib
import sys
import time

from cvcourse import recipe
from cvcourse.errors import RunError
from cvcourse.startup import import_tensorflow_quietly


@dataclasses.dataclass(frozen=True)
class Config(recipe.WorkdirFields, recipe.WeightsFields):
    """Model and dataset of an evaluation."""

    model: str = recipe.field(
        "",
        "run directory, .keras, .cvz, .tflite, .onnx, .xml file, or network with published weights",
        positional=True,
    )
    dataset: str = recipe.field(
        "",
        "dataset: digits, mnist, fashion_mnist, cifar10, cifar100, tfds:NAME, a folder of images "
        "or an .npz file",
        positional=True,
    )
    data_dir: str | None = recipe.field(
        None, "folder searched first for published datasets", free=True
    )
    limit: int | None = recipe.field(
        None, "number of examples per split, stratified by class; none: all", least=1
    )
    split: str = recipe.field(
        "auto",
        "split to evaluate; auto: the test split, or all images of a folder that the model was not "
        "trained on",
        choices=("auto", "train", "validation", "test", "all"),
    )
    model_args: dict = recipe.field(
        {}, "arguments of a published network's builder, such as width=0.25"
    )


def main(config: Config) -> dict:
    """Evaluate a model, and write the tables and the report.

    Args:
        config: Config.

    Returns:
        The contents of metrics.json.

    Raises:
        UsageError: For a wrong value, a class that the model does not have, or the workdir of
            another run.
        RunError: If data or files cannot be read or written, or outputs are not finite.
    """
    config, metrics = recipe.begin(config, "evaluate", shown=without_classes)
    if metrics:
        return metrics
    begun = time.monotonic()
    import_tensorflow_quietly()
    from cvcourse import classifier, data, evaluation_split, training
    from cvcourse.regularization import calibration

    with recipe.user_errors():
        trained = classifier.of(config, named=False, exported=True)
        chosen = evaluation_split.choose(
            trained, config.dataset, config.split, data_dir=config.data_dir, limit=config.limit
        )
    print(f"model: {trained.source}", *chosen.notes, sep="\n", flush=True)
    split, names = chosen.examples, chosen.class_names
    model, dataset = trained.title, pathlib.Path(config.dataset).stem
    with (
        recipe.open_run(config, "evaluate", model.replace(".", "-"), dataset) as run,
        data.report_corrupt_images(data.Dataset(split, None, None, names)),
    ):
        run.begin()
        loss_name = "hinge" if trained.run.get("loss") == "hinge" else "softmax"
        batches = data.stream(split, batch_size=chosen.batch_size, seed=0, shuffle=False)
        evaluation = training.evaluate(trained.model, split, batches, loss_name)
        require_finite(evaluation, chosen)
        judged = evaluation.probabilities, evaluation.labels
        reliability = calibration.reliability(*judged)
        metrics = {
            "split": chosen.name,
            "ece": calibration.expected_calibration_error(*judged),
            **training.evaluation_metrics(evaluation, names, reliability),
        }
        try:
            predictions = run.path / "predictions.csv"
            training.write_predictions(predictions, evaluation, chosen.names, names)
            training.write_confusion(run.path / "confusion.csv", evaluation, names)
        except OSError as error:
            raise RunError(f"cannot write to {run.path}: {error.strerror}") from error
        metrics = training.write_report(
            run.path,
            metrics={
                **metrics,
                "pixel_range": chosen.pixel_range,
                "seconds": round(time.monotonic() - begun, 1),
            },
            title=f"{model} evaluated on {dataset}",
            lead=[*chosen.notes, *explanations(evaluation)],
            config={"source": trained.source, **dataclasses.asdict(run.config)},
            **training.evaluation_sections(
                evaluation, split, chosen.names, names, metrics, reliability
            ),
        )
    print(f"accuracy: {metrics['accuracy']:.4f}")
    print(f"predictions: {predictions}")
    return metrics


def without_classes(metrics):
    """Return the metrics without lists, which are too long to print."""
    return {name: value for name, value in metrics.items() if not isinstance(value, list)}


def require_finite(evaluation, chosen):
    """Raise RunError for outputs that are NaN or infinite, naming the first image."""
    import numpy as np

    broken = ~np.isfinite(evaluation.logits).all(axis=1)
    if broken.any():
        raise RunError(
            f"the model outputs NaN or infinity for {broken.sum():,} of {len(broken):,} images, "
            f"first for {chosen.names[broken.argmax()]}: its weights are damaged, or it does not "
            "expect pixels of 0..255"
        )


def explanations(evaluation):
    """Return sentences that explain the numbers."""
    sentences = [
        "A dash means undefined: the precision of a class that is never predicted. Macro averages "
        "are means over the classes that have images, where they are defined.",
    ]
    if evaluation.loss_name == "hinge":
        sentences.append(
            "Probabilities are the softmax of the scores, which the hinge loss does not train to "
            "be probabilities."
        )
    return sentences


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
