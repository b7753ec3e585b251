"""Run an exported network: the likeliest classes of image files, or the time that it takes.

    python run_litert.py photo.jpg
    python run_litert.py --time=32

`cvcourse export` copies this file beside the network, as run_TARGET.py. It needs NumPy, Pillow and
the one runtime of its target, and reads targets.json in its folder.
"""

import json
import os
import pathlib
import sys
import time

import numpy as np

LIKELIEST = 5


def saved_model(path):
    """Load a SavedModel; return a function images -> outputs."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # its variables live as long as this object
    return lambda images, loaded=loaded: loaded.serve(tf.constant(images)).numpy()


def litert(path):
    """Load a .tflite file; 8-bit integers are scaled to and from the pixels and outputs."""
    from ai_edge_litert.interpreter import Interpreter

    net = Interpreter(model_path=str(path), num_threads=os.cpu_count())
    (place,), (result,) = net.get_input_details(), net.get_output_details()

    def to_integers(images):
        scale, zero = place["quantization"]
        bounds = np.iinfo(place["dtype"])
        return np.clip(np.rint(images / scale + zero), bounds.min, bounds.max)

    def predict(images):
        if tuple(place["shape"]) != images.shape:
            net.resize_tensor_input(place["index"], images.shape)
            net.allocate_tensors()
            place["shape"] = images.shape
        if place["dtype"] != np.float32:
            images = to_integers(images)
        net.set_tensor(place["index"], images.astype(place["dtype"]))
        net.invoke()
        outputs = net.get_tensor(result["index"])
        if result["dtype"] == np.float32:
            return outputs
        scale, zero = result["quantization"]
        return (outputs.astype("float32") - zero) * np.float32(scale)

    net.allocate_tensors()
    predict.input_type = np.dtype(place["dtype"]).name
    return predict


def onnx(path):
    """Load an .onnx file; return a function images -> outputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (place,) = session.get_inputs()
    return lambda images: session.run(None, {place.name: images.astype("float32")})[0]


def openvino(path):
    """Load an .xml file with its .bin; return a function images -> outputs."""
    from openvino import Core

    # Some CPUs would compute with bfloat16, which is faster and less exact.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    net = Core().compile_model(str(path), "CPU", exact)
    return lambda images: np.array(net(images.astype("float32"))[0])


RUNTIMES = {  # runtime: (its loader, its package, its module)
    "saved_model": (saved_model, "tensorflow", "tensorflow"),
    "litert": (litert, "ai-edge-litert", "ai_edge_litert.interpreter"),
    "onnx": (onnx, "onnxruntime", "onnxruntime"),
    "openvino": (openvino, "openvino", "openvino"),
}


def load(folder, target):
    """Load the network of a target from the folder of targets.json.

    Returns:
        A function from float32 images (n, h, w, c), 0..255, to float32 outputs (n, classes).
    """
    details = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
    row = details["targets"][target]
    return RUNTIMES[row["runtime"]][0](folder / row["file"])


def read_image(file, details):
    """Read an image file as the network takes it: float32 (1, h, w, c), 0..255."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(Image.open(file))
    image = image.convert("L" if details["channels"] == 1 else "RGB")
    height, width = details["resize"]
    if details["keep_aspect_ratio"]:  # the largest centered part, in whole pixels as in Keras
        sides = (
            min(image.width, image.height * width // height),
            min(image.height, image.width * height // width),
        )
        left, top = (image.width - sides[0]) // 2, (image.height - sides[1]) // 2
        image = image.crop((left, top, left + sides[0], top + sides[1]))
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    filters |= {"nearest": Image.Resampling.NEAREST, "lanczos3": Image.Resampling.LANCZOS}
    image = image.resize((width, height), filters[details["interpolation"]])
    left, top = ((a - b) // 2 for a, b in zip((width, height), details["size"][::-1], strict=True))
    image = image.crop((left, top, left + details["size"][1], top + details["size"][0]))
    pixels = np.asarray(image, "float32")
    return pixels.reshape(1, *details["size"], details["channels"])


def probabilities(outputs, details):
    """Return the probabilities of the classes from the outputs of an image."""
    outputs = outputs.astype("float64")
    if details["are_probabilities"]:
        return outputs
    powers = np.exp(outputs - outputs.max())
    return powers / powers.sum()


def peak_bytes():
    """Return the largest memory that this process has had; None where that is not known."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            (line,) = (line for line in file if line.startswith("VmHWM:"))
    except (OSError, ValueError):
        return None
    return 1024 * int(line.split()[1])


def seconds_of(predict, images, count):
    """Return the seconds of `count` calls."""
    seconds = []
    for _ in range(count):
        begun = time.perf_counter()
        predict(images)
        seconds.append(time.perf_counter() - begun)
    return seconds


def serve(folder, target):
    """Answer requests, a line of JSON each, on the standard streams; used by `cvcourse export`."""
    details = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
    *_, module = RUNTIMES[details["targets"][target]["runtime"]]
    __import__(module)
    before = peak_bytes()
    predict = load(folder, target)
    for line in sys.stdin:
        request = json.loads(line)
        images = np.load(request["images"])
        answer = {}
        if "outputs" in request:
            np.save(request["outputs"], predict(images))
        else:
            answer["seconds"] = seconds_of(predict, images, request["count"])
        answer["peak_bytes"] = None if before is None else peak_bytes() - before
        answer["input_type"] = getattr(predict, "input_type", "float32")
        answer["modules"] = [name for name in ("cvcourse", "tensorflow") if name in sys.modules]
        print(json.dumps(answer), flush=True)


def main(arguments):
    """Print the likeliest classes of image files, or the seconds of a batch."""
    path = pathlib.Path(__file__).resolve()
    folder, target = path.parent, path.stem.removeprefix("run_")
    if arguments == ["--serve"]:
        return serve(folder, target)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return None
    details = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
    predict = load(folder, target)
    for argument in arguments:
        if argument.startswith("--time="):
            size = int(argument.partition("=")[2])
            images = np.zeros((size, *details["size"], details["channels"]), "float32")
            predict(images)
            median = np.median(seconds_of(predict, images, 20))
            print(f"batch {size}: {1000 * median:.2f} ms, median of 20")
            continue
        if len(arguments) > 1:
            print(argument)
        found = probabilities(predict(read_image(argument, details))[0], details)
        for place in found.argsort()[::-1][:LIKELIEST]:
            name = details["class_names"][place] if details["class_names"] else place
            print(f"{found[place]:.4f}\t{name}")
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
