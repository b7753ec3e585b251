"""Export: a network as files that run without Keras, each checked in a process of its own.

LiteRT, https://ai.google.dev/edge/litert; ONNX, https://onnx.ai, by tf2onnx and ONNX Runtime;
OpenVINO, https://docs.openvino.ai, with NNCF for 8 bits; and TensorFlow's SavedModel. Weights of 8
bits have a scale for each output channel: one for the whole kernel destroys depthwise convolutions
(Krishnamoorthi 2018, https://arxiv.org/abs/1806.08342).
"""

import contextlib
import dataclasses
import functools
import importlib.metadata
import importlib.util
import io
import json
import logging
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from cvcourse.compression import litert, run_exported
from cvcourse.compression._deployable import deployable
from cvcourse.compression.exported_process import ExportedProcess
from cvcourse.compression.quantization import calibration_images, fake_quants
from cvcourse.errors import RunError, pick, reason
from cvcourse.layers.graph import require_graph
from cvcourse.layers.resizing import resized_pixels

EXACT = 1e-4  # largest difference of a float file to Keras, as a share of the largest output
BATCHES = (1, 5)  # sizes of the batches that are compared
OPSET = 17  # of ONNX


@dataclasses.dataclass(frozen=True)
class Target:
    """A form of a network for a runtime.

    Attributes:
        runtime: Key of `run_exported.RUNTIMES`.
        suffix: Suffix of its file.
        tolerance: Largest difference of its outputs to Keras, as a share of the largest output.
        write: Function (Source, path) that writes the file.
        packages: {module: pip's name} of what writing and running need.
        integers: Whether it needs images for the ranges of activations.
    """

    runtime: str
    suffix: str
    tolerance: float
    write: Callable[["Source", pathlib.Path], None]
    packages: dict[str, str]
    integers: bool = False


@dataclasses.dataclass(frozen=True)
class Source:
    """A network in the form that every target takes, and what its writers need.

    Attributes:
        net: The deployable network.
        images: Images for the ranges of activations; none without.
        folder: Folder for files in between.
    """

    net: keras.Model
    images: np.ndarray
    folder: pathlib.Path

    @functools.cached_property
    def signature(self):
        """The shape and type of the input."""
        import tensorflow as tf

        return [tf.TensorSpec((None, *self.net.input_shape[1:]), tf.float32, name="image")]

    @functools.cached_property
    def saved_model(self) -> pathlib.Path:
        """Folder of a SavedModel, from which most converters start."""
        path = self.folder / "saved_model"
        with contextlib.redirect_stdout(io.StringIO()):
            self.net.export(
                str(path), format="tf_saved_model", input_signature=self.signature, verbose=False
            )
        return path


def export(
    model: keras.Model,
    directory: str | pathlib.Path,
    targets: Sequence[str] = ("litert",),
    *,
    images: ArrayLike | None = None,
    class_names: Sequence[str] = (),
) -> dict[str, dict]:
    """Write a model as files for other runtimes, and check each in a process without Keras.

    Beside each file is `run_TARGET.py`, which needs NumPy, Pillow and the runtime alone, and
    targets.json describes the files. A file whose outputs differ from those of Keras is deleted.

    Args:
        model: As in `deployable`, from raw images, 0..255.
        directory: Folder to write to; it is created.
        targets: Keys of TARGETS.
        images: Images (n, h, w, c) of the training split, at least 10, which set the ranges of
            activations of 8 bits.
        class_names: Names of the classes.

    Returns:
        {target: row of targets.json}.

    Raises:
        ValueError: Before anything is written: for an unknown target or one whose packages are not
            installed, images that do not fit or are missing, and as `deployable`.
        RunError: If a target cannot represent the network, after the others have been written; the
            message names the layer.

    >>> layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     row = export(keras.Sequential(layers), folder)["litert"]
    >>> row["file"], row["input"]
    ('litert.tflite', {'dtype': 'float32', 'shape': [None, 8, 8, 1]})
    """
    require_graph(model)
    folder, has_ranges = pathlib.Path(directory), bool(fake_quants(model))
    check(targets, calibrated=has_ranges or images is not None)
    if has_ranges and {*targets} != {"litert_int8"}:
        raise ValueError(
            f"{model.name} has activations of few bits, for which there is the target litert_int8"
        )
    net = deployable(model)
    if images is None:
        images = np.zeros((0, *net.input_shape[1:]), "float32")
    else:
        images = calibration_images(net, images)
    folder.mkdir(parents=True, exist_ok=True)
    compared = _compared(net, images)
    details = describe(model, net, compared, class_names)
    details["targets"] = _earlier_rows(folder, details)
    failures = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export") as temporary:
        sources = {False: Source(net, images, pathlib.Path(temporary))}
        for target in targets:
            form = TARGETS[target]
            if form.integers and True not in sources:
                (inner := pathlib.Path(temporary) / "integers").mkdir()
                sources[True] = Source(deployable(model, images), images, inner)
            source = sources[form.integers]
            try:
                row = _write(form, source, folder, target, details)
                row |= _checked(folder, target, source, compared)
            except ValueError as error:
                details["targets"].pop(target, None)
                _remove(folder, target)
                failures.append(f"{target}: {error}")
            write_details(folder, details)
    if failures:
        raise RunError("; ".join(failures))
    return {target: details["targets"][target] for target in targets}


def read(path: str | pathlib.Path) -> tuple[keras.Model, tuple[str, ...] | None]:
    """Load an exported file as a model, which calls the runtime and has no weights.

    Args:
        path: File or folder of a target, beside targets.json.

    Returns:
        A pair: keras.Model from raw images, 0..255, that first resizes photos as the exported model
        did; and the names of its classes, None if they are not known.

    Raises:
        ValueError: If a package of the runtime is missing.
        RunError: If there is no such file, no targets.json beside it, or the runtime refuses it.

    >>> layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = export(keras.Sequential(layers), folder, class_names=("cat", "dog"))
    ...     model, names = read(f"{folder}/litert.tflite")
    >>> model.output_shape, names
    ((None, 2), ('cat', 'dog'))
    """
    path = pathlib.Path(path)
    try:
        details = json.loads((path.parent / "targets.json").read_text(encoding="utf-8"))
        (target,) = (key for key, row in details["targets"].items() if row["file"] == path.name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} is not described by a targets.json beside it, as `cvcourse export` writes it"
        ) from error
    check([target], calibrated=True)
    try:
        predict = run_exported.load(path.parent, target)
    except Exception as error:  # each runtime has its own classes
        raise RunError(f"cannot read {path}: {reason(error)}") from error
    size, channels = details["size"], details["channels"]
    x = photo = keras.Input(
        (*((None, None) if details["any_size"] else size), channels), name="photo"
    )
    if details["any_size"]:
        x = ops.image.resize(
            x,
            details["resize"],
            interpolation=details["interpolation"],
            antialias=True,
            crop_to_aspect_ratio=details["keep_aspect_ratio"],
            data_format="channels_last",
        )
        sides = [(a - b, b) for a, b in zip(details["resize"], size, strict=True)]
        margins = [(extra // 2, extra - extra // 2) for extra, _ in sides]
        x = keras.layers.Cropping2D(margins, dtype="float32", data_format="channels_last")(x)
    outputs = _Exported(predict, details["outputs"], name="exported")(x)
    names = tuple(details["class_names"]) or None
    return keras.Model(photo, outputs, name=details["model"]), names


class _Exported(keras.layers.Layer):
    """Calls a function of NumPy arrays (n, h, w, c) -> (n, outputs)."""

    def __init__(self, predict, outputs, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.predict, self.outputs = predict, outputs

    def call(self, inputs):
        import tensorflow as tf

        outputs = tf.numpy_function(self.predict, [inputs], tf.float32)
        return tf.ensure_shape(outputs, (None, self.outputs))

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.outputs


def check(targets: Sequence[str], calibrated: bool) -> None:
    """Raise ValueError for targets that are unknown, lack packages, or need images.

    Args:
        targets: Keys of TARGETS.
        calibrated: Whether there are images for the ranges of activations.
    """
    for target in targets:
        form = pick("target", target, TARGETS)
        missing = [
            package for module, package in form.packages.items() if not _is_installed(module)
        ]
        if missing:
            raise ValueError(
                f"{target} needs: pip install {' '.join(missing)}, or: pip install "
                f"cvcourse[{form.runtime}]"
            )
        if form.integers and not calibrated:
            raise ValueError(f"{target} needs images of a training split for its ranges")


def describe(
    model: keras.Model, net: keras.Model, outputs: Any, class_names: Sequence[str]
) -> dict[str, Any]:
    """Return what `run_exported` needs to know about a network.

    Args:
        model: keras.Model, which may first resize photos.
        net: Its deployable form.
        outputs: Pair: images of net, and its outputs.
        class_names: Names of the classes.
    """
    *size, channels = net.input_shape[1:]
    details = {"resize": size, "keep_aspect_ratio": True, "interpolation": "bilinear"}
    pixels = resized_pixels(model)
    if pixels is not None:
        for operation in model.operations:
            if type(operation).__name__ == "Resize":
                details = {
                    "resize": [*operation.size],
                    "keep_aspect_ratio": operation.crop_to_aspect_ratio,
                    "interpolation": operation.interpolation,
                }
    scores = outputs[1]
    are_probabilities = scores.min() >= 0 and np.allclose(scores.sum(-1), 1, atol=1e-3)
    return {
        "model": model.name,
        "class_names": [*class_names],
        "size": size,
        "channels": channels,
        "any_size": pixels is not None,
        **details,
        "outputs": scores.shape[-1],
        "are_probabilities": bool(are_probabilities),
    }


def update(folder: pathlib.Path, rows: dict[str, dict], machine: dict) -> None:
    """Write further measures of the targets, and the machine, to targets.json."""
    details = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
    targets = {**details["targets"], **rows}
    write_details(folder, {**details, "machine": machine, "targets": targets})


def write_details(folder: pathlib.Path, details: dict) -> None:
    """Write targets.json."""
    text = json.dumps(details, indent=1, ensure_ascii=False)
    (folder / "targets.json").write_text(f"{text}\n", encoding="utf-8")


def _earlier_rows(folder: pathlib.Path, details: dict[str, Any]) -> dict[str, dict]:
    """Return the rows of files that were exported to the folder before, from such a network."""
    try:
        earlier = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
        if details.items() <= earlier.items():
            return {
                target: row
                for target, row in earlier["targets"].items()
                if (folder / row["file"]).exists()
            }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # none, or of another format
    return {}


# ---- writing ----


def _to_saved_model(source: Source, path: pathlib.Path) -> None:
    shutil.copytree(source.saved_model, path, dirs_exist_ok=True)


def _to_litert(source: Source, path: pathlib.Path, kind: str = "float") -> None:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(source.saved_model))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    path.write_bytes(converter.convert())


def _to_litert_int8(source: Source, path: pathlib.Path) -> None:
    import tensorflow as tf

    if fake_quants(source.net):
        path.write_bytes(litert.convert(source.net))
        return
    converter = tf.lite.TFLiteConverter.from_saved_model(str(source.saved_model))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in source.images)
    # Operations without a form for integers, such as those of attention, stay float.
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.int8
    path.write_bytes(converter.convert())


def _to_onnx(source: Source, path: pathlib.Path) -> None:
    import tensorflow as tf
    import tf2onnx

    call = tf.function(
        functools.partial(source.net, training=False), source.signature, autograph=False
    )
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)  # what it says is found out below
    tf2onnx.convert.from_function(
        call, source.signature, opset=OPSET, output_path=str(path), large_model=False
    )


def _to_onnx_int8(source: Source, path: pathlib.Path) -> None:
    from onnxruntime import quantization

    _to_onnx(source, whole := source.folder / "float.onnx")
    prepared = source.folder / "prepared.onnx"
    # Symbolic shapes need sympy.
    quantization.shape_inference.quant_pre_process(
        str(whole), str(prepared), skip_symbolic_shape=True
    )

    class Images(quantization.CalibrationDataReader):
        left = iter(source.images)

        def get_next(self):
            image = next(self.left, None)
            return None if image is None else {"image": image[None]}

    # Unsigned weights: the kernels for signed ones saturate on CPUs without VNNI instructions.
    unsigned = quantization.QuantType.QUInt8
    quantization.quantize_static(
        str(prepared), str(path), Images(), quant_format=quantization.QuantFormat.QDQ,
        per_channel=True, activation_type=unsigned, weight_type=unsigned,
    )  # fmt: skip


def _openvino(source: Source) -> Any:
    import openvino

    return openvino.convert_model(str(source.saved_model))


def _to_openvino(source: Source, path: pathlib.Path) -> None:
    import openvino

    openvino.save_model(_openvino(source), str(path), compress_to_fp16=False)


def _to_openvino_int8(source: Source, path: pathlib.Path) -> None:
    import nncf
    import openvino
    from nncf.quantization.advanced_parameters import OverflowFix

    nncf.set_log_level(logging.ERROR)
    images = nncf.Dataset([image[None] for image in source.images])
    with contextlib.redirect_stdout(io.StringIO()):
        net = nncf.quantize(
            _openvino(source),
            images,
            subset_size=len(source.images),
            # Weights of 7 bits, against the same saturation.
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.ENABLE
            ),
        )
    openvino.save_model(net, str(path), compress_to_fp16=False)


TENSORFLOW = {"tensorflow": "tensorflow"}
LITERT = {"ai_edge_litert": "ai-edge-litert"}
ONNX = {"tf2onnx": "tf2onnx", "onnx": "onnx", "onnxruntime": "onnxruntime"}
OPENVINO = {"openvino": "openvino"}
TARGETS = {
    "saved_model": Target("saved_model", "", EXACT, _to_saved_model, TENSORFLOW),
    "litert": Target("litert", ".tflite", EXACT, _to_litert, LITERT),
    "litert_fp16": Target(
        "litert", ".tflite", 0.05, functools.partial(_to_litert, kind="float16"), LITERT
    ),
    "litert_dynamic": Target(
        "litert", ".tflite", 0.5, functools.partial(_to_litert, kind="dynamic"), LITERT
    ),
    "litert_int8": Target("litert", ".tflite", 0.5, _to_litert_int8, LITERT, integers=True),
    "onnx": Target("onnx", ".onnx", EXACT, _to_onnx, ONNX),
    "onnx_int8": Target("onnx", ".onnx", 0.5, _to_onnx_int8, ONNX, integers=True),
    "openvino": Target("openvino", ".xml", EXACT, _to_openvino, OPENVINO),
    "openvino_int8": Target(
        "openvino", ".xml", 0.5, _to_openvino_int8, {"nncf": "nncf", **OPENVINO}, integers=True
    ),
}


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _write(form: Target, source: Source, folder: pathlib.Path, target: str, details: dict) -> dict:
    """Write a file with what runs it, and return its row, which is added to `details`.

    Raises ValueError, naming the layer, if the target lacks an operation.
    """
    row = {"file": f"{target}{form.suffix}", "runtime": form.runtime}
    try:
        form.write(source, folder / row["file"])
    except Exception as error:  # each converter has its own classes
        raise ValueError(f"cannot be written: {_told(error, source.net)}") from error
    details["targets"][target] = row
    write_details(folder, details)
    shutil.copy(run_exported.__file__, folder / f"run_{target}.py")
    return row


# ---- checking ----


def _compared(net: keras.Model, images) -> tuple[np.ndarray, np.ndarray]:
    """Return images of whole numbers, and a network's outputs for them."""
    if not len(images):
        shape = (max(BATCHES), *net.input_shape[1:])
        images = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    chosen = np.rint(images[: max(BATCHES)])
    return chosen, np.array(net(chosen, training=False), "float32")


def _checked(folder, target, source: Source, compared) -> dict[str, Any]:
    """Run a file in a process, and return its row. Raises ValueError if it is wrong."""
    form, (images, expected) = TARGETS[target], compared
    path, differences, problem = folder / f"{target}{form.suffix}", [], ""
    try:
        with ExportedProcess(folder, target) as process:
            for size in BATCHES:
                differences.append(_difference(process.predict(images[:size]), expected[:size]))
        if max(differences) > form.tolerance:
            problem = (
                f"the outputs differ from Keras' by {max(differences):.2g} of the largest, more "
                f"than {form.tolerance:g}"
            )
    except ValueError as error:
        problem = f"cannot be run: {_told(error, source.net)}"
    if problem:
        layer = _first_wrong_layer(form, source, images, target)
        raise ValueError(f"{problem}; the shortest part that is wrong ends with the layer {layer}")
    files = [path, path.with_suffix(".bin")] if form.suffix == ".xml" else [path]
    files += [*path.rglob("*")] if path.is_dir() else []
    return {
        "bytes": sum(file.stat().st_size for file in files if file.is_file()),
        "input": {"dtype": process.input_type, "shape": [None, *source.net.input_shape[1:]]},
        "versions": {name: importlib.metadata.version(name) for name in form.packages.values()},
        "largest_difference": max(differences),
    }


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference as a share of the largest output; infinity for NaN."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


def _first_wrong_layer(form: Target, source: Source, images, target) -> str:
    """Find by bisection the first layer up to which a target's outputs are wrong."""
    layers = [layer for layer in source.net.layers[1:] if len(layer._inbound_nodes) == 1]
    low, high = 0, len(layers) - 1
    while low < high:
        middle = (low + high) // 2
        part = keras.Model(source.net.input, layers[middle].output)
        with tempfile.TemporaryDirectory(dir=source.folder) as name:
            folder = pathlib.Path(name)
            expected = np.array(part(images))
            try:
                _write(form, Source(part, source.images, folder), folder, target, {"targets": {}})
                with ExportedProcess(folder, target) as process:
                    is_right = _difference(process.predict(images), expected) <= form.tolerance
            except Exception:  # the part does not even run
                is_right = False
        low, high = (middle + 1, high) if is_right else (low, middle)
    return layers[low].name


def _told(error: Exception, net: keras.Model) -> str:
    """Return the beginning of an error, and the layer that its text names."""
    text = str(error) or type(error).__name__
    names = []
    for each in net.operations:
        # The scope of an operation that is no layer has its name without a number; TensorFlow
        # numbers scopes that have occurred before.
        name = each.name if isinstance(each, keras.Layer) else re.sub(r"_\d+$", "", each.name)
        if re.search(rf"/{re.escape(name)}(_\d+)?/", text):
            names.append(each.name)
    lacking = re.search(r"Custom ops: (.*)", text)
    line = f"no operation {lacking[1]}" if lacking else reason(error)
    return f"the layer {max(names, key=len)}: {line}" if names else line


def _remove(folder: pathlib.Path, target: str) -> None:
    path = folder / f"{target}{TARGETS[target].suffix}"
    if path.is_dir():
        shutil.rmtree(path)
    for each in (path, path.with_suffix(".bin"), folder / f"run_{target}.py"):
        each.unlink(missing_ok=True)
