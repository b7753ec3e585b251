"""Embedded dataset: 1,797 handwritten digits of 8x8 pixels, part of scikit-learn.

Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI repository 1998 (test part).
"""

import numpy as np

from cvcourse.data.dataset import Split, dataset, hold_out

TEST_IMAGES = 360  # a fifth


def load():
    """Load the digits as a Dataset, scaled from 0..16 to 0..255, split by a fixed rule."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype("uint8")[..., None]
    train, test = hold_out(Split(images, digits.target), TEST_IMAGES)
    return dataset(train, test, where="digits")
