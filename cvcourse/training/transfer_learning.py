"""Transfer learning: choice of the method, layers to unfreeze, gain of fine-tuning.

The method depends on the size of the dataset and its similarity to the source: CS231n notes,
https://cs231n.github.io/transfer-learning/. Gradual unfreezing: Howard & Ruder, "Universal
Language Model Fine-tuning for Text Classification", ACL 2018, https://arxiv.org/abs/1801.06146,
section 3.3.
"""

import itertools

import keras
import numpy as np

from cvcourse.errors import RunError
from cvcourse.training._features import LAST, stages
from cvcourse.training.probe import fit_probe

LARGE = 2_000  # minimum number of training images for fine-tuning
SIMILAR = 0.01  # data are different if an earlier layer's accuracy is higher by more than this
UNFREEZE_BY = 0.5  # share of the steps after which gradual unfreezing reaches the first stage


def choose_method(features, labels, rest, held, seed=0):
    """Choose the method by the course's table of data size and similarity.

    Args:
        features: {depth: (n, c)} of the training images, as `Backbone.features` returns them.
        labels: Class numbers (n,).
        rest: Indices of the images that probes are fitted to.
        held: Indices of the held-out images that probes are evaluated on.
        seed: Seed of the folds.

    Returns:
        (method, depth, reasons, {depth: accuracy}): "probe", "top" or "full"; the depth of the
        classifier; sentences; accuracies of linear probes on the held-out images.

    Raises:
        RunError: If a class has fewer than two images in `rest`, or `held` is empty.
    """
    if not len(held) or np.bincount(labels[rest], minlength=labels.max() + 1).min() < 2:
        raise RunError(
            "a class has too few training images to hold some out for --method=auto: choose "
            "another --method"
        )
    by_depth = {}
    for depth, vectors in features.items():
        probe = fit_probe("svm", vectors[rest], labels[rest], seed=seed)
        right = probe.logits(vectors[held]).argmax(axis=1) == labels[held]
        by_depth[depth] = float(right.mean())
    earlier = {depth: value for depth, value in by_depth.items() if depth != LAST}
    best = max(earlier, key=earlier.get, default=LAST)
    similar = by_depth[best] <= by_depth[LAST] + SIMILAR
    large = len(labels) >= LARGE
    method, depth, why = {
        (False, True): ("probe", LAST, "a linear classifier on the last features"),
        (False, False): ("probe", best, f"a linear classifier on earlier features, {best}"),
        (True, True): ("top", LAST, "fine-tuning of the top stage"),
        (True, False): ("full", LAST, "fine-tuning of the whole network"),
    }[large, similar]
    reasons = [
        f"Size: {len(labels):,} training images, a {'large' if large else 'small'} dataset "
        f"({LARGE:,} images or more count as large).",
        f"Similarity: on {len(held):,} held-out training images, a linear probe has an accuracy of "
        f"{by_depth[LAST]:.1%} on the network's last features and of {by_depth[best]:.1%} on "
        f"those of {best}, the best earlier ones. The data are therefore "
        f"{'similar to' if similar else 'different from'} those that the network was trained on.",
        f"Decision: {why}.",
    ]
    return method, depth, reasons, by_depth


def unfreeze(model, method, *, steps, factor):
    """Freeze the layers that a method of fine-tuning does not train, and schedule the others.

    Batch normalization in the body is frozen, its weights and its statistics.

    Args:
        model: Model as `with_classifier` returns it. The `trainable` of its layers is set.
        method: "top" (last stage), "full" (whole body), or "gradual" (stage by stage from the top;
            the first stage after half of the steps).
        steps: Number of steps of the whole training.
        factor: Learning rate of the body, as a share of the classifier's.

    Returns:
        Groups for `optimization.discriminative_rates`.
    """
    *body, _ = stages(model)
    for layer in itertools.chain(*body):
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    if method == "top":
        for layer in itertools.chain(*body[:-1]):
            layer.trainable = False
    pace = steps * UNFREEZE_BY / max(1, len(body) - 1)
    begins = [round(pace * i) if method == "gradual" else 0 for i in range(len(body))][::-1]
    return [
        ([v for layer in stage for v in layer.trainable_variables], factor, begin)
        for stage, begin in zip(body, begins, strict=True)
    ]


def judge_fine_tuning(probed, tuned, images, history, best_epoch):
    """Describe whether fine-tuning is better than the probe, and if not, the likely cause.

    Args:
        probed: Validation accuracy of the probe.
        tuned: Validation accuracy of the fine-tuned network.
        images: Number of validation images.
        history: Rows of metrics by epoch, as `read_history` returns them.
        best_epoch: Number of the best epoch, from 1.

    Returns:
        A list of sentences.
    """
    chance = (tuned * (1 - tuned) / images) ** 0.5
    sentences = [
        f"Fine-tuning changes the validation accuracy from {probed:.2%} to {tuned:.2%}; the "
        f"standard error of an accuracy on {images:,} images is {chance:.2%}."
    ]
    if tuned <= probed:
        best, last = history[best_epoch - 1], history[-1]
        sentences.append(
            f"It is not better than the probe. In the best epoch ({best_epoch}), the training "
            f"accuracy is {best['accuracy']:.2%} and the validation loss {best['val_loss']:.4f}; "
            f"in the last epoch, {last['accuracy']:.2%} and {last['val_loss']:.4f}. A training "
            "accuracy near 100 % means overfitting: use more images or more augmentation. "
            "Otherwise, use a higher --learning_rate or more --epochs."
        )
    return sentences


def accuracy_tables(accuracies, by_depth, images):
    """Format validation accuracies, and the accuracies of `choose_method`, as tables of a report.

    Args:
        accuracies: {name: validation accuracy}.
        by_depth: {depth: accuracy} of `choose_method`, or empty.
        images: Number of validation images.

    Returns:
        {title: rows of texts}.
    """
    found = {
        "Validation accuracy": [
            ["", "accuracy, %", f"errors of {images:,}"],
            *(
                [name, f"{100 * value:.2f}", f"{round((1 - value) * images):,}"]
                for name, value in accuracies.items()
            ),
        ]
    }
    if by_depth:
        found["Linear probes at several depths, on held-out training images"] = [
            ["features", "accuracy, %"],
            *([depth, f"{100 * value:.2f}"] for depth, value in by_depth.items()),
        ]
    return found
