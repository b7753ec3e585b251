"""Several runs of one recipe in sequence, which one command resumes."""

import dataclasses

from cvcourse.recipe.workdir import subrun


def run_each(main, configs, command):
    """Run a recipe once for each config. Finished runs are not repeated.

    Args:
        main: Function of a config that returns the run's metrics.
        configs: {name: config}.
        command: Command line that resumes all runs.

    Returns:
        {name: metrics}.

    Raises:
        Interrupted: With the `command`.
        Exception: As `main` does.
    """
    metrics = {}
    for number, (name, config) in enumerate(configs.items(), start=1):
        print(f"\nrun {number} of {len(configs)}: {name}", flush=True)
        with subrun(name, command):
            metrics[name] = main(config)
    return metrics


def run_each_seed(main, run):
    """Run a recipe once for each of its seeds, in folders of its run.

    Args:
        main: Function of a config that returns the run's metrics.
        run: The Run that contains them; its config has `seeds`.

    Returns:
        {"seed N": metrics}.

    Raises:
        Interrupted: As `run_each` does.
    """
    configs = {
        f"seed {seed}": dataclasses.replace(
            run.config, seed=seed, seeds=None, workdir=str(run.path / f"seed{seed}")
        )
        for seed in run.config.seeds
    }
    return run_each(main, configs, run.command)


def run_seeds(main, run, seeds, configs):
    """Run a recipe for each config and seed, with one folder per seed.

    Args:
        main: Function of a config that returns the run's metrics.
        run: The Run that contains them.
        seeds: Random seeds.
        configs: Function (folder, seed) -> {name: config}.

    Returns:
        A pair: the folders of the seeds, and a list of all metrics.

    Raises:
        Interrupted: As `run_each` does.
    """
    folders = [run.path / f"seed{seed}" for seed in seeds]
    every = {
        f"seed {seed}, {name}": config
        for seed, folder in zip(seeds, folders, strict=True)
        for name, config in configs(folder, seed).items()
    }
    return folders, [*run_each(main, every, run.command).values()]
