"""Time until a sweep finds a trial as good as the best one of keras-tuner's random search.

    cvcourse bench tune
    cvcourse bench tune --model=resnet20 --epochs=9 --seeds=1

keras-tuner trains every trial to the end, with the same code and on the same batches. Both draw the
same values in the same order, and trials start from the same weights. The benchmark measures the
time until a sweep with early stopping has finished an equally good trial, as a share of
keras-tuner's time for all trials, and of its time until the end of its best trial.
"""

import dataclasses
import pathlib
import sys
import tempfile
import time

from cvcourse.recipes import tune

from cvcourse import recipe
from cvcourse.startup import import_tensorflow_quietly

TARGET = 1 / 3  # of keras-tuner's time for all trials
NEVER = 99.0  # the share if no trial was as good, since the best one was stopped


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the benchmark."""

    model: str = recipe.field("lenet5", "network of cvcourse.models.REGISTRY")
    dataset: str = recipe.field("fashion_mnist", "dataset, as for `train`")
    limit: int = recipe.field(5_000, "number of examples per split", least=1)
    epochs: int = recipe.field(9, "number of epochs of a full trial", least=1)
    trials: int = recipe.field(20, "number of trials of each sweep", least=1)
    vary: tuple[str, ...] = recipe.field(
        ("learning_rate", "weight_decay"), "hyperparameters to vary", choices=tune.PARTS
    )
    stop: str = recipe.field(
        "halving", "rule that stops trials early", choices=("median", "halving")
    )
    seeds: int = recipe.field(3, "number of sweeps", least=1)
    output: str = recipe.field("runs/bench_tune.json", "JSON file of the results")


def main(config):
    """Measure, print a table, and write `config.output`; return the contents of the file."""
    config = recipe.check(config)
    output = recipe.output_file(config.output)
    import_tensorflow_quietly()
    from cvcourse.training import timing

    load, sweeps = timing.load_average(), {}
    for seed in range(config.seeds):
        sweep = recipe.as_config(tune.Config, config, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            runs = {"keras-tuner": plain, "cvcourse": ours}
            # Alternate the order, so that neither always finds warm caches.
            names = list(runs) if seed % 2 == 0 else list(runs)[::-1]
            ended = {name: runs[name](sweep, pathlib.Path(folder) / name) for name in names}
        sweeps[f"seed {seed}"] = found = compared(ended["keras-tuner"], ended["cvcourse"])
        print(f"seed {seed}: {found}", flush=True)
    shares = [one["share"] or NEVER for one in sweeps.values()]
    checks = {"time to keras-tuner's best / all its time": timing.check(shares, at_most=TARGET)}
    return timing.write_benchmark(
        output, config, checks=checks, load=load, versions={}, sweeps=sweeps
    )


def compared(theirs, ours):
    """Compare two sweeps of a seed, each given as [(seconds since its start, value)] by trial."""
    best = max(value for _, value in theirs)
    reached = next(seconds for seconds, value in theirs if value >= best)
    soon = next((seconds for seconds, value in ours if value >= best), None)
    return {
        "best": best,
        "their_seconds": theirs[-1][0],
        "their_seconds_to_best": reached,
        "our_seconds": ours[-1][0],
        "our_seconds_to_best": soon,
        "share": soon and soon / theirs[-1][0],
        "share_of_time_to_best": soon and soon / reached,
    }


def plain(config, folder):
    """Run keras-tuner's random search; return [(seconds since its start, value)] by trial."""
    import keras
    import keras_tuner

    from cvcourse import tuning

    space, common = tuning.default_space(config.vary), tune.trial_config(config)
    recipe_model = tune.hypermodel(space, common)

    class Seeded(keras_tuner.HyperModel):
        def build(self, hp):
            keras.backend.clear_session()
            keras.utils.set_random_seed(common.seed)
            return recipe_model.build(hp)

        def fit(self, *args, **options):
            return recipe_model.fit(*args, **options)

    tuner = keras_tuner.RandomSearch(
        Seeded(),
        objective="val_accuracy",
        max_trials=config.trials,
        seed=config.seed + 1,
        hyperparameters=tuning.register(space, common),
        allow_new_entries=False,
        directory=folder,
        project_name="plain",
    )
    begun = time.time()
    tuner.search(verbose=0)
    trials = tuner.oracle.trials
    return [
        (
            (folder / "plain" / f"trial_{key}" / "trial.json").stat().st_mtime - begun,
            float(trial.score),
        )
        for key, trial in ((key, trials[key]) for key in tuner.oracle.end_order)
        if trial.score is not None
    ]


def ours(config, folder):
    """Run the sweep with `cvcourse tune`; return [(seconds since its start, value)] by trial."""
    from cvcourse import tuning

    begun = time.time()
    tune.main(dataclasses.replace(config, workdir=str(folder)))
    return sorted(
        (
            (tuning.trial_folder(folder, trial.trial_id) / "trial.json").stat().st_mtime - begun,
            trial.score,
        )
        for trial in tuning.kept_trials(folder)
        if trial.score is not None
    )


cli = recipe.cli(main, "bench tune")


if __name__ == "__main__":
    sys.exit(cli())
