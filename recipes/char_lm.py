"""Train a character-level language model on any text file, as in the lecture.

    cvcourse char_lm
    cvcourse char_lm --text=input.txt --model=gru --epochs=5
    cvcourse char_lm --workdir=DIR --prompt="ROMEO:" --temperature=0.7      (with a finished run)

The last tenth of the text is the test split, evaluated once in bits per character. The validation
split is five pieces of a hundredth of the text each, spread over the rest. A sample is printed
after each epoch. The report shows units whose activation follows a property of the text (Karpathy,
Johnson & Fei-Fei, "Visualizing and Understanding Recurrent Networks", 2015,
https://arxiv.org/abs/1506.02078), or a Transformer's attention.
"""

import dataclasses
import functools
import math
import pathlib
import sys

from cvcourse import distribution, recipe
from cvcourse.startup import import_tensorflow_quietly

EMBEDDED = "python_reference"
MODELS = {"rnn": "rnn", "lstm": "lstm", "gru": "gru", "transformer": "transformer_decoder"}
JUDGED = 256  # characters in a window of validation and test, for recurrent nets
SHOWN = 30 * 64  # characters of the test split whose activations are compared with properties
ATTENDED = 48  # the first of them, in the figure of attention
COLORED = 600  # the first of them, printed in color


@dataclasses.dataclass(frozen=True)
class Config(recipe.SequenceFields, recipe.TrainingFields):
    """Settings of a run. The defaults were measured on tinyshakespeare."""

    text: str = recipe.field(
        EMBEDDED,
        f"text: {EMBEDDED} (Python's documentation, embedded) or a UTF-8 text file",
        vouched=True,
    )
    limit: int | None = recipe.field(None, "use only the first N characters", least=1)
    model: str = recipe.field("lstm", "architecture of the network", choices=tuple(MODELS))
    units: int = 256
    embedding: int = recipe.field(64, "embedding size of recurrent networks", least=1)
    dropout: float = recipe.field(0.2, "dropout rate after each layer", least=0, below=1)
    window: int = recipe.field(64, "length of a training sequence in characters", least=2)
    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 0.006
    patience: int | None = 3
    jit_compile: bool = recipe.field(
        False, "compile with XLA; on a CPU faster only for an LSTM without dropout"
    )
    prompt: str | None = recipe.field(None, "start of a sample; none: a new line", free=True)
    sample_length: int | None = recipe.field(
        None,
        "length of a sample in characters; none: 300, or as many as fit a Transformer's window",
        least=1,
        free=True,
    )
    temperature: float = recipe.field(0.8, "sampling temperature; 0 is greedy", least=0, free=True)
    top_k: int | None = recipe.field(
        None, "sample from the K likeliest characters; none: from all", least=1, free=True
    )
    top_p: float = recipe.field(
        1.0,
        "sample from the likeliest characters that together reach this probability; 1: from all",
        above=0,
        below=1.0001,
        free=True,
    )


def main(config: Config) -> dict:
    """Train, evaluate once on the test split, report; with a finished run, print a sample."""
    config, metrics = recipe.begin(config, "char_lm")
    distribution.require_one_process(config.strategy)
    import_tensorflow_quietly()
    if metrics:
        from cvcourse import data, training

        model, characters = training.load_model(pathlib.Path(config.workdir, "model.keras"))
        with recipe.user_errors():
            print(sample(config, sampler(config, model, data.Vocabulary(characters, ""))))
        return metrics
    import keras

    from cvcourse import data, optimization, sequence, training

    devices = distribution.of(config)  # before any other use of TensorFlow
    keras.utils.set_random_seed(config.seed)
    text = data.load_text(config.text, config.limit)
    with recipe.user_errors():
        vocabulary = data.Vocabulary.of_characters(text)
        train, validation, test = data.split_text(vocabulary.encode(text))
        steps = data.windows_per_epoch(train, config.window) // config.batch_size
        windows = functools.partial(
            data.stream_windows,
            train,
            length=config.window,
            batch_size=config.batch_size,
            seed=config.seed,
        )
        windows()
        held_out = {
            name: data.windows_in_order(part, judged_window(config, len(part)))
            for name, part in (("validation", validation), ("test", test))
        }
        judged = functools.partial(data.stream_rows, batch_size=config.batch_size, shuffle=False)
        architecture, settings = net(config, len(vocabulary))
        devices.require_divisible(config.batch_size)
        loss = optimization.LOSSES["softmax"]
        with devices.scope(), training.precision(config.precision):
            model = sequence.build(architecture, **settings)
            model.compile(
                optimization.of(config, model, steps),
                loss(),
                weighted_metrics=training.weighted_metrics(loss),
                jit_compile=config.jit_compile or "auto",
            )
        writer = sampler(config, devices.ready(model), vocabulary)
        writer.prompted(config.prompt, config.sample_length)
    with recipe.open_run(config, "char_lm", config.model, config.text) as run:

        def write_sample(epoch, logs):
            text = sample(config, writer)
            print(f"\n{text}\n", flush=True)
            path = run.path / "samples" / f"epoch-{epoch + 1:04}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")

        trained = training.fit(
            model,
            run,
            windows,
            functools.partial(judged, held_out["validation"]),
            steps_per_epoch=steps,
            batch_size=config.batch_size,
            data=data.fingerprint_rows((train, validation)),
            names=vocabulary.tokens,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=write_sample)],
            devices=devices,
        )
        best, _ = training.load_model(run.path / "model.keras")
        best.compile(weighted_metrics=training.weighted_metrics(loss), loss=loss())
        bits = {
            name: best.evaluate(judged(rows), return_dict=True, verbose=0)["data_loss"]
            / math.log(2)
            for name, rows in held_out.items()
        }
        metrics = {
            "test_bits_per_character": bits["test"],
            "val_bits_per_character": bits["validation"],
            **training.facts(
                trained, best, config, characters_per_second=config.batch_size * config.window
            ),
            "characters": {"text": len(text), "distinct": len(vocabulary)},
        }
        metrics = report(run, metrics, trained, best, vocabulary, test)
    print(f"test bits per character: {bits['test']:.4f}")
    return metrics


def judged_window(config, length):
    """Compute the length of an evaluation window, whose first half is context only."""
    if config.model == "transformer":
        return config.window
    return max(config.window, min(JUDGED, length - 1))


def net(config, characters):
    """Return the arguments of `sequence.build`: the architecture and the settings."""
    from cvcourse import sequence

    architecture = MODELS[config.model]
    return architecture, sequence.settings_of(
        architecture,
        config,
        *("depth", "embedding", "dropout"),
        vocabulary=characters,
        num_classes=characters,
        input_shape=(None,),
        max_length=config.window,
    )


def sampler(config, model, vocabulary):
    """Create a TextSampler of a net."""
    from cvcourse import sequence

    architecture, settings = net(config, len(vocabulary))
    generator = sequence.Generator(model, architecture=architecture, **settings)
    return sequence.TextSampler(generator, vocabulary)


def sample(config, writer):
    """Generate a sample with a config's settings."""
    drawn = dict(temperature=config.temperature, top_k=config.top_k, top_p=min(config.top_p, 1.0))
    return writer.sample(config.prompt, config.sample_length, seed=config.seed, **drawn)


def report(run, metrics, trained, model, vocabulary, test):
    """Write report.html and metrics.json; return the metrics."""
    from cvcourse import figures, sequence, training

    tokens = test[:SHOWN]
    text = vocabulary.decode(tokens)
    drawn = {
        "By epoch": figures.training_curves(
            trained.history, trained.best_epoch, "loss (bits)", unit=math.log(2)
        )
    }
    highlighted = {}
    if run.config.model == "transformer":
        few = min(ATTENDED, run.config.window)
        (weights,) = sequence.attention_maps(model, tokens[None, :few])
        drawn["Attention weights of the last block: rows attend to columns, by head"] = (
            figures.self_attention_matrices(weights, text[:few])
        )
    else:
        for name, unit in sequence.interpretable_units(model, tokens, text).items():
            caption = f"Unit {unit.index} (blue: -1, red: 1) follows {name}"
            caption += f", correlation {unit.correlation:.2f}"
            highlighted[caption] = figures.colored_text(text[:COLORED], unit.values[:COLORED])
    samples = sorted((run.path / "samples").glob("epoch-*.txt"))
    return training.write_report(
        run.path,
        metrics=metrics,
        title=f"{run.config.model} on {pathlib.Path(run.config.text).stem}",
        lead=[
            f"{metrics['test_bits_per_character']:.3f} bits per character on the test split, the "
            f"last tenth of the text; {metrics['val_bits_per_character']:.3f} on the validation "
            f"split, which selected epoch {metrics['best_epoch']} of {metrics['epochs']}. "
            f"A uniform guess among {len(vocabulary)} characters needs "
            f"{math.log2(len(vocabulary)):.3f} bits."
        ],
        texts={
            f"Sample after epoch {int(path.stem.split('-')[1])}": path.read_text("utf-8")
            for path in (samples if len(samples) < 5 else [samples[0], samples[1], *samples[-2:]])
        },
        figures=drawn,
        highlighted=highlighted,
        config=dataclasses.asdict(run.config),
    )


cli = recipe.cli(main)


if __name__ == "__main__":
    sys.exit(cli())
