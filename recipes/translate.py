"""Translate dates in many formats into ISO 8601, character by character, with attention.

    cvcourse translate
    cvcourse translate --model=encoder_decoder                  (without attention)
    cvcourse translate --model=transformer --learning_rate=0.002 --epochs=10
    cvcourse translate --workdir=DIR --translate="the third of march 1984"  (with a finished run)

An encoder reads "saturday, march 3, 1984"; a decoder writes "1984-03-03" and attends, for each
character, to the source: Bahdanau, Cho & Bengio, "Neural Machine Translation by Jointly Learning to
Align and Translate", ICLR 2015, https://arxiv.org/abs/1409.0473. No date of the test split is in
another split. In training, the decoder receives the correct previous characters (teacher forcing);
the test split is decoded once without them, for the share of exact matches. The report shows the
attention.
"""

import dataclasses
import functools
import pathlib
import sys

from cvcourse import distribution, recipe
from cvcourse.startup import import_tensorflow_quietly

BEAMS = 3
DRAWN = 6  # examples whose attention is shown
MISTAKES = 20  # mistakes that are listed


@dataclasses.dataclass(frozen=True)
class Config(recipe.SequenceFields, recipe.TrainingFields):
    """Settings of a run. The defaults were measured."""

    model: str = recipe.field(
        "attention_encoder_decoder",
        "architecture of the network",
        choices=("attention_encoder_decoder", "encoder_decoder", "transformer"),
    )
    attention: str = recipe.field(
        "additive",
        "attention scores: additive (Bahdanau 2015) or dot product (Luong 2015)",
        choices=("additive", "dot_product"),
    )
    cell: str = recipe.field("gru", "cell of recurrent networks", choices=("rnn", "lstm", "gru"))
    embedding: int = recipe.field(32, "embedding size of recurrent networks", least=1)
    depth: int = recipe.field(
        2, "number of Transformer blocks in the encoder, and in the decoder", least=1
    )
    dropout: float = recipe.field(
        0.0, "dropout rate in a Transformer, or in a recurrent network's decoder", least=0, below=1
    )
    examples: int = recipe.field(10_000, "number of training dates", least=1)
    held_out: int = recipe.field(1000, "number of validation dates, and of test dates", least=1)
    epochs: int = 4
    batch_size: int = 100
    learning_rate: float = 0.01
    translate: str | None = recipe.field(
        None, "date to translate with the trained network, such as 3 march 1984", free=True
    )


def main(config: Config) -> dict:
    """Train, translate the test split once, report; with a finished run, only translate."""
    config, metrics = recipe.begin(config, "translate")
    distribution.require_one_process(config.strategy)
    import_tensorflow_quietly()
    import keras

    from cvcourse import data, optimization, sequence, training
    from cvcourse.data import dates

    with recipe.user_errors():
        if config.translate is not None:
            dates.require_readable(config.translate, "--translate")
    if metrics:
        if config.translate:
            print_translation(config, best(config, config.workdir))
        return metrics
    devices = distribution.of(config)  # before any other use of TensorFlow
    keras.utils.set_random_seed(config.seed)
    with recipe.user_errors():
        pairs = dates.load(config.examples, config.held_out)
        train, validation = dates.rows(pairs.train), dates.rows(pairs.validation)
        shuffled = functools.partial(
            data.stream_rows, train, batch_size=config.batch_size, seed=config.seed
        )
        shuffled()
        steps = config.examples // config.batch_size
        devices.require_divisible(config.batch_size)
        loss = optimization.LOSSES["softmax"]
        with devices.scope(), training.precision(config.precision):
            architecture, settings = net(config)
            model = sequence.build(architecture, **settings)
            model.compile(
                optimization.of(config, model, steps),
                loss(reduction="mean_with_sample_weight"),  # padding weighs 0
                weighted_metrics=training.weighted_metrics(loss),
            )
        devices.ready(model)
    with recipe.open_run(config, "translate", config.model) as run:
        trained = training.fit(
            model,
            run,
            shuffled,
            functools.partial(
                data.stream_rows, validation, batch_size=config.batch_size, shuffle=False
            ),
            steps_per_epoch=steps,
            batch_size=config.batch_size,
            data=data.fingerprint_rows((train, validation)),
            names=dates.vocabularies()[1].tokens,
            devices=devices,
        )
        translator = best(config, run.path)
        found = {
            name: translator.translate([pair.source for pair in split])
            for name, split in (("validation", pairs.validation), ("test", pairs.test))
        }
        metrics = {
            "test_exact_match": dates.exact_match(pairs.test, found["test"]),
            "val_exact_match": dates.exact_match(pairs.validation, found["validation"]),
            "val_loss": trained.history[trained.best_epoch - 1]["val_loss"],
            **training.facts(trained, model, config, examples_per_second=config.batch_size),
        }
        metrics = report(run, metrics, trained, translator, pairs.test, found["test"])
        print(f"test exact match: {metrics['test_exact_match']:.4f}")
        if config.translate:
            print_translation(config, translator)
        return metrics


def net(config):
    """Return the arguments of `sequence.build`: the architecture and the settings."""
    from cvcourse import sequence
    from cvcourse.data import dates

    read, write = dates.vocabularies()
    fields = ["cell", "embedding", "depth", "dropout"]
    if config.model == "attention_encoder_decoder":
        fields.append("attention")
    sizes = {"source_vocabulary": len(read), "num_classes": len(write), "max_length": dates.LONGEST}
    return config.model, sequence.settings_of(config.model, config, *fields, **sizes)


def best(config, workdir):
    """Load the best epoch's net of a run as a Translator."""
    from cvcourse import data, sequence, training
    from cvcourse.data import dates

    model, _ = training.load_model(pathlib.Path(workdir).expanduser() / "model.keras")
    architecture, settings = net(config)
    return sequence.Translator(
        sequence.Generator(model, architecture=architecture, **settings),
        encode=dates.encode_sources,
        decode=dates.decode_target,
        start=data.START,
        end=data.END,
        longest=len(dates.ISO) + 1,
    )


def print_translation(config, translator):
    """Print the translation of --translate."""
    print(f"{config.translate} -> {translator.translate([config.translate])[0]}")


def report(run, metrics, trained, translator, test, found):
    """Write report.html and metrics.json; return the metrics."""
    from cvcourse import figures, sequence, training
    from cvcourse.data import dates

    config = run.config
    wrong = [(pair, text) for pair, text in zip(test, found, strict=True) if pair.target != text]
    shown = test[: len(dates.EXAMPLES)]  # one of each format
    by_way = dates.exact_match_by_way(test, found)
    sure = translator.guess_cells([pair.source for pair in shown], 2, BEAMS)
    tables = {
        "By date format": [
            ["format", "exact match, %"],
            *([example, f"{100 * share:.1f}"] for example, share in by_way.items()),
        ],
        "Dates of the test split, by beam search": [
            ["source", "target", "likeliest", "probability, %", "second", "probability, %"],
            *([pair.source, pair.target, *row] for pair, row in zip(shown, sure, strict=True)),
        ],
    }
    if wrong:
        best_guess = translator.guess_cells([pair.source for pair, _ in wrong[:MISTAKES]], 1, BEAMS)
        tables[f"Mistakes on the test split ({len(wrong)} of {len(test)})"] = [
            ["source", "target", "greedy", "likeliest by beam search", "probability, %"],
            *(
                [pair.source, pair.target, text, *row]
                for (pair, text), row in zip(wrong, best_guess, strict=False)
            ),
        ]
    curve = figures.training_curves(trained.history, trained.best_epoch, "loss (nats)")
    drawn = {"By epoch": curve}
    longest = sorted(shown, key=lambda pair: -len(pair.source))[:DRAWN]
    weights = sequence.attention_maps(translator.generator.net, dates.rows(longest)[0])
    if weights is not None:
        drawn["Attention of each character of the translation"] = figures.alignment_matrices(
            weights,
            [pair.source for pair in longest],
            [[*pair.target, "end"] for pair in longest],
        )
    return training.write_report(
        run.path,
        metrics={**metrics, "test_exact_match_by_way": by_way},
        title=f"Dates into ISO 8601 by {config.model.replace('_', ' ')}",
        lead=[
            f"Exact match by greedy decoding: {100 * metrics['test_exact_match']:.2f} % of "
            f"{len(test)} dates of the test split, {100 * metrics['val_exact_match']:.2f} % of the "
            f"validation split, whose loss selected epoch {metrics['best_epoch']} of "
            f"{metrics['epochs']}."
        ],
        tables=tables,
        figures=drawn,
        config=dataclasses.asdict(config),
    )


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
