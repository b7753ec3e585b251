"""Stages of a network: the layers between two changes of the resolution."""

import keras

from cvcourse.layers.receptive_field import fields
from cvcourse.visualization.network import Network, bottlenecks

PADDINGS = ("Pad", "PadTo", "ZeroPadding2D")  # operations that end no stage


def stages(model: keras.Model) -> list[str]:
    """Find the last layer of each resolution, where a network's stages end.

    Args:
        model: A functional keras.Model.

    Returns:
        Names of layers with maps that all paths from the image to the logits pass, from the first
        layer with a kernel; empty if there is none.

    Raises:
        ValueError: If the model has no graph of layers.

    >>> layers = keras.layers
    >>> net = [keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="a"), layers.MaxPool2D(name="b")]
    >>> stages(keras.Sequential([*net, layers.Flatten(), layers.Dense(2)]))
    ['a', 'b']
    """
    network = Network.of(model)
    network.require_graph("its stages are unknown")
    steps, field = network.between(), fields(network.graph)
    on_all_paths = bottlenecks(steps, network.input)
    ends: dict[tuple, str] = {}
    convolved = False
    for step in steps:
        weights = getattr(step.operation, "weights", ())
        convolved |= any(len(weight.shape) > 1 for weight in weights)
        found = field[step.outputs[0]]
        is_end = step in on_all_paths and type(step.operation).__name__ not in PADDINGS
        if is_end and convolved and found is not None and step.outputs[0].shape[1:3] != (1, 1):
            ends[found.step] = step.name
    return [*ends.values()]
