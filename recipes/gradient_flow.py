"""The lecture's picture of vanishing and exploding gradients: RNN, LSTM, GRU, and clipping.

    cvcourse gradient_flow
    cvcourse gradient_flow --steps=20 --output=gradient_flow.png

On its way back through a vanilla RNN a gradient is multiplied by the recurrent matrix at each step:
with a largest singular value below 1 it vanishes, with one above 1 it may explode, and the slope of
tanh, at most 1, only makes it smaller. The cell state of an LSTM is multiplied by a forget gate
instead. What explodes can be clipped; what has vanished is gone. Pascanu et al. 2013,
https://arxiv.org/abs/1211.5063; CS231n, lecture 10.
"""

import dataclasses
import sys

from cvcourse import recipe
from cvcourse.errors import RunError
from cvcourse.startup import import_tensorflow_quietly

EXAMPLES, CHANNELS = 32, 64  # of unit-Gaussian inputs
SINGULAR_VALUES = (0.5, 0.9, 1.0, 1.1, 1.5, 2.0)  # the one value of a scaled orthogonal matrix
ACTIVATIONS = {"linear": "-", "tanh": "--"}  # name: its line
CELLS = {  # name: (layer of Keras, its states, of which the first is drawn, forget bias)
    "RNN": ("SimpleRNN", "h", None),
    "GRU": ("GRU", "h", None),
    "LSTM, forget bias 0": ("LSTM", "ch", 0),
    "LSTM, forget bias 1": ("LSTM", "ch", 1),  # as usual: Jozefowicz et al. 2015
    "LSTM, forget bias 3": ("LSTM", "ch", 3),
}
CLIPPING = {"not clipped": None, "norm clipped at 1": 1.0}
# The net that is trained says at the end which symbol it saw at the first of all steps.
SYMBOLS, NOISE, SINGULAR_VALUE, LEARNING_RATE, UPDATES = 8, 0.1, 1.2, 0.15, 200


@dataclasses.dataclass(frozen=True)
class Config:
    """Where the picture goes, the size of the nets, and the draw."""

    output: str = recipe.field("runs/gradient_flow.svg", "the file: .svg, .png or .pdf")
    # float32 ends at 2**128, and the largest singular value is 2.
    steps: int = recipe.field(50, "of time", least=2, below=121)
    units: int = recipe.field(64, "of each recurrent layer", least=1, below=1025)
    seed: int = recipe.field(0, "of inputs and weights", least=0, below=2**32)


def main(config):
    """Print tables and draw them; returns the numbers.

    "singular_values": {activation: {value: norms}}, "cells": {name: {state: norms}}, with a norm of
    the gradient for each step of time, and "training": {clipping: {"loss", "gradient_norm"}}, with
    a number for each update.
    """
    config = recipe.check(config)
    with recipe.usage():
        if not config.output.endswith((".svg", ".png", ".pdf")):
            raise ValueError(f"--output is an .svg, .png or .pdf file; received {config.output!r}")
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    import numpy as np

    from cvcourse import training

    rng = np.random.default_rng(config.seed)
    inputs = rng.normal(size=(EXAMPLES, config.steps, CHANNELS)).astype("float32")
    found = {
        "singular_values": {
            activation: {
                f"{value:g}": norms(config, inputs, rnn(config, value, activation), "h")["h"]
                for value in SINGULAR_VALUES
            }
            for activation in ACTIVATIONS
        },
        "cells": {
            name: norms(config, inputs, cell(config, kind, forget_bias), states)
            for name, (kind, states, forget_bias) in CELLS.items()
        },
        "training": {name: train(config, largest) for name, largest in CLIPPING.items()},
    }
    report(found)
    try:
        training.save_figure(draw(found), output)
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}") from error
    print(f"\npicture: {output}")
    return found


def rnn(config, singular_value, activation="tanh"):
    """A vanilla RNN whose recurrent matrix has all its singular values alike."""
    import keras

    keras.utils.set_random_seed(config.seed)
    recurrent = keras.initializers.Orthogonal(singular_value)
    return keras.layers.SimpleRNN(config.units, activation, recurrent_initializer=recurrent)


def cell(config, kind, forget_bias):
    """A recurrent layer as Keras initializes it, but for the bias of a forget gate."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(config.seed)
    layer = getattr(keras.layers, kind)(config.units)
    layer.build((None, config.steps, CHANNELS))
    if forget_bias is not None:
        layer.cell.bias.assign(np.repeat([0, forget_bias, 0, 0], config.units))  # i, f, g, o
    return layer


def norms(config, inputs, layer, states):
    """The norms of the gradient of the sum of the last outputs, a list by step for each state."""
    import keras

    from cvcourse.sequence import gradient_norms

    x = keras.Input(inputs.shape[1:])
    net = keras.Model(x, layer(x))
    return {state: gradient_norms(net, inputs, state=state).tolist() for state in states}


def train(config, largest):
    """Teach an RNN to remember; the loss and the norm of its gradient before each update.

    A gradient whose norm is above `largest` is scaled down to it: Pascanu et al. 2013, Algorithm 1.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    layer, rng = rnn(config, SINGULAR_VALUE), np.random.default_rng(config.seed)
    net = keras.Sequential(
        [keras.Input((config.steps, SYMBOLS)), layer, keras.layers.Dense(SYMBOLS)]
    )
    optimizer = keras.optimizers.SGD(LEARNING_RATE, global_clipnorm=largest)
    optimizer.build(net.trainable_variables)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def update(x, y):
        with tf.GradientTape() as tape:
            loss = cross_entropy(y, net(x, training=True))
        gradients = tape.gradient(loss, net.trainable_variables)
        optimizer.apply_gradients(zip(gradients, net.trainable_variables, strict=True))
        return loss, tf.linalg.global_norm(gradients)

    history = {"loss": [], "gradient_norm": []}
    for _ in range(UPDATES):
        symbols = rng.integers(SYMBOLS, size=EXAMPLES)
        x = NOISE * rng.normal(size=(EXAMPLES, config.steps, SYMBOLS))
        x[:, 0] = np.eye(SYMBOLS)[symbols]
        for key, value in zip(history, update(x.astype("float32"), symbols), strict=True):
            history[key].append(float(value))
    return history


def curves(found):
    """{title: {label: norms}} of what is drawn: by steps back in time, as shares of the last."""
    import numpy as np

    def back(norms):
        return np.array(norms[::-1]) / norms[-1]

    vanilla = {
        f"{value}, {activation}": back(norms)
        for activation, rows in found["singular_values"].items()
        for value, norms in rows.items()
    }
    cells = {name: back(next(iter(states.values()))) for name, states in found["cells"].items()}
    return {"RNN, by its largest singular value": vanilla, "h of RNN and GRU, c of LSTM": cells}


def report(found):
    """Print the tables."""
    import numpy as np

    for title, rows in curves(found).items():
        steps = len(next(iter(rows.values())))
        columns = np.unique(np.linspace(0, steps - 1, 6).astype(int))
        print(f"\n{title}: norm of the gradient by steps back in time, 1 at the last")
        print(f"{'':20}", *(f"{column:8}" for column in columns))
        for name, row in rows.items():
            print(f"{name:20}", *(f"{row[column]:8.1e}" for column in columns))
    print(f"\ntraining: {UPDATES} updates, chance is a loss of {np.log(SYMBOLS):.2f}")
    print(f"{'':20} {'loss':>8} {'largest norm':>13}")
    for name, history in found["training"].items():
        loss, largest = np.mean(history["loss"][-20:]), np.max(history["gradient_norm"])
        print(f"{name:20} {loss:8.3f} {largest:13.1f}")


def draw(found):
    """The curves and the training as a matplotlib figure."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 6), layout="constrained")
    axes = figure.subplot_mosaic([["vanilla", "cells", "loss"], ["vanilla", "cells", "norm"]])
    blue_to_red = colormaps["coolwarm"]([0, 0.15, 0.5, 0.78, 0.9, 1])
    colors = dict(zip(found["singular_values"]["linear"], blue_to_red, strict=True))
    colors["1"] = "black"  # what neither vanishes nor explodes
    (title, vanilla), (cells_title, cells) = curves(found).items()
    for name, row in vanilla.items():
        value, activation = name.split(", ")
        axes["vanilla"].plot(row, ACTIVATIONS[activation], color=colors[value])
        place = dict(xytext=(5 if activation == "linear" else 25, -3), textcoords="offset points")
        axes["vanilla"].annotate(value, (len(row) - 1, row[-1]), color=colors[value], **place)
    for activation, line in ACTIVATIONS.items():
        axes["vanilla"].plot([], [], line, color="black", label=activation)
    for name, row in cells.items():
        axes["cells"].plot(row, label=name)
    for name, history in found["training"].items():
        axes["loss"].plot(history["loss"], label=name)
        axes["norm"].plot(history["gradient_norm"], label=name)
    axes["loss"].axhline(np.log(SYMBOLS), color="gray", linestyle=":", label="chance")
    axes["norm"].axhline(1, color="gray", linestyle=":")
    of_gradient = "norm of the gradient, 1 at the last step"
    axes["vanilla"].set(title=title, xlabel="steps back in time", ylabel=of_gradient)
    axes["cells"].set(title=cells_title, xlabel="steps back in time", ylabel=of_gradient)
    steps = len(next(iter(cells.values())))
    axes["loss"].set(title=f"Training an RNN to remember {steps} steps", ylabel="loss (nats)")
    axes["norm"].set(xlabel="updates", ylabel="norm before clipping")
    for name in ("vanilla", "cells", "norm"):
        axes[name].set_yscale("log", nonpositive="mask")
    for name, ax in axes.items():
        ax.grid(alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
        if name != "norm":
            ax.legend(frameon=False)
    return figure


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
