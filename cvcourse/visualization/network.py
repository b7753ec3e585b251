"""A keras.Model as the techniques see it: from images to logits, with the values between them."""

import contextlib
import copy
import difflib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cvcourse.errors import pick, warn_caller
from cvcourse.layers.graph import Graph, Step, Value, has_graph, opened
from cvcourse.layers.receptive_field import SEES_ALL
from cvcourse.visualization.execution import activation_of, applied, needed_steps, run, twin
from cvcourse.visualization.gradients import compiled, to_numpy

BATCH = 32  # images computed at once
PROBABILITIES = {  # of rows of logits
    "softmax": (ops.softmax, ops.log_softmax),
    "sigmoid": (ops.sigmoid, ops.log_sigmoid),
}
ROUNDED = 1e-2  # tolerance for the sum of probabilities, which bfloat16 rounds
OURS = ("keras.", "cvcourse.")  # modules whose layers are known
AFFINE = (layers.Conv2D, layers.ZeroPadding2D, layers.Rescaling, layers.BatchNormalization)
RESHAPES = ("Flatten", "Reshape", "Squeeze")
MEANS = ("Average", "GlobalAveragePooling1D", "Mean")  # of an ensemble's probabilities
NEIGHBORS = 5  # names in the error about an unknown layer
PRECISION = threading.RLock()  # of the thread that has changed the precision of layers


class Network:
    """A model with its graph, its logits and its compiled functions; use `Network.of(model)`.

    Attributes:
        model: The keras.Model.
        name: Its name.
        subclassed: Whether it is a subclassed model, whose operations are unknown.
        graph: Its Graph, empty for a subclassed model.
        logits: Value (batch, classes) before a softmax or sigmoid at the end; None if the model has
            several outputs of which none is chosen.
        probability: "softmax" or "sigmoid", which turns logits into probabilities; "none" if they
            are probabilities already.
        classes: Number of classes; None for a subclassed model, or one that ends in maps.
        image_shape: Shape of an image, with None for sides of any length.
    """

    def __init__(self, model: keras.Model, output: str | None = None):
        if not isinstance(model, keras.Model):
            raise ValueError(f"a keras.Model is needed; received {model!r}")
        self.model, self.name = model, model.name
        self._made: dict[Any, Any] = {}
        self.subclassed = not has_graph(model)
        self._is_mean = False  # whether the model ends in a mean of probabilities
        self._replaced: dict[Step, Callable] = {}
        if self.subclassed:
            self._initialize_subclassed(output)
            return
        self.graph = graph = opened(model)
        if len(graph.inputs) > 1:
            raise ValueError(
                f"{self.name} has the inputs {', '.join(graph.inputs)}: make a model of images "
                "alone, keras.Model(image, …), with the others as constants"
            )
        ((self.input_name, self.input),) = graph.inputs.items()
        self.image_shape = self.input.shape[1:]
        self.logits, self.probability, self.classes = None, "softmax", None
        if (value := _pick_output(graph, output, self.name)) is not None:
            self.logits, self.probability = self._find_logits(value)
            self.classes = self.logits.shape[1] if len(self.logits.shape) == 2 else None

    @classmethod
    def of(cls, model: keras.Model, output: str | None = None) -> "Network":
        """Return the Network of a model, the same one while the model's structure is the same.

        Args:
            model: keras.Model.
            output: Name of the output, for a model with several; None is `logits`.

        Raises:
            ValueError: If the model has several inputs, or no output of that name.
        """
        if not isinstance(model, keras.Model):
            raise ValueError(f"a keras.Model is needed; received {model!r}")
        known = model.__dict__.get("_cvcourse_networks")
        structure = _structure(model)
        if known is None or not known.holds(structure):
            known = model.__dict__["_cvcourse_networks"] = _Known(structure)
        if output not in known.networks:
            known.networks[output] = cls(model, output)
        return known.networks[output]

    def _initialize_subclassed(self, output):
        """Initialize for a model whose operations are unknown."""
        if output is not None:
            raise ValueError(f"{self.name} is a subclassed model, whose outputs have no names")
        if not self.model.built:
            raise ValueError(f"{self.name} has no weights yet: call it on images first")
        shape = getattr(self.model, "_build_shapes_dict", None) or {}
        shape = next(iter(shape.values()), None)
        self.image_shape = (None, None, shape[3] if shape and len(shape) == 4 else None)
        self.graph, self.input, self.logits = Graph({}, (), {}), Value(()), Value(())
        self.input_name, self.probability, self.classes = "image", "softmax", None

    def _find_logits(self, value: Value) -> tuple[Value, str]:
        """Return the value before a softmax or sigmoid that ends the model, and its name."""
        if len(value.shape) != 2:
            return value, "softmax"
        made_by = {out: step for step in self.graph.steps for out in step.outputs}
        step, count = made_by.get(value), value.shape[1] or 1
        rows = np.linspace(-2, 2, 2 * count, dtype="float32").reshape(2, count)
        possible = ["softmax", "sigmoid"] if count > 1 else ["sigmoid"]
        reshaped = False
        while step is not None:
            y = applied(activation_of(step), rows)
            names = [name for name in possible if _is_any(y, PROBABILITIES[name], rows)]
            fused = bool(getattr(step.operation, "weights", ()))
            if names and fused:
                self._replaced[step] = partial(twin, activation=keras.activations.linear)
                return value if reshaped else step.outputs[0], names[0]
            if names and reshaped:
                self._replaced[step] = lambda _: lambda x: x
                return value, names[0]
            if names:
                return step.inputs[0], names[0]
            reshapes = type(step.operation).__name__ in RESHAPES
            reshapes &= step.inputs[0].shape[-1] == step.outputs[0].shape[-1]
            if fused or not (reshapes or (y is not None and np.allclose(y, rows))):
                break
            reshaped |= reshapes
            step = made_by.get(step.inputs[0])
        before = [made_by.get(each) for each in step.inputs] if step else []
        self._is_mean = type(getattr(step, "operation", None)).__name__ in MEANS and all(
            each and _is_any(applied(activation_of(each), rows), PROBABILITIES["softmax"], rows)
            for each in before
        )
        return value, possible[0]

    def require_classes(self) -> None:
        """Raise ValueError for a model that does not end in a vector of classes."""
        if self.logits is None:
            listed = ", ".join(self.graph.outputs)
            raise ValueError(f"{self.name} has several outputs: choose output= from {listed}")
        if not self.subclassed and self.classes is None:
            raise ValueError(
                f"{self.name} does not end in one number for each class: its output has the shape "
                f"{self.logits.shape}"
            )

    def require_maps(self, technique: str) -> None:
        """Raise ValueError for a model that does not take images (n, h, w, c)."""
        if len(self.image_shape) != 3:
            raise ValueError(
                f"{technique} is of images (n, h, w, c); {self.name} takes others, of the shape "
                f"{(None, *self.image_shape)}"
            )

    def require_graph(self, why: str) -> None:
        """Raise ValueError for a subclassed model; `why` says what is not possible."""
        if self.subclassed:
            raise ValueError(
                f"{self.name} is a subclassed model without a graph of layers: {why}; saliency and "
                "occlusion work, or build the model with keras.Model(inputs, outputs)"
            )

    def call(
        self,
        images: Any,
        wanted: Sequence[Value] = (),
        *,
        rules: Mapping[Step, Callable] | None = None,
        known: Mapping[Value, Any] | None = None,
    ) -> list[Any]:
        """Compute logits and other values in inference mode, for tensors inside a function.

        Args:
            images: Tensor (batch, h, w, c); None if `known` has all that is needed.
            wanted: Further values.
            rules: Calls to replace, as `rectifiers.rule_of` returns them.
            known: {value: tensor} of values that are not computed again.

        Returns:
            [logits (batch, classes) float32, *wanted]; None for the logits if no output is chosen.
        """
        with _full_precision(self.model):
            if self.subclassed:
                found = self.model(images, training=False)
                if not hasattr(found, "shape") or len(found.shape) != 2:
                    raise ValueError(f"{self.name} does not end in one number for each class")
                return [ops.cast(found, "float32")]
            given = {} if images is None else {self.input: images}
            found = run(
                self.graph.steps,
                {**given, **(known or {})},
                [*wanted, self.logits] if self.logits else wanted,
                replaced={**self._replaced, **(rules or {})},
            )
        if self.logits is None:
            return [None, *found]
        *others, logits = found
        logits = ops.cast(logits, "float32")
        if self._is_mean:  # the softmax of its logarithm is the mean itself
            logits = ops.log(ops.maximum(logits, np.finfo("float32").tiny))
        return [logits, *others]

    def value(self, images: Any, wanted: Value) -> Any:
        """Compute a value alone, of images or of parts of images, inside a function."""
        with _full_precision(self.model):
            (found,) = run(
                self.graph.steps, {self.input: images}, [wanted], replaced=self._replaced
            )
        return found

    def compiled(
        self, key: Any, function: Callable, *shapes: Sequence[int | None]
    ) -> Callable[..., Any]:
        """Return a function compiled by `gradients.compiled`, the same for the same key.

        Args:
            key: Technique and what else the function depends on, apart from its arguments.
            function: Function of tensors; the first are the images.
            *shapes: Shapes of the arguments after the images, with the batch.
        """
        all_shapes = [(None, *self.image_shape), *shapes]
        return self.once(key, lambda: compiled(function, all_shapes, self.model.variables))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return `make()`, which is called once for each key."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def images(self, images: Any, *, any_size: bool = False) -> np.ndarray:
        """Check images, of the model's or of any size; return them as float32 (n, h, w, c)."""
        try:
            images = np.asarray(images)
        except (TypeError, ValueError):  # such as a list of images of several sizes
            raise ValueError(f"images are one array; received {type(images).__name__}") from None
        shape = (None, *self.image_shape)
        if any_size:
            shape = (None, None, None, self.image_shape[-1])
        if images.ndim != len(shape) or any(
            n not in (None, m) for n, m in zip(shape, images.shape, strict=True)
        ):
            text = f"(n, {', '.join('any' if n is None else str(n) for n in shape[1:])})"
            hint = ""
            if images.ndim == len(shape) - 1:
                one = self.image_shape[-1] in (None, images.shape[-1])
                hint = f": images[{'None' if one else '..., None'}] adds the missing axis"
            raise ValueError(f"{self.name} takes images {text}; received {images.shape}{hint}")
        if not len(images):
            raise ValueError("there are no images")
        try:
            images = images.astype("float32")
        except (TypeError, ValueError):
            raise ValueError(f"images are numbers; received {images.dtype}") from None
        if not np.isfinite(images).all():
            bad = np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(1))
            raise ValueError(f"image {bad[0]} contains NaN or infinite values")
        return images

    def predict(self, images: np.ndarray, size: int = BATCH) -> np.ndarray:
        """Compute logits, of `size` images at once: (n, h, w, c) -> (n, classes) float32.

        Raises:
            ValueError: If the model does not end in a vector of classes, or they are NaN.
        """
        self.require_classes()
        function = self.compiled("logits", lambda x: self.call(x)[0])
        logits = in_batches(function, images, size=size)
        require_numbers(logits, f"{self.name}: the output")
        if self.subclassed:
            self.probability = self._recognized(logits)
        return logits

    def _recognized(self, outputs) -> str:
        """Return what turns the outputs of a subclassed model into probabilities."""
        count = outputs.shape[1]
        is_bounded = ((outputs >= 0) & (outputs <= 1 + ROUNDED)).all()
        is_softmax = count > 1 and np.allclose(outputs.sum(axis=1), 1, atol=ROUNDED)
        is_sigmoid = any(
            getattr(layer, "activation", None) is keras.activations.sigmoid
            and getattr(layer, "units", None) == count
            for layer in self.model._flatten_layers()
        )
        if not is_bounded or not (is_softmax or is_sigmoid):
            return "softmax" if count > 1 else "sigmoid"
        warn_caller(
            f"{self.name} is a subclassed model that ends in a "
            f"{'softmax' if is_softmax else 'sigmoid'}, which cannot be taken off: gradients are "
            "of the probabilities",
            UserWarning,
        )
        return "none"

    def probabilities(self, logits: Any) -> Any:
        """Turn logits (batch, classes) into probabilities."""
        functions = PROBABILITIES.get(self.probability)
        return functions[0](logits) if functions else logits

    def class_probabilities(self, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Compute the probability of a class (n,) for each image: (n, h, w, c) -> (n,) float32."""
        return self.of_classes(self.predict(images), classes)

    def of_classes(self, logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Turn logits (n, classes) into the probability of a class (n,) for each image, (n,)."""
        found = ops.convert_to_numpy(self.probabilities(logits))
        return found[np.arange(len(found)), classes]

    def targets(self, images: np.ndarray, classes: Any = None) -> np.ndarray:
        """Return the class of each image, (n,) int.

        Args:
            images: Array (n, h, w, c), as `images` returns them.
            classes: Class for all, or one an image; None for the likeliest.

        Raises:
            ValueError: If there is no such class, or another number of them.
        """
        if classes is None:
            return self.predict(images).argmax(axis=1)
        found = np.asarray(classes)
        count = self.classes or self.predict(images[:1]).shape[1]
        if not np.issubdtype(found.dtype, np.integer) or found.ndim > 1:
            raise ValueError(f"classes is a class number, or one an image; received {classes!r}")
        if found.ndim == 1 and len(found) != len(images):
            raise ValueError(f"{len(found)} classes for {len(images)} images: one an image")
        wrong = np.extract((found < 0) | (found >= count), found)
        if wrong.size:
            raise ValueError(f"{self.name} has the classes 0 to {count - 1}; received {wrong[0]}")
        return np.broadcast_to(found, len(images)).astype("int64")

    def directions(
        self, images: np.ndarray, classes: Any = None, contrast: Any = None
    ) -> np.ndarray:
        """Return the weights of the logits in the objective: 1 for the class, -1 for `contrast`.

        Args:
            images: Array (n, h, w, c).
            classes: As in `targets`.
            contrast: A second class or one an image, whose logit is subtracted; None for none.

        Returns:
            Array (n, classes) float32.
        """
        chosen = self.targets(images, classes)
        identity = np.eye(self.classes or self.predict(images[:1]).shape[1], dtype="float32")
        if contrast is None:
            return identity[chosen]
        others = self.targets(images, contrast)
        if (chosen == others).any():
            same = chosen[chosen == others][0]
            raise ValueError(f"contrast is the class itself, {same}: choose another one")
        return identity[chosen] - identity[others]

    def tap(self, layer: Any) -> Value:
        """Find the output of a layer between the image and the logits.

        Args:
            layer: Layer or name: "layer", "model/layer" or "layer" within a nested model, or
                "model", a nested model, for its output.

        Returns:
            Its Value, of the last call.

        Raises:
            ValueError: If there is no such layer (the message has the nearest names), or nested
                models have several of the name.
        """
        self.require_graph(f"the layer {layer} cannot be found")
        name = layer.name if isinstance(layer, keras.Operation) else str(layer)
        nested = opened(layer).steps if has_graph(layer) else ()
        sought = {id(layer), *(id(step.operation) for step in nested)}
        between, steps = self.between(), self.graph.steps
        found = [step for step in steps if id(step.operation) in sought]
        found = found or [step for step in steps if f"{step.name}/".startswith(f"{name}/")]
        if not found:  # within a nested model
            found = [step for step in steps if f"/{name}/" in f"/{step.name}/"]
            places = {f"/{step.name}/".partition(f"/{name}/")[0][1:]: None for step in found}
            if len(places) > 1:
                paths = ", ".join(f"{place}/{name}" for place in places)
                raise ValueError(f"several layers are named {name}: {paths}")
        if reached := [step for step in found if step in between]:
            return reached[-1].outputs[0]
        names = [step.name for step in between]
        near = difflib.get_close_matches(name, names, n=NEIGHBORS, cutoff=0.0)
        problem = (
            "is not between the image and the logits" if found else f"is no layer of {self.name}"
        )
        raise ValueError(f"{name} {problem}; the nearest names are {', '.join(near)}")

    def between(self) -> list[Step]:
        """Return the steps that depend on the image and that the logits depend on, in order.

        Without a chosen output, it is the steps that any output depends on.
        """
        touched = {self.input}
        for step in self.graph.steps:
            if touched & set(step.inputs):
                touched |= set(step.outputs)
        ends = [self.logits] if self.logits else self.graph.outputs.values()
        needed = needed_steps(self.graph.steps, ends)
        return [s for s in self.graph.steps if s in needed and touched & set(s.outputs)]

    def affine(self) -> Value | None:
        """Return the last value that is an affine function of the image and all that is used of it.

        Returns:
            The output of, for example, rescaling, padding, a convolution and batch normalization;
            None if there is none.
        """
        value, steps = self.input, self.between()
        while True:
            users = [step for step in steps if value in step.inputs]
            if len(users) != 1 or not _is_affine(users[0]):
                return None if value is self.input else value
            (value,) = users[0].outputs

    def default_map(self) -> tuple[str, Value]:
        """Return the last map before the classifier, (batch, h, w, c), after its activation.

        If attention follows the maps, as in a ViT, it is the input of the last attention instead,
        (batch, tokens, c): after that, the logits may depend on the class token only.

        Returns:
            (name of its layer, its Value).

        Raises:
            ValueError: If there is no map of more than one place.
        """
        self.require_graph("it has no maps")
        steps = self.between()
        mapped = {self.input} if len(self.input.shape) == 4 else set()
        for step in steps:  # from maps alone: the queries of attention are cut from tokens
            is_map = len(step.outputs[0].shape) >= 4 and not isinstance(step.operation, SEES_ALL)
            if is_map and mapped & set(step.inputs):
                mapped |= set(step.outputs)
        weighted = [
            i
            for i, step in enumerate(steps)
            if getattr(step.operation, "weights", ())
            and "Normalization" not in type(step.operation).__name__
        ]
        head = weighted[-1] if weighted and self.classes else len(steps)
        maps = [
            step
            for step in steps[:head]
            if step.outputs[0] in mapped
            and len(step.outputs[0].shape) == 4
            and not isinstance(step.operation, (layers.Dropout, layers.ZeroPadding2D))
        ]
        larger = [step for step in maps if step.outputs[0].shape[1:3] != (1, 1)]
        if larger != maps:  # of a small image: the last may be within a branch
            on_all_paths = bottlenecks(steps, self.input)
            larger = [step for step in larger if step in on_all_paths] or larger
        maps = larger
        if not maps:
            raise ValueError(
                f"{self.name} has no map (n, h, w, c) of several places before its classifier"
            )
        attention = [i for i, step in enumerate(steps) if _attends(step)]
        if attention and steps.index(maps[-1]) < attention[-1]:
            mixing = [step for step in steps[: attention[-1] + 1] if _is_layer_of_tokens(step)]
            made_by = {step.outputs[0]: step.name for step in steps}
            if mixing and mixing[-1].inputs[0] in made_by:
                return made_by[mixing[-1].inputs[0]], mixing[-1].inputs[0]
        return maps[-1].name, maps[-1].outputs[0]


class _Known:
    """The networks of a model, dropped when its structure changes; Keras does not save it."""

    def __init__(self, structure):
        self.structure, self.networks = structure, {}

    def holds(self, structure):
        pairs = zip(self.structure, structure, strict=False)
        return len(self.structure) == len(structure) and all(a is b for a, b in pairs)


def _structure(model) -> list[Any]:
    """Return objects that are others if a model's graph, weights or an activation changes."""
    outputs = [*model.outputs] if has_graph(model) else []
    activations = [getattr(layer, "activation", None) for layer in model._flatten_layers()]
    return [*outputs, *model.weights, *activations]


@contextlib.contextmanager
def _full_precision(model):
    """Context manager: layers of half precision compute in float32.

    Their own gradients underflow in float16, and half of the sign changes are lost in bfloat16.
    """
    with PRECISION:
        half = [x for x in model._flatten_layers() if x.compute_dtype in ("float16", "bfloat16")]
        policies = [layer._dtype_policy for layer in half]
        try:
            for layer, policy in zip(half, policies, strict=True):
                layer._dtype_policy = copy.copy(policy)
                layer._dtype_policy._compute_dtype = "float32"
            yield
        finally:
            for layer, policy in zip(half, policies, strict=True):
                layer._dtype_policy = policy


def _pick_output(graph, output, name) -> Value | None:
    """Return the output of a name; without one the only output, `logits`, or None."""
    if output is None:
        (*_, last) = graph.outputs.values()
        return last if len(graph.outputs) == 1 else graph.outputs.get("logits")
    return pick(f"output of {name}", output, graph.outputs)


def _is_any(y, functions, x) -> bool:
    """Check whether `y` is one of the functions of `x`."""
    return y is not None and any(
        np.allclose(y, to_numpy(function(x)), rtol=1e-2) for function in functions
    )


def bottlenecks(steps: Sequence[Step], value: Value) -> list[Step]:
    """Return the steps whose output is all that later steps take of `value` and what follows it."""
    last_use = {taken: i for i, step in enumerate(steps) for taken in step.inputs}
    found, needed = [], last_use[value]
    for i, step in enumerate(steps):
        if needed <= i:
            found.append(step)
        needed = max(needed, *(last_use.get(output, i) for output in step.outputs))
    return found


def _attends(step) -> bool:
    """Check whether a step is attention, or the softmax of its scores."""
    kind = type(step.operation).__name__
    return "Attention" in kind or (kind == "Softmax" and len(step.outputs[0].shape) == 4)


def _is_layer_of_tokens(step) -> bool:
    return bool(getattr(step.operation, "weights", ())) and len(step.inputs[0].shape) == 3


def _is_affine(step) -> bool:
    """Check whether a step is known to be affine in inference."""
    operation = step.operation
    if isinstance(operation, AFFINE) and type(operation).__module__.startswith(OURS):
        return getattr(operation, "activation", None) in (None, keras.activations.linear)
    return type(operation).__name__ == "Pad" and operation.mode == "constant"


def check_count(name: str, count: Any, least: int = 1) -> None:
    """Raise ValueError for what is not a whole number of at least `least`."""
    if not _is_whole(count) or count < least:
        raise ValueError(f"{name} is a whole number of at least {least}; received {count!r}")


def check_channel(layer: Any, tap: Value, channel: Any) -> None:
    """Raise ValueError for what is no channel of a layer, whose output is `tap`."""
    count = tap.shape[-1] or 0
    if not _is_whole(channel) or not 0 <= channel < count:
        name = getattr(layer, "name", layer)
        raise ValueError(f"{name} has the channels 0 to {count - 1}; received {channel!r}")


def _is_whole(number):
    return isinstance(number, (int, np.integer)) and not isinstance(number, bool)


def check_number(name: str, number: Any, least: float = -np.inf) -> None:
    """Raise ValueError for what is not a finite number of at least `least`."""
    finite = isinstance(number, (int, float, np.number)) and np.isfinite(number)
    if not finite or number < least:
        bound = f" of at least {least:g}" if np.isfinite(least) else ""
        raise ValueError(f"{name} is a finite number{bound}; received {number!r}")


def in_batches(function: Callable, *arrays: np.ndarray, size: int = BATCH) -> Any:
    """Call a function of arrays on `size` examples at a time, and join the results.

    Args:
        function: Function of arrays (batch, …) that returns arrays (batch, …).
        *arrays: Arrays (n, …).
        size: Number of examples at once.

    Returns:
        Arrays (n, …), in the structure of the function's.
    """
    found = [
        function(*(array[i : i + size] for array in arrays)) for i in range(0, len(arrays[0]), size)
    ]
    if len(found) == 1:
        return found[0]
    return keras.tree.map_structure(lambda *parts: np.concatenate(parts), *found)


def warn_of_zeros(maps: np.ndarray, technique: str) -> np.ndarray:
    """Warn if a map is zero everywhere; return the maps.

    Raises:
        ValueError: If a map contains NaN.
    """
    require_numbers(maps, f"{technique}: the map")
    zero = np.flatnonzero(~maps.reshape(len(maps), -1).any(axis=1))
    if zero.size:
        warn_caller(
            f"{technique}: the map of image {', '.join(map(str, zero[:5]))} is zero everywhere",
            UserWarning,
        )
    return maps


def require_numbers(values: np.ndarray, what: str) -> np.ndarray:
    """Return `values` of images (n, …); raise ValueError if they contain NaN."""
    broken = np.isnan(values.reshape(len(values), -1)).any(axis=1)
    if broken.any():
        raise ValueError(
            f"{what} of image {broken.argmax()} contains NaN: the model's weights are not finite, "
            "or its activations overflow"
        )
    return values


def tell_once(network: Network, text: str) -> None:
    """Print a line on standard error, once for each network."""
    network.once(("told", text), lambda: print(text, file=sys.stderr))
