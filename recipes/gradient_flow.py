"""Draw vanishing and exploding gradients of RNN, LSTM and GRU, and the effect of clipping.

    cvcourse gradient_flow
    cvcourse gradient_flow --steps=20 --output=gradient_flow.png

On its way back through a vanilla RNN, a gradient is multiplied by the recurrent matrix at each
step: if the largest singular value is below 1, the gradient vanishes; if it is above 1, the
gradient may explode. The slope of tanh, at most 1, only makes it smaller. The cell state of an LSTM
is multiplied by a forget gate instead. Clipping limits exploding gradients, but cannot restore
vanished ones. Pascanu et al. 2013, https://arxiv.org/abs/1211.5063; CS231n, lecture 10. report.html
in the run directory shows the tables and the figure, metrics.json contains the numbers; --output is
the file of the figure.
"""

import dataclasses
import sys

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

EXAMPLES, CHANNELS = 32, 64  # of unit-Gaussian inputs
SINGULAR_VALUES = (0.5, 0.9, 1.0, 1.1, 1.5, 2.0)  # of a scaled orthogonal matrix, all equal
ACTIVATIONS = ("linear", "tanh")
CELLS = {  # name: (layer of Keras, its states, of which the first is drawn, forget bias)
    "RNN": ("SimpleRNN", "h", None),
    "GRU": ("GRU", "h", None),
    "LSTM, forget bias 0": ("LSTM", "ch", 0),
    "LSTM, forget bias 1": ("LSTM", "ch", 1),  # Keras' default: Jozefowicz et al. 2015
    "LSTM, forget bias 3": ("LSTM", "ch", 3),
}
TITLES = ("RNN, by its largest singular value", "h of RNN and GRU, c of LSTM")
CLIPPING = {"not clipped": None, "norm clipped at 1": 1.0}
# At the last step, the trained net classifies the symbol that it received at the first step.
SYMBOLS, NOISE, SINGULAR_VALUE, LEARNING_RATE, UPDATES = 8, 0.1, 1.2, 0.15, 200


@dataclasses.dataclass(frozen=True)
class Config(recipe.RunFields):
    """Settings of the experiment."""

    output: str = recipe.field("runs/gradient_flow.svg", "file of the figure: .svg, .png or .pdf")
    # float32 ends at 2**128, and the largest singular value is 2.
    steps: int = recipe.field(50, "number of time steps", least=2, below=121)
    units: int = recipe.field(64, "number of units of each recurrent layer", least=1, below=1025)


def main(config: Config) -> dict:
    """Print the tables and draw the figure; return the numbers.

    "singular_values": {activation: {value: norms}}, "cells": {name: {state: norms}}, with a norm of
    the gradient for each step of time, and "training": {clipping: {"loss", "gradient_norm"}}, with
    a number for each update.
    """
    config, metrics = recipe.begin(
        config,
        "gradient_flow",
        shown=lambda found: {name: row["loss"][-1] for name, row in found["training"].items()},
    )
    if metrics:
        return metrics
    output = recipe.output_file(config.output, recipe.PICTURES)
    import_tensorflow_quietly()
    import numpy as np

    from cvcourse import figures, training

    with recipe.open_run(config, "gradient_flow") as run:
        run.begin()
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
        vanilla, cells = curves(found)
        figure = figures.gradients_through_time(
            vanilla, cells, found["training"], titles=TITLES, chance=np.log(SYMBOLS)
        )
        figures.save_figure(figure, output)
        printed = tables(vanilla, cells, found["training"])
        metrics = training.write_report(
            run.path,
            title="Gradients through time",
            metrics={**found, "seed": config.seed},
            lead=[
                "Norms of the gradient with respect to a state, by steps back in time, relative to "
                f"the last step. The net that is trained for {UPDATES} updates predicts, at the "
                "last step, the symbol that it received at the first step; the loss of a guess is "
                f"{np.log(SYMBOLS):.2f} nats."
            ],
            tables=printed,
            figures={"Gradients and training": figure},
            config=dataclasses.asdict(run.config),
        )
    for caption, rows in printed.items():
        print(f"\n{caption}")
        for name, *cells in rows:
            print(f"{name:20}", *(f"{cell:>12}" for cell in cells))
    print(f"picture: {output}")
    return metrics


def rnn(config, singular_value, activation="tanh"):
    """Build a vanilla RNN whose recurrent matrix has equal singular values."""
    import keras

    keras.utils.set_random_seed(config.seed)
    recurrent = keras.initializers.Orthogonal(singular_value)
    return keras.layers.SimpleRNN(config.units, activation, recurrent_initializer=recurrent)


def cell(config, kind, forget_bias):
    """Build a recurrent layer with Keras' initialization, except for the forget gate's bias."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(config.seed)
    layer = getattr(keras.layers, kind)(config.units)
    layer.build((None, config.steps, CHANNELS))
    if forget_bias is not None:
        layer.cell.bias.assign(np.repeat([0, forget_bias, 0, 0], config.units))  # i, f, g, o
    return layer


def norms(config, inputs, layer, states):
    """Compute norms of the gradient of the sum of the last outputs: {state: list by step}."""
    import keras

    from cvcourse.sequence import gradient_norms

    x = keras.Input(inputs.shape[1:])
    net = keras.Model(x, layer(x))
    return {state: gradient_norms(net, inputs, state=state).tolist() for state in states}


def train(config, largest):
    """Train an RNN to remember; return the loss and the gradient's norm before each update.

    A gradient whose norm exceeds `largest` is scaled down to it: Pascanu et al. 2013, Algorithm 1.
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
    """Collect the curves to draw, by steps back in time and as shares of the last norm.

    Returns {(value, activation): shares} for the vanilla RNNs, and {name: shares} for the cells.
    """
    import numpy as np

    def back(norms):
        return np.array(norms[::-1]) / norms[-1]

    vanilla = {
        (value, activation): back(norms)
        for activation, rows in found["singular_values"].items()
        for value, norms in rows.items()
    }
    cells = {name: back(next(iter(states.values()))) for name, states in found["cells"].items()}
    return vanilla, cells


def tables(vanilla, cells, training):
    """Format the tables of the report: {caption: rows of texts}."""
    import numpy as np

    found = {}
    named = {", ".join(names): row for names, row in vanilla.items()}
    for title, rows in zip(TITLES, (named, cells), strict=True):
        steps = len(next(iter(rows.values())))
        columns = np.unique(np.linspace(0, steps - 1, 6).astype(int))
        found[f"{title}: norm of the gradient by steps back in time, relative to the last"] = [
            ["", *map(str, columns)],
            *([name, *(f"{row[column]:.1e}" for column in columns)] for name, row in rows.items()),
        ]
    found[f"Training: {UPDATES} updates"] = [
        ["", "loss", "largest norm"],
        *(
            [
                name,
                f"{np.mean(history['loss'][-20:]):.3f}",
                f"{np.max(history['gradient_norm']):.1f}",
            ]
            for name, history in training.items()
        ),
    ]
    return found


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
