"""The trained network that a recipe changes, and training it further. Only recipes import this."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from cvcourse import recipe
from cvcourse.errors import UsageError
from cvcourse.files import read_json


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
    """Fill in the dataset of a config with `recipe.SourceFields`.

    Args:
        config: The config.
        usual: Dataset of `--dataset=auto` without a source.

    Returns:
        The config, with the dataset, data_dir and limit of the source's run for
        `--dataset=auto`.

    Raises:
        UsageError: If there is no such source, or its run has no dataset.
    """
    if config.source is None:
        return dataclasses.replace(config, dataset=usual) if config.dataset == "auto" else config
    path = _file(config.source)
    if not path.is_file():
        raise UsageError(
            f"--source={config.source}: no such run directory or .keras file; `cvcourse train` "
            "writes one"
        )
    if config.dataset != "auto":
        return config
    settings = path.parent / "config.json"
    run = read_json(settings) if settings.is_file() else {}
    if not isinstance(run.get("dataset"), str) or run["dataset"] == "auto":
        raise UsageError(f"{path} has no config.json with its dataset: give --dataset")
    found = {name: run[name] for name in ("dataset", "data_dir", "limit") if name in run}
    return dataclasses.replace(
        config, **{name: v for name, v in found.items() if getattr(config, name) in (None, "auto")}
    )


def load(config: Any, run: Any, train: Any) -> Trained:
    """Load the network of `config.source`, or train `config.model` first.

    Args:
        config: Resolved config with `recipe.SourceFields`.
        run: Run of `recipe.open_run`; the training is a run of `train` in its folder dense, which
            is resumed with it.
        train: The module of the recipe `train`.

    Returns:
        A Trained.

    Raises:
        UsageError: For a dataset that does not fit the network.
        RunError: If a file or the dataset cannot be read.
    """
    from cvcourse import classifier, data, training

    source = config.source
    if source is None:
        source = run.path / "dense"
        with recipe.subrun("dense", run.command):
            train.main(recipe.as_config(train.Config, config, workdir=str(source), test=False))
    path = _file(source)
    model, names = training.load_model(path)
    assert names is not None  # load_model refuses a file without
    with recipe.user_errors():
        dataset = data.of(config)
        if resize := classifier.resizing(model):
            dataset = dataset.resized(**resize)
        if names != tuple(dataset.class_names):
            raise ValueError(
                f"{path} was trained for the classes {', '.join(names[:5])} …, and "
                f"{config.dataset} has {', '.join(dataset.class_names[:5])} …"
            )
        sides = zip(model.input_shape[1:], dataset.input_shape, strict=True)
        if any(side not in (None, size) for side, size in sides):
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
        dataset: Dataset. Training images are augmented as is usual for it.
        callbacks: Additional callbacks, called before an epoch is saved.
        compile: Function (optimizer) -> None that compiles the model. If None, with cross-entropy.
        **changes: Fields of the config to replace, such as `epochs` and `learning_rate`.

    Returns:
        The ExactResume of `training.fit`.

    Raises:
        RunError, Diverged, Interrupted: As `training.fit`.
    """
    from cvcourse import data, optimization, training

    config = dataclasses.replace(run.config, **changes)
    batch_size = min(config.batch_size, len(dataset.train))
    steps = data.steps_per_epoch(dataset.train, batch_size)
    optimizer = optimization.of(config, model, steps)
    if compile:
        compile(optimizer)
    else:
        loss: Any = optimization.LOSSES["softmax"]
        model.compile(optimizer, loss(), weighted_metrics=training.weighted_metrics(loss))
    stream = functools.partial(data.stream, batch_size=batch_size, seed=config.seed)
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


def evaluate(model: Any, dataset: Any, batch_size: int = 256) -> list[Any]:
    """Return the Evaluations of a model on the validation and the test split (None without)."""
    from cvcourse import data, training

    stream = functools.partial(data.stream, batch_size=batch_size, seed=0, shuffle=False)
    return training.evaluate_held_out(model, dataset, stream)


def _file(source) -> pathlib.Path:
    """Return the path of a source's model.keras."""
    path = pathlib.Path(source).expanduser()
    return path / "model.keras" if path.is_dir() else path
