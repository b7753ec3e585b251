"""A generator and its vocabulary from the model.keras of a run."""

import keras

from cvcourse.errors import RunError
from cvcourse.saved_model import read_named_model
from cvcourse.sequence.decoding import Generator
from cvcourse.vocabulary import Vocabulary


def read_generator(path, recipe, inputs, joiner):
    """Read a net that generates tokens, and its vocabulary.

    Args:
        path: Path of the .keras file.
        recipe: Name of the recipe that writes such files, for messages.
        inputs: Names of the net's inputs, a set.
        joiner: Text between tokens, as in Vocabulary.

    Returns:
        A pair: a Generator and a Vocabulary.

    Raises:
        RunError: If the file is damaged, names no tokens, or holds another kind of model.
        ValueError: If it does not record how the net was built, as one of an earlier version.
    """
    model, names = read_named_model(path)
    found = {layer.name for layer in model.layers if isinstance(layer, keras.layers.InputLayer)}
    if found != inputs:
        raise RunError(
            f"{path} is not a model of `cvcourse {recipe}`: it takes {', '.join(sorted(found))}, "
            f"instead of {', '.join(sorted(inputs))}"
        )
    try:
        vocabulary = Vocabulary(names, joiner)
    except ValueError as error:
        raise RunError(f"{path} is not a model of `cvcourse {recipe}`: {error}") from error
    return Generator(model), vocabulary


def require_vocabulary(generator, vocabulary):
    """Check that a vocabulary is that of a generator's net.

    Args:
        generator: The Generator.
        vocabulary: A Vocabulary.

    Raises:
        ValueError: If it is none, or has another number of tokens than the net's outputs.
    """
    if not isinstance(vocabulary, Vocabulary):
        raise ValueError(f"vocabulary is a cvcourse.data.Vocabulary; received {vocabulary!r}")
    outputs = generator.step.output["logits"].shape[-1]
    if len(vocabulary.tokens) != outputs:
        raise ValueError(
            f"the vocabulary has {len(vocabulary.tokens)} tokens, and {generator.net.name} was "
            f"built for {outputs}"
        )
