"""Compare linear classifiers: softmax, four SVM losses, and searches without a gradient.

    cvcourse linear_classifier
    cvcourse linear_classifier --dataset=cifar10 --steps=1500
    cvcourse linear_classifier --dataset=cifar10 --steps=1500 --features=hog_color

The first assignment in NumPy: the mean image is subtracted, ones are appended for the biases, and
minibatch gradient descent minimizes a loss of the scores plus a penalty of the weights. Learning
rate and regularization are chosen on the validation split with the first seed; then the classifiers
of all seeds are evaluated on the test split, once.

Inputs are divided by their root mean squared norm s, so that one grid suits every dataset. On the
assignment's pixels of CIFAR-10, s is about 3,500: a learning rate r here is r / s^2 there, and a
regularization of g here is g s^2 there; its 1e-7 and 2.5e4 are 1.2 and 0.002.

CS231n notes, https://cs231n.github.io/linear-classify, https://cs231n.github.io/optimization-1.
"""

import dataclasses
import itertools
import pathlib
import sys
import time

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

LOSSES = ("softmax", "weston_watkins", "squared", "crammer_singer", "one_vs_all")
# The notes' standard deviations for pixels of CIFAR-10, 1e-4 and 1e-3, times s.
SMALL, LARGE = 0.35, 3.5
PUBLISHED = {  # of CIFAR-10: notes, optimization-1; assignment 1, of 2024 and 2026
    "pixels": {
        "softmax": "validation above 36",
        "weston_watkins": "validation above 38.5",
        "random_search": "test 15.5",
        "random_local_search": "test 21.4",
    },
    "hog_color": {"softmax": "validation above 42", "weston_watkins": "validation 44"},
}
AVERAGED = 50  # steps of a point of the loss curves


@dataclasses.dataclass(frozen=True)
class Config(recipe.WorkdirFields, recipe.DataFields):
    """Settings of the comparison."""

    features: str = recipe.field(
        "pixels",
        "inputs: pixels, or hog_color: histograms of oriented gradients and, of color images, hues",
        choices=("pixels", "hog_color"),
    )
    losses: tuple[str, ...] = recipe.field(
        LOSSES, "losses to compare", choices=LOSSES, distinct=True
    )
    penalty: str = recipe.field(
        "l2",
        "penalty of the weights; elastic_net: L1 and L2, each with half the strength",
        choices=("l2", "l1", "elastic_net"),
    )
    max_norm: float | None = recipe.field(
        None, "largest norm of the weights of a class; none: no constraint", above=0
    )
    learning_rates: tuple[float, ...] = recipe.field(
        (0.3, 1.2, 5.0), "learning rates of the grid", above=0, distinct=True
    )
    regs: tuple[float, ...] = recipe.field(
        (1e-5, 1e-4, 1e-3), "strengths of the penalty, of the grid", least=0, distinct=True
    )
    steps: int = recipe.field(500, "number of steps", least=1)
    batch_size: int = recipe.field(200, "batch size", least=1)
    tries: int = recipe.field(1000, "number of tries of the random searches; 0: neither", least=0)
    seeds: tuple[int, ...] = recipe.field(
        (0, 1, 2), "random seeds of the repetitions", least=0, below=2**32, distinct=True
    )


def main(config: Config) -> dict:
    """Train and search, compare, and write the report.

    Args:
        config: Config.

    Returns:
        The metrics.
    """
    config, metrics = recipe.begin(config, "linear_classifier")
    if metrics:
        return metrics
    begun = time.monotonic()
    import_tensorflow_quietly()
    import numpy as np

    from cvcourse import data, figures, training
    from cvcourse.training.comparison import mean_and_std

    with recipe.user_errors():
        dataset = data.of(config)
    stem = pathlib.Path(config.dataset).stem
    with recipe.open_run(config, "linear_classifier", config.features, stem) as run:
        run.begin()
        splits, scale = prepare(config, dataset)
        rows, grids, curves = {}, {}, {}
        with np.errstate(over="ignore", invalid="ignore"):  # a large learning rate may diverge
            for name in config.losses:
                rows[name], grids[name], curves[name] = descend(config, name, splits)
        searches = {}
        if config.tries:
            for name, found in search(config, splits["training"]).items():
                rows[name], searches[name] = found
        for name, row in rows.items():
            row["accuracy"] = {
                split: mean_and_std([accuracy(W, *examples) for W in row["weights"]])
                for split, examples in splits.items()
            }
            test = row["accuracy"].get("test", row["accuracy"]["validation"])
            print(f"{name:20} {percent(test)} %", flush=True)
        best = max(rows, key=lambda name: rows[name]["accuracy"]["validation"]["mean"])
        last = [*splits][-1]
        X, y = splits[last]
        counts = np.zeros((dataset.num_classes,) * 2, int)
        np.add.at(counts, (y, (X @ rows[best]["weights"][0]).argmax(axis=1)), 1)
        shown = {
            "Training loss": loss_curves(figures, curves, AVERAGED, "step"),
            f"Validation accuracy (%) with seed {config.seeds[0]}": figures.accuracy_grids(
                {name: np.array(grid) for name, grid in grids.items()},
                config.learning_rates,
                config.regs,
                labels=("learning rate", "regularization"),
            ),
        }
        if searches:
            caption = "Smallest SVM loss of the training split by try, without a gradient"
            shown[caption] = loss_curves(figures, searches, 1, "try")
        shown[f"Confusion matrix of {best} on the {last} split"] = figures.confusion_matrix(
            counts, dataset.class_names
        )
        if config.features == "pixels":
            caption = "Templates: a score is the inner product of an image and the class's template"
            shown[caption] = templates(figures, dataset, rows)
        count = len(config.seeds)
        published = config.dataset == "cifar10" and config.limit is None
        scaling = (
            f"Inputs are divided by {scale:.4g}, their root mean squared norm: for the inputs "
            f"themselves, divide the learning rate by {scale**2:.3g}, and multiply the L2 "
            "regularization by it."
        )
        return training.write_report(
            run.path,
            title=f"Linear classifiers: {config.features} of {stem}",
            metrics={
                "rows": {
                    name: {key: row[key] for key in row if key != "weights"}
                    for name, row in rows.items()
                },
                "grids": grids,
                "examples": {name: len(y) for name, (_, y) in splits.items()},
                "inputs": splits["training"][0].shape[1],
                "scale": scale,
                "seeds": [*config.seeds],
                "seconds": round(time.monotonic() - begun, 1),
            },
            lead=[
                f"{config.steps:,} steps of {config.batch_size} examples. Learning rate and "
                "regularization are those with the best validation accuracy for the first seed; "
                "the test split was evaluated afterwards. Accuracy in %"
                + (f", mean ± standard deviation over {count} seeds." if count > 1 else "."),
                *([scaling] if config.features == "pixels" else []),
            ],
            tables={"Accuracy": table(rows, published, config.features)},
            figures=shown,
            config=dataclasses.asdict(run.config),
        )


def prepare(config, dataset):
    """Return the inputs and labels of each split, and the number that inputs were divided by."""
    import numpy as np

    from cvcourse.classic import features, linear_classifiers

    height, width, channels = dataset.input_shape
    cell = max(1, height // 4), max(1, width // 4)  # the assignment's 8 of 32 pixels
    functions = [lambda images: features.hog_feature(images, cell)]
    functions += [features.color_histogram_hsv] if channels == 3 else []
    inputs, labels = {}, {}
    for name in ("train", "validation", "test"):
        if split := getattr(dataset, name):
            if config.features == "pixels":
                X = split.images[:].reshape(len(split), -1)
            else:
                X = features.extract_features(split.images, functions)
            name = "training" if name == "train" else name
            inputs[name], labels[name] = X.astype("float32"), split.labels
    mean = inputs["training"].mean(axis=0, dtype="float64").astype("float32")
    deviation = inputs["training"].std(axis=0) if config.features != "pixels" else np.ones(())
    for X in inputs.values():
        X -= mean
        X /= np.where(deviation > 0, deviation, 1).astype("float32")
    squares = np.einsum("nd,nd->n", inputs["training"], inputs["training"])
    scale = float(np.sqrt(squares.mean(dtype="float64"))) or 1.0
    splits = {}
    for name, X in inputs.items():
        X /= scale
        splits[name] = linear_classifiers.bias_trick(X), labels[name]
    return splits, scale


def descend(config, name, splits):
    """Choose learning rate and regularization with the first seed, and train with all seeds.

    Returns the row, the validation accuracy of each pair, and the loss of each step.
    """
    from cvcourse.classic import linear_classifiers

    def train(seed, rate, reg):
        settings = {"penalty": config.penalty, "norm": config.max_norm, "seed": seed}
        if name == "softmax":
            classifier = linear_classifiers.Softmax(**settings)
        else:
            classifier = linear_classifiers.LinearSVM(name, **settings)
        strength = (reg / 2, reg / 2) if config.penalty == "elastic_net" else reg
        training = splits["training"]
        history = classifier.train(*training, rate, strength, config.steps, config.batch_size)
        return classifier.W, history

    first, *others = config.seeds
    pairs = itertools.product(config.learning_rates, config.regs)
    tried = {pair: train(first, *pair) for pair in pairs}
    found = {pair: accuracy(W, *splits["validation"]) for pair, (W, _) in tried.items()}
    rate, reg = max(found, key=found.__getitem__)
    W, history = tried[rate, reg]
    weights = [W, *(train(seed, rate, reg)[0] for seed in others)]
    grid = [[found[row, column] for column in config.regs] for row in config.learning_rates]
    return {"learning_rate": rate, "reg": reg, "weights": weights}, grid, history


def search(config, training):
    """Search weights without a gradient: {name: (row, smallest loss by try)}."""
    from cvcourse.classic import losses, random_search

    X, y = training
    shape = X.shape[1], int(y.max()) + 1

    def loss(W):
        return losses.svm_loss(X @ W.astype(X.dtype), y)[0]

    def local(seed):
        start, _ = random_search.random_search(lambda W: 0.0, shape, 1, LARGE, seed)
        return random_search.random_local_search(loss, start, config.tries, SMALL, seed + 1)

    methods = {
        "random_search": lambda seed: random_search.random_search(
            loss, shape, config.tries, SMALL, seed
        ),
        "random_local_search": local,
    }
    found = {name: [method(seed) for seed in config.seeds] for name, method in methods.items()}
    return {
        name: ({"weights": [W for W, _ in results]}, results[0][1])
        for name, results in found.items()
    }


def accuracy(W, X, y):
    """Return the share of examples whose largest score is that of their class."""
    return float(((X @ W).argmax(axis=1) == y).mean())


def percent(row):
    """Format mean and standard deviation of an accuracy in %."""
    from cvcourse.training import comparison

    return comparison.with_std(row, 100, 1)


def table(rows, published, features):
    """Format the accuracies, beside the published ones of CIFAR-10 or not: rows of texts."""
    published = PUBLISHED[features] if published else {}
    splits = [*next(iter(rows.values()))["accuracy"]]
    titles = ["loss", "learning rate", "regularization", *splits]
    found = [[*titles, "notes, assignment"] if published else titles]
    for name, row in rows.items():
        settings = [f"{row[key]:g}" if key in row else "–" for key in ("learning_rate", "reg")]
        cells = [name, *settings, *(percent(row["accuracy"][split]) for split in splits)]
        found.append([*cells, published.get(name, "–")] if published else cells)
    return found


def loss_curves(figures, curves, averaged, x):
    """Draw losses, each point the mean of so many steps."""
    import numpy as np

    runs = {}
    for name, history in curves.items():
        size = min(averaged, len(history))
        points = np.reshape(history[: len(history) // size * size], (-1, size)).mean(axis=1)
        runs[name] = {x: size * np.arange(1, len(points) + 1), "loss": points}
    styles = figures.styles({name: name for name in runs}, [*runs])
    title = f"loss, mean of {averaged} steps" if averaged > 1 else "loss"
    return figures.compared_curves(runs, {"loss": title}, styles, x=x, xlabel=x)


def templates(figures, dataset, rows):
    """Draw the weights of the first seed as images."""
    from cvcourse.classic import linear_classifiers

    found = {
        name: linear_classifiers.templates(row["weights"][0][:-1], dataset.input_shape)
        for name, row in rows.items()
    }
    return figures.image_table(found, dataset.class_names)


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
