"""Caption photos: feature maps of a pretrained network, and a sequence network for the words.

    cvcourse caption --photos=flickr8k/
    cvcourse caption --photos=flickr8k/ --model=caption_transformer --backbone=resnet50
    cvcourse caption --workdir=DIR --caption=photo.jpg     (with a finished run)

The folder contains a captions file in the format of Flickr8k (captions.csv, captions.txt,
Flickr8k.token.txt, or --captions_file). The feature maps of the frozen backbone are computed once
and cached; the network learns the training captions from them. The initial state of caption_lstm
is the mean of the map, as in CS231n's assignments; caption_attention attends to the map for each
word: Xu et al., "Show, Attend and Tell", ICML 2015, https://arxiv.org/abs/1502.03044. The best
epoch is selected on the validation photos; captions of the test photos, by beam search, are
evaluated once, by BLEU against all reference captions. The saved model.keras takes feature maps
(`memory`) and tokens; its class names are the vocabulary. `cvcourse.sequence.Captioner` loads it.
"""

import dataclasses
import functools
import math
import pathlib
import sys

from cvcourse import distribution, recipe
from cvcourse.startup import import_tensorflow_quietly

MODELS = tuple(f"caption_{kind}" for kind in ("lstm", "gru", "rnn", "attention", "transformer"))
SET_BY = {  # builder argument that --model_args must not contain: what sets it
    "dropout": "--dropout",
    **dict.fromkeys(("max_length", "length"), "--longest"),
    "num_classes": "the captions",
    "memory_shape": "--backbone",
    **dict.fromkeys(("cell", "name"), "--model"),
    **dict.fromkeys(("input_shape", "padding", "part"), "the recipe"),
}
AT_ONCE = 32  # photos in a batch of the backbone
SHOWN, ATTENDED = 15, 5  # photos in the report, and those of them with attention maps


@dataclasses.dataclass(frozen=True)
class Config(recipe.TrainingFields, recipe.CacheFields, recipe.WeightsFields):
    """Settings of a run. The defaults were measured on 100 photos of Flickr8k."""

    photos: str | None = recipe.field(
        None, "folder of the photos and their captions file", vouched=True
    )
    captions_file: str | None = recipe.field(None, "captions file; none: found by name")
    missing: str = recipe.field(
        "error", "action if a photo of the captions file is missing", choices=("error", "skip")
    )
    limit: int | None = recipe.field(None, "use only the first N photos of each split", least=1)
    backbone: str = recipe.field("efficientnet_lite0", "network with published weights")
    backbone_args: dict = recipe.field({}, "arguments of its builder, such as width=0.25")
    size: int | None = recipe.field(
        None, "side of the backbone's input images in pixels; none: that of the weights", least=16
    )
    model: str = recipe.field("caption_attention", "architecture of the network", choices=MODELS)
    model_args: dict = recipe.field({}, "arguments of its builder, such as units=512")
    least: int = recipe.field(2, "minimum occurrences of a word in training captions", least=1)
    longest: int = recipe.field(40, "maximum number of words in a caption", least=1)
    too_long: str = recipe.field(
        "error", "action if a caption has more words than --longest", choices=("error", "cut")
    )
    epochs: int = 60
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    weight_decay: float = 0.0
    clip_norm: float | None = 5.0
    patience: int | None = 5
    dropout: float = recipe.field(0.3, "dropout rate between layers", least=0, below=1)
    num_beams: int = recipe.field(5, "number of beams", least=1, renamed_from="beams")
    length_penalty: float = recipe.field(0.6, "exponent of the length penalty; 0: none", least=0)
    caption: str | None = recipe.field(None, "photo to caption with the trained network", free=True)

    def misfits(self):
        if self.photos is None:
            yield "--photos is required: the folder of the photos and their captions file"


def main(config: Config) -> dict:
    """Train, caption the test photos once, report; with a finished run, only caption a photo."""
    config, metrics = recipe.begin(config, "caption")
    if metrics:
        if config.caption:
            import_tensorflow_quietly()
            with recipe.user_errors():
                backbone = load_backbone(config)
            print_caption(config.caption, backbone, best(config, config.workdir))
        return metrics
    distribution.require_one_process(config.strategy)
    import_tensorflow_quietly()
    import keras

    from cvcourse import data, optimization, sequence, training
    from cvcourse.data import caption_rows

    devices = distribution.of(config)  # before any other use of TensorFlow
    with recipe.user_errors():
        captions = caption_rows.of(config)
        texts = [text for photo in captions.train for text in photo.captions]
        vocabulary = data.Vocabulary.of_words(texts, config.least)
        backbone = load_backbone(config)
        settings = net(config, len(vocabulary), backbone.model.output["features"].shape[1:])
        batch_size = min(config.batch_size, len(texts))
        steps = len(texts) // batch_size
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
    if config.caption:  # fails before the training, not after it
        data.read_photo(pathlib.Path(config.caption).expanduser())
    photos = caption_rows.squares(captions, **backbone.squares)
    maps = feature_maps(config, backbone, photos)
    train, validation = (
        caption_rows.rows(split, vocabulary, config.longest)
        for split in (captions.train, captions.validation)
    )
    batches = functools.partial(caption_rows.batches, batch_size=batch_size)
    shuffled = functools.partial(batches, train, maps["train"], seed=config.seed)
    judged = functools.partial(batches, validation, maps["validation"], shuffle=False)
    with recipe.open_run(config, "caption", config.model, config.photos) as run:
        initial = model.evaluate(judged(), verbose=0, return_dict=True)["data_loss"]
        print(
            f"{len(texts)} captions of {len(captions.train)} photos; initial loss {initial:.3f}, "
            f"expected ln {len(vocabulary)} = {math.log(len(vocabulary)):.3f}",
            flush=True,
        )
        trained = training.fit(
            model,
            run,
            shuffled,
            judged,
            steps_per_epoch=steps,
            batch_size=batch_size,
            data=data.fingerprint_rows((train, validation, maps["train"], maps["validation"])),
            names=vocabulary.tokens,
            devices=devices,
        )
        captioner = best(config, run.path)
        judges = [name for name in ("test", "validation") if name in maps]
        found = {name: captioner.caption(maps[name]) for name in judges}
        bleu = {
            name: sequence.bleu(found[name], caption_rows.references(getattr(captions, name)))
            for name in judges
        }
        metrics = {
            **{f"test_{name}": bleu.get("test", {}).get(name) for name in bleu["validation"]},
            **{f"val_{name}": value for name, value in bleu["validation"].items()},
            "val_loss": trained.history[trained.best_epoch - 1]["val_loss"],
            "initial_loss": initial,
            **training.facts(trained, model, config),
            "vocabulary": len(vocabulary),
            "photos": {split: len(photos) for split, photos in vars(captions).items()},
            "weights": str(backbone.published),
        }
        metrics = report(
            run, metrics, trained, captioner, backbone, captions, photos, maps, found, bleu
        )
    for split, values in bleu.items():
        print(f"{split} BLEU-1 to 4: {'  '.join(f'{value:.4f}' for value in values.values())}")
    if config.caption:
        print_caption(config.caption, backbone, captioner)
    return metrics


def load_backbone(config):
    """Load a config's backbone. Raises ValueError and RunError for settings that do not fit."""
    from cvcourse.models import pretrained

    return pretrained.FeatureMaps.load(
        config.backbone,
        config.weights,
        config.backbone_args,
        size=config.size,
        weights_dir=config.weights_dir,
        allow_noncommercial=config.allow_noncommercial,
    )


def feature_maps(config, backbone, photos):
    """Compute the maps (n, m, c) of each split's photos, or read them from the cache."""
    from cvcourse import data, training

    def stream(split):
        print(f"computing the features of {len(split)} photos by {backbone.published}", flush=True)
        return data.stream(split, batch_size=AT_ONCE, seed=0, shuffle=False)

    splits = {name: getattr(photos, name) for name in ("train", "validation", "test")}
    kept = dict(cache_dir=config.cache_dir)
    with data.report_corrupt_images(photos):
        return {
            name: training.features(backbone.model, split, stream, **kept)["features"]
            for name, split in splits.items()
            if split
        }


def net(config, words, memory_shape):
    """Return the settings for `sequence.build`. Raises ValueError for a wrong --model_args."""
    from cvcourse import data, sequence

    for name in config.model_args:
        if name in SET_BY:
            raise ValueError(f"--model_args: {name} is set by {SET_BY[name]}")
    defaults, arguments = {}, sequence.builder_args(config.model)
    settings = {"num_classes": words, "memory_shape": memory_shape, "dropout": config.dropout}
    if "max_length" in arguments:
        settings["max_length"] = config.longest + 2  # with <start> and <end>
    if "doubly_stochastic" in arguments:
        defaults["doubly_stochastic"] = 1.0
        settings["padding"] = data.PAD
    return defaults | config.model_args | settings


def best(config, workdir):
    """Load the best epoch's net of a run as a Captioner."""
    from cvcourse import data, sequence, training

    model, tokens = training.load_model(pathlib.Path(workdir).expanduser() / "model.keras")
    settings = net(config, len(tokens), model.input["memory"].shape[1:])
    return sequence.Captioner(
        sequence.Generator(model, architecture=config.model, **settings),
        data.Vocabulary(tokens, " "),
        longest=config.longest,
        num_beams=config.num_beams,
        length_penalty=config.length_penalty,
    )


def print_caption(path, backbone, captioner):
    """Print a caption of the photo in a file. Raises DataError for a file without a photo."""
    import numpy as np

    from cvcourse import data, training

    photo = data.read_photo(pathlib.Path(path).expanduser()).astype("float32")
    maps = training.for_any_size(backbone.model)(photo[None], training=False)["features"]
    print(f"{path}: {captioner.caption(np.asarray(maps))[0]}")


def report(run, metrics, trained, captioner, backbone, captions, photos, maps, found, bleu):
    """Write report.html and metrics.json; return the metrics."""
    import numpy as np

    from cvcourse import figures, training

    split = "test" if "test" in found else "validation"
    captioned = getattr(captions, split)
    shown = np.unique(np.linspace(0, len(captioned) - 1, SHOWN).astype(int))
    pictures = {i: backbone.seen(getattr(photos, split).images[i]) for i in shown}
    galleries = {
        f"Captions of {split} photos, and a reference in parentheses": [
            (pictures[i], f"{found[split][i]}\n({captioned[i].captions[0]})") for i in shown
        ]
    }
    few, words = shown[:ATTENDED], len(captioner.vocabulary)
    attention = captioner.attention_maps(maps[split][few], [found[split][i] for i in few])
    for i, weights in zip(few, attention or (), strict=False):
        galleries[f"{captioned[i].path.name}: attention for each word"] = [
            (figures.spotlight(pictures[i], places.reshape(backbone.grid)), word)
            for places, word in zip(weights, found[split][i].split(), strict=True)
        ]
    curves = figures.training_curves(trained.history, trained.best_epoch, "loss (nats per word)")
    scores = {name: [f"{value:.4f}" for value in values.values()] for name, values in bleu.items()}
    return training.write_report(
        run.path,
        metrics=metrics,
        title=f"{run.config.model} on {pathlib.Path(run.config.photos).name}",
        lead=[
            f"Vocabulary: {words} tokens from the captions of {len(captions.train)} photos. "
            f"Validation loss, in nats per word: {metrics['initial_loss']:.3f} before training "
            f"({math.log(words):.3f} for a uniform guess), {metrics['val_loss']:.3f} after epoch "
            f"{metrics['best_epoch']} of {metrics['epochs']}, the best one. Captions are decoded "
            f"by beam search with {run.config.num_beams} beams."
        ],
        tables={
            "BLEU (0 to 1) against all captions of each photo": [
                ["", *(f"BLEU-{n}" for n in range(1, 5)), "photos"],
                *([name, *values, len(found[name])] for name, values in scores.items()),
            ]
        },
        figures={"By epoch": curves},
        galleries=galleries,
        config=dataclasses.asdict(run.config),
    )


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
