"""Transfer learning: a network that knows ImageNet learns your classes from few images.

    cvcourse transfer --model=mobilenet_v2 --dataset=PATH
    cvcourse transfer --model=efficientnet_b0 --dataset=PATH --method=full --epochs=20
    cvcourse transfer --weights=FILE.keras --dataset=PATH

PATH/train/CLASS/*.jpg and PATH/val/CLASS/*.jpg, or any data set that `train` takes. The features of
the frozen network are computed once and kept, and a linear classifier on them is a matter of
seconds: the probe. From there on the network itself may be fine-tuned: its top stage, all of it
with a smaller rate for the body, or stage by stage from the top. `--method=auto` measures how much
data there are and how similar they are, and decides as the course's table does. The saved
model.keras takes raw RGB photos of any size. A .keras file need not hold weights of --model: a
network that you or somebody else trained goes on as it was saved, with a new head on its last
pooled features and with the preprocessing that it has in it.

Sharif Razavian et al., "CNN Features off-the-shelf", 2014, https://arxiv.org/abs/1403.6382; the
probe's solution as the head to start fine-tuning from: Kumar et al., "Fine-Tuning can Distort
Pretrained Features and Underperform Out-of-Distribution", ICLR 2022,
https://arxiv.org/abs/2202.10054.
"""

import dataclasses
import functools
import json
import pathlib
import sys
import time

from cvcourse import distribution, recipe
from cvcourse.distribution import STRATEGIES
from cvcourse.errors import RunError
from cvcourse.startup import import_tensorflow_quietly

FREE = ("workdir", "data_dir", "weights_dir", "cache_dir", "checkpoint_minutes")
METHODS = ("probe", "top", "full", "gradual")
LARGE = 2_000  # training images from which on fine-tuning is worth its risk; --method=auto
SIMILAR = 0.01  # accuracy that an earlier layer must be better by for the data to be different
UNFREEZE_BY = 0.5  # share of the epochs after which gradual unfreezing has reached the bottom
SCALINGS = ("none", "unit", "tf", "torch", "caffe")  # that pixels may need; the usual ones
GRAY_SCALINGS = 3  # the first ones: those that treat all colors alike
TRIED_ON = 300  # training images at least, to find out which
HELD_OUT = 0.2  # of the training split, to decide on
ASKED, NEIGHBORS = 8, 6  # images whose nearest neighbors the report shows, and how many


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of a run; the probe was measured on ten classes of flowers, 60 photos each."""

    model: str = recipe.field("mobilenet_v2", "a network with published weights")
    model_args: dict = recipe.field({}, "its builder's knobs, such as width=0.25")
    weights: str = recipe.field(
        "default", "a tag of `cvcourse models --pretrained`, or a file, also of a net of your own"
    )
    scaling: str = recipe.field(
        "auto",
        "of the pixels for a .keras file of your own that does not scale them; none: 0..255, unit: "
        "0..1, tf: -1..1; auto: that with which a probe is best within the training split",
        choices=("auto", *SCALINGS),
    )
    weights_dir: str | None = recipe.field(None, "where files of weights are looked for first")
    allow_noncommercial: bool = recipe.field(False, "take weights that are not for commerce, too")
    dataset: str = recipe.field("tfds:tf_flowers", "an image folder, or what train takes")
    data_dir: str | None = recipe.field(None, "where published data sets are looked for first")
    limit: int | None = recipe.field(
        None, "N examples of each split, of every class: a smoke run", least=1
    )
    size: int | None = recipe.field(
        None, "side of the images the network sees, in pixels; none: its weights' own", least=16
    )
    method: str = recipe.field(
        "auto", "linear probe, fine-tuning, or what data suggest", choices=("auto", *METHODS)
    )
    classifier: str = recipe.field(
        "auto",
        "the probe: linear SVM, softmax, nearest neighbors, or the best by cross-validation",
        choices=("auto", "svm", "softmax", "knn"),
    )
    control: bool = recipe.field(True, "do the same from random weights, to compare with")
    augment: tuple[str, ...] = recipe.field(
        ("crop", "flip"),
        "none, or any of them, in fine-tuning",
        choices=("crop", "shift", "flip", "color", "pca_color", "cutout"),
    )
    epochs: int = recipe.field(15, "passes over the training split in fine-tuning", least=1)
    batch_size: int = recipe.field(32, "examples a step", least=1)
    optimizer: str = recipe.field(
        "adam", "update rule", choices=("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw")
    )
    learning_rate: float = recipe.field(1e-3, "the classifier's, at its highest", above=0)
    body_rate: float = recipe.field(
        0.1, "the body's learning rate as a share of the classifier's", above=0
    )
    schedule: str = recipe.field(
        "cosine",
        "the learning rate's course",
        choices=("constant", "step", "exponential", "linear", "cosine", "one_cycle"),
    )
    milestones: tuple[float, ...] | None = recipe.field(
        None,
        "of --schedule=step: when the rate drops, in epochs from the start of the run, as 30,60; "
        "auto: at 50 % and 75 % of what follows the warm-up",
        above=0,
    )
    milestone_unit: str = recipe.field(
        "epochs",
        "what --milestones count; steps are updates of the weights",
        choices=("epochs", "steps"),
    )
    factor: float = recipe.field(
        0.1, "of --schedule=step: what the rate is multiplied by at a milestone", above=0, below=1
    )
    warmup_epochs: float = recipe.field(0.5, "epochs of rising learning rate before it", least=0)
    weight_decay: float = recipe.field(1e-4, "on kernels: coupled L2; decoupled for adamw", least=0)
    patience: int | None = recipe.field(None, "epochs without a better one, then stop", least=1)
    monitor: str = recipe.field(
        "val_loss", "what makes an epoch the best", choices=("val_loss", "val_accuracy")
    )
    seed: int = recipe.field(0, "of folds, order and augmentation", least=0, below=2**32)
    strategy: str = recipe.field(
        "auto", "where to fine-tune, as in train, in one process", choices=STRATEGIES
    )
    cpu_devices: int | None = recipe.field(
        None, "split the CPU into so many devices, to try a strategy", least=1
    )
    cache_dir: str | None = recipe.field(
        None, "where features are kept; none: cvcourse/features in the user's cache"
    )
    workdir: str | None = recipe.field(None, "the run's directory; none: a fresh one under runs/")
    checkpoint_minutes: float = recipe.field(5.0, "between checkpoints inside an epoch", above=0)


def main(config):
    """Probe, decide, fine-tune, report; returns what metrics.json holds.

    Raises UsageError for a wrong value or another run's workdir, RunError for what goes wrong in
    data, files or training, Interrupted after Ctrl-C or SIGTERM.
    """
    config = recipe.check(config)
    distribution.require_one_process(config.strategy)
    rules = {"free": FREE, "vouched": ("dataset",)}
    if metrics := recipe.recognize(config, "transfer", **rules):
        print(f"{config.workdir} is finished: {json.dumps(metrics)}")
        return metrics
    begun = time.monotonic()
    import_tensorflow_quietly()
    import keras
    import numpy as np

    from cvcourse import data, training

    devices = distribution.of(config)
    keras.utils.set_random_seed(config.seed)
    with recipe.usage():
        dataset = data.of(config)
        counts = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
        if counts.min() < 2:
            within = f" within --limit={config.limit}" if config.limit else ""
            raise ValueError(
                f"{config.dataset} has {counts.min()} training images of "
                f"{dataset.class_names[counts.argmin()]}{within}: two or more are needed"
            )
        with devices.scope():
            backbone = load_backbone(config, dataset)
        batch_size, *_ = learning_rate(config, dataset)
        devices.require_divisible(batch_size)
    dataset = backbone.dataset
    with recipe.claim(config, "transfer", backbone.name, config.dataset, **rules) as run:
        run.begin()
        with data.naming_broken_images(dataset):
            method, depth, reasons, by_depth = decide(config, backbone)
            reasons = [*backbone.notes, *reasons]
            print(*reasons, sep="\n", flush=True)
            probe, table = backbone.probe(depth), {}
            if method != "probe" and probe.kernel is None:  # nearest neighbors cannot be tuned
                probe = backbone.probe(depth, "softmax")
            model = backbone.with_classifier(depth, probe)
            validation = backbone.evaluation("validation", depth, model)
            table[f"probe: {probe.classifier}, {probe.setting}"] = validation.accuracy
            resume = None
            if method == "probe":
                test = backbone.evaluation("test", depth, model)
                training.save_model(
                    training.for_any_size(model), run.path / "model.keras", dataset.class_names
                )
            else:
                resume = fine_tune(config, dataset, model, method, run.path, run.command)
                model, _ = training.load_model(run.path / "model.keras")
                validation, test = training.evaluate_held_out(model, dataset, backbone.batches)
                table[f"fine-tuned: {method}"] = validation.accuracy
                reasons += verdict(table, resume, len(dataset.validation))
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
                history=resume.history if resume else [],
                best_epoch=resume and resume.best_epoch,
                seconds=time.monotonic() - begun,
                images_per_second=resume
                and resume.timed_steps
                and resume.timed_steps * config.batch_size / resume.step_seconds,
                more={
                    **(devices.facts(batch_size) if resume else {}),
                    "method": method,
                    "weights": backbone.weights,
                    "probe": probe.summary,
                    "val_accuracies": table,
                    "held_out_accuracy_by_depth": by_depth,
                },
                lead=reasons,
                tables=tables(table, by_depth, len(dataset.validation)),
                sections=pictures(backbone, depth, config.seed),
            )


def load_backbone(config, dataset):
    """The network with its weights behind their preprocessing, as a `Backbone`.

    Raises ValueError and RunError for weights, sizes and channels that do not go together.
    """
    from cvcourse.models import pretrained
    from cvcourse.saved_model import is_saved_model

    settings = dict(config.model_args)
    for knob, flag in (("input_shape", "--size"), ("num_classes", "the data set")):
        if knob in settings:
            raise ValueError(f"--model_args: {knob} is set by {flag}")
    if config.size:
        settings["input_shape"] = (config.size, config.size, 3)
    settings["num_classes"] = dataset.num_classes
    try:
        net, published = pretrained.load_published(
            config.model,
            config.weights,
            weights_dir=config.weights_dir,
            allow_noncommercial=config.allow_noncommercial,
            **settings,
        )
    except (ValueError, RunError) as error:
        if config.model_args or not is_saved_model(config.weights):
            raise
        return own_backbone(config, dataset, error)
    if config.scaling != "auto":
        raise ValueError(f"--scaling: the weights {published} have their own, {published.scaling}")
    resize = pretrained.resize_of(published, net.input_shape[1])
    dataset = dataset.resized(resize, published.interpolation, crop=published.resize > 0)
    model = pretrained.from_photos(net, published, dataset.input_shape)
    return Backbone(model, config.model, str(published), dataset, config)


def own_backbone(config, dataset, unpublished):
    """The network of somebody's own .keras file, with a new head, as a `Backbone`.

    `unpublished` is the error that says why it holds no published weights of --model. Raises
    ValueError for a network without features of images, or one that the settings do not fit.
    """
    import keras
    import numpy as np

    import cvcourse.sequence  # noqa: F401  registers what the file may hold
    from cvcourse import training
    from cvcourse.models import pretrained
    from cvcourse.saved_model import read_model

    path = pathlib.Path(config.weights).expanduser()
    try:
        features, place = pretrained.feature_extractor(read_model(path))
    except ValueError as error:
        named = config.model != Config.model  # the default is nobody's claim
        also = f"; nor as {config.model}: {unpublished}" if named else ""
        raise ValueError(f"{path} cannot go on as it was saved: {error}{also}") from error
    *sides, channels = features.input_shape[1:]
    if config.size and sides not in ([None, None], [config.size] * 2):
        raise ValueError(f"--size={config.size}: {path} takes images of {sides[0]}x{sides[1]}")
    logits = keras.layers.Dense(dataset.num_classes, dtype="float32", name="logits")
    net = keras.Model(features.input, logits(features.output), name=features.name)
    if config.size:
        sides = [config.size] * 2
    if sides[0] and sides[0] == sides[1]:
        dataset = dataset.resized(sides[0], "bilinear")
    said = (
        f"{path} holds no published weights of {config.model}: it goes on as it was saved, with a "
        f"new head on the {features.output_shape[-1]:,} features of {place}."
    )

    def scaled(scaling, *notes):
        model = pretrained.from_images(net, dataset.input_shape, size=sides, scaling=scaling)
        return Backbone(model, path.stem, path.name, dataset, config, notes)

    if pretrained.scales_pixels(features):
        if config.scaling != "auto":
            raise ValueError(f"--scaling: {path} scales the pixels itself: leave it out")
        return scaled("none", said, "It scales the pixels itself.")
    if config.scaling != "auto":
        return scaled(config.scaling, said, f"It gets the pixels by --scaling={config.scaling}.")
    few = dataset.limit(max(TRIED_ON, 10 * dataset.num_classes))
    if np.bincount(few.train.labels, minlength=dataset.num_classes).min() < 2:
        few = dataset
    found = {
        scaling: dataclasses.replace(scaled(scaling), dataset=few).probe(training.LAST).accuracy
        for scaling in SCALINGS[: None if channels == 3 else GRAY_SCALINGS]
    }
    best = max(found, key=found.get)
    shares = ", ".join(f"{scaling} {accuracy:.1%}" for scaling, accuracy in found.items())
    why = (
        f"It does not scale the pixels itself. With --scaling={best} a probe is best, by "
        f"cross-validation within {len(few.train):,} training images: {shares}."
    )
    return scaled(best, said, why)


@dataclasses.dataclass(frozen=True)
class Backbone:
    """A network behind the preprocessing of its weights, and what it makes of a data set."""

    model: object  # keras.Model from raw images of the data set's size
    name: str  # of the network
    weights: str  # which they are
    dataset: object  # of images at the size that the preprocessing resizes to
    config: Config
    notes: tuple[str, ...] = ()  # sentences for the user

    def with_random_weights(self):
        """The same network that knows nothing, the same one for a seed."""
        import keras

        keras.utils.set_random_seed(self.config.seed)
        with distribution.of(self.config).scope():
            model = keras.models.clone_model(self.model)
        model.trainable = True  # whatever fine-tuning has frozen
        return dataclasses.replace(self, model=model)

    @functools.cached_property
    def depths(self):
        """{name: tensor}: where a classifier may stand."""
        from cvcourse import training

        return training.depths(self.model)

    @property
    def batch_size(self):
        """That of the config, or the training split's if that is smaller."""
        return min(self.config.batch_size, len(self.dataset.train))

    def batches(self, split):
        """The evaluation stream of a split."""
        from cvcourse import data

        size = self.batch_size
        return data.stream(split, batch_size=size, seed=self.config.seed, shuffle=False)

    @functools.cached_property
    def _kept(self):
        return {}

    def features(self, name):
        """{depth: (n, c)} of the split called `name`: computed once, and kept on disk."""
        import keras

        from cvcourse import training

        if name not in self._kept:
            split = getattr(self.dataset, name)
            outputs = {depth: training.vector(x) for depth, x in self.depths.items()}
            extractor = keras.Model(self.model.input, outputs)
            self._kept[name] = training.features(
                extractor, split, self.batches, cache_dir=self.config.cache_dir
            )
        return self._kept[name]

    def probe(self, depth, classifier=None):
        """The best probe of the features at a depth, by cross-validation within train."""
        from cvcourse import training

        features, labels = self.features("train")[depth], self.dataset.train.labels
        classifier = classifier or self.config.classifier
        return training.fit_probe(
            classifier,
            features,
            labels,
            num_classes=self.dataset.num_classes,
            seed=self.config.seed,
        )

    def with_classifier(self, depth, probe=None):
        """A model from raw images to logits: a probe's, or a new classifier's."""
        from cvcourse import training

        classes = self.dataset.num_classes
        with distribution.of(self.config).scope():
            return training.with_classifier(self.model, self.depths[depth], classes, probe)

    def evaluation(self, name, depth, model):
        """A model `with_classifier` on the split called `name`, whose features are known.

        Its Evaluation, or None for a split that is not: to the bit what the whole model gives.
        """
        import keras
        import numpy as np

        from cvcourse import training

        split = getattr(self.dataset, name)
        if split is None:
            return None
        features = self.features(name)[depth]
        vector = keras.Input(features.shape[1:])
        head = keras.Model(vector, model.get_layer("logits")(vector))
        size = self.batch_size
        padded = np.concatenate([features, np.zeros((-len(features) % size, features.shape[1]))])
        logits = head.predict(padded, batch_size=size, verbose=0)[: len(split)]
        return training.Evaluation(logits, split.labels)


def decide(config, backbone):
    """(method, depth, reasons, {depth: accuracy}): the course's table of data size and similarity.

    The accuracies are probes' on a part held out of train; only --method=auto measures them.
    """
    import numpy as np

    from cvcourse import data, training

    if config.method != "auto":
        return config.method, training.LAST, [], {}
    features, labels = backbone.features("train"), backbone.dataset.train.labels
    indices = data.Split(np.arange(len(labels)), labels)
    rest, held = (part.images for part in data.hold_out(indices, round(HELD_OUT * len(labels))))
    if not len(held) or np.bincount(labels[rest], minlength=backbone.dataset.num_classes).min() < 2:
        raise RunError("too few training images of a class to hold some out: choose a --method")
    by_depth = {}
    for depth, vectors in features.items():
        probe = training.fit_probe("svm", vectors[rest], labels[rest], seed=config.seed)
        right = probe.logits(vectors[held]).argmax(axis=1) == labels[held]
        by_depth[depth] = float(right.mean())
    earlier = {depth: value for depth, value in by_depth.items() if depth != training.LAST}
    best = max(earlier, key=earlier.get, default=training.LAST)
    similar = by_depth[best] <= by_depth[training.LAST] + SIMILAR
    large = len(labels) >= LARGE
    reasons = [
        f"Data: {len(labels):,} training images, which is {'much' if large else 'little'} "
        f"({LARGE:,} and more count as much).",
        f"Similarity: on {len(held):,} of them, held out, a probe is right in "
        f"{by_depth[training.LAST]:.1%} on the network's last features and in {by_depth[best]:.1%} "
        f"on {best}, the best earlier ones: the data are "
        f"{'similar to' if similar else 'different from'} what the network has learned on.",
    ]
    method, depth, why = {
        (False, True): ("probe", training.LAST, "a linear classifier on the last features"),
        (False, False): ("probe", best, f"a linear classifier on earlier features, {best}"),
        (True, True): ("top", training.LAST, "fine-tune the top stage"),
        (True, False): ("full", training.LAST, "fine-tune the whole network"),
    }[large, similar]
    return method, depth, [*reasons, f"So: {why}."], by_depth


def fine_tune(config, dataset, model, method, path, command, *, from_scratch=False):
    """Fit `model`, whose best epoch goes to model.keras in `path`; returns its ExactResume.

    Batch norm of the body stays as it was trained: its weights and its statistics. `from_scratch`
    trains all of it at one rate instead.
    """
    import keras

    from cvcourse import data, optimization, training

    batch_size, steps, rate = learning_rate(config, dataset)
    *body, _ = training.stages(model)
    if from_scratch:
        groups = []
    else:
        for layer in (layer for stage in body for layer in stage):
            layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
        for layer in (layer for stage in body[:-1] for layer in stage if method == "top"):
            layer.trainable = False
        pace = config.epochs * steps * UNFREEZE_BY / max(1, len(body) - 1)
        begins = [round(pace * i) if method == "gradual" else 0 for i in range(len(body))][::-1]
        groups = [
            ([v for layer in stage for v in layer.trainable_variables], config.body_rate, begin)
            for stage, begin in zip(body, begins, strict=True)
        ]
    devices = distribution.of(config)
    loss = functools.partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True)
    with devices.scope():
        optimizer = optimization.optimizer(
            config.optimizer, model, rate, weight_decay=config.weight_decay
        )
        optimization.discriminative_rates(optimizer, groups)
        model.compile(optimizer, loss(), weighted_metrics=training.weighted_metrics(loss))
    devices.ready(model)
    print(devices.said(batch_size), flush=True)
    early_stopping = keras.callbacks.EarlyStopping(
        config.monitor,
        mode="max" if config.monitor == "val_accuracy" else "min",
        patience=config.patience or sys.maxsize,
    )
    resume = training.ExactResume(
        model,
        path,
        steps_per_epoch=steps,
        early_stopping=early_stopping,
        minutes=config.checkpoint_minutes,
        command=command,
        data=dataset.fingerprint(),
        devices=devices,
    )
    stream = functools.partial(data.stream, batch_size=batch_size, seed=config.seed)
    served = training.for_any_size(model)
    callbacks = [
        training.DataLossIsLoss(),
        early_stopping,
        training.BestModel(path / "model.keras", early_stopping, dataset.class_names, served),
        resume,
    ]
    if not training.someone_watches():
        callbacks.append(training.EpochLine(config.epochs))
    print(f"fine-tuning: {'all from scratch' if from_scratch else method}", flush=True)
    shuffled = functools.partial(stream, dataset.train, augment=config.augment)
    with resume.stopping_on_signals(), devices.fitting():
        for span in resume.spans(config.epochs):
            model.fit(
                devices.feed(shuffled, start_step=resume.step),
                validation_data=devices.feed(stream, split=dataset.validation, shuffle=False),
                callbacks=callbacks,
                shuffle=False,  # the stream's affair
                verbose=int(training.someone_watches()),
                **span,
            )
    return resume


def learning_rate(config, dataset):
    """(batch size, steps an epoch, learning rate's schedule). Raises ValueError for a misfit."""
    from cvcourse import data, optimization

    batch_size = min(config.batch_size, len(dataset.train))
    steps = data.steps_per_epoch(dataset.train, batch_size)
    unit = steps if config.milestone_unit == "epochs" else 1
    rate = optimization.schedule(
        config.schedule,
        config.learning_rate,
        steps=config.epochs * steps,
        warmup_steps=round(config.warmup_epochs * steps),
        milestones=config.milestones and [unit * milestone for milestone in config.milestones],
        factor=config.factor,
    )
    return batch_size, steps, rate


def control(config, stranger, method, depth, classifier, run):
    """The validation accuracy of the same from random weights: a probe, or training all of it."""
    if method == "probe":
        probe = stranger.probe(depth, classifier)
        model = stranger.with_classifier(depth, probe)
        return stranger.evaluation("validation", depth, model).accuracy
    path = run.path / "control"
    path.mkdir(exist_ok=True)
    model = stranger.with_classifier(depth)
    resume = fine_tune(
        config, stranger.dataset, model, method, path, run.command, from_scratch=True
    )
    return resume.history[resume.best_epoch - 1]["val_accuracy"]


def verdict(table, resume, images):
    """Sentences that say whether fine-tuning was worth it, and if not, what can be seen of why."""
    probed, tuned = list(table.values())[:2]
    chance = (tuned * (1 - tuned) / images) ** 0.5
    said = [
        f"Fine-tuning changes validation accuracy from {probed:.2%} to {tuned:.2%}; the standard "
        f"error of one such figure on {images:,} images is {chance:.2%}."
    ]
    if tuned <= probed:
        best, last = resume.history[resume.best_epoch - 1], resume.history[-1]
        said.append(
            f"It does not beat the probe: at its best epoch, {resume.best_epoch}, training "
            f"accuracy is {best['accuracy']:.2%}, validation loss {best['val_loss']:.4f}, at the "
            f"last one {last['accuracy']:.2%} and {last['val_loss']:.4f}. Where training accuracy "
            "is near 100 % the few images are learned by heart, and more of them or more "
            "augmentation are needed; where it is not, a higher --learning_rate or more --epochs."
        )
    return said


def tables(table, by_depth, images):
    """The report's tables of accuracies."""
    found = {
        "Validation accuracy": [
            ["", "accuracy, %", f"wrong of {images:,}"],
            *(
                [name, f"{100 * value:.2f}", f"{round((1 - value) * images):,}"]
                for name, value in table.items()
            ),
        ]
    }
    if by_depth:
        found["A probe at several depths, on a part held out of train"] = [
            ["features", "accuracy, %"],
            *([depth, f"{100 * value:.2f}"] for depth, value in by_depth.items()),
        ]
    return found


def pictures(backbone, depth, seed):
    """The report's map of the validation images and some of their nearest neighbors in train."""
    import numpy as np

    from cvcourse import figures, training

    known, asked = (backbone.features(name)[depth] for name in ("train", "validation"))
    train, validation = backbone.dataset.train, backbone.dataset.validation
    names = backbone.dataset.class_names
    shown = np.linspace(0, len(asked) - 1, min(training.MAPPED, len(asked))).astype(int)
    points = training.in_the_plane(asked[shown], seed)
    few = np.linspace(0, len(asked) - 1, min(ASKED, len(asked))).astype(int)
    order, similarity = training.nearest(known, asked[few], NEIGHBORS)
    rows = [
        [
            (validation.images[int(i)], f"{names[validation.labels[i]]}: whose neighbors?"),
            *(
                (train.images[int(j)], f"{names[train.labels[j]]}, {cosine:.2f}")
                for j, cosine in zip(neighbors, cosines, strict=True)
            ),
        ]
        for i, neighbors, cosines in zip(few, order, similarity, strict=True)
    ]
    images = validation.take(shown).images
    return [
        {
            "caption": "The validation images in the network's eyes (t-SNE of its features)",
            "figure": figures.feature_map(points, validation.labels[shown], images, names),
        },
        {
            "caption": "Nearest neighbors in the training split, by the cosine",
            "gallery": rows,
        },
    ]


def cli(argv=None):
    """Run from a command line; returns the exit code."""
    return recipe.run(main, Config, argv, name="transfer", description=__doc__)


if __name__ == "__main__":
    sys.exit(cli())
