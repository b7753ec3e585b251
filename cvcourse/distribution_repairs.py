"""Workarounds for Keras' bugs on several TensorFlow replicas: results equal those of one device.

Checked with Keras 3.13 to 3.15. `tests/test_distribution.py` fails when one is no longer needed.
"""

import functools

import keras
import tensorflow as tf

from cvcourse.layers.replicas import mean_over_replicas


def repair_optimizer(optimizer):
    """Make a compiled model's optimizer use the gradients of the whole batch, and return it.

    Keras sums the gradients of the replicas only after clipping and after the check for overflow,
    which therefore use the gradients of one replica. Its gradient accumulation communicates between
    replicas inside a branch, which TensorFlow does not support. Raises ValueError for
    `ema_overwrite_frequency`, for which there is no workaround.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if inner.ema_overwrite_frequency:
        raise ValueError(
            "ema_overwrite_frequency cannot be used on several replicas: TensorFlow does not "
            "support it"
        )
    apply = optimizer.apply

    def apply_to_sums(grads, trainable_variables=None):
        return apply(_sums(grads), trainable_variables)

    optimizer.apply = apply_to_sums
    inner._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars  # already sums
    if inner.gradient_accumulation_steps:
        inner._backend_apply_gradients = functools.partial(_accumulate, inner)
    return optimizer


def _sums(grads):
    """Sum the replicas' gradients; None stays None."""
    grads = list(grads)
    there = [grad for grad in grads if grad is not None]
    replica = tf.distribute.get_replica_context()
    sums = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, there))
    return [grad if grad is None else next(sums) for grad in grads]


def _accumulate(optimizer, grads, variables):
    """Apply accumulated gradients as Keras does, but branch inside each variable's update."""
    every = optimizer.gradient_accumulation_steps
    places = [optimizer._get_variable_index(variable) for variable in variables]
    kept = [optimizer._accumulated_gradients[place].value for place in places]
    sums = [grad + before for grad, before in zip(grads, kept, strict=True)]
    means = optimizer._clip_gradients([total / every for total in sums])

    def is_due():
        return tf.equal((tf.convert_to_tensor(optimizer._iterations) + 1) % every, 0)

    def move(variable, mean, rate):
        def step():
            if optimizer.weight_decay is not None and optimizer._use_weight_decay(variable):
                decay = tf.cast(optimizer.weight_decay, variable.dtype)
                variable.assign_sub(variable * decay * tf.cast(rate, variable.dtype))
            optimizer.update_step(mean, variable, rate)

        tf.cond(is_due(), step, lambda: None)

    def keep(before, total):
        before.assign(tf.where(is_due(), tf.zeros_like(total), total))

    def on_all(strategy, sums, means, rate):
        for variable, before, total, mean in zip(variables, kept, sums, means, strict=True):
            update = functools.partial(strategy.extended.update, group=False)
            update(variable.value, move, args=(mean, rate))
            update(before, keep, args=(total,))

    tf.__internal__.distribute.interim.maybe_merge_call(
        on_all, optimizer._distribution_strategy, sums, means, optimizer.learning_rate
    )
    if optimizer.use_ema:
        optimizer._update_model_variables_moving_average(optimizer._trainable_variables)


def repair_loss(model):
    """Make a compiled model's loss a mean over the whole batch, and return the model.

    With the reduction "mean_with_sample_weight", Keras divides the losses of each replica by the
    sum of that replica's weights, so that words of short captions would count more.
    """
    loss = model.loss
    if getattr(loss, "reduction", None) != "mean_with_sample_weight":
        return model
    compute_loss = model.compute_loss
    loss.reduction = "sum_over_batch_size"  # the weights get a mean of 1

    def compute_loss_of_all(x, y, y_pred, sample_weight, training=True):
        mean = mean_over_replicas(keras.ops.mean(sample_weight))
        sample_weight = keras.ops.divide_no_nan(sample_weight, mean)
        return compute_loss(x, y, y_pred, sample_weight, training)

    model.compute_loss = compute_loss_of_all
    return model


@functools.cache  # once is enough
def repair_seeds():
    """Make random layers draw different numbers on each replica, in this process.

    Keras' seed generators have the same state on all replicas, so that image i of each part would
    get the same dropout mask. The states stay equal, and replica 0 draws as one device does.
    Generators with the attribute `whole_batch` set to True draw the same numbers on each replica.
    """
    draw = keras.random.SeedGenerator.next

    def draw_for_replica(self, *args, **kwargs):
        seed = draw(self, *args, **kwargs)
        replica = tf.distribute.get_replica_context()  # None outside strategy.run
        if replica is None or replica.num_replicas_in_sync == 1:
            return seed
        if getattr(self, "whole_batch", False):
            return seed
        number = tf.cast(replica.replica_id_in_sync_group, seed.dtype)
        # An offset larger than the seeds that Keras gives to layers, 1 to 1e9.
        return seed + tf.stack([number * 1_000_000_007, tf.zeros_like(number)])

    keras.random.SeedGenerator.next = draw_for_replica


@functools.cache  # once is enough
def repair_multi_worker_fit():
    """Make `fit` and `evaluate` work under MultiWorkerMirroredStrategy, in this process.

    Keras fails there in two places: it builds a model from a PerReplica batch as if that were a
    tensor, and averages a scalar over axis 0.
    """
    from keras.src.backend.tensorflow import trainer

    reduce_per_replica = trainer.reduce_per_replica
    build = trainer.TensorFlowTrainer._maybe_symbolic_build

    def reduce_scalars(values, strategy, reduction):
        several = trainer._collective_all_reduce_multi_worker(strategy)
        if not several or reduction not in ("auto", "mean"):
            return reduce_per_replica(values, strategy, reduction)
        return keras.tree.map_structure(lambda v: strategy.reduce("MEAN", v, axis=None), values)

    def build_from_own_part(self, iterator=None, data_batch=None):
        if self._distribute_strategy is None:
            return
        for _, _, it in iterator or ():
            data_batch = tf.nest.map_structure(
                lambda values: self.distribute_strategy.experimental_local_results(values)[0],
                next(it),
            )
            break
        build(self, data_batch=data_batch)

    trainer.reduce_per_replica = reduce_scalars
    trainer.TensorFlowTrainer._maybe_symbolic_build = build_from_own_part
