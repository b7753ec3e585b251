"""Measure the training speed of an LSTM against Keras' layer and torch, and decoding speed.

    cvcourse bench sequence
    cvcourse bench sequence --rounds=3 --dropout=0 --jit_compile

The net of `char_lm`, built and compiled as in the recipe, is trained on random characters, and
compared with Keras' layer, unrolled or with XLA, and with this package's cell from the equations.
The nets take turns, a block of training steps each, of which the first step is dropped. Dropout
decides whether XLA is faster: on a CPU, drawing its random numbers takes longer than the LSTM.

lstm: tokens per second of `char_lm`'s net over those of Keras' layer, for each compile setting.
torch: tokens per second of torch.nn.LSTM in a separate process (reported, without a target).
cached: seconds of greedy decoding by running the whole net on each prefix, over seconds with
    cached keys and values.
"""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import os
import sys
import time

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

TARGETS = {"lstm": 0.95, "cached": 5.0}
CHARACTERS, EMBEDDING = 65, 64
LEARNING_RATE, CLIP_NORM = 0.002, 1.0
FORMS = {  # contestant: settings of Keras' layer, jit_compile
    "auto": ({}, "auto"),
    "unrolled": ({"unroll": True}, "auto"),
    "xla": ({}, True),
}
TRANSFORMER = {
    **dict(hidden_dim=256, depth=4, num_heads=4, mlp_dim=1024, dropout=0.0, input_shape=(None,)),
    **dict(vocabulary=CHARACTERS, num_classes=CHARACTERS),
}
TORCH = importlib.util.find_spec("torch") and importlib.metadata.version("torch")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the benchmark."""

    units: int = recipe.field(256, "number of units of the LSTM", least=1)
    window: int = recipe.field(64, "length of a training sequence in characters", least=2)
    batch_size: int = recipe.field(64, "batch size", least=1)
    dropout: float = recipe.field(
        0.2, "dropout rate before the logits, as in char_lm", least=0, below=1
    )
    jit_compile: bool = recipe.field(False, "compile with XLA, as in char_lm")
    steps: int = recipe.field(5, "number of timed steps per block", least=1)
    rounds: int = recipe.field(7, "number of timed blocks of each net", least=1)
    tokens: int = recipe.field(256, "number of tokens to decode with a Transformer", least=2)
    output: str = recipe.field("runs/bench_sequence.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    from cvcourse.training import timing

    load = timing.load_average()
    seconds = race(config)
    checks = {
        f"lstm: char_lm / {name}": timing.check(
            timing.ratios(seconds, name, "char_lm"), at_least=TARGETS["lstm"]
        )
        for name in FORMS
    }
    decoding = timing.take_turns(decoders(config), config.rounds)
    found = timing.ratios(decoding, "uncached", "cached")
    checks[f"cached: {config.tokens} tokens"] = timing.check(found, at_least=TARGETS["cached"])
    per_step = config.batch_size * config.window
    rates = {who: timing.quartiles(per_step / blocks) for who, blocks in seconds.items()}
    for who, rate in rates.items():
        print(f"{who:10} {rate['median']:10,.0f} tokens per second")
    return timing.write_benchmark(
        output,
        config,
        checks=checks,
        load=load,
        versions={"torch": TORCH},
        tokens_per_second=rates,
        decoding_seconds={who: timing.quartiles(blocks) for who, blocks in decoding.items()},
    )


def race(config):
    """Time training steps: {net: seconds (rounds, steps)}, whose blocks take turns."""
    import keras

    from cvcourse import data, optimization, sequence
    from cvcourse.training import timing

    ids = random_ids(config)
    loss = optimization.LOSSES["softmax"]
    stream = functools.partial(
        data.stream_windows, ids, length=config.window, batch_size=config.batch_size
    )

    def recurrent(layer):
        tokens = keras.Input((config.window,), dtype="int32")
        x = layer(keras.layers.Embedding(CHARACTERS, EMBEDDING)(tokens))
        x = keras.layers.Dropout(config.dropout)(x)
        return keras.Model(tokens, keras.layers.Dense(CHARACTERS)(x))

    def block(net, jit):
        optimizer = optimization.optimizer("adam", net, LEARNING_RATE, clip_norm=CLIP_NORM)
        net.compile(optimizer, loss(), jit_compile=jit)
        count = 1 + config.steps
        return lambda: timing.fit_steps(net, stream(), steps_per_epoch=count, shuffle=False)

    settings = dict(units=config.units, embedding=EMBEDDING, dropout=config.dropout)
    settings |= dict(vocabulary=CHARACTERS, num_classes=CHARACTERS, input_shape=(None,))
    net = sequence.build("lstm", **settings)
    cell = keras.layers.RNN(sequence.LSTMCell(config.units), return_sequences=True)
    contestants = {
        "char_lm": block(net, config.jit_compile or "auto"),
        "our cell": block(recurrent(cell), "auto"),
    }
    for name, (form, jit) in FORMS.items():
        layer = keras.layers.LSTM(config.units, return_sequences=True, **form)
        contestants[name] = block(recurrent(layer), jit)
    with timing.torch_process() as there:
        if TORCH:
            shape = config.units, config.window, config.batch_size, 1 + config.steps, config.dropout
            contestants["torch"] = lambda: there(torch_block, *shape)
        return timing.take_turns(contestants, config.rounds)


def random_ids(config):
    """Draw characters for one epoch of a block's steps."""
    import numpy as np

    count = (config.steps + 2) * config.batch_size * config.window
    return np.random.default_rng(0).integers(0, CHARACTERS, count, "int32")


def decoders(config):
    """Return {"cached", "uncached": function that decodes `tokens` tokens, returning seconds}."""
    import numpy as np

    from cvcourse import sequence

    settings = TRANSFORMER | {"max_length": config.tokens + 1}
    net = sequence.build("transformer_decoder", **settings)
    generator = sequence.Generator(net)

    def uncached():
        tokens = np.zeros((1, config.tokens), "int32")  # one length, so that one graph is traced
        for t in range(config.tokens - 1):
            tokens[:, t + 1] = net.predict_on_batch(tokens)[:, t].argmax(-1)

    def timed(decode):
        def seconds():
            start = time.perf_counter()
            decode()
            return np.array([time.perf_counter() - start])

        return seconds

    prompt = np.zeros((1, 1), "int32")
    return {
        "cached": timed(lambda: generator.greedy(prompt, config.tokens - 1)),
        "uncached": timed(uncached),
    }


def torch_block(*race):
    """Run torch's next block of steps; return the seconds of each except the first."""
    return next(torch_blocks(*race))


@functools.cache  # for the life of the process: later blocks continue with the net
def torch_blocks(units, window, batch_size, count, dropout):
    """Train the same net in torch; yield the seconds of `count` steps without the first."""
    import numpy as np
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(CHARACTERS, EMBEDDING)
            self.lstm = nn.LSTM(EMBEDDING, units, batch_first=True)
            self.dropout = nn.Dropout(dropout)
            self.logits = nn.Linear(units, CHARACTERS)

        def forward(self, tokens):
            return self.logits(self.dropout(self.lstm(self.embedding(tokens))[0]))

    torch.set_num_threads(os.cpu_count())
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE)
    while True:
        ends = []
        for _ in range(count):
            ids = torch.randint(CHARACTERS, (batch_size, window + 1))
            logits = net(ids[:, :-1])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)
            optimizer.step()
            loss.item()
            ends.append(time.perf_counter())
        yield np.diff(ends)


cli = recipe.cli(main, "bench sequence")


if __name__ == "__main__":
    sys.exit(cli())
