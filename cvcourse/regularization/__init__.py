"""Techniques that improve generalization of any keras.Model: averages, ensembles, calibration."""

from cvcourse.regularization import calibration
from cvcourse.regularization._ensemble import (
    average_saved,
    average_weights,
    ensemble,
    errors_of_first_k,
)
from cvcourse.regularization.test_time_augmentation import (
    averaged_passes,
    flip_averaged,
    ten_crop,
)
from cvcourse.regularization.weight_averaging import (
    EMA,
    IMAGES_FOR_BATCH_NORM,
    SWA,
    SWA_FROM,
    estimate_batch_norm,
    weight_averages,
)

__all__ = [
    "EMA",
    "IMAGES_FOR_BATCH_NORM",
    "SWA",
    "SWA_FROM",
    "average_saved",
    "average_weights",
    "averaged_passes",
    "calibration",
    "ensemble",
    "errors_of_first_k",
    "estimate_batch_norm",
    "flip_averaged",
    "ten_crop",
    "weight_averages",
]
