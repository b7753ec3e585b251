"""Transfer a network with pretrained weights to your classes, with few images.

    cvcourse transfer --model=mobilenet_v2 --dataset=PATH
    cvcourse transfer --model=efficientnet_b0 --dataset=PATH --method=full --epochs=20
    cvcourse transfer --weights=FILE.keras --dataset=PATH

PATH contains train/CLASS/*.jpg and val/CLASS/*.jpg, or is any other dataset of `train`. The
features of the frozen network are computed once and cached, and a linear classifier on them, the
probe, is fitted in seconds. Then the network may be fine-tuned: its top stage, all of it with a
lower learning rate for the body, or stage by stage from the top. `--method=auto` chooses by the
size of the dataset and its similarity to the source, as in the course's table. The saved
model.keras takes raw RGB photos of any size. A .keras file may also contain any other network: it
is used as it was saved, with its preprocessing, and gets a new head on its last pooled features.

Sharif Razavian et al., "CNN Features off-the-shelf", 2014, https://arxiv.org/abs/1403.6382; the
probe's solution as the head to start fine-tuning from: Kumar et al., "Fine-Tuning can Distort
Pretrained Features and Underperform Out-of-Distribution", ICLR 2022,
https://arxiv.org/abs/2202.10054.
"""

import dataclasses
import functools
import pathlib
import sys
import time

from cvcourse import distribution, recipe
from cvcourse.startup import import_tensorflow_quietly

METHODS = ("probe", "top", "full", "gradual")
SCALINGS = ("none", "unit", "tf", "torch", "caffe")  # of pixels; the usual ones
HELD_OUT = 0.2  # share of the training split that --method=auto decides by


@dataclasses.dataclass(frozen=True)
class Config(
    recipe.TrainingFields,
    recipe.CacheFields,
    recipe.DataFields,
    recipe.WeightsFields,
    recipe.ModelFields,
):
    """Settings of a run. The probe was measured on ten classes of flowers, 60 photos each."""

    model: str = recipe.field("mobilenet_v2", "network with published weights")
    scaling: str = recipe.field(
        "auto",
        "pixel scaling for a .keras file without its own; none: 0..255, unit: 0..1, tf: -1..1; "
        "auto: the one with the best probe, by cross-validation within the training split",
        choices=("auto", *SCALINGS),
    )
    dataset: str = "tfds:tf_flowers"
    size: int | None = recipe.field(
        None, "side of the network's input images in pixels; none: that of the weights", least=16
    )
    method: str = recipe.field(
        "auto",
        "linear probe, or fine-tuning: top stage, full network, or gradual; auto: by the data",
        choices=("auto", *METHODS),
    )
    classifier: str = recipe.field(
        "auto",
        "probe: linear SVM, softmax or nearest neighbors; auto: the best by cross-validation",
        choices=("auto", "svm", "softmax", "knn"),
    )
    control: bool = recipe.field(True, "also train from random weights, for comparison")
    augment: tuple[str, ...] = recipe.field(
        ("crop", "flip"),
        "random augmentations of training images in fine-tuning, or none",
        choices=("crop", "shift", "flip", "color", "pca_color", "cutout"),
    )
    epochs: int = 15
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    body_rate: float = recipe.field(
        0.1, "learning rate of the body, as a share of the classifier's", above=0
    )
    warmup_epochs: float = 0.5
    weight_decay: float = 1e-4


def main(config: Config) -> dict:
    """Fit a probe, choose the method, fine-tune, report; return the metrics as `train` does."""
    config, metrics = recipe.begin(config, "transfer")
    if metrics:
        return metrics
    distribution.require_one_process(config.strategy)
    begun = time.monotonic()
    import_tensorflow_quietly()
    import keras

    from cvcourse import data, optimization, training

    devices = distribution.of(config)
    keras.utils.set_random_seed(config.seed)
    with recipe.user_errors():
        dataset = data.of(config)
        within = f" within --limit={config.limit}" if config.limit else ""
        dataset.require_examples(2, f"{config.dataset}{within}")
        with devices.scope(), training.precision(config.precision):
            backbone = load_backbone(config, dataset)
        batch_size = min(config.batch_size, len(dataset.train))
        steps = data.steps_per_epoch(dataset.train, batch_size)
        optimization.schedule_of(config, steps)  # fail early
        devices.require_divisible(batch_size)
    dataset = backbone.dataset
    with (
        recipe.open_run(config, "transfer", backbone.name, config.dataset) as run,
        training.precision(config.precision),
    ):
        run.begin()
        with data.report_corrupt_images(dataset):
            method, depth, reasons, by_depth = decide(config, backbone)
            reasons = [*backbone.notes, *reasons]
            print(*reasons, sep="\n", flush=True)
            probe, table = backbone.probe(depth, config.classifier), {}
            if method != "probe" and probe.kernel is None:  # nearest neighbors cannot be tuned
                probe = backbone.probe(depth, "softmax")
            model = backbone.with_classifier(depth, probe)
            validation = backbone.evaluation("validation", depth, model)
            table[f"probe: {probe.classifier}, {probe.setting}"] = validation.accuracy
            trained = None
            if method == "probe":
                test = backbone.evaluation("test", depth, model)
                training.save_model(
                    training.for_any_size(model), run.path / "model.keras", dataset.class_names
                )
            else:
                trained = fine_tune(run, dataset, model, method)
                model, _ = training.load_model(run.path / "model.keras")
                validation, test = training.evaluate_held_out(model, dataset, backbone.batches)
                table[f"fine-tuned: {method}"] = validation.accuracy
                reasons += training.judge_fine_tuning(
                    *table.values(), len(dataset.validation), trained.history, trained.best_epoch
                )
            if config.control:
                table["the same from random weights"] = control(
                    config, backbone.with_random_weights(), method, depth, probe.classifier, run
                )
            return training.write_results(
                run.path,
                title=f"{backbone.name} to {pathlib.Path(config.dataset).stem}",
                config=run.config,
                dataset=dataset,
                model=model,
                validation=validation,
                test=test,
                trained=trained,
                batch_size=batch_size,
                seconds=time.monotonic() - begun,
                more={
                    **(devices.facts(batch_size) if trained else {}),
                    "method": method,
                    "weights": backbone.weights,
                    "probe": probe.summary,
                    "val_accuracies": table,
                    "held_out_accuracy_by_depth": by_depth,
                },
                lead=reasons,
                tables=training.accuracy_tables(table, by_depth, len(dataset.validation)),
                sections=backbone.feature_space_sections(depth),
            )


def load_backbone(config, dataset):
    """Load the network with its weights and preprocessing as a training.Backbone.

    Raises ValueError and RunError for weights, sizes and channels that do not fit.
    """
    import cvcourse.sequence  # noqa: F401  registers what a file may hold
    from cvcourse import data, training
    from cvcourse.models import pretrained

    for name, flag in (("input_shape", "--size"), ("num_classes", "the dataset")):
        if name in config.model_args:
            raise ValueError(f"--model_args: {name} is set by {flag}")
    network = pretrained.load_trained(
        config.model,
        config.weights,
        config.model_args,
        num_classes=dataset.num_classes,
        size=config.size,
        scaling=config.scaling,
        weights_dir=config.weights_dir,
        allow_noncommercial=config.allow_noncommercial,
        named=config.model != Config.model,  # the default names no network
    )
    if network.resize:
        dataset = dataset.resized(**network.resize)

    def with_scaling(scaling):
        stream = functools.partial(data.stream, seed=config.seed)
        model = network.preprocessed(dataset.input_shape, scaling)
        return training.Backbone.of(
            config, network, model, dataset, stream, distribution.of(config)
        )

    if len(network.scalings) > 1:
        return training.best_scaling(with_scaling, network.scalings, config.classifier)
    return with_scaling(*network.scalings)


def decide(config, backbone):
    """Return (method, depth, reasons, {depth: accuracy}); the last two only for --method=auto."""
    import numpy as np

    from cvcourse import data, training

    if config.method != "auto":
        return config.method, training.LAST, [], {}
    labels = backbone.dataset.train.labels
    indices = data.Split(np.arange(len(labels)), labels)
    rest, held = (part.images for part in data.hold_out(indices, round(HELD_OUT * len(labels))))
    features = backbone.features("train")
    return training.choose_method(features, labels, rest, held, seed=config.seed)


def fine_tune(run, dataset, model, method, *, from_scratch=False):
    """Fine-tune the model, and save its best epoch as model.keras; return the ExactResume.

    Batch normalization in the body is frozen. `from_scratch` trains all layers at one rate instead.
    """
    from cvcourse import data, optimization, training

    config, devices = run.config, distribution.of(run.config)
    batch_size = min(config.batch_size, len(dataset.train))
    steps = data.steps_per_epoch(dataset.train, batch_size)
    groups = []
    if not from_scratch:
        total = config.epochs * steps
        groups = training.unfreeze(model, method, steps=total, factor=config.body_rate)
    loss = optimization.LOSSES["softmax"]
    with devices.scope():
        optimizer = optimization.of(config, model, steps)
        optimization.discriminative_rates(optimizer, groups)
        model.compile(optimizer, loss(), weighted_metrics=training.weighted_metrics(loss))
    print(f"fine-tuning: {'all from scratch' if from_scratch else method}", flush=True)
    stream = functools.partial(data.stream, batch_size=batch_size, seed=config.seed)
    return training.fit(
        devices.ready(model),
        run,
        functools.partial(stream, dataset.train, augment=config.augment),
        functools.partial(stream, dataset.validation, shuffle=False),
        steps_per_epoch=steps,
        batch_size=batch_size,
        data=dataset.fingerprint(),
        names=dataset.class_names,
        saved=training.for_any_size(model),
        devices=devices,
    )


def control(config, untrained, method, depth, classifier, run):
    """Return the validation accuracy from random weights: of a probe, or of training all layers."""
    if method == "probe":
        probe = untrained.probe(depth, classifier)
        model = untrained.with_classifier(depth, probe)
        return untrained.evaluation("validation", depth, model).accuracy
    model = untrained.with_classifier(depth)
    trained = fine_tune(run.inside("control"), untrained.dataset, model, method, from_scratch=True)
    return trained.history[trained.best_epoch - 1]["val_accuracy"]


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
