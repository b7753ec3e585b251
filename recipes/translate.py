"""Translate dates as people write them into ISO 8601, character by character, and see how.

    cvcourse translate
    cvcourse translate --model=encoder_decoder                  (without attention)
    cvcourse translate --model=transformer --learning_rate=0.002 --epochs=10
    cvcourse translate --workdir=DIR --translate="the third of march 1984"  (of a finished run)

An encoder reads "saturday, march 3, 1984", a decoder writes "1984-03-03" and looks, at each
character, for where it stands: Bahdanau, Cho & Bengio, "Neural Machine Translation by Jointly
Learning to Align and Translate", ICLR 2015, https://arxiv.org/abs/1409.0473. No date of the test
split is in another one. In training the decoder is given what is right so far (teacher forcing);
the test asks it to write alone, once, and counts what is right from end to end. The report draws
the attention.
"""

import dataclasses
import functools
import pathlib
import sys

from cvcourse import distribution, recipe
from cvcourse.startup import import_tensorflow_quietly

BEAMS = 3
DRAWN = 6  # examples whose attention is drawn
MISTAKES = 20  # listed


@dataclasses.dataclass(frozen=True)
class Config(recipe.SequenceFields, recipe.TrainingFields):
    """The settings of a run; the defaults are measured."""

    model: str = recipe.field(
        "attention_encoder_decoder",
        "the net",
        choices=("attention_encoder_decoder", "encoder_decoder", "transformer"),
    )
    attention: str = recipe.field(
        "additive",
        "scores of attention_encoder_decoder: of Bahdanau 2015 or Luong 2015",
        choices=("additive", "dot_product"),
    )
    cell: str = recipe.field("gru", "of recurrent nets", choices=("rnn", "lstm", "gru"))
    embedding: int = recipe.field(32, "channels of a character, of recurrent nets", least=1)
    depth: int = recipe.field(2, "a Transformer's blocks, each for encoder and decoder", least=1)
    dropout: float = recipe.field(
        0.0, "in the decoder, and all over a Transformer", least=0, below=1
    )
    examples: int = recipe.field(10_000, "dates to learn from", least=1)
    held_out: int = recipe.field(1000, "dates of validation, and as many of the test", least=1)
    epochs: int = 4
    batch_size: int = 100
    learning_rate: float = 0.01
    translate: str | None = recipe.field(
        None, "a date to translate at the end, such as 3 march 1984", free=True
    )


def main(config):
    """Train, translate the test split once, report; of a finished run only translate."""
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
            say(config, best(config, config.workdir))
        return metrics
    devices = distribution.of(config)  # before anything else of TensorFlow
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
            data=data.fingerprint((train, validation)),
            names=dates.vocabularies()[1].tokens,
            devices=devices,
        )
        translator = best(config, run.path)
        said = {
            name: translator.translate([pair.source for pair in split])
            for name, split in (("validation", pairs.validation), ("test", pairs.test))
        }
        metrics = {
            "test_exact_match": dates.exact_match(pairs.test, said["test"]),
            "val_exact_match": dates.exact_match(pairs.validation, said["validation"]),
            "val_loss": trained.history[trained.best_epoch - 1]["val_loss"],
            **training.facts(trained, model, config, examples_per_second=config.batch_size),
        }
        metrics = report(run, metrics, trained, translator, pairs.test, said["test"])
        print(f"test exact match: {metrics['test_exact_match']:.4f}")
        if config.translate:
            say(config, translator)
        return metrics


def net(config):
    """The architecture and the settings that `sequence.build` makes the net of."""
    from cvcourse import sequence
    from cvcourse.data import dates

    read, write = dates.vocabularies()
    fields = ["cell", "embedding", "depth", "dropout"]
    if config.model == "attention_encoder_decoder":
        fields.append("attention")
    sizes = {"source_vocabulary": len(read), "num_classes": len(write), "max_length": dates.LONGEST}
    return config.model, sequence.settings_of(config.model, config, *fields, **sizes)


def best(config, workdir):
    """The best epoch's net in a run's directory, as a Translator."""
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


def say(config, translator):
    """Print what a net makes of --translate."""
    print(f"{config.translate} -> {translator.translate([config.translate])[0]}")


def report(run, metrics, trained, translator, test, said):
    """Write report.html and metrics.json; returns the metrics."""
    from cvcourse import figures, sequence, training
    from cvcourse.data import dates

    config = run.config
    wrong = [(pair, text) for pair, text in zip(test, said, strict=True) if pair.target != text]
    shown = test[: len(dates.EXAMPLES)]  # one of each way
    by_way = dates.exact_match_by_way(test, said)
    sure = translator.guess_cells([pair.source for pair in shown], 2, BEAMS)
    tables = {
        "By the way a date is written": [
            ["written like", "exact match, %"],
            *([example, f"{100 * share:.1f}"] for example, share in by_way.items()),
        ],
        "Dates of the test split, by beam search": [
            ["read", "meant", "likeliest", "probability, %", "second guess", "probability, %"],
            *([pair.source, pair.target, *row] for pair, row in zip(shown, sure, strict=True)),
        ],
    }
    if wrong:
        found = translator.guess_cells([pair.source for pair, _ in wrong[:MISTAKES]], 1, BEAMS)
        tables[f"Mistakes on the test split ({len(wrong)} of {len(test)})"] = [
            ["read", "meant", "said", "likeliest by beam search", "probability, %"],
            *(
                [pair.source, pair.target, text, *row]
                for (pair, text), row in zip(wrong, found, strict=False)
            ),
        ]
    curve = figures.training_curves(trained.history, trained.best_epoch, "loss (nats)")
    drawn = {"By epoch": curve}
    longest = sorted(shown, key=lambda pair: -len(pair.source))[:DRAWN]
    weights = sequence.attention_maps(translator.generator.net, dates.rows(longest)[0])
    if weights is not None:
        drawn["Where it looks for each character it writes"] = figures.alignment_matrices(
            weights,
            [pair.source for pair in longest],
            [[*pair.target, "end"] for pair in longest],
        )
    return training.write_report(
        run.path,
        metrics={**metrics, "test_exact_match_by_way": by_way},
        title=f"Dates into ISO 8601 by {config.model.replace('_', ' ')}",
        lead=[
            f"{100 * metrics['test_exact_match']:.2f} % of {len(test)} dates of the test split are "
            "right from end to end, always taking the likeliest character; "
            f"{100 * metrics['val_exact_match']:.2f} % on validation, where the loss chose epoch "
            f"{metrics['best_epoch']} of {metrics['epochs']}."
        ],
        tables=tables,
        figures=drawn,
        config=dataclasses.asdict(config),
    )


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
