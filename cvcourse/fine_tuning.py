"""The trained network that a recipe changes, and training it further. Only recipes import this."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from cvcourse import recipe, source_file
from cvcourse.errors import UsageError
from cvcourse.files import read_json

PRUNED_AFTER = 0.75  # share of the batches after which the density is reached
PRUNINGS = 50  # number of times that weights are pruned, at most


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network with its dataset.

    Attributes:
        model: keras.Model from raw images to logits, not compiled.
        class_names: Names of the classes.
        dataset: cvcourse.data.Dataset of images of the model's input size.
        path: Path of its model.keras.
    """

    model: Any
    class_names: tuple[str, ...]
    dataset: Any
    path: pathlib.Path


def resolve(config: Any, usual: str) -> Any:
    """Fill in the dataset of a config with `recipe.SourceFields`, and the model of its source.

    Args:
        config: The config.
        usual: Dataset of `--dataset=auto` without a source.

    Returns:
        The config, with the model of the source's run, or the name of its file, and, for
        `--dataset=auto`, the run's dataset, data_dir and limit.

    Raises:
        UsageError: If there is no such source, its run has no dataset, or another model or
            precision is given.
    """
    if config.source is None:
        return dataclasses.replace(config, dataset=usual) if config.dataset == "auto" else config
    path = _file(config.source)
    if not path.is_file():
        raise UsageError(
            f"--source={config.source}: no such run directory, .keras or .cvz file; `cvcourse "
            "train` writes one"
        )
    settings = path.parent / "config.json"
    run = read_json(settings) if settings.is_file() else {}
    model = run.get("model")
    if not isinstance(model, str):
        model = path.stem
    found: dict[str, Any] = {"model": model, "model_args": run.get("model_args", {})}
    if function := source_file.split(model):  # its file may have moved
        found = {"model": function[1], "model_args": {}}
    found["precision"] = run.get("precision", type(config).precision)
    shape = run.get("input_shape")
    found["input_shape"] = shape and tuple(shape)
    for name in ("model", "precision", "input_shape"):
        given = getattr(config, name)
        if given not in (getattr(type(config), name), found[name]):
            own = f", which has {found[name]}" if found[name] else ""
            raise UsageError(
                f"--{name}={given} does not fit --source={config.source}{own}: leave one of them "
                "out"
            )
    if config.dataset == "auto":
        if not isinstance(run.get("dataset"), str) or run["dataset"] == "auto":
            raise UsageError(f"{path} has no config.json with its dataset: give --dataset")
        found["dataset"] = run["dataset"]
        for name in ("data_dir", "limit"):
            if getattr(config, name) is None:
                found[name] = run.get(name)
    return dataclasses.replace(config, **found)


def load(
    config: Any, run: Any, train: Any, *, check: Callable[[Any], Any] | None = None
) -> Trained:
    """Load the network of `config.source`, or train `config.model` first.

    Args:
        config: Resolved config with `recipe.SourceFields`.
        run: Run of `recipe.open_run`; the training is a run of `train` in its folder dense, which
            is resumed with it.
        train: The module of the recipe `train`.
        check: Function (model) -> None that raises ValueError for a network that the recipe cannot
            change; it is called before the training.

    Returns:
        A Trained.

    Raises:
        UsageError: For a wrong setting of the training, before anything is written, for a network
            that outputs probabilities or does not fit the dataset, and for a ValueError of `check`.
        RunError: If a file or the dataset cannot be read.
    """
    import keras

    from cvcourse import classifier, data

    source = config.source
    if source is None:
        source = run.path / "dense"
        settings = recipe.as_config(
            train.Config, config, workdir=str(source), monitor="val_accuracy", test=False
        )
        if not source.exists():
            dataset = train.dry_run([settings])
            with recipe.user_errors():
                _, model = train.build_and_compile(settings, dataset)
                if check:
                    check(model)
        with recipe.subrun("dense", run.command):
            train.main(settings)
    path = _file(source)
    keras.utils.set_random_seed(config.seed)  # files do not contain the seeds of dropout
    with recipe.user_errors():
        loaded = classifier.load(str(path.absolute()), named=False)
        model = loaded.model
        if check:
            check(model)
        last = model.layers[-1]
        softmax = getattr(last, "activation", None) is keras.activations.softmax
        if softmax or isinstance(last, keras.layers.Softmax):
            raise ValueError(
                f"{path} ends with softmax, and the loss takes logits: leave the softmax out"
            )
        dataset = data.of(config)
        if resize := classifier.resizing(model):
            dataset = dataset.resized(**resize)
        names, expected = loaded.class_names, tuple(dataset.class_names)
        if names is None:  # a file of Keras alone
            if model.output_shape[-1] != len(expected):
                raise ValueError(
                    f"{path} has {model.output_shape[-1]} outputs, and {config.dataset} has "
                    f"{len(expected)} classes"
                )
            names = expected
        if names != expected:
            raise ValueError(
                f"{path} was trained for the classes {', '.join(names[:5])} …, and "
                f"{config.dataset} has {', '.join(expected[:5])} …"
            )
        sides = [*zip(model.input_shape[1:], dataset.input_shape, strict=False)]
        if len(sides) != 3 or any(side not in (None, size) for side, size in sides):
            raise ValueError(
                f"{path} takes images of the shape {model.input_shape[1:]}, and {config.dataset} "
                f"has {dataset.input_shape}"
            )
    return Trained(model, names, dataset, path)


def fine_tune(
    model: Any,
    run: Any,
    name: str,
    dataset: Any,
    *,
    callbacks: Sequence[Any] = (),
    compile: Callable[[Any], None] | None = None,
    **changes: Any,
) -> Any:
    """Train a model in a folder of a run; a training that is finished is restored from there.

    Args:
        model: keras.Model from raw images to logits. It is compiled here, and has the weights of
            the last epoch afterwards.
        run: Run of `recipe.open_run`.
        name: Name of the folder.
        dataset: Dataset. Training images are augmented by `augment` of the config, if it has it, or
            as is usual for the dataset.
        callbacks: Additional callbacks, called before an epoch is saved.
        compile: Function (optimizer) -> None that compiles the model. If None, with cross-entropy.
        **changes: Fields of the config to replace, such as `epochs` and `learning_rate`. There is
            neither warm-up nor `milestones` unless they are given.

    Returns:
        The ExactResume of `training.fit`.

    Raises:
        UsageError: For settings that do not fit each other.
        RunError, Diverged, Interrupted: As `training.fit`.
    """
    from cvcourse import data, optimization, training

    changes = {"warmup_epochs": 0.0, "milestones": None, **changes}
    config = dataclasses.replace(run.config, **changes)
    batch_size, steps = batches_of(config, dataset)
    with recipe.user_errors():
        optimizer = optimization.of(config, model, steps)
    if compile:
        compile(optimizer)
    else:
        loss: Any = optimization.LOSSES["softmax"]
        model.compile(optimizer, loss(), weighted_metrics=training.weighted_metrics(loss))
    stream = functools.partial(data.stream, batch_size=batch_size, seed=config.seed)
    augment = getattr(config, "augment", None)
    if augment is None:
        augment = data.usual_augmentation(config.dataset)
    return training.fit(
        model,
        dataclasses.replace(run.inside(name), config=config),
        functools.partial(stream, dataset.train, augment=augment),
        functools.partial(stream, dataset.validation, shuffle=False),
        steps_per_epoch=steps,
        batch_size=batch_size,
        data=dataset.fingerprint(),
        callbacks=callbacks,
    )


def prune(
    model: Any, run: Any, name: str, dataset: Any, density: float, *, epochs: int, **changes: Any
) -> Any:
    """Prune a model while it is trained: to `density` by 3/4 of the batches, in 50 times at most.

    Args:
        model: keras.Model, as in `fine_tune`.
        run: Run of `recipe.open_run`.
        name: Name of the folder.
        dataset: Dataset.
        density: Share of the weights to keep, in (0, 1].
        epochs: Number of epochs.
        **changes: As in `fine_tune`.

    Returns:
        The ExactResume of `training.fit`.
    """
    from cvcourse import compression

    end = math.ceil(PRUNED_AFTER * epochs * batches_of(run.config, dataset)[1])
    pruning = compression.MagnitudePruning(density, begin=0, end=end, every=-(-end // PRUNINGS))
    return fine_tune(model, run, name, dataset, callbacks=[pruning], epochs=epochs, **changes)


def batches_of(config: Any, dataset: Any) -> tuple[int, int]:
    """Return the size of a training batch and the number of batches of an epoch."""
    from cvcourse import data

    batch_size = min(config.batch_size, len(dataset.train))
    return batch_size, data.steps_per_epoch(dataset.train, batch_size)


def evaluate(model: Any, dataset: Any, batch_size: int = 256) -> list[Any]:
    """Return the Evaluations of a model on the validation and the test split (None without)."""
    from cvcourse import data, training

    stream = functools.partial(data.stream, batch_size=batch_size, seed=0, shuffle=False)
    return training.evaluate_held_out(model, dataset, stream)


def count_macs(model: Any) -> int:
    """Count the multiply-accumulates of a model, also of one that first resizes images."""
    from cvcourse import classifier, models

    return models.cost(classifier.without_resizing(model)[1]).macs


def _file(source) -> pathlib.Path:
    """Return the path of a source's model.keras."""
    path = pathlib.Path(source).expanduser()
    return path / "model.keras" if path.is_dir() else path
