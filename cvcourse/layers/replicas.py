"""Communication between the replicas of a layer that share a batch, under tf.distribute."""

import keras


def replica_context():
    """Return the current tf.distribute.ReplicaContext; None if there are no other replicas."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf  # on other backends a layer sees the whole batch

    replica = tf.distribute.get_replica_context()  # None outside strategy.run
    return replica if replica is not None and replica.num_replicas_in_sync > 1 else None


def mean_over_replicas(value):
    """Average a tensor over the replicas that share a batch.

    Args:
        value: Tensor of the same shape on all replicas.

    Returns:
        The mean over replicas; `value` itself if there is only one, and on the JAX and torch
        backends, where a layer sees the whole batch.
    """
    replica = replica_context()
    return value if replica is None else replica.all_reduce("MEAN", value)
