"""Compute features of photos on disk, compared with `predict` of the network.

    cvcourse bench features
    cvcourse bench features --networks=mobilenet_v2 --dataset=PATH

Reading, decoding, resizing and scaling run in parallel to the network; `predict` receives prepared
images in memory. Blocks of both alternate. Without `--dataset`, JPEG files are generated.
"""

import dataclasses
import pathlib
import sys
import tempfile
import time

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

TARGET = 0.95  # of the images per second of `predict`
HEIGHT, WIDTH, QUALITY = 256, 340, 90  # of generated photos


@dataclasses.dataclass(frozen=True)
class Config:
    """Networks, photos and rounds of the benchmark."""

    networks: tuple[str, ...] = recipe.field(("mobilenet_v2", "resnet50"), "networks to measure")
    dataset: str | None = recipe.field(None, "folder of images; none: generated photos")
    photos: int = recipe.field(192, "number of photos per block", least=8)
    batch_size: int = recipe.field(32, "batch size", least=1)
    rounds: int = recipe.field(7, "number of timed blocks of each contestant", least=1)
    output: str = recipe.field("runs/bench_features.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    from cvcourse.training import timing

    load = timing.load_average()
    rates, checks = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        dataset = config.dataset or made_photos(folder / "photos", config.photos)
        for name in config.networks:
            seconds = race(config, name, dataset, folder)
            found = timing.ratios(seconds, "predict", "features")
            checks[f"{name}: features / predict"] = timing.check(found, at_least=TARGET)
            rates[name] = {
                who: timing.quartiles(config.photos / times) for who, times in seconds.items()
            }
    return timing.write_benchmark(
        output, config, checks=checks, load=load, versions={}, images_per_second=rates
    )


def race(config, name, dataset, folder):
    """Measure one network, with random weights: {contestant: seconds of a block (rounds, 1)}."""
    import keras
    import numpy as np

    from cvcourse import data, training
    from cvcourse.models import pretrained
    from cvcourse.training import timing

    with recipe.user_errors():
        published = pretrained.find(name)
        photos = data.load(dataset)
    net = pretrained.build_source(published.network, **published.form)
    resize = pretrained.resize_of(published)
    photos = photos.resized(resize, published.interpolation, crop=published.resize > 0)
    split = photos.train.take(np.arange(config.photos) % len(photos.train))
    model = pretrained.with_preprocessing(net, published, photos.input_shape)
    last = training.depths(model)[training.LAST]
    extractor = keras.Model(model.input, {training.LAST: training.vector(last)})
    body = keras.Model(net.input, training.vector(training.depths(net)[training.LAST]))
    ready = np.random.default_rng(0).normal(size=(config.photos, *net.input_shape[1:]))
    ready = ready.astype("float32")

    def features():
        batches = data.stream(split, batch_size=config.batch_size, seed=0, shuffle=False)
        begin = time.perf_counter()
        training.computed_features(extractor, len(split), batches)
        return [time.perf_counter() - begin]

    def predict():
        begin = time.perf_counter()
        body.predict(ready, batch_size=config.batch_size, verbose=0)
        return [time.perf_counter() - begin]

    return timing.take_turns({"predict": predict, "features": features}, config.rounds)


def made_photos(folder, count):
    """Write a folder of JPEG files that are as smooth as photos, and so have similar sizes."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, files in (("train", count), ("val", 1)):
        for label in ("a", "b"):
            (folder / split / label).mkdir(parents=True)
        for i in range(2 * -(-files // 2)):
            coarse = rng.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), "uint8")
            photo = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.BICUBIC)
            noise = rng.integers(-8, 9, (HEIGHT, WIDTH, 3))
            pixels = np.uint8(np.clip(np.asarray(photo, int) + noise, 0, 255))
            Image.fromarray(pixels).save(folder / split / "ab"[i % 2] / f"{i}.jpg", quality=QUALITY)
    return str(folder)


cli = recipe.cli(main, "bench features")


if __name__ == "__main__":
    sys.exit(cli())
