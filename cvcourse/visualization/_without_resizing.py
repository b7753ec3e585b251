"""The part of a model after the resizing of photos, for pictures of any size."""

import keras

from cvcourse.visualization.network import Network, run

RESIZING = ("Resize", "Resizing", "CenterCrop", "Cropping2D")


def without_resizing(model: keras.Model) -> keras.Model:
    """Return a model without the resizing and cropping of photos at its beginning.

    Args:
        model: keras.Model of images.

    Returns:
        A keras.Model that shares the weights. It takes images of any size if its layers do, else of
        the size after the resizing. A model that begins with other layers is returned as it is.

    Raises:
        ValueError: If the model does not map one image to one vector.

    >>> model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Resizing(8, 8),
    ...                           keras.layers.GlobalAveragePooling2D()])
    >>> without_resizing(model).input_shape
    (None, None, None, 3)
    """
    network = Network.of(model)
    place, steps = network.input, [*network.graph.steps]
    while steps and type(steps[0].operation).__name__ in RESIZING:
        place = steps.pop(0).outputs[0]
    if place is network.input or network.subclassed:
        return model
    wanted = [*network.graph.outputs.values()]
    _, height, width, channels = place.shape
    image = keras.Input((None, None, channels))
    try:
        outputs = run(steps, {place: image}, wanted, copies=True)
    except (TypeError, ValueError):  # layers that need a size, such as a Flatten before a Dense
        image = keras.Input((height, width, channels))
        outputs = run(steps, {place: image}, wanted, copies=True)
    return keras.Model(image, keras.tree.pack_sequence_as(model.output, outputs), name=model.name)
