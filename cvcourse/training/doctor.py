"""The training doctor: six checks of a model, its data and its settings before a long run.

CS231n notes, "Before learning: sanity checks tips/tricks" and "Babysitting the learning process",
https://cs231n.github.io/neural-networks-3; lecture 7. Each check takes any keras.Model that takes
raw images and gives scores, leaves its weights as they were, and returns a Finding.
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
    """What a step of the examination found; `curves` are for the report's pictures."""

    name: str
    verdict: str  # pass, fail or skip
    value: object = None  # what was measured
    expected: object = None  # what it should be
    advice: str = ""  # what to change; with a verdict of pass, what to look at
    details: dict = dataclasses.field(default_factory=dict)
    curves: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        verdict = f"{self.name:14} {self.verdict:5}"
        if self.value is not None:
            verdict += f" {said(self.value)}, expected {said(self.expected)}"
        return "\n    ".join(filter(None, (verdict, self.advice)))

    def as_json(self):
        """The finding without its curves; infinite and undefined numbers become None."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del fields["curves"]
        finite = lambda v: None if isinstance(v, float) and not math.isfinite(v) else v  # noqa: E731
        return keras.tree.map_structure(finite, fields)


def said(value):
    """A number, or the two ends of an interval, in four digits."""
    if isinstance(value, (list, tuple)):
        return " to ".join(map(said, value))
    return "nothing" if value is None else f"{value:.4g}"


def _finding(name, wrong, hints=(), **found):
    """Fail with the advice of all that is `wrong`, or pass, with hints at most."""
    return Finding(name, FAIL if wrong else PASS, advice=" ".join((*wrong, *hints)), **found)


# ---- 1: initial loss ----

SCALED_DOWN = 1e-3  # the logits layer's weights, and so its scores
AGREES = 0.05  # with the loss of scores that are all alike
LOUD = 3  # times that loss: the first steps go into making the scores small
INPUT_SCALE = (0.01, 10)  # root mean square of what the first weights see; 1 if normalized
CENTERED = 1 / 3  # of the standard deviation: a mean below it was subtracted


def initial_loss(model, images, labels, *, loss, chance):
    """Is the loss before training that of a guess: ln K for softmax, K - 1 for the hinge?

    Scores of a scaled down logits layer are nearly alike, whatever the initialization; as it is,
    the loss may be higher, and is reported. An L2 term must raise it. `chance` is the loss of
    scores that are all alike.
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
            f"With scores near 0 the loss is {judged:.4g} and not {chance:.4g}: the number of "
            "outputs, the labels or the loss do not fit the classes, or the scores are huge."
        )
    if _are_probabilities(scores):
        wrong.append(
            "The model gives probabilities, to which the loss applies a softmax again: end in "
            "logits, without an activation."
        )
    low, high = INPUT_SCALE
    size = math.hypot(mean, std)
    if not size >= low or (not size <= high and abs(mean) > CENTERED * std):
        wrong.append(
            f"The first weights see inputs of mean {mean:.3g} and standard deviation {std:.3g}: "
            "a normalization is missing or applied twice; subtract the training split's mean and "
            "divide by its standard deviation."
        )
    if penalty is not None and not penalty > 0:
        wrong.append("The L2 term does not raise the loss: the weights it is of are all 0.")
    if unscaled > LOUD * chance:
        hints.append(
            f"Unscaled, the loss starts at {unscaled:.4g}, over {LOUD} times {chance:.4g}: smaller "
            "initial weights of the last layer save the first steps."
        )
    details = dict(unscaled=unscaled, l2_term=penalty, input_mean=mean, input_std=std)
    return _finding("initial_loss", wrong, hints, value=judged, expected=chance, details=details)


def _network_input(calls):
    """Mean and standard deviation of what the first layer with a kernel sees."""
    for call in calls:
        if _kernels(call.layer):
            values = np.asarray(keras.ops.convert_to_numpy(call.input), "float64")
            return float(values.mean()), float(values.std())
    return 0.0, 1.0


def _are_probabilities(scores):
    return bool((scores >= 0).all() and (abs(scores.sum(axis=-1) - 1) < 1e-3).all())


# ---- 2: memorize ----

MEMORIZED = 0.02  # of the loss of a guess, with every example right
ADAM_RATES = (3e-3, 3e-2, 3e-4)  # until one does it
PATIENCE = 200  # steps
NOISE = ("rate", "share", "std", "stddev")  # of random layers: how much of it, 0 for none


def memorize(model, images, labels, *, loss, chance):
    """Can the model learn 20 to 50 examples by heart, without dropout and penalties?

    By Adam at a few rates, whatever the run's optimizer is, so that this is about the model. It
    stays compiled so.
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
            f"{len(images)} examples are not memorized: the loss stays at {best:.4g}. Look for an "
            "activation behind the scores, weights that are all 0, units that are dead, layers "
            "that stop the gradient, and the loss."
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
    """Inside, dropout and its kin drop nothing and weights bear no penalty."""
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

SETTLED = 0.5  # of the range test's fall, at the run's rate in as many steps;
SLOW = 3  # all of it for a rate that is this many times below the interval
LAST = 10  # losses whose median is where a run has come to
BY_CHANCE = 3.0  # standard deviations, up to which outputs and labels may fit without a relation
ENOUGH = 20  # held-out examples to tell


def learning_rate(model, batches, held_out, *, chance, steps=100, warm_up=False, monitor="loss"):
    """Does the loss fall at the run's learning rate, and does what is learned hold elsewhere?

    A range test suggests an interval. The run's own rate then has as many steps to make half of the
    fall that the test made. `held_out` (images, labels) tell whether labels belong to the images.
    `model` is compiled with a constant rate, `batches()` are training batches from the first;
    with `warm_up` the rate rises over the first half. `chance` is the loss of a guess.
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
        fine = share >= (1 if rate < low / SLOW else SETTLED)
    else:  # a model that is trained already has nothing to fall by
        share, fine = None, reached <= chance
    wrong, hints = [], []
    if not (fine and fit > BY_CHANCE):
        if tested.interval and trial(math.sqrt(low * high))[1] > BY_CHANCE:
            fault = "high" if rate > low else "low"
            wrong.append(
                f"--learning_rate={rate:g} is far too {fault}: in {steps} steps it brings the loss "
                f"from {tested.level:.3g} to {reached:.3g}. Take one from {low:.2g} to {high:.2g}."
            )
        else:
            wrong.append(
                "At no rate does the model learn what holds for images it has not seen: the labels "
                "do not belong to the images (look at some), another step says what is wrong, or "
                f"{steps} steps are too few to see it."
            )
    elif not low <= rate <= high:
        hints.append(
            f"--learning_rate={rate:g} lies outside of {low:.2g} to {high:.2g}, where the loss "
            "falls fastest."
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
    """Train at one rate: the losses, fewer than `steps` where one is no number, and `relation`.

    Too few held-out examples pass for related.
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
    """How far scores (n, classes) fit labels (n,) better than permuted ones: standard deviations.

    Of the mean probability of an example's own class under all permutations of the labels, whose
    mean and variance are known: Hoeffding, "A combinatorial central limit theorem", 1951. Neither
    unequal classes nor a loss' scale move it from 0 where scores and labels have no relation.
    """
    if not np.isfinite(scores).all():
        return 0.0
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    table = (shifted / shifted.sum(axis=1, keepdims=True))[:, labels]
    table = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    variance = (table**2).sum() / (len(labels) - 1)
    return float(np.trace(table) / math.sqrt(variance)) if variance > 1e-20 else 0.0


# ---- 4: updates ----

UPDATE = 1e-3  # of a kernel's norm, a step: the notes
UPDATES = (1e-5, 0.3)  # the median kernel's bounds; outside of MODEST it is worth a look
MODEST = (1e-4, 0.05)
TRAINED, MEASURED = 10, 5  # steps, and how many of the last are measured
DEPTH = 1e-5  # the gradient at the first weights over that at the last: vanishing, exploding
FEW_UNITS = 8  # too few for a share of them
ILLS = (  # share of a layer, its bound before training and after some (the notes: 40 % dead), words
    (
        *("dead", 0.9, 0.4),
        "of the ReLUs are 0 for every example",
        "use He's initialization and biases of 0",
    ),
    (
        *("saturated", 0.8, 0.8),
        "of the values saturate",
        "normalize the inputs and use smaller initial weights",
    ),
)


def updates(model, batches, images, labels, *, loss):
    """Do all weights move, by about a thousandth a step, and do signals reach every layer?

    A batch's activations before training, and its gradients after a few steps: scores that begin
    at 0 send none back.
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
        wrong.append(f"{_names(frozen)}: frozen, without updates; set trainable=True.")
    cut = [row.name for row in moving if row.gradient_norm == 0]
    if cut := cut or [path for path, share in shares.items() if share == 0]:
        wrong.append(
            f"{_names(cut)}: no gradient comes to the weights; it is stopped behind them, or they "
            "and those behind are all 0: initialize them at random."
        )
    if not UPDATES[0] <= median <= UPDATES[1]:
        wrong.append(
            f"A step changes the weights by {median:.1e} of their norm and should by about "
            f"{UPDATE:g}: change --learning_rate by as much."
        )
    elif not MODEST[0] <= median <= MODEST[1]:
        hints.append(
            f"A step changes the weights by {median:.1e} of their norm; {UPDATE:g} is usual."
        )
    for share, bound, later_bound, what, remedy in ILLS:
        if names := _beyond(bound, share, before):
            wrong.append(f"{_names(names)}: over {bound:.0%} {what}; {remedy}.")
        elif names := _beyond(later_bound, share, after):
            hints.append(
                f"{_names(names)}: after {TRAINED} steps over {later_bound:.0%} {what}; a lower "
                "learning rate leaves more of them alive."
            )
    if depth and not DEPTH <= depth <= 1 / DEPTH:
        what, size = ("vanishes", "larger") if depth < 1 else ("explodes", "smaller")
        wrong.append(
            f"The gradient {what}: its norm at {moving[0].name} is {depth:.1e} times that at "
            f"{moving[-1].name}; {size} initial weights, a batch normalization or ways around the "
            "layers help."
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
    """The names of layers of FEW_UNITS or more whose `share` is above `bound`."""
    beyond = [row for row in rows if (getattr(row, share) or 0) > bound]
    return [row.name for row in beyond if row.shape[-1] >= FEW_UNITS]


def _moved(variable, before):
    """The norm of an array's change over its norm; 0 where it did not move."""
    change = np.linalg.norm(keras.ops.convert_to_numpy(variable) - before)
    return change / max(np.linalg.norm(before), 1e-12) if change else 0.0


def _kernels(layer):
    return [variable for variable in layer.weights if variable.name.endswith("kernel")]


def _names(names):
    """The first few of some names."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


# ---- 5: gradients ----

CHECKED = 40  # parameters, of arrays evenly spaced over the net's depth


def gradients(model, images, labels, *, loss, seed=0):
    """Is the gradient of the loss what small steps measure? In float64, kinks left out.

    With the batch's statistics and a draw of dropout that is the same each time.
    """
    import tensorflow as tf

    try:
        double = in_float64(model)
    except (TypeError, ValueError) as error:  # a layer that does not know its config
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
            f"{_names(bad)}: the gradient is not the slope of the loss; look for a stopped or "
            "hand-written gradient behind these weights."
        )
    details = dict(checked=len(judged), kinks=len(checks) - len(judged))
    finding = _finding(
        "gradients", wrong, value=worst, expected=0.0, details=details, curves=dict(checks=checks)
    )
    if not judged:
        return dataclasses.replace(finding, verdict=SKIP, advice="The loss bends everywhere.")
    return finding


def in_float64(model):
    """A copy of a model with the same weights, all of it in float64."""

    def copy(layer):
        config = layer.get_config()
        if isinstance(layer, keras.Layer):  # and no bare operation
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
UNNOTICED = 5e-3  # s; handing over a batch takes Python part of it
WARM_UP = 5  # steps, with tracing and what the pipeline had read ahead


def pipeline(model, batches, *, steps=50):
    """Do the data come as fast as the model trains? The share of a step spent waiting for them."""
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
            f"Of each step {share:.0%} is waiting for data ({1e3 * wait:.1f} ms of "
            f"{1e3 * (wait + work):.1f} ms): smaller image files or an .npz, less augmentation or "
            "more CPU cores help."
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
    """The loss of what a model gives; Keras' own looks behind a softmax for the scores."""
    return lambda labels, scores: loss(labels, 1.0 * scores)


def _parts(array, size):
    return (array[start : start + size] for start in range(0, len(array), size))
