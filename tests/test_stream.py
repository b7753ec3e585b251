"""The stream as a function of (seed, step), and augmentation against a few lines of NumPy."""

import re

import numpy as np
import pytest
import tensorflow as tf

from cvcourse import data
from cvcourse.data.augmentation import (
    DRAWS,
    augmented,
    color,
    crop,
    cutmix,
    cutout,
    fitted,
    flip,
    keys,
    mixup,
    pca_color,
    permuted,
    shift,
    uniform,
)

ALL = tuple(data.AUGMENTATIONS)
MIXED = tuple(data.MIXTURES)


def numbered(images):
    """A split whose labels say which example is which."""
    return data.Split(images, np.arange(len(images), dtype="int32"))


def pixels(n, height=12, width=10, channels=3):
    return np.random.default_rng(n).integers(0, 256, (n, height, width, channels), "uint8")


@pytest.fixture(params=["array", "folder"])
def split(request, image_folder):
    """24 examples, in memory or as files."""
    if request.param == "array":
        return numbered(pixels(24))
    return numbered(data.load(image_folder(train=8, val=1)).train.images)


def batches(split, count=None, **options):
    """The first `count` batches, or all, as NumPy arrays."""
    stream = data.stream(split, **dict(batch_size=4, seed=0) | options)
    return list((stream if count is None else stream.take(count)).as_numpy_iterator())


def order(split, count, **options):
    return np.concatenate([labels for _, labels in batches(split, count, **options)])


# Where a stream may start


@pytest.mark.parametrize(
    ("augment", "one_hot", "starts"),
    [
        ((), None, (1, 5, 9)),
        (ALL + MIXED, 24, (9,)),
        pytest.param(ALL + MIXED, 24, (1, 5), marks=pytest.mark.slow),
    ],
)
def test_any_start_step_gives_the_same_batches(split, augment, one_hot, starts):
    """5 steps an epoch, with 2 of 22 examples left out; 12 steps reach the third epoch."""
    split, options = split.take(slice(22)), dict(augment=augment, one_hot=one_hot)
    whole = batches(split, 12, **options)
    for start in starts:
        part = batches(split, 12 - start, start_step=start, **options)
        for (images, labels), (again, same) in zip(whole[start:], part, strict=True):
            np.testing.assert_array_equal(labels, same)
            np.testing.assert_array_equal(images, again)


@pytest.mark.parametrize(
    "names, shards, shuffle",
    [(ALL, 2, True), (ALL, 2, False), (("flip", "mixup"), 4, False)],
)
def test_shards_in_order_are_the_batch(split, names, shuffle, shards):
    """Evaluation's last batch is filled up, so that its last shards may hold nothing but that."""
    one_hot = 24 if "mixup" in names else None
    options = dict(batch_size=4, seed=3, shuffle=shuffle, augment=names, one_hot=one_hot)
    wholes = data.stream(split, **options).take(4)
    parts = [data.stream(split, **options, shard=(i, shards)).take(4) for i in range(shards)]
    for whole, *cut in zip(wholes, *parts, strict=True):
        assert {len(values) for part in cut for values in part} == {4 // shards}
        for values, *pieces in zip(whole, *cut, strict=True):
            np.testing.assert_allclose(values, np.concatenate(pieces), atol=1e-4)


def test_images_and_labels_belong_together(split):
    for images, labels in batches(split, 7):
        np.testing.assert_array_equal(images, split.images[labels])


# Epochs


@pytest.mark.parametrize(("n", "left_out"), [(24, 0), (23, 3), (4, 0), (7, 3)])
def test_an_epoch_has_each_example_at_most_once(n, left_out):
    split = numbered(pixels(n))
    steps = data.steps_per_epoch(split, 4)
    assert steps * 4 == n - left_out
    for epoch in range(3):
        seen = order(split, steps, start_step=epoch * steps)
        assert len(set(seen)) == n - left_out
        assert set(seen) <= set(range(n))


def test_what_an_epoch_leaves_out_changes():
    epochs = order(numbered(pixels(5)), 40).reshape(40, 4)
    assert {10 - labels.sum() for labels in epochs} == {0, 1, 2, 3, 4}


def test_order_differs_between_epochs_and_seeds():
    """Far away ones too: the cipher underneath heeds a key's lowest 8 bits alone."""
    split = numbered(pixels(400, 1, 1))
    orders = [np.arange(400)]
    for seed, epoch in [(0, 0), (0, 1), (0, 256), (1, 0), (256, 0), (2**31, 0), (1, 1)]:
        orders.append(order(split, 100, seed=seed, start_step=100 * epoch))
    for i, first in enumerate(orders):
        for second in orders[:i]:
            assert np.mean(first == second) < 0.02
            assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


@pytest.mark.parametrize("size", [1, 2, 3, 17, 4096, 65_536, 65_537, 100_000])
def test_every_index_is_permuted_to_another(size):
    """65,537 too, where TensorFlow's kernel gives one index twice."""
    key = keys(tf.constant(3, tf.int64), tf.constant(4, tf.int64))[0]
    shuffled = permuted(tf.range(size, dtype=tf.int64), key, size).numpy()
    np.testing.assert_array_equal(np.sort(shuffled), np.arange(size))


@pytest.mark.parametrize("seed", [0, pytest.param(2**32 - 1, marks=pytest.mark.slow)])
def test_augmentation_does_not_depend_on_the_batch(seed):
    """An example looks the same in a batch of 4 and of 8, and not the same in the next epoch."""
    split = numbered(pixels(16))

    def looks(batch_size, epoch):
        steps = 16 // batch_size
        options = dict(batch_size=batch_size, seed=seed, augment=ALL)
        stream = batches(split, steps, start_step=epoch * steps, **options)
        images, labels = map(np.concatenate, zip(*stream, strict=True))
        return images[np.argsort(labels)]

    for epoch in (0, 3):  # but for the rounding of PCA's matrix product
        np.testing.assert_allclose(looks(4, epoch), looks(8, epoch), atol=1e-5)
    assert (looks(4, 0) != looks(4, 1)).any((1, 2, 3)).all()


# Evaluation


@pytest.mark.parametrize(("n", "batch_size"), [(24, 4), (23, 5), (3, 8), (22, 22)])
def test_evaluation_is_one_pass_in_order(split, n, batch_size):
    split = split.take(slice(n))
    passed = batches(split, batch_size=batch_size, shuffle=False)
    images, labels, weights = map(np.concatenate, zip(*passed, strict=True))
    assert len(weights) == -(-n // batch_size) * batch_size
    np.testing.assert_array_equal(weights, np.arange(len(weights)) < n)
    np.testing.assert_array_equal(labels[:n], np.arange(n))
    np.testing.assert_array_equal(images[:n], split.images[:])


def test_evaluation_may_start_at_any_step(split):
    split = split.take(slice(22))
    passed = batches(split, shuffle=False)
    assert len(passed) == 6
    for start in (2, 6):
        part = batches(split, shuffle=False, start_step=start)
        for batch, again in zip(passed[start:], part, strict=True):
            for array, same in zip(batch, again, strict=True):
                np.testing.assert_array_equal(array, same)


# Form


@pytest.mark.parametrize(("augment", "one_hot"), [((), None), (ALL + MIXED, 9)])
@pytest.mark.parametrize("kind", ["uint8", "float32", "gray", "folder"])
def test_shapes_are_static(kind, augment, one_hot, image_folder):
    if kind == "folder":
        split = data.load(image_folder(train=3, val=1)).train
    else:
        images = pixels(9, channels=1) if kind == "gray" else pixels(9).astype(kind)
        split = numbered(images)
    channels = 1 if kind == "gray" else 3
    expected = (
        tf.TensorSpec((4, 12, 10, channels), tf.float32),
        tf.TensorSpec((4, 9), tf.float32) if one_hot else tf.TensorSpec((4,), tf.int32),
        tf.TensorSpec((4,), tf.float32),
    )
    options = dict(batch_size=4, seed=0, augment=augment, one_hot=one_hot)
    assert data.stream(split, **options).element_spec == expected[:2]
    assert data.stream(split, **options, shuffle=False).element_spec == expected


def test_values_pass_unchanged():
    images = np.random.default_rng(0).normal(size=(4, 5, 5, 1)).astype("float32")
    (passed, _, _) = batches(numbered(images), shuffle=False)[0]
    np.testing.assert_array_equal(passed, images)


def test_no_python_runs_inside(split):
    def graph(dataset):
        return dataset._as_serialized_graph().numpy()

    with_python = tf.data.Dataset.range(3).map(lambda i: tf.py_function(lambda j: j, [i], tf.int64))
    assert b"PyFunc" in graph(with_python)
    options = dict(batch_size=4, seed=0, augment=ALL + MIXED, one_hot=24)
    assert b"PyFunc" not in graph(data.stream(split, **options))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"batch_size": 25}, "batch_size=25 exceeds the 24 training images: lower it"),
        ({"augment": ("crop", "flop")}, "unknown augmentation 'flop': did you mean 'flip'?"),
        ({"augment": ("blur",)}, "choose from crop, shift, flip, color, pca_color, cutout, mixup"),
        (
            {"augment": ("crop", "mixup")},
            "mixup mixes labels: set one_hot to the number of",
        ),
    ],
)
def test_refused(options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        batches(numbered(pixels(24)), **options)


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("digits", ("shift",)),
        ("mnist", ("shift",)),
        ("tfds:mnist", ("shift",)),
        ("tfds:emnist/letters", ("shift",)),
        ("some/where.npz", ("shift",)),
        ("fashion_mnist", ("crop", "flip")),
        ("cifar10", ("crop", "flip")),
        ("photos/", ("crop", "flip")),
    ],
)
def test_usual_augmentation(name, usual):
    assert data.usual_augmentation(name) == usual


# Augmentation

SEED, EPOCH = (tf.constant(value, tf.int64) for value in (5, 2))


def drawn(n, *draws, seed=SEED, epoch=EPOCH):
    """Uniform numbers (n, k) for the first n examples."""
    return uniform(seed, epoch, tf.range(n, dtype=tf.int64), draws).numpy()


def test_crop_is_a_window_of_the_padded_image():
    """32x16: padded by 4 and 2 pixels; all 9 x 5 places occur, equally often."""
    images, draws = pixels(2000, 32, 16, 1), drawn(2000, 1, 2)
    padded = np.pad(images, [(0, 0), (4, 4), (2, 2), (0, 0)])
    places = (draws * [9, 5]).astype(int)
    expected = [image[y : y + 32, x : x + 16] for image, (y, x) in zip(padded, places, strict=True)]
    np.testing.assert_array_equal(crop(images, draws), expected)
    times = np.bincount(places @ [5, 1], minlength=45)
    assert times.min() > 20
    assert times.max() < 80


def test_crop_of_extreme_draws_stays_inside():
    images = pixels(2, 32, 32)
    draws = tf.constant([[0, 0], [1 - 2.0**-24] * 2], tf.float32)
    cropped = crop(images, draws).numpy()
    np.testing.assert_array_equal(cropped[0, 4:, 4:], images[0, :-4, :-4])
    np.testing.assert_array_equal(cropped[1, :-4, :-4], images[1, 4:, 4:])
    assert cropped[0, :4].max() == cropped[1, -4:].max() == 0


def test_flip_mirrors_half():
    images, draws = pixels(1000, 4, 6), drawn(1000, 5)
    flipped = flip(images, draws).numpy()
    mirrored = draws[:, 0] < 0.5
    np.testing.assert_array_equal(flipped[mirrored], images[mirrored, :, ::-1])
    np.testing.assert_array_equal(flipped[~mirrored], images[~mirrored])
    assert 440 < mirrored.sum() < 560


@pytest.mark.parametrize(
    ("draws", "down", "right"),  # at 32x64: up to 2 and 4 pixels
    [
        ((0.5, 0.5), 0, 0),
        ((0.75, 0.5), 1, 0),
        ((0.5, 0.75), 0, 2),
        ((0.0, 0.625), -2, 1),
        ((0.25, 0.0), -1, -4),
    ],
)
def test_shift_by_whole_pixels(draws, down, right):
    """Away from the border np.roll; from beyond the border comes its nearest pixel."""
    image = pixels(1, 32, 64)
    shifted = shift(image, tf.constant([draws])).numpy()[0]
    inside = slice(2, -2), slice(4, -4)
    rolled = np.roll(image[0], (-down, -right), axis=(0, 1))
    np.testing.assert_array_equal(shifted[inside], rolled[inside])
    rows, columns = np.arange(32) + down, np.arange(64) + right
    nearest = image[0, rows.clip(0, 31)][:, columns.clip(0, 63)]
    np.testing.assert_array_equal(shifted, nearest)


def test_shift_by_half_a_pixel_is_the_mean_of_two():
    image = pixels(1, 32, 32)
    shifted = shift(image, tf.constant([[0.5, 0.625]])).numpy()
    mean = (image[:, :, :-1].astype(float) + image[:, :, 1:]) / 2
    np.testing.assert_allclose(shifted[:, :, :-1], mean, atol=1e-4)


def test_color_is_its_formula():
    """Brightness, contrast about the mean gray, saturation about gray; each clipped."""
    images, draws = pixels(6), drawn(6, 6, 7, 8)

    def gray(x):
        return x @ [[0.299], [0.587], [0.114]]

    brightness, contrast, saturation = (0.6 + 0.8 * draws).T[..., None, None, None]
    x = np.clip(images * brightness, 0, 255)
    mean = gray(x).mean((1, 2, 3), keepdims=True)
    x = np.clip(mean + (x - mean) * contrast, 0, 255)
    x = np.clip(gray(x) + (x - gray(x)) * saturation, 0, 255)
    np.testing.assert_allclose(color(images, draws), x, atol=1e-3)
    assert (x.min(), x.max()) == (0, 255)


def test_color_leaves_the_image_at_factors_of_one():
    images = pixels(3)
    np.testing.assert_allclose(color(images, tf.fill([3, 3], 0.5)), images, atol=1e-4)


def test_color_keeps_gray_gray():
    """As RGB or as one channel, alike."""
    gray, draws = pixels(50, channels=1), drawn(50, 6, 7, 8)
    colored = color(np.repeat(gray, 3, -1), draws).numpy()
    np.testing.assert_allclose(np.ptp(colored, -1), 0, atol=1e-3)
    np.testing.assert_allclose(color(gray, draws), colored[..., :1], atol=1e-3)


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        ((), []),
        (("flip",), [(flip, (5,))]),
        (("flip", "crop"), [(crop, (1, 2)), (flip, (5,))]),
        (("color", "shift"), [(shift, (3, 4)), (color, (6, 7, 8))]),
    ],
)
def test_augmented_applies_what_is_named(names, steps):
    """In the table's order, with draws of their own."""
    images = expected = tf.constant(pixels(9))
    for function, draws in steps:
        expected = function(expected, drawn(9, *draws))
    examples = tf.range(9, dtype=tf.int64)
    functions = fitted(names, numbered(images.numpy()))
    ours = augmented(images, functions, seed=SEED, epoch=EPOCH, examples=examples)
    np.testing.assert_array_equal(ours, expected)


def test_cutout_covers_half_the_side_with_the_split_s_mean_color():
    images = pixels(3, 32, 24)
    covered = cutout(numbered(images))(images, tf.constant([[0.5, 0.5], [0, 0], [0.99, 0.5]]))
    expected = images.astype("float32")
    mean = images.mean((0, 1, 2))
    expected[0, 10:22, 6:18] = mean
    expected[1, :6, :6] = mean
    expected[2, 25:, 6:18] = mean
    np.testing.assert_allclose(covered, expected, rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_pca_color_shifts_along_the_split_s_components(channels):
    """By 0.1 times a normal quantile times the eigenvalue, which is that of pixels in 0..1."""
    images = pixels(40, channels=channels)
    rows = images.reshape(-1, channels) / 255
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True).reshape(channels, channels))
    one_sigma = tf.fill([40, 3], 0.8413447)
    shifted = pca_color(numbered(images))(images, one_sigma).numpy() - images
    signs = np.sign(shifted[0, 0, 0] @ vectors)  # a component's direction is free
    expected = 255 * 0.1 * vectors @ (signs * values)
    np.testing.assert_allclose(shifted, np.broadcast_to(expected, images.shape), atol=1e-2)


# Mixing


def test_mixup_is_the_weighted_mean_with_the_next_one():
    images, labels, draws = pixels(6).astype("float32"), np.eye(6, dtype="float32"), drawn(6, 14)
    mixed, shares = mixup(images, labels, draws)
    weight = draws[..., None, None]
    expected = weight * images + (1 - weight) * np.roll(images, -1, 0)
    np.testing.assert_allclose(mixed, expected, rtol=1e-5)
    np.testing.assert_allclose(shares, draws * labels + (1 - draws) * np.roll(labels, -1, 0))


@pytest.mark.parametrize(
    ("draws", "rows", "columns"),  # at 32x16
    [
        ((0.75, 0.5, 0.5), slice(8, 24), slice(4, 12)),
        ((0.75, 0.0, 0.5), slice(0, 8), slice(4, 12)),
        ((0.75, 0.9, 0.9), slice(21, 32), slice(10, 16)),
        ((0.0, 0.5, 0.5), slice(0, 32), slice(0, 16)),
        ((1.0, 0.3, 0.3), slice(0, 0), slice(0, 0)),
    ],
)
def test_cutmix_pastes_a_rectangle_of_the_next_one(draws, rows, columns):
    images, labels = pixels(2, 32, 16).astype("float32"), np.eye(2, dtype="float32")
    expected = images.copy()
    expected[0, rows, columns] = images[1, rows, columns]
    expected[1, rows, columns] = images[0, rows, columns]
    mixed, shares = cutmix(images, labels, tf.constant([draws] * 2))
    np.testing.assert_array_equal(mixed, expected)
    pasted = np.ones((32, 16))[rows, columns].sum() / 512
    np.testing.assert_allclose(shares[0], [1 - pasted, pasted], atol=1e-6)


@pytest.mark.parametrize("names", [("mixup",), ("cutmix",), MIXED])
def test_labels_are_mixed_like_the_pixels(names):
    """Of images that are their labels: mixup leaves them flat, cutmix has pixels of two."""
    values = np.arange(24, dtype="float32")
    split = numbered(np.tile(values[:, None, None, None], (1, 12, 10, 1)))
    seen = set()
    for images, labels in batches(split, 30, augment=names, one_hot=24):
        np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
        assert (labels > 0).sum(1).max() <= 2
        np.testing.assert_allclose(images.mean((1, 2, 3)), labels @ values, atol=1e-4)
        flat = np.ptp(images, axis=(1, 2, 3)) < 1e-4
        whole = np.isin(images, values).all((1, 2, 3))
        seen.add("mixup" if flat.all() else "cutmix" if whole.all() else "both at once")
    assert seen == set(names)


def test_one_hot_labels_without_mixing(split):
    plain, rows = batches(split, 3), batches(split, 3, one_hot=30)
    for (images, labels), (same, shares) in zip(plain, rows, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(shares, np.eye(30)[labels])


# The draws

N = 20_000


@pytest.mark.parametrize("draw", range(1, 1 + DRAWS))
def test_draws_are_uniform(draw):
    numbers = drawn(N, draw)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    seen, _ = np.histogram(numbers, 20, (0, 1))
    assert ((seen - N / 20) ** 2 / (N / 20)).sum() < 60  # chi-square, 19 degrees of freedom


# what a draw must not tell about: a second one
OTHERS = {
    "the next example": lambda first: np.roll(first, 1),
    "the example after the next": lambda first: np.roll(first, 2),
    "the next epoch": lambda first: drawn(N, 1, epoch=EPOCH + 1)[:, 0],
    "the next seed": lambda first: drawn(N, 1, seed=SEED + 1)[:, 0],
    "the next draw": lambda first: drawn(N, 2)[:, 0],
    "seed and epoch exchanged": lambda first: drawn(N, 1, seed=EPOCH, epoch=SEED)[:, 0],
    "a seed far away": lambda first: drawn(N, 1, seed=SEED + 2**31)[:, 0],
    "an epoch far away": lambda first: drawn(N, 1, epoch=EPOCH + 2**16)[:, 0],
}


@pytest.mark.parametrize("what", OTHERS)
def test_draws_are_independent(what):
    first = drawn(N, 1)[:, 0]
    assert abs(np.corrcoef(first, OTHERS[what](first))[0, 1]) < 0.03


def test_a_draw_is_the_example_s_own():
    """Whatever the batch and whatever else is drawn."""
    examples = tf.constant([7, 3, 11], tf.int64)
    np.testing.assert_array_equal(
        uniform(SEED, EPOCH, examples, (4, 2)), drawn(12, 2, 4)[[7, 3, 11], ::-1]
    )


def test_an_iterator_ends_at_once():
    """tf.data's autotuning would make it wait for its thread, which sleeps for up to 2.56 s."""
    stream = data.stream(numbered(pixels(24)), batch_size=8, seed=0)
    assert stream.options().autotune.enabled is False
