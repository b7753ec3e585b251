"""Transfer learning: which method to use, what to unfreeze, and whether it was worth it.

Size and similarity of the data decide: CS231n notes,
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

LARGE = 2_000  # training images from which on fine-tuning is worth its risk
SIMILAR = 0.01  # accuracy that an earlier layer must be better by for the data to be different
UNFREEZE_BY = 0.5  # share of the steps after which gradual unfreezing has reached the bottom


def choose_method(features, labels, rest, held, seed=0):
    """Choose how to transfer by the course's table of data size and similarity.

    Args:
        features: {depth: (n, c)} of the training images, as `Backbone.features` returns them.
        labels: Class numbers (n,).
        rest: Indices of the images that probes are fitted to.
        held: Indices of the images that they are judged by.
        seed: Seed of the folds.

    Returns:
        (method, depth, reasons, {depth: accuracy}): "probe", "top" or "full"; the depth of the
        classifier; sentences; a linear probe's accuracies on the images held out.

    Raises:
        RunError: If a class has fewer than two images in `rest`, or `held` is empty.
    """
    if not len(held) or np.bincount(labels[rest], minlength=labels.max() + 1).min() < 2:
        raise RunError("too few training images of a class to hold some out: choose a --method")
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
        (True, True): ("top", LAST, "fine-tune the top stage"),
        (True, False): ("full", LAST, "fine-tune the whole network"),
    }[large, similar]
    reasons = [
        f"Data: {len(labels):,} training images, which is {'much' if large else 'little'} "
        f"({LARGE:,} and more count as much).",
        f"Similarity: on {len(held):,} of them, held out, a probe is right in "
        f"{by_depth[LAST]:.1%} on the network's last features and in {by_depth[best]:.1%} "
        f"on {best}, the best earlier ones: the data are "
        f"{'similar to' if similar else 'different from'} what the network has learned on.",
        f"So: {why}.",
    ]
    return method, depth, reasons, by_depth


def unfreeze(model, method, *, steps, factor):
    """Freeze what a method of fine-tuning leaves as it is, and schedule the rest.

    Batch norm of the body stays as it was trained: its weights and its statistics.

    Args:
        model: A model `with_classifier`. The `trainable` of its layers is set.
        method: "top" (the last stage), "full" (the whole body), or "gradual" (stage by stage from
            the top, the lowest after half of the steps).
        steps: Steps of the whole training.
        factor: Learning rate of the body as a share of the classifier's.

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
    """Describe whether fine-tuning beats the probe, and if not, what can be seen of why.

    Args:
        probed: Validation accuracy of the probe.
        tuned: That of the fine-tuned network.
        images: Number of validation images.
        history: Rows of metrics by epoch, as `read_history` returns them.
        best_epoch: Number of the best one, from 1.

    Returns:
        A list of sentences.
    """
    chance = (tuned * (1 - tuned) / images) ** 0.5
    sentences = [
        f"Fine-tuning changes validation accuracy from {probed:.2%} to {tuned:.2%}; the standard "
        f"error of one such figure on {images:,} images is {chance:.2%}."
    ]
    if tuned <= probed:
        best, last = history[best_epoch - 1], history[-1]
        sentences.append(
            f"It does not beat the probe: at its best epoch, {best_epoch}, training "
            f"accuracy is {best['accuracy']:.2%}, validation loss {best['val_loss']:.4f}, at the "
            f"last one {last['accuracy']:.2%} and {last['val_loss']:.4f}. Where training accuracy "
            "is near 100 % the few images are learned by heart, and more of them or more "
            "augmentation are needed; where it is not, a higher --learning_rate or more --epochs."
        )
    return sentences


def accuracy_tables(accuracies, by_depth, images):
    """Format validation accuracies, and those of `choose_method`, as tables of a report.

    Args:
        accuracies: {what: validation accuracy}.
        by_depth: {depth: accuracy} of `choose_method`, or empty.
        images: Number of validation images.

    Returns:
        {title: rows of texts}.
    """
    found = {
        "Validation accuracy": [
            ["", "accuracy, %", f"wrong of {images:,}"],
            *(
                [name, f"{100 * value:.2f}", f"{round((1 - value) * images):,}"]
                for name, value in accuracies.items()
            ),
        ]
    }
    if by_depth:
        found["A probe at several depths, on a part held out of train"] = [
            ["features", "accuracy, %"],
            *([depth, f"{100 * value:.2f}"] for depth, value in by_depth.items()),
        ]
    return found
