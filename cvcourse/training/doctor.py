"""Training doctor: six checks of a model, its data and its settings before a long run.

CS231n notes, "Before learning: sanity checks tips/tricks" and "Babysitting the learning process",
https://cs231n.github.io/neural-networks-3; lecture 7. Each check takes any keras.Model from raw
images to scores, restores its weights afterwards, and returns a Finding.
"""

import contextlib
import dataclasses
import functools
import math
import time

import keras
import numpy as np

from cvcourse.classic import gradient_check
from cvcourse.optimization._learning_rate_range import learning_rate_range, restored, train_step
from cvcourse.optimization.course_optimizers import CourseAdam
from cvcourse.training._layer_statistics import calls_noted, layer_statistics, named_layers

PASS, FAIL, SKIP = "pass", "fail", "skip"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Result of one step of the examination.

    Args:
        name: Name of the step.
        verdict: "pass", "fail" or "skip".
        value: Measured number.
        expected: Expected number, or the ends of an interval.
        advice: Sentences on what to change; for a passed step, on what to look at.
        details: Additional numbers by name.
        curves: Data of the report's figures by name.
    """

    name: str
    verdict: str
    value: object = None
    expected: object = None
    advice: str = ""
    details: dict = dataclasses.field(default_factory=dict)
    curves: dict = dataclasses.field(default_factory=dict)

    def __repr__(self):
        measured = "" if self.value is None else f", value={format_number(self.value)}"
        advice = f", advice={self.advice!r}" if self.advice else ""
        return f"Finding({self.name}, {self.verdict}{measured}{advice})"

    def __str__(self):
        verdict = f"{self.name:14} {self.verdict:5}"
        if self.value is not None:
            verdict += f" {format_number(self.value)}, expected {format_number(self.expected)}"
        return "\n    ".join(filter(None, (verdict, self.advice)))

    def as_json(self):
        """Return a dict without the curves; infinite and undefined numbers become None."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del fields["curves"]
        finite = lambda v: None if isinstance(v, float) and not math.isfinite(v) else v  # noqa: E731
        return keras.tree.map_structure(finite, fields)


def format_number(value):
    """Format a number, or the two ends of an interval, with four digits."""
    if isinstance(value, (list, tuple)):
        return " to ".join(map(format_number, value))
    return "none" if value is None else f"{value:.4g}"


def _finding(name, wrong, hints=(), **found):
    """Return a Finding that fails with the advice in `wrong`, or passes, possibly with hints."""
    return Finding(name, FAIL if wrong else PASS, advice=" ".join((*wrong, *hints)), **found)


# ---- 1: initial loss ----

SCALED_DOWN = 1e-3  # factor of the scores
AGREES = 0.05  # relative tolerance for the loss of equal scores
LOUD = 3  # times that loss: the first steps would only make the scores smaller
INPUT_SCALE = (0.01, 10)  # root mean square of the first weights' inputs; 1 if normalized
CENTERED = 1 / 3  # of the standard deviation: inputs with a smaller mean are centered


def initial_loss(model, images, labels, *, loss, chance):
    """Check that the initial loss is that of a guess: ln K for softmax, K - 1 for the hinge loss.

    The scores are scaled down, so that they are nearly equal for any initialization; the loss
    without scaling may be higher, and is reported. An L2 term must increase the loss.

    Args:
        model: keras.Model from raw images to scores (n, classes).
        images: Array (n, h, w, c).
        labels: Array (n,) of class numbers.
        loss: Keras loss of logits.
        chance: Loss of a guess, that is, of equal scores.

    Returns:
        A Finding.
    """
    with restored(model), calls_noted(model) as calls:
        scores = _scores(model, images)
    judged = float(loss(labels, SCALED_DOWN * scores))
    unscaled = float(loss(labels, scores))
    penalty = float(sum(model.losses)) if model.losses else None
    mean, std = _network_input(calls)
    wrong, hints = [], []
    if not abs(judged - chance) <= AGREES * chance:
        wrong.append(
            f"With scores near 0, the loss is {judged:.4g} instead of {chance:.4g}: the number of "
            "outputs, the labels or the loss do not fit the classes, or the scores are too large."
        )
    if _are_probabilities(scores):
        wrong.append(
            "The model outputs probabilities, to which the loss applies a softmax again: end the "
            "model with logits, without an activation."
        )
    low, high = INPUT_SCALE
    size = math.hypot(mean, std)
    if not size >= low or (not size <= high and abs(mean) > CENTERED * std):
        wrong.append(
            f"The inputs of the first weights have mean {mean:.3g} and standard deviation "
            f"{std:.3g}: normalization is missing or applied twice. Subtract the mean of the "
            "training split and divide by its standard deviation."
        )
    if penalty is not None and not penalty > 0:
        wrong.append("The L2 term does not increase the loss: the regularized weights are all 0.")
    if unscaled > LOUD * chance:
        hints.append(
            f"Without scaling down, the initial loss is {unscaled:.4g}, more than {LOUD} times "
            f"{chance:.4g}: use smaller initial weights in the last layer."
        )
    details = dict(unscaled=unscaled, l2_term=penalty, input_mean=mean, input_std=std)
    return _finding("initial_loss", wrong, hints, value=judged, expected=chance, details=details)


def _network_input(calls):
    """Compute mean and standard deviation of the inputs of the first layer with a kernel."""
    for call in calls:
        if _kernels(call.layer):
            values = np.asarray(keras.ops.convert_to_numpy(call.input), "float64")
            return float(values.mean()), float(values.std())
    return 0.0, 1.0


def _are_probabilities(scores):
    return bool((scores >= 0).all() and (abs(scores.sum(axis=-1) - 1) < 1e-3).all())


# ---- 2: memorize ----

MEMORIZED = 0.02  # of the loss of a guess, with every prediction correct
ADAM_RATES = (3e-3, 3e-2, 3e-4)  # tried until one memorizes
PATIENCE = 200  # steps
NOISE = ("rate", "share", "std", "stddev")  # attributes of random layers; 0 turns them off


def memorize(model, images, labels, *, loss, chance):
    """Check that the model can overfit 20 to 50 examples, without dropout and regularization.

    It is trained with Adam at a few learning rates instead of the run's optimizer, since this is a
    check of the model. Afterwards, the model remains compiled with Adam.

    Args:
        model: As in `initial_loss`.
        images: As in `initial_loss`.
        labels: As in `initial_loss`.
        loss: As in `initial_loss`.
        chance: As in `initial_loss`.

    Returns:
        A Finding.
    """
    curves, best = {}, math.inf
    with restored(model), quiet(model):
        model.compile(CourseAdam(), _of_outputs(loss), metrics=["accuracy"])
        for rate in ADAM_RATES:
            with restored(model):
                losses = curves[rate] = []
                model.optimizer.learning_rate = rate
                for _ in range(PATIENCE):
                    logs = train_step(model, images, labels)
                    losses.append(float(logs["loss"]))
                    known = losses[-1] <= MEMORIZED * chance and logs["accuracy"] == 1
                    if known or not math.isfinite(losses[-1]):
                        break
            best = min(best, losses[-1])
            if known:
                break
    wrong = []
    if not known:
        wrong.append(
            f"The model does not memorize {len(images)} examples: the loss stays at {best:.4g}. "
            "Look for an activation after the logits, weights that are all 0, dead units, layers "
            "that stop the gradient, or a wrong loss."
        )
    return _finding(
        "memorize",
        wrong,
        value=best,
        expected=0.0,
        details=dict(examples=len(images), steps=len(losses), adam_rate=rate),
        curves=curves,
    )


@contextlib.contextmanager
def quiet(model):
    """Context manager: turn off dropout, other noise and weight regularization."""
    random = [layer for layer in model._flatten_layers() if hasattr(layer, "seed_generator")]
    kept = [
        (owner, attribute, getattr(owner, attribute), off)
        for owners, attributes, off in (
            (random, NOISE, 0.0),
            (model.trainable_variables, ("regularizer",), None),
        )
        for owner in owners
        for attribute in attributes
        if getattr(owner, attribute, None)
    ]
    for owner, attribute, _, off in kept:
        setattr(owner, attribute, off)
    try:
        yield
    finally:
        for owner, attribute, value, _ in kept:
            setattr(owner, attribute, value)


# ---- 3: learning rate ----

ENOUGH_FALL = 0.5  # of the range test's decrease, at the run's rate in as many steps;
SLOW = 3  # all of it for a rate that is this many times below the interval
LAST = 10  # losses whose median is the final loss
BY_CHANCE = 3.0  # standard deviations up to which outputs may fit unrelated labels by chance
ENOUGH = 20  # minimum number of held-out examples for a decision


def learning_rate(model, batches, held_out, *, chance, steps=100, warm_up=False, monitor="loss"):
    """Check that the loss decreases at the run's learning rate, for unseen images too.

    A range test suggests an interval. The run's own rate must then reach half of the test's
    decrease in as many steps. Held-out images show whether the labels belong to the images.

    Args:
        model: As in `initial_loss`, compiled with a constant learning rate.
        batches: Function () -> training batches from the first.
        held_out: Pair of arrays: images (n, h, w, c) and labels (n,).
        chance: As in `initial_loss`.
        steps: Steps of the range test, and of the training at the run's rate.
        warm_up: Whether the rate increases linearly over the first half of the steps.
        monitor: Name of the loss in the logs.

    Returns:
        A Finding.
    """
    rate = float(f"{float(model.optimizer.learning_rate):.6g}")  # without float32's tail
    trial = functools.partial(
        _trial, model, batches, held_out, steps=steps, warm_up=warm_up, monitor=monitor
    )
    tested = learning_rate_range(model, batches(), steps=steps, monitor=monitor)
    losses, fit = trial(rate)
    reached = float(np.median(losses[-LAST:])) if len(losses) == steps else math.inf
    low, high = tested.interval or (0.0, math.inf)
    if tested.interval:
        share = (tested.level - reached) / (tested.level - tested.smoothed.min())
        fine = share >= (1 if rate < low / SLOW else ENOUGH_FALL)
    else:  # the loss of a trained model does not decrease any further
        share, fine = None, reached <= chance
    wrong, hints = [], []
    if not (fine and fit > BY_CHANCE):
        if tested.interval and trial(math.sqrt(low * high))[1] > BY_CHANCE:
            fault = "high" if rate > low else "low"
            wrong.append(
                f"--learning_rate={rate:g} is far too {fault}: in {steps} steps the loss changes "
                f"from {tested.level:.3g} to {reached:.3g}. Use a rate from {low:.2g} to "
                f"{high:.2g}."
            )
        else:
            wrong.append(
                "At no learning rate does the model learn anything that generalizes to unseen "
                "images: the labels do not belong to the images (look at some), another step fails "
                f"and shows the cause, or {steps} steps are too few."
            )
    elif not low <= rate <= high:
        hints.append(
            f"--learning_rate={rate:g} is outside the interval from {low:.2g} to {high:.2g}, where "
            "the loss decreases fastest."
        )
    return _finding(
        "learning_rate",
        wrong,
        hints,
        value=rate,
        expected=tested.interval and list(tested.interval),
        details=dict(
            loss_before=tested.level, loss_after=reached, share_of_fall=share, relation=fit
        ),
        curves=dict(range=tested, losses=losses),
    )


def _trial(model, batches, held_out, rate, *, steps, warm_up, monitor):
    """Train at one rate: (losses, fewer than `steps` if one is not finite; `relation`).

    With too few held-out examples, the relation is infinite.
    """
    losses = []
    with restored(model):
        for step, (images, labels) in zip(range(steps), batches(), strict=False):
            rising = min(1.0, 2 * (step + 1) / steps) if warm_up else 1.0
            model.optimizer.learning_rate = rate * rising
            loss = float(train_step(model, images, labels)[monitor])
            if not math.isfinite(loss):
                break
            losses.append(loss)
        images, labels = held_out
        if len(labels) < ENOUGH:
            return losses, math.inf
        with quiet(model):
            scores = np.concatenate([_scores(model, part) for part in _parts(images, 64)])
    return losses, relation(scores, labels)


def relation(scores, labels):
    """Measure how much better scores fit the labels than permuted labels do.

    The statistic is the mean probability of an example's own class. Its mean and variance over all
    permutations of the labels are known: Hoeffding, "A combinatorial central limit theorem", 1951.
    Without a relation it is near 0, whatever the sizes of the classes and the scale of the loss.

    Args:
        scores: Array (n, classes).
        labels: Array (n,) of class numbers.

    Returns:
        A number of standard deviations.
    """
    if not np.isfinite(scores).all():
        return 0.0
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    table = (shifted / shifted.sum(axis=1, keepdims=True))[:, labels]
    table = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    variance = (table**2).sum() / (len(labels) - 1)
    return float(np.trace(table) / math.sqrt(variance)) if variance > 1e-20 else 0.0


# ---- 4: updates ----

UPDATE = 1e-3  # change of a kernel per step, relative to its norm: the notes
UPDATES = (1e-5, 0.3)  # bounds of the median kernel; outside of MODEST there is a hint
MODEST = (1e-4, 0.05)
TRAINED, MEASURED = 10, 5  # steps, and how many of the last are measured
DEPTH = 1e-5  # gradient at the first weights over that at the last: vanishing; 1 / DEPTH: exploding
FEW_UNITS = 8  # layers with fewer units are not examined
ILLS = (  # share of a layer, its bound before and during training (the notes: 40 % dead), words
    (
        *("dead", 0.9, 0.4),
        "of the ReLUs are 0 for every example",
        "use He initialization and zero biases",
    ),
    (
        *("saturated", 0.8, 0.8),
        "of the values saturate",
        "normalize the inputs and use smaller initial weights",
    ),
)


def updates(model, batches, images, labels, *, loss):
    """Check that a step changes all weights by about 1/1000, and that signals reach every layer.

    Activations are those of a batch before training, gradients those after a few steps: initial
    scores of 0 have no gradients.

    Args:
        model: As in `initial_loss`, compiled.
        batches: Training batches.
        images: As in `initial_loss`.
        labels: As in `initial_loss`.
        loss: As in `initial_loss`.

    Returns:
        A Finding.
    """
    kernels = [v for v in model.trainable_variables if v.name.endswith("kernel")]
    statistics = functools.partial(
        layer_statistics, model, images, labels, loss=_of_outputs(loss), training=True
    )
    with restored(model), quiet(model):
        before = statistics()
    with restored(model):
        shares = []
        for step, (x, y) in zip(range(TRAINED), batches, strict=False):
            old = [np.array(keras.ops.convert_to_numpy(kernel)) for kernel in kernels]
            model.train_on_batch(x, y)
            if step >= TRAINED - MEASURED:
                shares.append([_moved(*pair) for pair in zip(kernels, old, strict=True)])
        with quiet(model):
            after = statistics()
    shares = dict(zip([v.path for v in kernels], np.median(shares, axis=0).tolist(), strict=True))
    median = float(np.median([*shares.values()])) if shares else 0.0
    layers = {name: layer for name, layer in named_layers(model) if _kernels(layer)}
    moving = [row for row in after if row.name in layers and layers[row.name].trainable]
    norms = [row.gradient_norm for row in moving]
    depth = norms[0] / norms[-1] if norms and norms[-1] else None
    wrong, hints = [], []
    if frozen := [name for name, layer in layers.items() if not layer.trainable]:
        wrong.append(f"{_names(frozen)}: frozen, so never updated; set trainable=True.")
    cut = [row.name for row in moving if row.gradient_norm == 0]
    if cut := cut or [path for path, share in shares.items() if share == 0]:
        wrong.append(
            f"{_names(cut)}: no gradient reaches the weights. A later layer stops it, or these "
            "and the later weights are all 0: initialize them randomly."
        )
    if not UPDATES[0] <= median <= UPDATES[1]:
        wrong.append(
            f"A step changes the weights by {median:.2g} of their norm instead of about "
            f"{UPDATE:g}: change --learning_rate by the same factor."
        )
    elif not MODEST[0] <= median <= MODEST[1]:
        hints.append(
            f"A step changes the weights by {median:.2g} of their norm; about {UPDATE:g} is usual."
        )
    for share, bound, later_bound, what, remedy in ILLS:
        if names := _beyond(bound, share, before):
            wrong.append(f"{_names(names)}: more than {bound:.0%} {what}; {remedy}.")
        elif names := _beyond(later_bound, share, after):
            hints.append(
                f"{_names(names)}: after {TRAINED} steps, more than {later_bound:.0%} {what}; use "
                "a lower learning rate."
            )
    if depth and not DEPTH <= depth <= 1 / DEPTH:
        what, size = ("vanishes", "larger") if depth < 1 else ("explodes", "smaller")
        wrong.append(
            f"The gradient {what}: its norm at {moving[0].name} is {depth:.1e} times that at "
            f"{moving[-1].name}; use {size} initial weights, batch normalization or skip "
            "connections."
        )
    return _finding(
        "updates",
        wrong,
        hints,
        value=median,
        expected=UPDATE,
        details=dict(
            lowest=min(shares.values(), default=None),
            highest=max(shares.values(), default=None),
            gradient_first_over_last=depth,
            **{
                share: max(filter(None, (getattr(row, share) for row in before)), default=None)
                for share, *_ in ILLS
            },
        ),
        curves=dict(shares=shares, before=before, after=after),
    )


def _beyond(bound, share, rows):
    """List the names of the layers with FEW_UNITS or more units and a `share` above `bound`."""
    beyond = [row for row in rows if (getattr(row, share) or 0) > bound]
    return [row.name for row in beyond if row.shape[-1] >= FEW_UNITS]


def _moved(variable, before):
    """Return the norm of a variable's change over its norm; 0 if it did not change."""
    change = np.linalg.norm(keras.ops.convert_to_numpy(variable) - before)
    return change / max(np.linalg.norm(before), 1e-12) if change else 0.0


def _kernels(layer):
    return [variable for variable in layer.weights if variable.name.endswith("kernel")]


def _names(names):
    """Join the first three names, and count the others."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


# ---- 5: gradients ----

CHECKED = 40  # parameters, in arrays evenly spaced over the depth of the network


def gradients(model, images, labels, *, loss, seed=0):
    """Check the gradient of the loss against numerical differences in float64, without kinks.

    Batch normalization uses the statistics of the batch, and dropout the same mask each time.

    Args:
        model: As in `initial_loss`.
        images: As in `initial_loss`.
        labels: As in `initial_loss`.
        loss: As in `initial_loss`.
        seed: Seed of the choice of parameters.

    Returns:
        A Finding, with the verdict "skip" if the model cannot be rebuilt in float64.
    """
    import tensorflow as tf

    try:
        double = in_float64(model)
    except (TypeError, ValueError) as error:  # a layer without a config
        advice = f"The model cannot be rebuilt in float64: {str(error).splitlines()[0]}"
        return Finding("gradients", SKIP, expected=0.0, advice=advice)
    images = tf.constant(images, "float64")
    variables, state = double.trainable_variables, double.non_trainable_variables
    start = [tf.constant(variable.value) for variable in state]

    def value():
        for variable, old in zip(state, start, strict=True):
            variable.assign(old)
        return tf.reduce_mean(loss.call(labels, double(images, training=True)))

    with tf.GradientTape() as tape:
        at_start = value()
    analytic = tape.gradient(at_start, [v.value for v in variables], unconnected_gradients="zero")
    traced = tf.function(value)
    rng = np.random.default_rng(seed)
    checks = []
    for number in np.unique(np.linspace(0, len(variables) - 1, CHECKED).astype(int)):
        variable = variables[number]

        def f(array, variable=variable):
            variable.assign(array)
            return float(traced())

        array = np.array(variable.value)
        count = -(-CHECKED // len(variables))
        indices = [tuple(rng.integers(side) for side in array.shape) for _ in range(count)]
        gradient = np.array(tf.convert_to_tensor(analytic[number]))
        checks += [(variable.path, c) for c in gradient_check(f, array, gradient, indices)]
        variable.assign(array)
    judged = [(path, check) for path, check in checks if not check.kink]
    worst = max((check.error for _, check in judged), default=None)
    wrong = []
    if bad := [path for path, check in judged if not check.right]:
        wrong.append(
            f"{_names(bad)}: the gradient differs from the numerical one. Look for a stopped or "
            "custom gradient in later layers."
        )
    details = dict(checked=len(judged), kinks=len(checks) - len(judged))
    finding = _finding(
        "gradients", wrong, value=worst, expected=0.0, details=details, curves=dict(checks=checks)
    )
    if not judged:
        return dataclasses.replace(
            finding, verdict=SKIP, advice="The loss has kinks at all points."
        )
    return finding


def in_float64(model):
    """Copy a model with its weights to float64."""

    def copy(layer):
        config = layer.get_config()
        if isinstance(layer, keras.Layer):  # not an operation
            config["dtype"] = "float64"
        return type(layer).from_config(config)

    image = keras.Input(model.input_shape[1:], dtype="float64")
    double = keras.models.clone_model(
        model, input_tensors=image, clone_function=copy, recursive=True
    )
    double.set_weights(model.get_weights())
    return double


# ---- 6: pipeline ----

WAITING = 0.3  # share of a step
UNNOTICED = 5e-3  # s; Python needs part of it to pass a batch
WARM_UP = 5  # steps, with tracing and prefetched batches


def pipeline(model, batches, *, steps=50):
    """Check that the input pipeline is as fast as the model: the share of a step spent waiting.

    Args:
        model: As in `initial_loss`, compiled.
        batches: Training batches.
        steps: Number of timed steps.

    Returns:
        A Finding.
    """
    waits, works = [], []
    batches = iter(batches)
    with restored(model):
        for _ in range(WARM_UP + steps):
            start = time.perf_counter()
            images, labels = next(batches)
            got = time.perf_counter()
            model.train_on_batch(images, labels)
            waits.append(got - start)
            works.append(time.perf_counter() - got)
    waits, works = waits[WARM_UP:], works[WARM_UP:]
    wait, work = float(np.median(waits)), float(np.median(works))
    share = wait / (wait + work)
    wrong = []
    if share > WAITING and wait > UNNOTICED:
        wrong.append(
            f"{share:.0%} of each step is spent waiting for data ({1e3 * wait:.1f} ms of "
            f"{1e3 * (wait + work):.1f} ms): use smaller image files or an .npz file, less "
            "augmentation, or more CPU cores."
        )
    return _finding(
        "pipeline",
        wrong,
        value=share,
        expected=0.0,
        details=dict(wait_seconds=wait, step_seconds=work),
        curves=dict(waits=waits, works=works),
    )


# ---- all of them ----


def _scores(model, images):
    return keras.ops.convert_to_numpy(model(images, training=True)).astype("float32")


def _of_outputs(loss):
    """Return a loss of a model's outputs as they are; Keras' own would bypass a softmax layer."""
    return lambda labels, scores: loss(labels, 1.0 * scores)


def _parts(array, size):
    return (array[start : start + size] for start in range(0, len(array), size))
