"""Train the course's first neural nets by hand: on the notes' spiral, and on images.

    cvcourse neural_net
    cvcourse neural_net --dataset=cifar10 --epochs=10 --batch_size=200 --spiral_steps=10000
    cvcourse neural_net --dataset=cifar10 --features=hog_color --hidden=200,500 --batch_size=200

Nets, gradients and updates are those of `cvcourse.classic`, in NumPy. On the spiral: a linear
softmax classifier and a net with 100 hidden ReLUs, by gradient descent on all points;
https://cs231n.github.io/neural-networks-case-study. On images: the two-layer net of assignment 1,
of pixels, or of HOG and color features. The grid of hidden units, learning rates and penalties is
trained with the first seed, and the best trial on the validation split is repeated with every seed;
the test split is read at the end. Before come the notes' sanity checks,
https://cs231n.github.io/neural-networks-3.
"""

import dataclasses
import functools
import itertools
import pathlib
import sys
import time

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

SPIRALS = {  # net: hidden units, steps (None: --spiral_steps), the notes' accuracy and loss
    "linear softmax": ([], 200, "49 %", "0.7863"),
    "100 hidden ReLUs": ([100], None, "98 %", "0.2454"),  # after 10,000 steps
}
# Hidden units, and defaults of the assignment's TwoLayerNet and Solver.
FIRST = {"hidden": 50, "learning_rate": 1e-2, "reg": 0.0}
FIRST |= {"weight_scale": 1e-3, "update_rule": "sgd", "lr_decay": 1.0}
TUNED = {"weight_scale": None, "update_rule": "sgd_momentum", "lr_decay": 0.9}
PUBLISHED = {  # net: accuracy on CIFAR-10 in the notebooks of assignment 1
    "first, pixels": "about 36 %, validation (two_layer_net)",
    "tuned, pixels": "above 48 %, both (two_layer_net)",
    "tuned, hog_color": "above 58 %, test (features)",
}
GRID = {"hidden units": "hidden", "learning rate": "learning_rate", "penalty": "reg"}
CURVES = {  # curve: its title
    "loss": "training loss (nats)",
    "accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
}
PICTURES = 49  # hidden units whose weights are shown
SCALE = ["Hidden units with the largest weights, at most 49; one scale for all, gray is 0."]
FEW = 50  # examples to memorize, as in the notebook FullyConnectedNets


@dataclasses.dataclass(frozen=True)
class Config(recipe.WorkdirFields, recipe.DataFields):
    """Settings of the experiments; fields of `train` have the same meaning here."""

    features: tuple[str, ...] = recipe.field(
        ("pixels",),
        "inputs of the two-layer net: pixels, hog_color (gradients and hues of color images)",
        choices=("pixels", "hog_color"),
        distinct=True,
    )
    hidden: tuple[int, ...] = recipe.field(
        (50, 200), "grid of numbers of hidden units", least=1, distinct=True
    )
    learning_rates: tuple[float, ...] = recipe.field(
        (0.01, 0.1), "grid of learning rates", above=0, distinct=True
    )
    regs: tuple[float, ...] = recipe.field(
        (1e-3, 3e-3), "grid of strengths of the L2 penalty", least=0, distinct=True
    )
    epochs: int = recipe.field(20, "number of epochs", least=1)
    batch_size: int = recipe.field(50, "batch size", least=1)
    seeds: tuple[int, ...] = recipe.field(
        (0, 1, 2), "random seeds of the repetitions", least=0, below=2**32, distinct=True
    )
    spiral_steps: int = recipe.field(
        3000, "steps of the net with hidden units on the spiral; the notes take 10,000", least=1
    )


def main(config: Config) -> dict:
    """Train the nets, check them, and write the report; return the metrics."""
    config, metrics = recipe.begin(config, "neural_net")
    if metrics:
        return metrics
    import_tensorflow_quietly()
    from cvcourse import data, figures, training
    from cvcourse.classic.sanity_checks import sanity_checks
    from cvcourse.models import _cost

    started = time.perf_counter()
    with recipe.user_errors():
        dataset = data.of(config)
        inputs = {name: standardized(dataset, name) for name in config.features}
    with recipe.open_run(config, "neural_net", pathlib.Path(config.dataset).stem) as run:
        run.begin()
        spirals, regions = spiral_experiment(config)
        checks, grid, nets, first_layers = {}, {}, {}, {}
        for features, splits in inputs.items():
            few = splits["X_train"][:FEW], splits["y_train"][:FEW]
            checks[features] = [
                dataclasses.asdict(check)
                for check in sanity_checks(functools.partial(two_layer, splits, 100), *few)
            ]
            grid[features] = search(config, splits)
            best = max(grid[features], key=lambda trial: trial["val_accuracy"])
            for name, settings in (("first", FIRST), ("tuned", best["settings"])):
                row = f"{name}, {features}"
                nets[row], solver = repetitions(config, row, settings, splits)
                if features == "pixels":
                    weights = solver.model.params["W1"].T
                    weights = weights[(-(weights**2).sum(axis=1)).argsort()[:PICTURES]]
                    images = weights.reshape(-1, *dataset.input_shape)
                    first_layers[row] = figures.image_grid(images, least=48)
        published = dataset.name == "cifar10" and config.limit is None
        tables = {
            "Spiral": spiral_table(spirals),
            "Sanity checks before training": check_table(checks),
            f"Two-layer nets on {dataset.name}": net_table(nets, published),
        }
        seeds = ", ".join(map(str, config.seeds))
        runs = {name: row["curves"] for name, row in nets.items()}
        styles = figures.styles({name: name for name in nets}, [*nets])
        curves = figures.compared_curves(runs, CURVES, styles)
        metrics = training.write_report(
            run.path,
            metrics={
                **{"spirals": spirals, "checks": checks, "grid": grid, "nets": nets},
                "seconds": round(time.perf_counter() - started, 1),
            },
            title=f"Neural nets by hand: the spiral, and {dataset.name}",
            lead=[
                f"Mean ± standard deviation over the seeds {seeds} of initial weights and batches; "
                "the spiral has the notes' points. The first net has 50 hidden units and the "
                "default settings of the assignment's functions: small weights and plain SGD. The "
                "tuned net has weights of He et al., momentum 0.9, a learning rate that decays by "
                "0.9 after each epoch, and the settings of the grid with the best validation "
                "accuracy. A net has the parameters of its best epoch on validation data."
            ],
            tables=tables,
            sections=[
                {"caption": "Decision regions", "figure": regions, "wide": True},
                {"caption": "Training with the first seed", "figure": curves, "wide": True},
                *(
                    {"caption": f"First-layer weights: {row}", "picture": image, "notes": SCALE}
                    for row, image in first_layers.items()
                ),
                *(
                    {"caption": f"Grid: {features}", "table": grid_table(trials)}
                    for features, trials in grid.items()
                ),
            ],
            config=dataclasses.asdict(run.config),
        )
    for caption, table in tables.items():
        print(f"\n{caption}", *_cost.aligned(table), sep="\n")
    return metrics


def spiral_experiment(config):
    """Train the notes' nets on their spiral; return {net: accuracies and losses}, and a figure."""
    from cvcourse import figures
    from cvcourse.classic.nets import FullyConnectedNet
    from cvcourse.classic.spiral import spiral

    X, y = spiral()
    found, classifiers = {}, {}
    for name, (hidden, steps, *_) in SPIRALS.items():
        steps, trained, results = steps or config.spiral_steps, [], []
        for seed in config.seeds:
            net = FullyConnectedNet(hidden, 2, 3, reg=1e-3, weight_scale=0.01, rng=seed)
            for _ in range(steps):
                _, grads = net.loss(X, y)
                for key, gradient in grads.items():
                    net.params[key] -= gradient  # the notes' learning rate is 1
            accuracy = float((net.loss(X).argmax(axis=1) == y).mean())
            results.append({"accuracy": accuracy, "loss": net.loss(X, y)[0]})
            trained.append(net)
            print(f"spiral, {name}, seed {seed}: {100 * accuracy:.1f} %", flush=True)
        found[name] = {"steps": steps, **over_seeds(results)}
        title = f"{name}: {100 * results[0]['accuracy']:.0f} %"
        classifiers[title] = lambda p, net=trained[0]: net.loss(p).argmax(axis=1)
    return found, figures.decision_regions(classifiers, X, y)


def over_seeds(results):
    """Return the mean and the standard deviation of each number over the seeds."""
    from cvcourse.training import comparison

    return {key: comparison.mean_and_std(row[key] for row in results) for key in results[0]}


def standardized(dataset, features):
    """Return inputs (n, D) and labels by split: {"X_train", "y_train", "X_val", ...: arrays}."""
    import numpy as np

    from cvcourse.classic.features import color_histogram_hsv, extract_features, hog_feature

    if features == "hog_color" and dataset.input_shape[-1] != 3:
        raise ValueError(
            f"--features=hog_color needs color images; those of {dataset.name} have the shape "
            f"{dataset.input_shape}"
        )
    found = {}
    splits = {"train": dataset.train, "val": dataset.validation, "test": dataset.test}
    for key, split in ((key, split) for key, split in splits.items() if split):
        images = np.array(split.images[:], np.float32)  # a copy, which is changed below
        if features == "hog_color":
            images = extract_features(images, [hog_feature, color_histogram_hsv])
        found |= {f"X_{key}": images.reshape(len(split), -1), f"y_{key}": split.labels}
    inputs = [array for key, array in found.items() if key.startswith("X")]
    mean = inputs[0].mean(axis=0)
    for array in inputs:
        array -= mean
    # Pixels have one standard deviation; features of different kinds have their own.
    deviation = np.maximum(inputs[0].std(axis=0 if features == "hog_color" else None), 1e-6)
    for array in inputs:
        array /= deviation
    return found


def two_layer(splits, hidden, **settings):
    """Build the two-layer net for these inputs."""
    from cvcourse.classic.nets import TwoLayerNet

    classes = int(splits["y_train"].max()) + 1
    return TwoLayerNet(splits["X_train"].shape[1], hidden, classes, **settings)


def train(config, splits, settings, seed):
    """Train a two-layer net; return the Solver."""
    import numpy as np

    from cvcourse.classic.solver import Solver

    settings = dict(settings)
    rate = settings.pop("learning_rate")
    solving = {key: settings.pop(key) for key in ("update_rule", "lr_decay")}
    net = two_layer(splits, **settings, dtype="float32", rng=seed)
    solver = Solver(
        net,
        splits,
        **solving,
        optim_config={"learning_rate": rate},
        batch_size=min(config.batch_size, len(splits["X_train"])),
        num_epochs=config.epochs,
        seed=seed,
    )
    with np.errstate(over="ignore", invalid="ignore"):  # a learning rate may be too large
        solver.train()
    return solver


def search(config, splits):
    """Train the grid with the first seed; return settings and accuracy of each trial."""
    trials = []
    for hidden, rate, reg in itertools.product(config.hidden, config.learning_rates, config.regs):
        settings = {"hidden": hidden, "learning_rate": rate, "reg": reg, **TUNED}
        accuracy = train(config, splits, settings, config.seeds[0]).best_val_acc
        trials.append({"settings": settings, "val_accuracy": accuracy})
        print(f"{hidden} units, rate {rate}, penalty {reg}: {100 * accuracy:.2f} %", flush=True)
    return trials


def repetitions(config, row, settings, splits):
    """Train with each seed; return the results, and the Solver of the first seed."""
    solvers = [train(config, splits, settings, seed) for seed in config.seeds]
    results = [{"val_accuracy": solver.best_val_acc} for solver in solvers]
    if "X_test" in splits:
        for result, solver in zip(results, solvers, strict=True):
            result["test_accuracy"] = solver.check_accuracy(splits["X_test"], splits["y_test"])
    found = over_seeds(results)
    print(f"{row}: validation {percent(found['val_accuracy'])} %", flush=True)
    return {"settings": settings, **found, "curves": solvers[0].curves()}, solvers[0]


def percent(share):
    """Format the mean and the standard deviation of a share over the seeds, in %."""
    from cvcourse.training import comparison

    return comparison.with_std(share, 100, 2)


def spiral_table(spirals):
    """Format the nets on the spiral beside the notes' numbers."""
    table = [["", "steps", "accuracy, %", "in the notes", "loss, nats", "in the notes"]]
    for (name, row), (*_, accuracy, loss) in zip(spirals.items(), SPIRALS.values(), strict=True):
        found = f"{row['loss']['mean']:.4f} ± {row['loss']['std'] or 0:.4f}"
        table.append([name, f"{row['steps']:,}", percent(row["accuracy"]), accuracy, found, loss])
    return table


def check_table(checks):
    """Format the sanity checks of each kind of features."""
    table = [["", "found", "expected", "result"]]
    for features, row in ((name, row) for name, rows in checks.items() for row in rows):
        numbers = (f"{row[key]:.4g}" for key in ("found", "expected"))
        result = "passed" if row["passed"] else "failed"
        table.append([f"{features}: {row['name']}", *numbers, result])
    return table


def net_table(nets, published):
    """Format the two-layer nets, also beside the published accuracies."""
    columns = ["assignment 1"] if published else []
    table = [["", *GRID, "validation, %", "test, %", *columns]]
    for name, row in nets.items():
        accuracies = (percent(row.get(key)) for key in ("val_accuracy", "test_accuracy"))
        cells = [name, *setting_cells(row["settings"]), *accuracies]
        table.append(cells + [PUBLISHED.get(name, "–") for _ in columns])
    return table


def grid_table(trials):
    """Format the trials of a grid, the best first."""
    table = [[*GRID, "validation, %"]]
    for trial in sorted(trials, key=lambda trial: -trial["val_accuracy"]):
        table.append([*setting_cells(trial["settings"]), f"{100 * trial['val_accuracy']:.2f}"])
    return table


def setting_cells(settings):
    """Format the settings of the grid."""
    return [f"{settings[key]:g}" for key in GRID.values()]


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
