"""Train the course's first neural nets by hand: on the notes' spiral, and on images.

    cvcourse neural_net
    cvcourse neural_net --dataset=cifar10 --features=pixels,hog_color

Nets, gradients and updates are those of `cvcourse.classic`, in NumPy. On the spiral: a linear
softmax classifier and a net with 100 hidden ReLUs, by gradient descent on all points;
https://cs231n.github.io/neural-networks-case-study. On images: the two-layer net of assignment 1,
of pixels, or of HOG and color features. Of a grid of hidden units, learning rates and penalties, a
training with the first seed and the validation split choose one; it is then trained with every
seed, and the test split is read at the end. Before come the notes' sanity checks,
https://cs231n.github.io/neural-networks-3.
"""

import dataclasses
import itertools
import math
import pathlib
import sys
import time

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

POINTS, ARMS = 100, 3  # of the spiral: points of an arm, arms
SPIRALS = {  # net: its hidden units, steps, and the notes' accuracy and loss
    "linear softmax": ([], 200, "49 %", "0.7863"),
    "100 hidden ReLUs": ([100], 10_000, "98 %", "0.2454"),
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
FEW = 50  # examples to memorize, as in the notebook FullyConnectedNets
SLOPES = 25  # parameters of each array whose gradient is checked


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
        (0.003, 0.01), "grid of learning rates", above=0, distinct=True
    )
    regs: tuple[float, ...] = recipe.field(
        (1e-3, 1e-2), "grid of strengths of the L2 penalty", least=0, distinct=True
    )
    epochs: int = recipe.field(10, "number of epochs", least=1)
    batch_size: int = recipe.field(100, "batch size", least=1)
    seeds: tuple[int, ...] = recipe.field(
        (0, 1, 2), "random seeds of the repetitions", least=0, below=2**32, distinct=True
    )
    spiral_steps: int = recipe.field(
        10_000, "steps of the net with hidden units on the spiral", least=1
    )


def main(config: Config) -> dict:
    """Train the nets, check them, and write the report; return the metrics."""
    config, metrics = recipe.begin(config, "neural_net")
    if metrics:
        return metrics
    import_tensorflow_quietly()
    from cvcourse import data, figures, training
    from cvcourse.models import _cost

    started = time.perf_counter()
    with recipe.user_errors():
        dataset = data.of(config)
        inputs = {name: arrays(dataset, name) for name in config.features}
    with recipe.open_run(config, "neural_net", pathlib.Path(config.dataset).stem) as run:
        run.begin()
        spirals, regions = spiral_experiment(config)
        checks, grid, rows, first_layers = {}, {}, {}, {}
        for features, splits in inputs.items():
            checks[features] = sanity_checks(config, splits)
            grid[features] = search(config, splits)
            best = max(grid[features], key=lambda trial: trial["val_accuracy"])["settings"]
            for name, settings in (("first", FIRST), ("tuned", best)):
                row = f"{name}, {features}"
                rows[row], first_layers[row] = repetitions(config, row, settings, splits)
        tables = {
            f"Spiral: {ARMS} arms of {POINTS} points": spiral_table(spirals),
            "Sanity checks before training": check_table(checks),
            f"Two-layer nets on {dataset.name}": net_table(rows, dataset.name),
        }
        metrics = training.write_report(
            run.path,
            metrics={
                **{"spirals": spirals, "checks": checks, "grid": grid, "nets": rows},
                "epochs": config.epochs,
                "seeds": [*config.seeds],
                "seconds": round(time.perf_counter() - started, 1),
            },
            title=f"Neural nets by hand: spiral and {dataset.name}",
            lead=[
                f"Mean ± standard deviation over seeds: {', '.join(map(str, config.seeds))}. The "
                "first net has 50 hidden units and the default settings of the assignment's "
                "functions; the tuned one has weights of He et al., momentum 0.9, and the settings "
                "of the grid with the best validation accuracy. Each net has the parameters of its "
                "best epoch on validation data."
            ],
            tables=tables,
            figures={
                "Decision regions": regions,
                "Training of the first seed": training_figure(rows),
            },
            sections=[
                *(
                    {
                        "caption": f"First-layer weights: {row}",
                        "picture": figures.image_grid(first_layers[row], least=24),
                        "notes": ["A picture for each hidden unit, one scale for all; gray is 0."],
                    }
                    for row in rows
                    if row.endswith("pixels")
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


# ---- the spiral ----


def spiral(rng):
    """Draw the notes' points: (ARMS * POINTS, 2), and their class numbers."""
    import numpy as np

    radius = np.tile(np.linspace(0, 1, POINTS), ARMS)
    y = np.repeat(np.arange(ARMS), POINTS)
    angle = 4 * (y + radius) + rng.normal(0, 0.2, y.size)
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1), y


def spiral_experiment(config):
    """Train the notes' nets on spirals; return {net: accuracies and losses}, and a figure."""
    import numpy as np

    from cvcourse import figures
    from cvcourse.classic import nets
    from cvcourse.training import comparison

    found, shown = {}, {}
    for name, (hidden, steps, *_) in SPIRALS.items():
        steps = config.spiral_steps if hidden else steps
        results = []
        for seed in config.seeds:
            X, y = spiral(np.random.default_rng(seed))
            net = nets.FullyConnectedNet(
                hidden, 2, ARMS, reg=1e-3, weight_scale=0.01, dtype=np.float64, rng=seed
            )
            for _ in range(steps):
                loss, grads = net.loss(X, y)
                for key, gradient in grads.items():
                    net.params[key] -= gradient  # the notes' learning rate is 1
            accuracy = float((net.loss(X).argmax(axis=1) == y).mean())
            results.append((accuracy, net.loss(X, y)[0]))
            if seed == config.seeds[0]:
                shown[f"{name}: {100 * accuracy:.0f} %"] = net
        print(f"spiral, {name}: accuracy {accuracy:.3f}, loss {loss:.4f}", flush=True)
        accuracies, losses = zip(*results, strict=True)
        found[name] = {
            "steps": steps,
            "accuracy": comparison.mean_and_std(accuracies),
            "loss": comparison.mean_and_std(losses),
        }
    classifiers = {
        title: (lambda p, n=net: n.loss(p).argmax(axis=1)) for title, net in shown.items()
    }
    points = spiral(np.random.default_rng(config.seeds[0]))
    return found, figures.decision_regions(classifiers, *points)


# ---- images ----


def arrays(dataset, features):
    """Return {"X_train": standardized inputs (n, D), "y_train": class numbers, ...} by split."""
    import numpy as np

    from cvcourse.classic.features import color_histogram_hsv, extract_features, hog_feature

    if features == "hog_color" and dataset.input_shape[-1] != 3:
        raise ValueError(
            f"--features=hog_color needs color images; those of {dataset.name} are "
            f"{dataset.input_shape}"
        )
    found = {}
    for key in ("train", "validation", "test"):
        split = getattr(dataset, key)
        if split is None:
            continue
        images = np.asarray(split.images[:], "float32")
        if features == "hog_color":
            images = extract_features(images, [hog_feature, color_histogram_hsv])
        key = {"validation": "val"}.get(key, key)
        found |= {f"X_{key}": images.reshape(len(split), -1), f"y_{key}": split.labels}
    # The mean and the deviation of the training split; pixels have one deviation for all.
    mean = found["X_train"].mean(axis=0)
    deviation = found["X_train"].std(axis=0) if features == "hog_color" else found["X_train"].std()
    for key in found:
        if key.startswith("X"):
            found[key] -= mean
            found[key] /= np.maximum(deviation, 1e-6)
    return found | {"shape": dataset.input_shape, "classes": dataset.num_classes}


def two_layer(splits, hidden, seed=0, **settings):
    """Build the two-layer net for these inputs."""
    import numpy as np

    from cvcourse.classic import nets

    dims = splits["X_train"].shape[1], hidden, splits["classes"]
    return nets.TwoLayerNet(*dims, **{"dtype": np.float32, "rng": seed, **settings})


def train(config, splits, settings, seed):
    """Train the two-layer net with these settings; return the Solver."""
    from cvcourse.classic.solver import Solver

    net = two_layer(
        splits, settings["hidden"], seed, **{key: settings[key] for key in ("weight_scale", "reg")}
    )
    solver = Solver(
        net,
        splits,
        update_rule=settings["update_rule"],
        optim_config={"learning_rate": settings["learning_rate"]},
        lr_decay=settings["lr_decay"],
        batch_size=min(config.batch_size, len(splits["X_train"])),
        num_epochs=config.epochs,
        seed=seed,
    )
    solver.train()
    return solver


def search(config, splits):
    """Train the grid with the first seed; return its trials, each with settings and accuracy."""
    trials = []
    for hidden, rate, reg in itertools.product(config.hidden, config.learning_rates, config.regs):
        settings = TUNED | {"hidden": hidden, "learning_rate": rate, "reg": reg}
        accuracy = train(config, splits, settings, config.seeds[0]).best_val_acc
        print(f"hidden {hidden}, rate {rate}, reg {reg}: {100 * accuracy:.2f} %", flush=True)
        trials.append({"settings": settings, "val_accuracy": accuracy})
    return trials


def repetitions(config, row, settings, splits):
    """Train with each seed; return the results, and the first seed's weights as pictures."""
    from cvcourse.training import comparison

    found, curves, pictures = [], None, None
    for seed in config.seeds:
        solver = train(config, splits, settings, seed)
        result = {"val_accuracy": solver.best_val_acc, "test_accuracy": None}
        if "X_test" in splits:
            result["test_accuracy"] = solver.check_accuracy(splits["X_test"], splits["y_test"])
        found.append(result)
        print(f"{row}, seed {seed}: validation {100 * solver.best_val_acc:.2f} %", flush=True)
        if curves is None:
            steps = len(solver.loss_history) // config.epochs
            losses = [solver.loss_history[i * steps :][:steps] for i in range(config.epochs)]
            curves = {
                "epoch": [*range(1, config.epochs + 1)],
                "loss": [sum(epoch) / steps for epoch in losses],
                "accuracy": solver.train_acc_history[1:],
                "val_accuracy": solver.val_acc_history[1:],
            }
            weights = solver.model.params["W1"].T
            if weights.shape[1] == math.prod(splits["shape"]):
                pictures = weights.reshape(-1, *splits["shape"])
    summary = {key: comparison.mean_and_std(row[key] for row in found) for key in found[0]}
    return {"settings": settings, **summary, "curves": curves}, pictures


def sanity_checks(config, splits):
    """Return the notes' checks before training: rows of `check`."""
    import numpy as np

    from cvcourse import classic
    from cvcourse.classic._gradient_check import RIGHT

    X, y = splits["X_train"][:FEW], splits["y_train"][:FEW]
    chance = math.log(splits["classes"])
    small = two_layer(splits, 50, weight_scale=1e-3)
    loss = small.loss(X, y)[0]
    small.reg = 1.0
    penalized = small.loss(X, y)[0]

    few = splits | {"X_train": X, "y_train": y, "X_val": X, "y_val": y}
    short = dataclasses.replace(config, epochs=100, batch_size=25)
    large = TUNED | {"hidden": 100, "learning_rate": 0.01, "reg": 0.0, "lr_decay": 1.0}
    accuracy = train(short, few, large, seed=0).best_val_acc

    net = two_layer(splits, 20, weight_scale=None, reg=0.1, dtype=np.float64)
    _, grads = net.loss(X, y)
    rng, slopes = np.random.default_rng(0), []
    for key, w in net.params.items():
        places = rng.choice(w.size, min(SLOPES, w.size), replace=False)
        indices = [np.unravel_index(place, w.shape) for place in places]
        slopes += classic.gradient_check(lambda _: net.loss(X, y)[0], w, grads[key], indices)
    error = max(slope.error for slope in slopes if not slope.kink)

    return [
        check("loss with small weights", loss, chance, abs(loss / chance - 1) < 0.01),
        check("loss with a penalty, which is larger", penalized, loss, penalized > loss),
        check(f"accuracy on {FEW} examples, memorized", accuracy, 1.0, accuracy == 1),
        check(f"largest relative error of {len(slopes)} slopes", error, RIGHT, error <= RIGHT),
    ]


def check(name, found, expected, passed):
    """Return a row of the sanity checks."""
    return {"check": name, "found": float(found), "expected": expected, "passed": bool(passed)}


# ---- tables and figures ----


def percent(statistics):
    """Format mean and standard deviation over the seeds of a share."""
    if statistics is None:
        return "–"
    std = "" if statistics["std"] is None else f" ± {100 * statistics['std']:.2f}"
    return f"{100 * statistics['mean']:.2f}{std}"


def spiral_table(spirals):
    """Format the nets on the spiral beside the notes' numbers."""
    titles = ["", "steps", "accuracy, %", "notes", "loss, nats", "notes"]
    rows = (
        [name, f"{row['steps']:,}", percent(row["accuracy"]), accuracy]
        + [f"{row['loss']['mean']:.4f} ± {row['loss']['std'] or 0:.4f}", loss]
        for (name, row), (*_, accuracy, loss) in zip(spirals.items(), SPIRALS.values(), strict=True)
    )
    return [titles, *rows]


def check_table(checks):
    """Format the sanity checks of each kind of features."""
    return [
        ["features", "check", "found", "expected", "result"],
        *(
            [features, row["check"], f"{row['found']:.4g}", f"{row['expected']:.4g}"]
            + ["passed" if row["passed"] else "failed"]
            for features, rows in checks.items()
            for row in rows
        ),
    ]


def net_table(rows, dataset):
    """Format the two-layer nets; on CIFAR-10, beside the notebooks' numbers."""
    published = dataset == "cifar10"
    titles = ["", "hidden units", "learning rate", "penalty", "validation, %", "test, %"]
    found = [[*titles, *["notebooks of assignment 1"] * published]]
    for name, row in rows.items():
        settings = (f"{row['settings'][key]:g}" for key in ("hidden", "learning_rate", "reg"))
        cells = [name, *settings, percent(row["val_accuracy"]), percent(row["test_accuracy"])]
        found.append(cells + [PUBLISHED.get(name, "–")] * published)
    return found


def grid_table(trials):
    """Format the trials of a grid, the best first."""
    return [
        ["hidden units", "learning rate", "penalty", "validation, %"],
        *(
            [f"{trial['settings'][key]:g}" for key in ("hidden", "learning_rate", "reg")]
            + [f"{100 * trial['val_accuracy']:.2f}"]
            for trial in sorted(trials, key=lambda trial: -trial["val_accuracy"])
        ),
    ]


def training_figure(rows):
    """Draw the curves of the first seed of each net."""
    from cvcourse import figures

    return figures.compared_curves(
        {name: row["curves"] for name, row in rows.items()},
        {
            "loss": "training loss (nats)",
            "accuracy": "training accuracy",
            "val_accuracy": "validation accuracy",
        },
        figures.styles({name: name for name in rows}, [*rows]),
    )


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
