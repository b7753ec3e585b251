"""Say what is in a photo: a network that knows ImageNet looks, a sequence net finds the words.

    cvcourse caption --photos=flickr8k/
    cvcourse caption --photos=flickr8k/ --model=caption_transformer --backbone=resnet50
    cvcourse caption --config=DIR/config.json --workdir=DIR --caption=photo.jpg  (of a finished run)

The folder has a captions file of Flickr8k's form (captions.csv, captions.txt, Flickr8k.token.txt,
or --captions_file). The frozen backbone's feature maps are computed once and kept; the net learns
from them to say the training captions' words. CS231n's assignments for caption_lstm, which begins
with the map's mean; Xu et al., "Show, Attend and Tell", ICML 2015,
https://arxiv.org/abs/1502.03044, for caption_attention, which looks at the map for each word.
Validation photos choose the epoch; the test photos' captions, by beam search, are judged once, by
BLEU against all that people wrote. The saved model.keras takes feature maps (`memory`) and tokens;
its class names are the vocabulary.
"""

import dataclasses
import functools
import math
import pathlib
import sys

from cvcourse import distribution, recipe
from cvcourse.startup import import_tensorflow_quietly

MODELS = tuple(f"caption_{kind}" for kind in ("lstm", "gru", "rnn", "attention", "transformer"))
SET_BY = {  # what is no knob of --model_args where a flag or the data set it
    "dropout": "--dropout",
    "length": "--longest",
    "num_classes": "the captions",
    "memory_shape": "--backbone",
    **dict.fromkeys(("cell", "name"), "--model"),
    **dict.fromkeys(("input_shape", "padding", "part"), "the recipe"),
}
LENGTH = 5.0  # of a place's vector
AT_ONCE = 32  # photos that are looked at, and captioned
SHOWN, LOOKED_AT = 15, 5  # photos in the report, and those of them with maps of attention
DARK = 0.35  # the share of light left where nobody looks


@dataclasses.dataclass(frozen=True)
class Config(
    recipe.RunFields,
    recipe.CacheFields,
    recipe.DeviceFields,
    recipe.StoppingFields,
    recipe.ScheduleFields,
    recipe.FitFields,
    recipe.WeightsFields,
):
    """The settings of a run; the defaults are measured on 100 photos of Flickr8k."""

    photos: str | None = recipe.field(
        None, "the folder of the photos and their captions file", vouched=True
    )
    captions_file: str | None = recipe.field(None, "none: a file of a usual name in the folder")
    missing: str = recipe.field(
        "error", "a photo that the captions file names and is not there", choices=("error", "skip")
    )
    limit: int | None = recipe.field(None, "the first N photos of each split: a smoke run", least=1)
    backbone: str = recipe.field("efficientnet_lite0", "a network with published weights")
    backbone_args: dict = recipe.field({}, "its builder's knobs, such as width=0.25")
    size: int | None = recipe.field(
        None, "side of the images the backbone sees, in pixels; none: its weights' own", least=16
    )
    model: str = recipe.field("caption_attention", "the net that says words", choices=MODELS)
    model_args: dict = recipe.field({}, "its builder's knobs, such as units=512 or dim=128,depth=4")
    least: int = recipe.field(2, "how often a word occurs in training captions to be said", least=1)
    longest: int = recipe.field(40, "words of a caption, read or said", least=1)
    too_long: str = recipe.field(
        "error", "a caption of more words than --longest", choices=("error", "cut")
    )
    epochs: int = 60
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    weight_decay: float = 0.0
    clip_norm: float | None = 5.0
    patience: int | None = 5
    dropout: float = recipe.field(0.3, "between the net's layers", least=0, below=1)
    beams: int = recipe.field(5, "captions kept while searching for the likeliest", least=1)
    length_penalty: float = recipe.field(0.6, "how much longer captions are preferred", least=0)
    caption: str | None = recipe.field(None, "a photo to caption with the finished net", free=True)

    MISFITS = (
        lambda c: (
            "--photos names the folder of the photos and their captions file"
            if c.photos is None
            else None
        ),
    )


def main(config):
    """Train, caption the test photos once, report; of a finished run only caption a photo.

    Returns what metrics.json holds. Raises UsageError for a wrong value or another run's workdir,
    RunError for what goes wrong in data, files or training, Interrupted after Ctrl-C or SIGTERM.
    """
    config, metrics = recipe.begin(config, "caption")
    if metrics:
        if config.caption:
            import_tensorflow_quietly()
            with recipe.usage():
                eye = load_eye(config)
            say(config.caption, eye, Speaker.of_run(config, config.workdir))
        return metrics
    distribution.require_one_process(config.strategy)
    import_tensorflow_quietly()
    import keras

    from cvcourse import data, optimization, sequence, training

    with recipe.usage():
        captions = read(config)
        texts = [text for photo in captions.train for text in photo.captions]
        vocabulary = data.Vocabulary.of_words(texts, config.least)
        eye = load_eye(config)
        settings = net(config, len(vocabulary), eye.model.output["features"].shape[1:])
        batch_size = min(config.batch_size, len(texts))
        steps = len(texts) // batch_size
        devices = distribution.of(config)
        devices.require_divisible(batch_size)
        loss = optimization.LOSSES["softmax"]
        keras.utils.set_random_seed(config.seed)
        with devices.scope(), training.precision(config.precision):
            model = sequence.build(config.model, **settings)
            model.compile(
                optimization.of(config, model, steps),
                loss(reduction="mean_with_sample_weight"),  # padding weighs 0
                weighted_metrics=training.weighted_metrics(loss),
            )
        devices.ready(model)
    if config.caption:
        eye.square(config.caption)  # before the long part: can it be?
    maps = {split: eye.features(photos) for split, photos in vars(captions).items() if photos}
    train, validation = (
        rows(photos, vocabulary, config.longest) for photos in (captions.train, captions.validation)
    )
    shuffled = functools.partial(
        batches, train, maps["train"], batch_size=batch_size, seed=config.seed
    )
    judged = functools.partial(
        batches, validation, maps["validation"], batch_size=batch_size, shuffle=False
    )
    with recipe.claim(config, "caption", config.model, config.photos) as run:
        initial = model.evaluate(judged(), verbose=0, return_dict=True)["data_loss"]
        print(
            f"{len(texts)} captions of {len(captions.train)} photos; initial loss {initial:.3f}, "
            f"and ln {len(vocabulary)} is {math.log(len(vocabulary)):.3f}",
            flush=True,
        )
        trained = training.fit(
            model,
            run,
            shuffled,
            judged,
            steps_per_epoch=steps,
            batch_size=batch_size,
            data=data.fingerprint((train, validation, maps["train"], maps["validation"])),
            names=vocabulary.tokens,
            devices=devices,
        )
        speaker = Speaker.of_run(config, run.path)
        said = {
            split: speaker.captions(maps[split])
            for split in ("test", "validation")
            if split in maps
        }
        bleu = {
            split: sequence.bleu(texts, references(getattr(captions, split)))
            for split, texts in said.items()
        }
        metrics = {
            **{f"test_{name}": bleu.get("test", {}).get(name) for name in bleu["validation"]},
            **{f"val_{name}": value for name, value in bleu["validation"].items()},
            "val_loss": trained.history[trained.best_epoch - 1]["val_loss"],
            "initial_loss": initial,
            **training.facts(trained, model, config),
            "vocabulary": len(vocabulary),
            "photos": {split: len(photos) for split, photos in vars(captions).items()},
            "weights": str(eye.published),
        }
        metrics = report(run, metrics, trained, speaker, eye, captions, maps, said, bleu)
    for split, values in bleu.items():
        print(f"{split} BLEU-1 to 4: {'  '.join(f'{value:.4f}' for value in values.values())}")
    print(f"report: {run.path / 'report.html'}\nmodel: {run.path / 'model.keras'}")
    if config.caption:
        say(config.caption, eye, speaker)
    return metrics


# ---- captions ----


def read(config):
    """The Captions of a config. Raises DataError for what cannot be learned from."""
    from cvcourse import data

    captions = data.load_captions(
        config.photos, config.captions_file, limit=config.limit, missing=config.missing
    )
    if not captions.validation:
        raise data.DataError(f"{config.photos} has no validation photo to choose the epoch by")
    texts = [
        (photo.path.name, text, len(data.words(text)))
        for photo in (*captions.train, *captions.validation)
        for text in photo.captions
    ]
    if any(data.unspaced(text) for _, text, _ in texts):
        print("captions in a script without blanks between words: each character is a word")
    long = [of for of in texts if of[2] > config.longest]
    if long and config.too_long == "error":
        name, text, length = long[0]
        raise data.DataError(
            f"{name} has a caption of {length} words, more than --longest={config.longest}: "
            f"{text[:60]!r}; {len(long)} of {len(texts)} captions are longer: raise it, or choose "
            "--too_long=cut"
        )
    if long:
        print(f"{len(long)} of {len(texts)} captions are cut to {config.longest} words")
    return captions


def rows(photos, vocabulary, longest):
    """A row for each caption: which photo and <start> w1 ... wn, then w1 ... wn <end>, weights.

    Padding weighs 0, and so does <unk>: it is read, but never to be said. <end> is said, and read
    by nobody. A caption that was cut has no <end>.
    """
    import numpy as np

    from cvcourse import data

    texts = [(i, text) for i, photo in enumerate(photos) for text in photo.captions]
    ids = [vocabulary.encode(text) for _, text in texts]
    ids = [one if len(one) <= longest + 2 else one[: longest + 1] for one in ids]
    table = np.full((len(ids), max(map(len, ids))), data.PAD, "int32")
    for row, one in zip(table, ids, strict=True):
        row[: len(one)] = one
    labels = table[:, 1:]
    tokens = np.where(labels == data.PAD, data.PAD, table[:, :-1])
    inputs = {"photo": np.array([i for i, _ in texts], "int32"), "tokens": tokens}
    return inputs, labels, np.isin(labels, (data.PAD, data.UNK), invert=True).astype("float32")


def batches(rows, maps, **options):
    """data.stream_rows of `rows`, with each photo's number replaced by its map (m, c): `memory`."""
    import tensorflow as tf

    from cvcourse import data

    with tf.device("CPU:0"):
        maps = tf.constant(maps)

    def with_maps(inputs, labels, weights):
        memory = tf.gather(maps, inputs["photo"])
        return {"memory": memory, "tokens": inputs["tokens"]}, labels, weights

    return data.stream_rows(rows, **options).map(with_maps, tf.data.AUTOTUNE)


def references(photos):
    """What people wrote of each photo, as the vocabulary reads it: a list of texts for each."""
    from cvcourse import data

    return [[" ".join(data.words(text)) for text in photo.captions] for photo in photos]


def in_batches(count):
    """The numbers below `count` in arrays of AT_ONCE, the last filled up: one shape, one graph."""
    import numpy as np

    for begin in range(0, count, AT_ONCE):
        yield np.minimum(np.arange(begin, begin + AT_ONCE), count - 1)


# ---- what looks ----


def load_eye(config):
    """The backbone of a config as an Eye.

    Raises ValueError and RunError for weights, sizes and knobs that do not go together.
    """
    import keras

    from cvcourse.models import pretrained

    settings = dict(config.backbone_args)
    for knob in ("input_shape", "num_classes"):
        if knob in settings:
            raise ValueError(f"--backbone_args: {knob} is set by --size, or not needed")
    if config.size:
        settings["input_shape"] = (config.size, config.size, 3)
    net, published = pretrained.load_published(
        config.backbone,
        config.weights,
        weights_dir=config.weights_dir,
        allow_noncommercial=config.allow_noncommercial,
        num_classes=1000,  # of a classifier that is not used, and that a file may lack
        **settings,
    )
    size = net.input_shape[1]
    side = pretrained.resize_of(published, size)
    seeing = pretrained.from_photos(net, published, (side, side, 3))
    features = seeing.get_layer("features").output
    if len(features.shape) == 4:
        grid = features.shape[1:3]
    else:  # a ViT's tokens, of which the first may stand for all
        grid = (math.isqrt(features.shape[1]),) * 2
        features = features[:, features.shape[1] - math.prod(grid) :]
    features = keras.layers.Reshape((math.prod(grid), features.shape[-1]), name="places")(features)
    # Of the length 1, and scaled to one where neither the map nor the words drown each other.
    features = keras.layers.UnitNormalization(dtype="float32", name="of_length_1")(features)
    features = keras.layers.Rescaling(LENGTH, dtype="float32", name="length")(features)
    model = keras.Model(seeing.input, {"features": features}, name="eye")
    return Eye(model, published, grid, size, config)


@dataclasses.dataclass(frozen=True)
class Eye:
    """A backbone behind the preprocessing of its weights, and what it makes of photos."""

    model: object  # keras.Model from squares of 0..255 to {"features": (n, m, c)}
    published: object
    grid: tuple  # the map's h and w; m is their product
    size: int  # of the middle of the square that the backbone sees, in pixels
    config: Config

    def square(self, path):
        """A photo's file as the model takes it, (side, side, 3). Raises DataError naming it."""
        import keras
        import numpy as np

        from cvcourse import data

        square = keras.ops.image.resize(
            data.read_photo(pathlib.Path(path).expanduser()).astype("float32"),
            self.model.input_shape[1:3],
            interpolation=self.published.interpolation,
            antialias=True,
            crop_to_aspect_ratio=self.published.resize > 0,
        )
        return np.asarray(square)

    def seen(self, path):
        """What the backbone sees of a photo: (size, size, 3) uint8."""
        import numpy as np

        square = self.square(path)
        before = (len(square) - self.size) // 2
        middle = slice(before, before + self.size)
        return np.uint8(np.clip(square[middle, middle].round(), 0, 255))

    def features(self, photos):
        """The maps of CaptionedPhotos, (n, m, c): computed once, and kept on disk."""
        import types

        import numpy as np

        from cvcourse import data, training

        files = [photo.path for photo in photos]
        shape = (len(files), *self.model.input_shape[1:])
        images = types.SimpleNamespace(files=files, shape=shape, in_memory=False)
        split = data.Split(images, np.arange(len(files)))
        found = training.features(self.model, split, self.squares, cache_dir=self.config.cache_dir)
        return found["features"]

    def squares(self, split):
        """The batches of a split of files."""
        import numpy as np

        print(f"computing the features of {len(split)} photos by {self.published}", flush=True)
        for places in in_batches(len(split)):
            yield (np.stack([self.square(split.images.files[i]) for i in places]),)


# ---- what speaks ----


def net(config, words, memory_shape):
    """The settings that `sequence.build` makes the net of. Raises ValueError for a wrong knob."""
    from cvcourse import data, sequence

    for knob in config.model_args:
        if knob in SET_BY:
            raise ValueError(f"--model_args: {knob} is set by {SET_BY[knob]}")
    defaults, knobs = {}, sequence.knobs(config.model)
    settings = {"num_classes": words, "memory_shape": memory_shape, "dropout": config.dropout}
    if "length" in knobs:
        settings["length"] = config.longest + 2  # with <start> and <end>
    if "doubly_stochastic" in knobs:
        defaults["doubly_stochastic"] = 1.0
        settings["padding"] = data.PAD
    return defaults | config.model_args | settings


@dataclasses.dataclass(frozen=True)
class Speaker:
    """A trained net and its words: maps -> captions."""

    model: object  # keras.Model from memory and tokens to logits
    vocabulary: object
    generator: object
    config: Config

    @classmethod
    def of_run(cls, config, workdir):
        """The best epoch's net in a run's directory."""
        from cvcourse import data, sequence, training

        model, tokens = training.load_model(pathlib.Path(workdir).expanduser() / "model.keras")
        vocabulary = data.Vocabulary(tokens, " ")
        settings = net(config, len(vocabulary), model.input["memory"].shape[1:])
        generator = sequence.Generator(config.model, model, **settings)
        return cls(model, vocabulary, generator, config)

    def captions(self, maps):
        """The likeliest beam's words of each map (n, m, c): n texts."""
        import numpy as np

        from cvcourse import data

        texts, config = [], self.config
        for places in in_batches(len(maps)):
            found, _ = self.generator.beam_search(
                np.full((AT_ONCE, 1), data.START),
                config.longest + 1,
                beams=config.beams,
                length_penalty=config.length_penalty,
                end=data.END,
                suppress_tokens=(data.PAD, data.START, data.UNK),  # which no label ever is
                memory=maps[places],
            )
            texts += [self.vocabulary.decode(best[0]) for best in found]
        return texts[: len(maps)]

    def looks(self, maps, texts):
        """Where it looks in maps (n, m, c) to say each word of n texts: n times (words, m).

        Of a Transformer, the mean over the heads of its last block. None for a net that does not.
        """
        import keras
        import numpy as np

        across = [one for one in self.model.layers if one.name.endswith("_memory_attention")]
        if across:
            weights = keras.ops.mean(across[-1].output, axis=1)
        elif self.config.model == "caption_attention":
            weights = self.model.get_layer("layer1").output[0]  # of {alpha, c, h, z}
        else:
            return None
        before = [self.vocabulary.encode(text)[:-2] for text in texts]  # what precedes each word
        tokens = np.zeros((len(texts), max(1, *map(len, before))), "int32")
        for row, one in zip(tokens, before, strict=True):
            row[: len(one)] = one
        tap = keras.Model(self.model.input, weights)
        found = tap.predict_on_batch({"memory": maps, "tokens": tokens})
        return [one[: len(words)] for one, words in zip(found, before, strict=True)]


def say(photo, eye, speaker):
    """Print what a net says of the photo in a file. Raises DataError for a file that is none."""
    import numpy as np

    maps = eye.model(eye.square(photo)[None], training=False)["features"]
    print(f"{photo}: {speaker.captions(np.asarray(maps))[0]}")


# ---- the report ----


def report(run, metrics, resume, speaker, eye, captions, maps, said, bleu):
    """Write report.html and metrics.json; returns the metrics."""
    import numpy as np

    from cvcourse import training

    split = "test" if "test" in said else "validation"
    photos = getattr(captions, split)
    shown = np.unique(np.linspace(0, len(photos) - 1, SHOWN).astype(int))
    pictures = {i: eye.seen(photos[i].path) for i in shown}
    galleries = {
        f"What it says of {split} photos, and what one of those who wrote did": [
            (pictures[i], f"{said[split][i]}\n({photos[i].captions[0]})") for i in shown
        ]
    }
    few = shown[:LOOKED_AT]
    looks = speaker.looks(maps[split][few], [said[split][i] for i in few])
    for i, where in zip(few, looks or (), strict=False):
        galleries[f"{photos[i].path.name}: where it looks to say each word"] = [
            (lit(pictures[i], look, eye.grid), word)
            for look, word in zip(where, said[split][i].split(), strict=True)
        ]
    return training.write_page(
        run.path,
        metrics=metrics,
        title=f"{run.config.model} on {pathlib.Path(run.config.photos).name}",
        lead=[
            f"It has learned {len(speaker.vocabulary)} words from the captions of "
            f"{len(captions.train)} photos. Loss, in nats a word of the validation captions, began "
            f"at {metrics['initial_loss']:.3f}, where guessing blindly has "
            f"{math.log(len(speaker.vocabulary)):.3f}, and was lowest, {metrics['val_loss']:.3f}, "
            f"after epoch {metrics['best_epoch']} of {metrics['epochs']}. A caption is the "
            f"likeliest that a search along {run.config.beams} beams finds."
        ],
        tables={
            "BLEU, of 1, against all captions of each photo": [
                ["", *(f"BLEU-{n}" for n in range(1, 5)), "photos"],
                *(
                    [name, *(f"{value:.4f}" for value in values.values()), len(said[name])]
                    for name, values in bleu.items()
                ),
            ]
        },
        figures={
            "By epoch": training.curves(resume.history, resume.best_epoch, "loss (nats a word)")
        },
        galleries=galleries,
        config=dataclasses.asdict(run.config),
    )


def lit(picture, look, grid):
    """A picture (h, w, 3) that is bright where a look (m,) at the places of a grid falls."""
    import numpy as np
    from PIL import Image

    light = Image.fromarray(look.reshape(grid).astype("float32"))
    light = np.asarray(light.resize(picture.shape[1::-1], Image.Resampling.BICUBIC))
    light = np.clip(light / look.max(), 0, 1)[..., None]
    return np.uint8(picture * (DARK + (1 - DARK) * light))


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
