"""Compare initializations: activations and gradients of ten layers of 500 units.

    cvcourse initialization
    cvcourse initialization --output=initialization.png

The lecture's experiment. Inputs, and the gradient at the last layer, are unit Gaussian. If weights
are too small, both vanish from layer to layer; if they are too large, units saturate; a standard
deviation of 1/sqrt(n), for ReLUs sqrt(2/n), preserves the scale. Glorot & Bengio 2010,
https://proceedings.mlr.press/v9/glorot10a.html; He et al. 2015, https://arxiv.org/abs/1502.01852,
eq. 10; CS231n, lecture 6. report.html in the run directory shows the tables and the histograms,
metrics.json contains the numbers; --output is the file of the figure.
"""

import dataclasses
import sys

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

EXAMPLES, UNITS, LAYERS = 1000, 500, 10  # as in the lecture
NETWORKS = {  # name: (activation, standard deviation of the weights of a unit with n inputs)
    "tanh, 0.01": ("tanh", lambda n: 0.01),
    "tanh, 1": ("tanh", lambda n: 1.0),
    "tanh, 1/sqrt(n)": ("tanh", lambda n: n**-0.5),
    "relu, 1/sqrt(n)": ("relu", lambda n: n**-0.5),
    "relu, sqrt(2/n)": ("relu", lambda n: (2 / n) ** 0.5),
}
COLUMNS = {  # field of LayerStatistics: title of its table
    "std": "standard deviation of the outputs",
    "saturated": "share of saturated outputs",
    "dead": "share of units that are 0 for every example",
    "gradient_std": "standard deviation of the gradient with respect to the outputs",
}


@dataclasses.dataclass(frozen=True)
class Config(recipe.RunFields):
    """Settings of the experiment."""

    output: str = recipe.field("runs/initialization.svg", "file of the figure: .svg, .png or .pdf")
    # After ten layers of ReLUs, values differ by a tenth between seeds; with this seed they are
    # close to the lecture's.
    seed: int = recipe.field(
        65, "random seed of inputs, weights and gradient", least=0, below=2**32
    )


def main(config: Config) -> dict:
    """Print the tables and draw histograms; return {network: {column: values by layer}}."""
    config, metrics = recipe.begin(
        config,
        "initialization",
        shown=lambda found: {name: row["std"][-1] for name, row in found["networks"].items()},
    )
    if metrics:
        return metrics["networks"]
    output = recipe.output_file(config.output, recipe.PICTURES)
    import_tensorflow_quietly()
    import numpy as np

    from cvcourse import figures, training

    with recipe.open_run(config, "initialization") as run:
        run.begin()
        rng = np.random.default_rng(config.seed)
        inputs, gradient = rng.normal(size=(2, EXAMPLES, UNITS)).astype("float32")
        statistics, activations = {}, {}
        for name, (activation, std) in NETWORKS.items():
            network = build(activation)
            network.set_weights(std(UNITS) * rng.normal(size=(LAYERS, UNITS, UNITS)))
            rows = training.layer_statistics(network, inputs, gradient, loss=inner_product)
            statistics[name] = {
                column: [getattr(row, column) for row in rows] for column in COLUMNS
            }
            activations[name] = outputs(network, inputs)
        deviations = {name: columns["std"] for name, columns in statistics.items()}
        figure = figures.activation_histograms(activations, deviations)
        figures.save_figure(figure, output)
        found = tables(statistics)
        training.write_report(
            run.path,
            title="Initialization: signals through ten layers",
            metrics={"networks": statistics, "seed": config.seed},
            lead=[
                f"{EXAMPLES:,} unit-Gaussian inputs, {LAYERS} layers of {UNITS} units. A network "
                "is named by its activation and the standard deviation of the weights of a unit "
                "with n inputs."
            ],
            tables=found,
            figures={"Outputs of each layer": figure},
            config=dataclasses.asdict(run.config),
        )
    for caption, (_, *rows) in found.items():
        print(f"\n{caption}")
        for name, *cells in rows:
            print(f"{name:16}", *(f"{cell:>8}" for cell in cells))
    print(f"histograms: {output}")
    return statistics


def tables(statistics):
    """Format the tables: {caption: rows of texts}, a row per network, a column per layer."""
    titles = ["", *(f"layer {number}" for number in range(1, LAYERS + 1))]
    return {
        f"{title.capitalize()}, by layer": [
            titles,
            *(
                [name, *(f"{value:.1e}" for value in columns[column])]
                for name, columns in statistics.items()
                if None not in columns[column]
            ),
        ]
        for column, title in COLUMNS.items()
    }


def build(activation):
    """Build a chain of Dense layers without biases: (batch, UNITS) -> (batch, UNITS)."""
    import keras

    x = inputs = keras.Input((UNITS,))
    for layer in range(1, LAYERS + 1):
        x = keras.layers.Dense(UNITS, activation, use_bias=False, name=f"layer{layer}")(x)
    return keras.Model(inputs, x)


def inner_product(gradient, outputs):
    """Compute a loss whose gradient with respect to `outputs` is `gradient`."""
    import keras

    return keras.ops.sum(gradient * outputs)


def outputs(network, inputs):
    """Return the outputs of each layer as flat arrays."""
    import keras

    taps = keras.Model(network.input, [layer.output for layer in network.layers[1:]])
    return [keras.ops.convert_to_numpy(values).ravel() for values in taps(inputs)]


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
