"""Captions as rows to train on, and their photos as a data set that a backbone looks at."""

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
    """Load the captions that a recipe's config names, and print what is done to them.

    Args:
        config: With the fields `photos`, `captions_file`, `limit` and `missing` of
            `load_captions`; `longest`, the words of the longest caption of training and validation;
            and `too_long`, "error" or "cut" for those that are longer, which `rows` cuts.

    Returns:
        Captions, with at least one validation photo.

    Raises:
        DataError: As `load_captions`; without a validation photo; for a caption that is too long.
    """
    captions = load_captions(
        config.photos, config.captions_file, limit=config.limit, missing=config.missing
    )
    if not captions.validation:
        raise DataError(f"{config.photos} has no validation photo to choose the epoch by")
    texts = [
        (photo.path.name, text, len(words(text)))
        for photo in (*captions.train, *captions.validation)
        for text in photo.captions
    ]
    if any(unspaced(text) for _, text, _ in texts):
        print("captions in a script without blanks between words: each character is a word")
    long = [of for of in texts if of[2] > config.longest]
    if long and config.too_long == "error":
        name, text, length = long[0]
        raise DataError(
            f"{name} has a caption of {length} words, more than --longest={config.longest}: "
            f"{text[:60]!r}; {len(long)} of {len(texts)} captions are longer: raise it, or choose "
            "--too_long=cut"
        )
    if long:
        print(f"{len(long)} of {len(texts)} captions are cut to {config.longest} words")
    return captions


def rows(photos, vocabulary, longest):
    """Encode the captions of a split for `batches`, a row for each caption.

    Args:
        photos: CaptionedPhotos.
        vocabulary: Vocabulary of words.
        longest: Words after which a caption is cut; a cut one has no END.

    Returns:
        inputs: {"photo": (n,) the photo's number, "tokens": (n, m) START w1 ... wn}, padded with
            PAD at the end. END is never read.
        labels: (n, m), w1 ... wn END.
        weights: (n, m), 0 for PAD and for UNK, which is read but never a label that counts.
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
    """Stream `rows` with each photo's number replaced by its map.

    Args:
        rows: As the function `rows` gives them.
        maps: Feature maps of the photos, (photos, m, c).
        **options: Of `stream_rows`.

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
    """The captions of each photo as the vocabulary reads them: a list of texts for each."""
    return [[" ".join(words(text)) for text in photo.captions] for photo in photos]


def squares(captions, side, interpolation, *, crop=True):
    """The photos of Captions as a data set of squares, decoded when asked for.

    Args:
        captions: Captions.
        side: Pixels of a square's side.
        interpolation: As tf.image.resize takes it.
        crop: Take the largest square in the middle of a photo; False squashes.

    Returns:
        A Dataset of images (n, side, side, 3) of 0..255, float32 as the scaling leaves them, whose
        labels are the photos' numbers in their split; validation and test may be None.

    Raises:
        DataError: Naming a file that is no photo.
    """

    def split(photos):
        files = [os.fsencode(photo.path) for photo in photos]
        routes = [read_header(photo.path, str(photo.path)).route_to(3) for photo in photos]
        images = EncodedImages(files, routes, (side, side), 3)
        return Split(images.resized(side, interpolation, crop=crop), np.arange(len(files)))

    splits = {name: split(photos) if photos else None for name, photos in vars(captions).items()}
    return Dataset(**splits, class_names=())
