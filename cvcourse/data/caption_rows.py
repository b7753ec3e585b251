"""Captions as rows for training, and their photos as a dataset of images for a backbone."""

import os

import numpy as np
import tensorflow as tf

from cvcourse.data.captions import load_captions
from cvcourse.data.dataset import DataError, Dataset, Split
from cvcourse.data.encoded import EncodedImages
from cvcourse.data.photo import read_header
from cvcourse.data.token_stream import stream_rows
from cvcourse.vocabulary import PAD, UNK, unspaced, words


def of(config):
    """Load the captions of a recipe's config, and print how they are changed.

    Args:
        config: Config with the fields `photos`, `captions_file`, `limit` and `missing` of
            `load_captions`; `longest`, the maximum number of words of a caption of training and
            validation; and `too_long`, "error" or "cut" for longer ones, which `rows` cuts.

    Returns:
        Captions, with at least one validation photo.

    Raises:
        DataError: As `load_captions`; if there is no validation photo, or a caption is too long.
    """
    captions = load_captions(
        config.photos, config.captions_file, limit=config.limit, missing=config.missing
    )
    if not captions.validation:
        raise DataError(f"{config.photos} has no validation photo, which selects the best epoch")
    texts = [
        (photo.path.name, text, len(words(text)))
        for photo in (*captions.train, *captions.validation)
        for text in photo.captions
    ]
    if any(unspaced(text) for _, text, _ in texts):
        print("captions in a script without spaces between words: each character is a word")
    long = [of for of in texts if of[2] > config.longest]
    if long and config.too_long == "error":
        name, text, length = long[0]
        raise DataError(
            f"{name} has a caption of {length} words, more than --longest={config.longest}: "
            f"{text[:60]!r}; {len(long)} of {len(texts)} captions are longer: raise --longest, or "
            "use --too_long=cut"
        )
    if long:
        print(f"{len(long)} of {len(texts)} captions are cut to {config.longest} words")
    return captions


def rows(photos, vocabulary, longest):
    """Encode the captions of a split for `batches`, one row per caption.

    Args:
        photos: CaptionedPhotos.
        vocabulary: Vocabulary of words.
        longest: Number of words after which a caption is cut; a cut caption has no END.

    Returns:
        inputs: {"photo": (n,) the photo's index, "tokens": (n, m) START w1 ... wn}, padded with
            PAD at the end. END is never an input.
        labels: (n, m), w1 ... wn END.
        weights: (n, m), 0 for the labels PAD and UNK.
    """
    texts = [(i, text) for i, photo in enumerate(photos) for text in photo.captions]
    ids = [vocabulary.encode(text) for _, text in texts]
    ids = [one if len(one) <= longest + 2 else one[: longest + 1] for one in ids]
    table = np.full((len(ids), max(map(len, ids))), PAD, "int32")
    for row, one in zip(table, ids, strict=True):
        row[: len(one)] = one
    labels = table[:, 1:]
    tokens = np.where(labels == PAD, PAD, table[:, :-1])
    inputs = {"photo": np.array([i for i, _ in texts], "int32"), "tokens": tokens}
    return inputs, labels, np.isin(labels, (PAD, UNK), invert=True).astype("float32")


def batches(rows, maps, **options):
    """Stream `rows` with each photo's index replaced by its feature map.

    Args:
        rows: Rows as the function `rows` returns them.
        maps: Feature maps of the photos, (photos, m, c).
        **options: Arguments of `stream_rows`.

    Returns:
        As `stream_rows`, with inputs {"memory": (batch, m, c), "tokens": (batch, n)}.

    Raises:
        ValueError: As `stream_rows`.
    """
    with tf.device("CPU:0"):
        maps = tf.constant(maps)

    def with_maps(inputs, labels, weights):
        memory = tf.gather(maps, inputs["photo"])
        return {"memory": memory, "tokens": inputs["tokens"]}, labels, weights

    return stream_rows(rows, **options).map(with_maps, tf.data.AUTOTUNE)


def references(photos):
    """Return a list of captions for each photo, with only the words that a vocabulary reads."""
    return [[" ".join(words(text)) for text in photo.captions] for photo in photos]


def squares(captions, side, interpolation, *, crop=True):
    """Make a dataset of square images of captioned photos, decoded when read.

    Args:
        captions: Captions.
        side: Side of a square in pixels.
        interpolation: Method of tf.image.resize.
        crop: Whether to crop the largest centered square of a photo; if False, it is squashed.

    Returns:
        A Dataset of images (n, side, side, 3) of 0..255, float32 and not rounded, whose labels are
        the photos' indices in their split; validation and test may be None.

    Raises:
        DataError: If a file is not a photo; the message names it.
    """

    def split(photos):
        files = [os.fsencode(photo.path) for photo in photos]
        routes = [read_header(photo.path, str(photo.path)).route_to(3) for photo in photos]
        images = EncodedImages(files, routes, (side, side), 3)
        return Split(images.resized(side, interpolation, crop=crop), np.arange(len(files)))

    splits = {name: split(photos) if photos else None for name, photos in vars(captions).items()}
    return Dataset(**splits, class_names=())
