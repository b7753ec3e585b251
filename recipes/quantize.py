"""Quantize a network to 8 bits and fewer: after training, and in training.

    cvcourse quantize
    cvcourse quantize --source=runs/train/x --bits=8,4 --qat_epochs=1
    cvcourse quantize --per_tensor --activation_bits=4

Jacob et al., CVPR 2018, https://arxiv.org/abs/1712.05877; Krishnamoorthi 2018,
https://arxiv.org/abs/1806.08342. Batch norm of the network of --source, or of one that is trained
first, is folded. For each number of bits, the weights are rounded, each output channel with its own
scale, and activations in the ranges of some training images: post-training quantization. The
rounded network is then trained further: quantization-aware training. With 8 bits the result is
written to model_int8.tflite, and this file is evaluated, too.

Widths are those of the weights; nothing is selected by the test split.
"""

import dataclasses
import pathlib
import sys
import time

from cvcourse.recipes import train

from cvcourse import recipe
from cvcourse.errors import RunError
from cvcourse.startup import import_tensorflow_quietly, standard_error_closed

USUAL = "fashion_mnist"
SMALL = {  # of mobilenet, for images of 28x28 pixels
    "model_args": {"width": 0.25, "epsilon": 1e-3, "stages": ((64,), (128, 128), (256, 256))},
    "input_shape": (32, 32, 1),
}
KINDS = {"ptq": "post-training", "qat": "quantization-aware", "int8": "int8 file"}
NOTES = (
    "Accuracy in percent. bytes: weights packed into their bits, a float32 scale for each output "
    "channel, biases and other weights in float32. The int8 file is for LiteRT, and also contains "
    "the operations of the network.",
    "Float32 in the column quantization-aware: the folded network after as many further epochs, "
    "without rounding.",
)


@dataclasses.dataclass(frozen=True)
class Config(recipe.SourceFields):
    """Settings; the defaults train a small net with depthwise convolutions."""

    model: str = "mobilenet"
    bits: tuple[int, ...] = recipe.field(
        (8, 6, 4, 3, 2), "bits of a weight, 2 to 8", least=2, below=9, distinct=True
    )
    activation_bits: int = recipe.field(8, "bits of an activation, 2 to 16", least=2, below=17)
    per_tensor: bool = recipe.field(
        False, "also round with one scale for each kernel instead of each output channel"
    )
    calibration_images: int = recipe.field(
        100, "number of training images that set the ranges of activations", least=10
    )
    epochs: int = 5
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 0.005
    weight_decay: float = 0.0
    qat_epochs: int = recipe.field(
        4, "number of epochs of quantization-aware training; 0: none", least=0
    )
    qat_learning_rate: float = recipe.field(
        1e-3, "peak learning rate of quantization-aware training", above=0
    )


def main(config: Config) -> dict:
    """Quantize to each number of bits, evaluate, and report.

    Args:
        config: Config.

    Returns:
        The metrics, with `rows`, a list of dicts.

    Raises:
        UsageError: For a wrong value, or a network that cannot be quantized.
        RunError: If a file or the dataset cannot be read, or calibration images do not fit.
    """
    from cvcourse import fine_tuning

    config = recipe.check(config)
    config = fine_tuning.resolve(config, USUAL)
    if (config.source, config.model, config.dataset) == (None, Config.model, USUAL):
        unset = {name: SMALL[name] for name in SMALL if not getattr(config, name)}
        config = dataclasses.replace(config, **unset)
    config, metrics = recipe.begin(config, "quantize")
    if metrics:
        return metrics
    begun = time.monotonic()
    import_tensorflow_quietly()
    from cvcourse import compression, data, figures, training

    with recipe.open_run(config, "quantize", config.model, config.dataset) as run:
        run.begin()
        trained = fine_tuning.load(config, run, train, check=compression.quantization_aware)
        with data.report_corrupt_images(trained.dataset):
            images = calibration_images(config, trained.dataset.train)
            size = 4 * trained.model.count_params()
            dense = {"bytes": size, **accuracies("float", trained, trained.model)}
            print(f"float: accuracy {accuracy_of(dense):.4f}, {size:,} bytes", flush=True)
            folded = compression.fold_batch_norm(trained.model)
            dense |= trained_further(run, trained, folded, "float")
            rows = [
                quantized(run, trained, images, bits, per_channel)
                for per_channel in ((True, False) if config.per_tensor else (True,))
                for bits in config.bits
            ]
        lines = {
            f"{title}{'' if per_channel else ', per tensor'}": {
                row["bits"]: accuracy_of(row, key)
                for row in rows
                if row["per_channel"] == per_channel and accuracy_of(row, key) is not None
            }
            for per_channel in (True, False)
            for key, title in KINDS.items()
        }
        split = "validation" if trained.dataset.test is None else "test"
        title = f"{config.model} on {pathlib.Path(config.dataset).stem}"
        return training.write_report(
            run.path,
            metrics={
                "float": dense,
                "rows": rows,
                "activation_bits": config.activation_bits,
                "calibration_images": len(images),
                "qat_epochs": config.qat_epochs,
                "parameters": trained.model.count_params(),
                "seed": config.seed,
                "seconds": round(time.monotonic() - begun, 1),
            },
            title=f"Quantization: {title}",
            lead=lead(config, dense, rows),
            sections=[
                {
                    "caption": f"Accuracy on {split} data",
                    "table": table(dense, rows),
                    "figure": figures.accuracy_by_bits(
                        accuracy_of(dense), {name: line for name, line in lines.items() if line}
                    ),
                    "notes": NOTES,
                }
            ],
            config=dataclasses.asdict(config),
        )


def calibration_images(config, split):
    """Draw the images that set the ranges of activations from the training split."""
    import numpy as np

    order = np.random.default_rng(config.seed).permutation(len(split))
    return np.asarray(split.images[np.sort(order[: config.calibration_images])])


def quantized(run, trained, images, bits, per_channel):
    """Quantize to a number of bits, after training and in training; return the row of metrics."""
    from cvcourse import compression

    config, begun = run.config, time.monotonic()
    name = f"{bits}_bits" + ("" if per_channel else "_per_tensor")
    model = compression.quantization_aware(
        trained.model, bits, activation_bits=config.activation_bits, per_channel=per_channel
    )
    try:
        model = compression.calibrate(model, images)
    except ValueError as error:
        raise RunError(str(error)) from error
    row = {
        "bits": bits,
        "per_channel": per_channel,
        "bytes": compression.quantized_bytes(model),
        **accuracies("ptq", trained, model),
    }
    row |= trained_further(run, trained, model, name)
    if bits == config.activation_bits == 8 and per_channel:
        row |= int8_file(run.path / "model_int8.tflite", trained, model)
    row["seconds"] = round(time.monotonic() - begun, 1)
    found = {title: accuracy_of(row, key) for key, title in KINDS.items()}
    texts = [f"{title} {value:.4f}" for title, value in found.items() if value is not None]
    print(f"{name}: accuracy {', '.join(texts)}, {row['bytes']:,} bytes", flush=True)
    return row


def trained_further(run, trained, model, name):
    """Train a model for --qat_epochs in a folder of the run; return its accuracies as metrics."""
    from cvcourse import fine_tuning

    epochs, rate = run.config.qat_epochs, run.config.qat_learning_rate
    if not epochs:
        return {}
    fine_tuning.fine_tune(model, run, name, trained.dataset, epochs=epochs, learning_rate=rate)
    return accuracies("qat", trained, model)


def accuracies(kind, trained, model):
    """Return the accuracies of a model on the validation and test split, as metrics."""
    from cvcourse import fine_tuning

    validation, test = fine_tuning.evaluate(model, trained.dataset)
    return {
        f"{kind}_val_accuracy": validation.accuracy,
        f"{kind}_test_accuracy": test and test.accuracy,
    }


def int8_file(path, trained, model):
    """Write a LiteRT file and evaluate it; return its metrics, none if LiteRT cannot represent it.

    LiteRT cannot resize photos as networks of `cvcourse transfer` do: the file takes resized ones.
    """
    from cvcourse import classifier
    from cvcourse.compression import litert
    from cvcourse.files import write_bytes

    with standard_error_closed():  # against messages of C++ code
        try:
            file = litert.convert(classifier.without_resizing(model)[1])
        except ValueError as error:
            print(f"no int8 file: {error}", flush=True)
            return {}
        found = {"int8_bytes": len(file)}
        splits = {"val": trained.dataset.validation, "test": trained.dataset.test}
        for name, split in splits.items():
            found[f"int8_{name}_accuracy"] = split and float(
                (litert.predict(file, split.images[:]).argmax(1) == split.labels).mean()
            )
    write_bytes(path, file)
    print(f"int8 file: {path}", flush=True)
    return found


def accuracy_of(row, kind="float"):
    """Return the accuracy on test data, or on validation data without a test split."""
    test = row.get(f"{kind}_test_accuracy")
    return row.get(f"{kind}_val_accuracy") if test is None else test


def lead(config, dense, rows):
    """Yield the first paragraphs of the report."""
    yield (
        f"Batch norm is folded; weights are rounded to the stated bits, activations to "
        f"{config.activation_bits} bits in the ranges of {config.calibration_images} training "
        f"images. Epochs of quantization-aware training after that: {config.qat_epochs}."
    )
    for row in rows:
        changes = [
            f"{title} {100 * (accuracy_of(row, kind) - accuracy_of(dense)):+.2f}"
            for kind, title in KINDS.items()
            if accuracy_of(row, kind) is not None
        ]
        scale = "" if row["per_channel"] else ", one scale for each kernel"
        yield f"{row['bits']} bits{scale}, points against float: {', '.join(changes)}."


def table(dense, rows):
    """Return the table of the report: rows of texts, titles first."""

    def cells(row, *kinds):
        values = (accuracy_of(row, kind) for kind in kinds)
        return ["–" if value is None else f"{100 * value:.2f}" for value in values]

    size = dense["bytes"]
    return [
        ["weights", *KINDS.values(), "bytes", "ratio", "bytes of the int8 file"],
        [
            "float32, not rounded",
            *cells(dense, "float", "qat", "int8"),
            f"{size:,}",
            "1.0",
            "–",
        ],
        *(
            [
                f"{row['bits']} bits" + ("" if row["per_channel"] else ", per tensor"),
                *cells(row, *KINDS),
                f"{row['bytes']:,}",
                f"{size / row['bytes']:.1f}",
                f"{row['int8_bytes']:,}" if "int8_bytes" in row else "–",
            ]
            for row in rows
        ),
    ]


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
