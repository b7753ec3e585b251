"""Trials of a sweep as TensorBoard runs, for its HParams page."""

import shutil

from cvcourse.tuning.stopping import signed


def write_hparams(folder, table, names, objective, curves):
    """Write one TensorBoard run per trial: hyperparameters, learning curve and best score.

    Args:
        folder: Folder of the runs, as a pathlib.Path. Its previous content is removed.
        table: Rows of `sweep_report.rows`.
        names: Names of the hyperparameters.
        objective: Name of the metric.
        curves: {trial: values by epoch, larger is better}.
    """
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    shutil.rmtree(folder, ignore_errors=True)
    for row in table:
        values = {name: row[name] for name in names if row[name] is not None}
        writer = tf.summary.create_file_writer(str(folder / row["trial"]))
        with writer.as_default():
            api.hparams(values, trial_id=row["trial"])
            for epoch, value in enumerate(curves[row["trial"]], start=1):
                tf.summary.scalar(objective, signed(objective, value), step=epoch)
            if row[objective] is not None:
                tf.summary.scalar(f"best {objective}", row[objective], step=row["best_epoch"])
        writer.close()
