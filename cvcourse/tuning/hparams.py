"""A sweep's trials for TensorBoard, whose HParams page compares them."""

import shutil

from cvcourse.tuning.stopping import signed


def write_hparams(folder, table, names, objective, curves):
    """Write a TensorBoard run a trial into `folder`, in place of what is there.

    `table` are `rows`, of which `names` are the hyperparameters; `curves` {trial: values by epoch,
    larger is better}. Each run has its values, the curve, and the score of the trial's best epoch.
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
