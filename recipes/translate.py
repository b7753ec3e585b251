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

SPECIAL = "\0\1\2"  # the characters of data.PAD, START and END
JUDGED = 250  # texts translated at a time
BEAMS = 3
DRAWN = 6  # examples whose attention is drawn
MISTAKES = 20  # listed


@dataclasses.dataclass(frozen=True)
class Config(
    recipe.RunFields,
    recipe.DeviceFields,
    recipe.StoppingFields,
    recipe.ScheduleFields,
    recipe.FitFields,
):
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
    units: int = recipe.field(64, "of a recurrent layer; channels of a Transformer", least=1)
    embedding: int = recipe.field(32, "channels of a character, of recurrent nets", least=1)
    depth: int = recipe.field(2, "a Transformer's blocks, each for encoder and decoder", least=1)
    heads: int = recipe.field(4, "of a Transformer's attention; they share its channels", least=1)
    dropout: float = recipe.field(
        0.0, "in the decoder, and all over a Transformer", least=0, below=1
    )
    examples: int = recipe.field(10_000, "dates to learn from", least=1)
    held_out: int = recipe.field(1000, "dates of validation, and as many of the test", least=1)
    epochs: int = 4
    batch_size: int = 100
    optimizer: str = "adam"
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    translate: str | None = recipe.field(
        None, "a date to translate at the end, such as 3 march 1984", free=True
    )


def main(config):
    """Train, translate the test split once, report; of a finished run only translate.

    Returns what metrics.json holds. Raises UsageError for a wrong value or another run's workdir,
    RunError for what goes wrong in files or training, Interrupted after Ctrl-C or SIGTERM.
    """
    config, metrics = recipe.begin(config, "translate")
    distribution.require_one_process(config.strategy)
    import_tensorflow_quietly()
    import keras

    from cvcourse import data, optimization, sequence, training
    from cvcourse.data import dates

    with recipe.usage():
        if config.translate is not None:
            require_readable(config.translate)
    if metrics:
        if config.translate:
            say(config, best(config, pathlib.Path(config.workdir).expanduser())[1])
        return metrics
    keras.utils.set_random_seed(config.seed)
    with recipe.usage():
        pairs = dates.load(config.examples, config.held_out)
        train, validation = rows(pairs.train), rows(pairs.validation)
        shuffled = functools.partial(
            data.stream_rows, train, batch_size=config.batch_size, seed=config.seed
        )
        shuffled()
        steps = config.examples // config.batch_size
        devices = distribution.of(config)
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
    with recipe.claim(config, "translate", config.model) as run:
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
            names=vocabularies()[1].tokens,
            devices=devices,
        )
        model, generator = best(config, run.path)
        said = {
            name: translated(generator, [pair.source for pair in split])
            for name, split in (("validation", pairs.validation), ("test", pairs.test))
        }
        metrics = {
            "test_exact_match": exact_match(pairs.test, said["test"]),
            "val_exact_match": exact_match(pairs.validation, said["validation"]),
            "val_loss": trained.history[trained.best_epoch - 1]["val_loss"],
            **training.facts(trained, model, config, examples_per_second=config.batch_size),
        }
        metrics = report(run, metrics, trained.history, model, generator, pairs.test, said["test"])
        print(f"test exact match: {metrics['test_exact_match']:.4f}")
        print(f"report: {run.path / 'report.html'}\nmodel: {run.path / 'model.keras'}")
        if config.translate:
            say(config, generator)
        return metrics


# ---- the data and the net ----


def vocabularies():
    """Those of what is read and of what is written."""
    from cvcourse import data
    from cvcourse.data import dates

    read, write = SPECIAL[: data.START] + dates.CHARACTERS, SPECIAL + dates.ISO_CHARACTERS
    return data.Vocabulary(tuple(read), ""), data.Vocabulary(tuple(write), "")


def require_readable(text):
    """Raise ValueError for a text unlike those that are learned from."""
    from cvcourse.data import dates

    if not 0 < len(text) <= dates.LONGEST:
        raise ValueError(
            f"--translate takes a date of up to {dates.LONGEST} characters, such as "
            f"{dates.EXAMPLES[0]!r}; received {len(text)}: {text[: 2 * dates.LONGEST]!r}"
        )
    for character in text.lower():
        if character not in dates.CHARACTERS:
            raise ValueError(
                f"--translate: no date that was learned from has the character {character!r}, "
                f"only {dates.CHARACTERS!r}; received {text!r}"
            )


def sources(texts):
    """Texts as tokens, padded at the end: (n, dates.LONGEST)."""
    import numpy as np

    from cvcourse import data
    from cvcourse.data import dates

    read, _ = vocabularies()
    tokens = np.full((len(texts), dates.LONGEST), data.PAD, "int32")
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = read.encode(text.lower())
    return tokens


def targets(texts):
    """What the decoder is given, and what it is to say: START and a text; the text and END.

    Both (n, characters of the longest and 1), padded at the end.
    """
    import numpy as np

    from cvcourse import data

    _, write = vocabularies()
    given, wanted = np.full((2, len(texts), 1 + max(map(len, texts))), data.PAD, "int32")
    for i, text in enumerate(texts):
        tokens = write.encode(text)
        given[i, : 1 + len(text)] = [data.START, *tokens]
        wanted[i, : 1 + len(text)] = [*tokens, data.END]
    return given, wanted


def rows(pairs):
    """A split as arrays to train on: (inputs, labels, weights), 0 where a label is padding."""
    from cvcourse import data

    given, wanted = targets([pair.target for pair in pairs])
    inputs = {"source": sources([pair.source for pair in pairs]), "tokens": given}
    return inputs, wanted, (wanted != data.PAD).astype("float32")


def net(config):
    """The architecture and the settings that `sequence.build` makes the net of."""
    from cvcourse.data import dates

    read, write = vocabularies()
    settings = {"source_vocabulary": len(read), "num_classes": len(write)}
    settings |= {"dropout": config.dropout}
    if config.model == "transformer":
        settings |= {"dim": config.units, "mlp": 4 * config.units, "length": dates.LONGEST}
        settings |= {"depth": config.depth, "heads": config.heads}
    else:
        settings |= {"cell": config.cell, "units": config.units, "embedding": config.embedding}
    if config.model == "attention_encoder_decoder":
        settings |= {"attention": config.attention}
    return config.model, settings


# ---- what it says ----


def best(config, workdir):
    """The best epoch's model, and a Generator that speaks with it."""
    from cvcourse import sequence, training

    model, _ = training.load_model(workdir / "model.keras")
    architecture, settings = net(config)
    return model, sequence.Generator(architecture, model, **settings)


def asked(texts):
    """What a Generator's methods take: the prompt, how many tokens follow, and keywords.

    Filled up with the first text to JUDGED of them, so that all is compiled once.
    """
    import numpy as np

    from cvcourse import data
    from cvcourse.data import dates

    source = np.repeat(sources(texts[:1]), JUDGED, axis=0)
    source[: len(texts)] = sources(texts)
    prompt = np.full((JUDGED, 1), data.START, "int32")
    return (prompt, len(dates.ISO) + 1), {"end": data.END, "source": source}


def text_of(tokens):
    """The text of tokens (START, …), up to END."""
    _, write = vocabularies()
    return write.decode(tokens[1:]).split(SPECIAL[2])[0]


def translated(generator, texts):
    """What a net says of each text: always the likeliest character."""
    found = []
    for start in range(0, len(texts), JUDGED):
        some = texts[start : start + JUDGED]
        arguments, settings = asked(some)
        found += generator.greedy(*arguments, **settings)[: len(some)].tolist()
    return [text_of(tokens) for tokens in found]


def guesses(generator, texts):
    """The likeliest translations of up to JUDGED texts with their probabilities, by beam search."""
    import numpy as np

    arguments, settings = asked(texts)
    tokens, scores = generator.beam_search(*arguments, beams=BEAMS, length_penalty=0.0, **settings)
    return [
        [(text_of(row), float(p)) for row, p in zip(beams, np.exp(logs), strict=True)]
        for beams, logs in zip(tokens[: len(texts)], scores, strict=False)
    ]


def say(config, generator):
    """Print what a net makes of --translate."""
    print(f"{config.translate} -> {translated(generator, [config.translate])[0]}")


def exact_match(pairs, said):
    """The share of translations that are right from end to end."""
    return sum(pair.target == text for pair, text in zip(pairs, said, strict=True)) / len(pairs)


# ---- the report ----


def report(run, metrics, history, model, generator, test, said):
    """Write report.html and metrics.json; returns the metrics."""
    from cvcourse import training
    from cvcourse.data import dates

    config = run.config
    wrong = [(pair, text) for pair, text in zip(test, said, strict=True) if pair.target != text]
    shown = test[: len(dates.EXAMPLES)]  # one of each way
    by_way = {}
    for way, example in enumerate(dates.EXAMPLES):
        of_it = [(pair, text) for pair, text in zip(test, said, strict=True) if pair.way == way]
        if of_it:
            by_way[example] = exact_match(*zip(*of_it, strict=True))
    tables = {
        "By the way a date is written": [
            ["written like", "exact match, %"],
            *([example, f"{100 * share:.1f}"] for example, share in by_way.items()),
        ],
        "Dates of the test split, by beam search": [
            ["read", "meant", "likeliest", "probability, %", "second guess", "probability, %"],
            *(
                [pair.source, pair.target, *cells(found[:2])]
                for pair, found in zip(
                    shown, guesses(generator, [pair.source for pair in shown]), strict=True
                )
            ),
        ],
    }
    if wrong:
        found = guesses(generator, [pair.source for pair, _ in wrong[:MISTAKES]])
        tables[f"Mistakes on the test split ({len(wrong)} of {len(test)})"] = [
            ["read", "meant", "said", "likeliest by beam search", "probability, %"],
            *(
                [pair.source, pair.target, text, *cells(several[:1])]
                for (pair, text), several in zip(wrong, found, strict=False)
            ),
        ]
    figures = {"By epoch": training.curves(history, metrics["best_epoch"], "loss (nats)")}
    if config.model != "encoder_decoder":
        longest = sorted(shown, key=lambda pair: -len(pair.source))[:DRAWN]
        figures["Where it looks for each character it writes"] = draw_attention(
            looks(config, model, longest), longest
        )
    return training.write_page(
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
        figures=figures,
        config=dataclasses.asdict(config),
    )


def cells(guesses):
    """Texts and probabilities as cells of a table."""
    for text, probability in guesses:
        yield from (text, f"{100 * probability:.2f}")


def looks(config, model, pairs):
    """Who looks at whom: the weights (examples, heads, characters written, characters read)."""
    import keras
    from keras import ops

    from cvcourse import data

    source, (given, _) = sources([p.source for p in pairs]), targets([p.target for p in pairs])
    if config.model != "transformer":
        tap = keras.Model(model.input, model.get_layer("attention").output)
        return tap({"source": source, "tokens": given}).numpy()[:, None]
    decoder, name = model.get_layer("decoder"), f"block{config.depth}_memory_attention"
    tap = keras.Model(decoder.input, decoder.get_layer(name).output)
    memory = {"memory": model.get_layer("encoder")(source), "memory_mask": source != data.PAD}
    return tap(keras.tree.map_structure(ops.convert_to_tensor, {"tokens": given, **memory})).numpy()


def draw_attention(weights, pairs):
    """A matrix for each example and head: rows are written, columns read, as a figure."""
    from matplotlib.figure import Figure

    heads = weights.shape[1]
    columns = heads if heads > 1 else 2
    panels = [
        (pair, matrix, f"head {head}" if heads > 1 else "")
        for pair, several in zip(pairs, weights, strict=True)
        for head, matrix in enumerate(several, start=1)
    ]
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(11, 2.6 * rows), layout="constrained")
    axes = [*figure.subplots(rows, columns, squeeze=False).flat]
    for ax, (pair, matrix, title) in zip(axes, panels, strict=False):
        names = [*pair.target, "end"]
        ax.imshow(
            matrix[: len(names), : len(pair.source)], cmap="Blues", vmin=0, vmax=1, aspect="auto"
        )
        text = dict(fontsize=9 - 2 * (heads > 1), family="monospace")
        ax.set_xticks(range(len(pair.source)), labels=pair.source.replace(" ", "␣"), **text)
        ax.set_yticks(range(len(names)), labels=names, **text)
        ax.tick_params(length=0)
        ax.set_title(title, loc="left", fontsize=9)
    for ax in axes[len(panels) :]:
        ax.remove()
    return figure


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
