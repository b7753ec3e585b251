"""The lecture's experiment on initialization: ten layers of 500 units, and what each lets through.

    cvcourse initialization
    cvcourse initialization --output=initialization.png

Unit-Gaussian inputs go in, and a unit-Gaussian gradient comes back from the last layer. Weights
that are too small let both fade from layer to layer, too large ones saturate the units, and
1/sqrt(n), for ReLUs sqrt(2/n), keeps them as they are. Glorot & Bengio 2010,
https://proceedings.mlr.press/v9/glorot10a.html; He et al. 2015, https://arxiv.org/abs/1502.01852,
eq. 10; CS231n, lecture 6.
"""

import dataclasses
import sys

from cvcourse import recipe
from cvcourse.errors import RunError
from cvcourse.startup import import_tensorflow_quietly

EXAMPLES, UNITS, LAYERS = 1000, 500, 10  # the lecture's
NETWORKS = {  # name: (activation, standard deviation of the weights of a unit with n inputs)
    "tanh, 0.01": ("tanh", lambda n: 0.01),
    "tanh, 1": ("tanh", lambda n: 1.0),
    "tanh, 1/sqrt(n)": ("tanh", lambda n: n**-0.5),
    "relu, 1/sqrt(n)": ("relu", lambda n: n**-0.5),
    "relu, sqrt(2/n)": ("relu", lambda n: (2 / n) ** 0.5),
}
COLUMNS = {  # of LayerStatistics: what it is
    "std": "standard deviation of the outputs",
    "saturated": "share of the outputs that saturate",
    "dead": "share of the units that are 0 for every example",
    "gradient_std": "standard deviation of the gradient with respect to the outputs",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Where the picture goes, and the draw."""

    output: str = recipe.field("runs/initialization.svg", "the file: .svg, .png or .pdf")
    # Behind ten layers a ReLU's values differ by a tenth from draw to draw; this one's are near the
    # lecture's.
    seed: int = recipe.field(65, "of inputs, weights and gradient", least=0, below=2**32)


def main(config):
    """Print the tables and draw histograms; returns {network: {column: value of each layer}}."""
    config = recipe.check(config)
    with recipe.usage():
        if not config.output.endswith((".svg", ".png", ".pdf")):
            raise ValueError(f"--output is an .svg, .png or .pdf file; received {config.output!r}")
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    import numpy as np

    from cvcourse import training

    rng = np.random.default_rng(config.seed)
    inputs, gradient = rng.normal(size=(2, EXAMPLES, UNITS)).astype("float32")
    statistics, activations = {}, {}
    for name, (activation, std) in NETWORKS.items():
        network = build(activation)
        network.set_weights(std(UNITS) * rng.normal(size=(LAYERS, UNITS, UNITS)))
        rows = training.layer_statistics(network, inputs, gradient, loss=inner_product)
        statistics[name] = {column: [getattr(row, column) for row in rows] for column in COLUMNS}
        activations[name] = outputs(network, inputs)
    for column, title in COLUMNS.items():
        print(f"\n{title}, by layer")
        for name, columns in statistics.items():
            if None not in columns[column]:
                print(f"{name:16}", *(f"{value:8.1e}" for value in columns[column]))
    try:
        training.save_figure(draw(activations, statistics), output)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}") from error
    print(f"\nhistograms: {output}")
    return statistics


def build(activation):
    """Dense layers without biases, one behind the other: (batch, UNITS) -> the same."""
    import keras

    x = inputs = keras.Input((UNITS,))
    for layer in range(1, LAYERS + 1):
        x = keras.layers.Dense(UNITS, activation, use_bias=False, name=f"layer{layer}")(x)
    return keras.Model(inputs, x)


def inner_product(gradient, outputs):
    """A loss whose gradient with respect to `outputs` is `gradient`."""
    import keras

    return keras.ops.sum(gradient * outputs)


def outputs(network, inputs):
    """The values of each layer, flat."""
    import keras

    taps = keras.Model(network.input, [layer.output for layer in network.layers[1:]])
    return [keras.ops.convert_to_numpy(values).ravel() for values in taps(inputs)]


def draw(activations, statistics):
    """Histograms as a matplotlib figure: a network a row, a layer a column."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 * LAYERS, 1.5 * len(activations)), layout="constrained")
    grid = figure.subplots(len(activations), LAYERS, squeeze=False)
    for axes, (name, layers) in zip(grid, activations.items(), strict=True):
        for number, (ax, values) in enumerate(zip(axes, layers, strict=True)):
            low = -1.05 if "tanh" in name else 0
            ax.hist(values, bins=41, range=(low, 1.05 if low else 3), color="#1f6feb")
            ax.set_title(f"std {statistics[name]['std'][number]:.1e}", fontsize=8)
            ax.set_yticks([])
            ax.tick_params(labelsize=7)
            ax.spines[["top", "right", "left"]].set_visible(False)
        axes[0].set_ylabel(name, fontsize=9)
    for number, ax in enumerate(grid[-1], start=1):
        ax.set_xlabel(f"layer {number}", fontsize=9)
    return figure


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
