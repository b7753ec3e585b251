"""Compare direct, im2col, FFT and Winograd convolution, and filter a photo.

    cvcourse convolution
    cvcourse convolution --photo=holiday.jpg --channels=64 --filters=64

All methods give the same outputs, by different numbers of multiplications and with different
rounding errors; in float16, every product and every sum is rounded. im2col is one large product of
matrices. The FFT's time hardly depends on the kernel, so that large kernels favor it. A convolution
by a fixed kernel is a filter: a blur, an edge detector. CS231n notes,
https://cs231n.github.io/convolutional-networks; Lavin & Gray 2015,
https://arxiv.org/abs/1509.09308. The methods are in `cvcourse/classic/fast_convolution.py`.
report.html in the run directory shows the tables and figures, metrics.json contains the numbers.
"""

import dataclasses
import importlib.resources
import math
import os
import sys
import time

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

LARGEST = 15  # kernel
GENERAL = ("direct", "im2col", "FFT")  # methods for kernels of any size
PRECISIONS = ("float16", "float32")
PHOTO_SIZE = 256, 384  # the photo's center is scaled to this height and width
FREQUENCIES = 64
CREDIT = "Photo by danielbuechele, CC BY 2.0, from scikit-learn"
EXAMPLES = {  # of the notes, and one of 3 x 3: (image, filters, kernel, stride, pad)
    "first of AlexNet, in the notes": ((3, 227, 227), 96, 11, 4, 0),
    "second of VGG-16": ((64, 224, 224), 64, 3, 1, 1),
}


@dataclasses.dataclass(frozen=True)
class Config(recipe.RunFields):
    """Settings of the comparison."""

    photo: str | None = recipe.field(None, "photo to filter; none: one of scikit-learn's")
    images: int = recipe.field(4, "number of images", least=1)
    channels: int = recipe.field(16, "number of channels of an image", least=1)
    filters: int = recipe.field(16, "number of filters", least=1)
    size: int = recipe.field(64, "height and width of an image", least=LARGEST)
    rounds: int = recipe.field(7, "measurements of each time", least=1)
    seed: int = recipe.field(0, "random seed of images and filters", least=0, below=2**32)


def main(config: Config) -> dict:
    """Measure the methods, filter the photo, and write the report.

    Args:
        config: Config.

    Returns:
        The metrics.
    """
    config, metrics = recipe.begin(config, "convolution", shown=lambda found: found["crossing"])
    if metrics:
        return metrics
    import_tensorflow_quietly()
    from cvcourse import data, figures, training
    from cvcourse.classic import convolution, filters

    photo = data.read_photo(config.photo or example_photo(), channels=1, size=PHOTO_SIZE)[..., 0]
    with recipe.open_run(config, "convolution") as run:
        run.begin()
        methods, seconds = of_3x3(config), by_kernel(config)
        crossing = {name: overtaken(seconds[name], seconds["FFT"]) for name in GENERAL[:2]}
        examples = {
            name: convolution.conv_sizes(shape, count, (kernel, kernel), stride, pad)
            for name, (shape, count, kernel, stride, pad) in EXAMPLES.items()
        }
        responses = {
            name: filters.frequency_response(kernel, FREQUENCIES)
            for name, kernel in filters.FILTERS.items()
        }
        results = {
            name: filters.filter_image(photo, kernel) for name, kernel in filters.FILTERS.items()
        }
        found = tables(methods, seconds, examples)
        sentences = [crossed(name, size) for name, size in crossing.items()]
        for caption, rows in found.items():
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            print(f"\n{caption}")
            for cells in rows:
                print("  ".join(map(str.rjust, cells, widths)))
        print(*sentences, sep="\n")
        points = {name: {3: row["seconds"]} for name, row in methods.items() if name not in GENERAL}
        return training.write_report(
            run.path,
            title="Convolution: four methods, and filters",
            metrics={
                "methods": methods,
                "seconds": seconds,
                "crossing": crossing,
                "im2col": examples,
                "seed": config.seed,
            },
            lead=[
                f"{config.images} images {config.size} x {config.size} of {config.channels} "
                f"channels, {config.filters} filters, stride 1, padded to keep the size; unit "
                f"Gaussian. Times: medians (quartiles) of {config.rounds} runs in turn, in float32 "
                "on one core, by NumPy and SciPy.",
                " ".join(sentences),
                "Products of an image's and a filter's value are counted, and products with "
                "constants of the transforms other than 0, 1 and -1. Errors: largest difference "
                "from float64, relative to the largest output. In float16 every product and sum is "
                "rounded to float16; the FFT computes in float32 or float64 only.",
            ],
            tables=found,
            figures={"Time by size of the kernel": figures.time_by_kernel(seconds | points)},
            sections=[
                {
                    "caption": "Filters of a photo",
                    "paragraphs": [
                        "The response is what a filter multiplies each frequency by: black is 0, "
                        "frequency 0 is in the middle. Gray is 0 if a kernel sums to 0. "
                        + (f"Photo: {config.photo}." if config.photo else f"{CREDIT}.")
                    ],
                    "figure": figures.filtered_photos(filters.FILTERS, results, responses),
                }
            ],
            config=dataclasses.asdict(run.config),
        )


def example_photo():
    """Return the path of a photo that scikit-learn contains."""
    return os.fspath(importlib.resources.files("sklearn.datasets.images") / "china.jpg")


def draw(config, kernel):
    """Draw images (N, C, H, W) and filters (F, C, kernel, kernel), unit Gaussian, float32."""
    import numpy as np

    rng = np.random.default_rng([config.seed, kernel])
    x = rng.standard_normal((config.images, config.channels, config.size, config.size), "float32")
    w = rng.standard_normal((config.filters, config.channels, kernel, kernel), "float32")
    return x, w


def times(config, kernel, methods):
    """Measure methods in turn: {method: {"median", "quartiles"} in seconds}."""
    from threadpoolctl import threadpool_limits

    from cvcourse.classic.fast_convolution import METHODS
    from cvcourse.training import timing

    x, w = draw(config, kernel)

    def clocked(method):
        start = time.perf_counter()
        METHODS[method](x, w, kernel // 2)
        return [time.perf_counter() - start]

    with threadpool_limits(1):  # one core for all: SciPy's FFT has one, NumPy's products all
        turns = timing.take_turns(
            {method: lambda method=method: clocked(method) for method in methods}, config.rounds
        )
    return {method: timing.quartiles(values) for method, values in turns.items()}


def of_3x3(config):
    """Compare all methods for filters of 3 x 3: {method: multiplications, errors, seconds}."""
    import numpy as np

    from cvcourse.classic import fast_convolution

    x, w = draw(config, 3)
    seconds = times(config, 3, fast_convolution.METHODS)
    return {
        method: {
            **fast_convolution.multiplications(method, x.shape, w.shape, 1),
            **{
                f"error_{dtype}": None
                if (method, dtype) == ("FFT", "float16")
                else fast_convolution.rounding_error(
                    method, x.astype(np.dtype(dtype)), w.astype(np.dtype(dtype)), 1
                )
                for dtype in PRECISIONS
            },
            "seconds": seconds[method],
        }
        for method in fast_convolution.METHODS
    }


def by_kernel(config):
    """Measure the methods for odd kernels: {method: {size: {"median", "quartiles"}}}."""
    found = {method: {} for method in GENERAL}
    for kernel in range(1, LARGEST + 1, 2):
        for method, row in times(config, kernel, GENERAL).items():
            found[method][kernel] = row
    return found


def overtaken(slow, fast):
    """Return the size from which on the medians of `fast` are smaller; None if it never is."""
    slower = [size for size in slow if fast[size]["median"] >= slow[size]["median"]]
    return next((size for size in slow if size > max(slower, default=0)), None)


def crossed(name, size):
    """Describe a result of `overtaken`."""
    if size is None:
        return f"At {LARGEST} x {LARGEST} the FFT isn't faster than {name}."
    return f"The FFT is faster than {name} from {size} x {size} on."


def tables(methods, seconds, examples):
    """Format the tables: {caption: rows of texts}."""
    direct = methods["direct"]["products"]
    return {
        "Filters of 3 x 3": [
            [
                "method",
                "products",
                "times fewer",
                "with constants",
                *(f"error, {dtype}" for dtype in PRECISIONS),
                "ms",
            ],
            *(
                [
                    method,
                    f"{row['products']:,}",
                    f"{direct / row['products']:.2f}",
                    f"{row['constants']:,}",
                    *(
                        "–" if row[f"error_{dtype}"] is None else f"{row[f'error_{dtype}']:.1e}"
                        for dtype in PRECISIONS
                    ),
                    milliseconds(row["seconds"]),
                ]
                for method, row in methods.items()
            ),
        ],
        "Milliseconds by size of the kernel": [
            ["kernel", *seconds],
            *(
                [f"{size} x {size}", *(milliseconds(rows[size]) for rows in seconds.values())]
                for size in seconds["direct"]
            ),
        ],
        "A convolution as a product of matrices": [
            ["layer", "filters", "columns of im2col", "output", "copy of the image"],
            *(
                [
                    name,
                    "{} x {}".format(row["output"][0], row["im2col"][0]),
                    "{:,} x {:,}".format(*row["im2col"]),
                    "{} x {} x {}".format(*row["output"]),
                    f"{copies(name, row):.1f} times as large",
                ]
                for name, row in examples.items()
            ),
        ],
    }


def copies(name, row):
    """Return how many times as large as the image the matrix of im2col is."""
    return math.prod(row["im2col"]) / math.prod(EXAMPLES[name][0])


def milliseconds(row):
    """Format median and quartiles."""
    low, high = row["quartiles"]
    return f"{1e3 * row['median']:.1f} ({1e3 * low:.1f} to {1e3 * high:.1f})"


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
