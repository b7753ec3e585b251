"""Distribution strategies: one device, several devices or machines, or a TPU, with equal results.

Synchronous data parallelism: each replica processes its part of the batch, gradients are summed
before they are clipped or otherwise used, and all replicas make the same update. Goyal et al. 2017,
https://arxiv.org/abs/1706.02677, section 2; TensorFlow's tf.distribute and, on the JAX backend,
Keras' `keras.distribution`.
"""

import atexit
import contextlib
import dataclasses
import functools
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from cvcourse.deprecation import renamed_attributes
from cvcourse.errors import RunError, UsageError
from cvcourse.interrupt import handling
from cvcourse.startup import import_tensorflow_quietly

__all__ = [
    "STRATEGIES",
    "Cluster",
    "SingleDevice",
    "cluster",
    "is_chief",
    "meet",
    "of",
    "require_one_process",
    "start",
    "without_strategy",
]

STRATEGIES = ("auto", "none", "mirrored", "multi_worker", "tpu")
HIGHEST = 2  # largest number that workers vote on
SILENT = 30  # seconds without a heartbeat after which a worker counts as dead
JAX = {
    "addresses": "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "count": "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "index": "KERAS_DISTRIBUTION_PROCESS_ID",
}
EXAMPLE = (
    """'{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", """
    """"index": 0}}'"""
)


# ---- the cluster, as the environment describes it ----


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes that train together.

    Args:
        addresses: HOST:PORT of each process.
        index: Index of this process.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def own(self) -> str:
        """HOST:PORT of this process."""
        return self.addresses[self.index]


def cluster(name: str = "auto") -> Cluster | None:
    """Read the cluster from environment variables.

    Args:
        name: A name of STRATEGIES.

    Returns:
        The Cluster; None if a single process trains.

    Raises:
        UsageError: If the variables are incomplete or contradictory.
    """
    if name not in ("auto", "multi_worker", "tpu"):
        return None
    on_jax = os.environ.get("KERAS_BACKEND") == "jax"
    found = _keras_cluster() if on_jax else _tf_config()
    return found if found and len(found.addresses) > 1 else None


def is_chief(name: str = "auto") -> bool:
    """Check whether this process writes the files: the first of a cluster, or the only one.

    Args:
        name: A name of STRATEGIES.

    Returns:
        True for the chief.

    Raises:
        UsageError: As `cluster`.
    """
    found = cluster(name)
    return found is None or found.index == 0


def require_one_process(name: str) -> None:
    """Check that a strategy trains in one process, for recipes that start many runs.

    Args:
        name: A name of STRATEGIES.

    Raises:
        UsageError: If it would train in several.
    """
    if found := cluster(name):
        raise UsageError(
            f"this recipe trains in one process, but environment variables name "
            f"{len(found.addresses)}: unset them, or use --strategy=mirrored"
        )
    if name == "multi_worker":
        raise UsageError("this recipe trains in one process: use --strategy=mirrored or none")


def _tf_config():
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("it is not an object")
        jobs, task = values.get("cluster", {}), values.get("task", {})
        if not jobs:
            return None
        for job in jobs:
            if job not in ("chief", "worker"):
                raise ValueError(f"the job {job!r} is unknown: chief and worker are needed")
        if len(jobs.get("chief", [])) > 1:
            raise ValueError("there can be only one chief")
        order = [(job, i) for job in ("chief", "worker") for i in range(len(jobs.get(job, [])))]
        own = (task["type"], int(task["index"]))
        if own not in order:
            raise ValueError(f"the task {own[0]} {own[1]} is not in its cluster")
        addresses = [jobs[job][i] for job, i in order]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise UsageError(f"TF_CONFIG: {problem}; an example is TF_CONFIG={EXAMPLE}") from error
    return Cluster(_addresses("TF_CONFIG", addresses), order.index(own))


def _keras_cluster():
    texts = {key: os.environ.get(variable) for key, variable in JAX.items()}
    if not any(texts.values()):
        return None
    for key, variable in JAX.items():
        if not texts[key]:
            raise UsageError(f"{variable} is missing: all of {', '.join(JAX.values())} are needed")
    try:
        count, index = int(texts["count"]), int(texts["index"])
    except ValueError as error:
        raise UsageError(f"{JAX['count']} and {JAX['index']} are whole numbers: {error}") from error
    addresses = texts["addresses"].split(",")
    if count > 1 and len(addresses) == 1:  # JAX needs only the first
        addresses *= count
    if not 0 <= index < count == len(addresses):
        raise UsageError(
            f"{JAX['index']}={index}, {JAX['count']}={count} and {len(addresses)} "
            f"{JAX['addresses']} do not match"
        )
    return Cluster(_addresses(JAX["addresses"], addresses), index)


def _addresses(source, addresses):
    for address in addresses:
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise UsageError(f"{source}: an address is HOST:PORT; received {address!r}")
    return tuple(addresses)


def _require_free(address):
    """Raise RunError if a server cannot listen at the port; TensorFlow would abort."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # On all interfaces: the host may be a name that only others resolve to this machine,
            # such as that of a Kubernetes service.
            probe.bind(("", int(address.rpartition(":")[2])))
    except OSError as error:
        raise RunError(f"cannot serve at {address}, this worker's address: {error}") from error


def _connect(found, connect):
    """Return `connect()`, which waits for all workers. Raises RunError if it fails."""
    print(
        f"worker {found.index} of {len(found.addresses)} at {found.own}, waiting for the others",
        flush=True,
    )
    # TensorFlow holds the GIL while it waits: only the system's default handlers can end it.
    try:
        with handling(signal.SIG_DFL, signal.SIGINT, signal.SIGTERM):
            return connect()
    except Exception as error:
        raise RunError(f"the workers could not connect: {error}") from error


# ---- strategies ----


class SingleDevice:
    """Training on one device, without a strategy; base class of the strategies.

    Args:
        devices: Names of the devices of all workers.

    Attributes:
        workers: Number of processes.
        index: Index of this process.
    """

    name = "none"
    workers, index = 1, 0

    def __init__(self, devices: list[str]):
        self.devices = devices

    @property
    def replicas(self) -> int:
        """Number of parts of a batch."""
        return len(self.devices)

    @property
    def chief(self) -> bool:
        """Whether this process writes the files."""
        return self.index == 0

    def scope(self):
        """Context manager: build and compile models in it."""
        return contextlib.nullcontext()

    def fitting(self):
        """Context manager: fit models in it. Variables of callbacks are not replicated."""
        return contextlib.nullcontext()

    def ready(self, model):
        """Build the optimizer of a compiled model, and work around Keras' bugs with replicas.

        Returns the model.
        """
        with self.scope():
            model.optimizer.build(model.trainable_variables)
        return model

    def feed(self, stream, **options):
        """Return the batches of `stream(**options)` for `fit`; workers also pass `shard`."""
        return stream(**options)

    def all_workers(self, value):
        """Gather a JSON-serializable value of each worker, in the order of the workers."""
        if self.workers == 1:
            return [value]
        import numpy as np

        data = json.dumps(value).encode()
        lengths = np.zeros(self.workers, "int32")
        lengths[self.index] = len(data)
        lengths = self._sum(lengths)
        words = np.zeros((self.workers, -(-lengths.max() // 4)), "int32")
        words[self.index] = _words(data, words.shape[1])
        rows = self._sum(words)
        return [
            json.loads(row.tobytes()[:length]) for row, length in zip(rows, lengths, strict=True)
        ]

    def from_chief(self, value):
        """Return the chief's value; the values of the others are ignored."""
        return self.all_workers(value if self.chief else None)[0]

    def broadcast(self, data):
        """Return the chief's bytes, or None; the bytes of the others are ignored."""
        if self.workers == 1:
            return data
        length = self.from_chief(None if data is None else len(data))
        if length is None:
            return None
        words = _words(data if self.chief else b"", -(-length // 4))
        return self._sum(words).tobytes()[:length]

    def highest(self, number):
        """Return the largest of the workers' integers, which are 0 to HIGHEST."""
        if self.workers == 1:
            return number
        import numpy as np

        votes = np.zeros(HIGHEST + 1, "int32")
        votes[number] = 1
        return int(self._sum(votes).nonzero()[0].max())

    def _sum(self, numbers):
        """Sum int32 arrays of one shape over the workers."""
        return numbers

    @contextlib.contextmanager
    def raise_on_dead_worker(self, again):
        """Context manager: raise the error of a dead worker as a RunError with a command.

        Args:
            again: Command line that starts a worker again.
        """
        yield

    def require_divisible(self, batch_size):
        """Raise UsageError if a batch cannot be divided equally among the replicas."""
        if batch_size % self.replicas:
            below = batch_size // self.replicas * self.replicas
            fits = [size for size in (below, below + self.replicas) if size]
            raise UsageError(
                f"--batch_size={batch_size} is not divisible by {self.replicas} replicas: use "
                f"{' or '.join(map(str, fits))}, or --strategy=none"
            )

    def require_alike(self, values):
        """Raise UsageError, in all workers, if {name: value} differ between them."""
        chief, *others = self.all_workers(values)
        for number, other in enumerate(others, start=1):
            for name in chief:
                if chief[name] != other.get(name):
                    raise UsageError(
                        f"worker {number} has a different {name}: {other.get(name)!r}, not "
                        f"{chief[name]!r} as worker 0; start all workers with the same settings"
                    )

    def facts(self, batch_size):
        """Return the strategy's entries for metrics.json, {name: value}."""
        return {
            "strategy": self.name,
            "replicas": self.replicas,
            "batch_size_per_replica": batch_size // self.replicas,
        }

    def describe(self, batch_size):
        """Describe the strategy in one line, for printing."""
        noun = "replica" if self.replicas == 1 else "replicas"
        workers = f" of {self.workers} workers" if self.workers > 1 else ""
        return (
            f"strategy: {self.name}, {self.replicas} {noun}{workers} "
            f"({', '.join(self.devices)}), batch {batch_size} = {self.replicas} x "
            f"{batch_size // self.replicas}"
        )


def _words(data, count):
    """Convert bytes to `count` int32 numbers, to which other workers' zeros can be added."""
    import numpy as np

    return np.frombuffer(data.ljust(4 * count, bytes(1)), "int32")


class TensorFlowStrategy(SingleDevice):
    """A strategy of tf.distribute."""

    def __init__(self, name, strategy, devices):
        from cvcourse.distribution_repairs import repair_seeds

        super().__init__(devices)
        self.name, self.strategy = name, strategy
        repair_seeds()

    def scope(self):
        return self.strategy.scope()

    def ready(self, model):
        from cvcourse.distribution_repairs import repair_loss, repair_optimizer

        super().ready(model)
        if self.replicas > 1:
            repair_optimizer(model.optimizer)
            repair_loss(model)
        return model


class MultiWorker(TensorFlowStrategy):
    """tf.distribute.MultiWorkerMirroredStrategy: several processes, each with its own devices."""

    def __init__(self, cluster):
        import tensorflow as tf

        from cvcourse.distribution_repairs import repair_multi_worker_fit

        _require_free(cluster.own)
        repair_multi_worker_fit()
        strategy = _connect(cluster, tf.distribute.MultiWorkerMirroredStrategy)
        local = len(strategy.extended.worker_devices)
        self.workers, self.index = len(cluster.addresses), cluster.index
        devices = [address for address in cluster.addresses for _ in range(local)]
        super().__init__("multi_worker", strategy, devices)
        self._local = local

    def feed(self, stream, **options):
        shard = self.index, self.workers

        def own(context):
            batches = stream(**options, shard=shard)
            if self._local > 1:
                size = next(iter(batches.element_spec)).shape[0] // self._local
                batches = batches.rebatch(size)
            return batches

        return self.strategy.distribute_datasets_from_function(own)

    def _sum(self, numbers):
        import numpy as np
        import tensorflow as tf

        own = self.strategy.experimental_distribute_values_from_function(
            lambda replica: tf.constant(
                numbers
                if replica.replica_id_in_sync_group % self._local == 0
                else np.zeros_like(numbers)
            )
        )
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, own, axis=None).numpy()

    @contextlib.contextmanager
    def raise_on_dead_worker(self, again):
        import tensorflow as tf

        gone = (
            *(tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError),
            *(tf.errors.DeadlineExceededError, tf.errors.InternalError),
            tf.errors.FailedPreconditionError,
        )
        try:
            yield
        except gone as error:
            raise RunError(_dead_worker(self, again)) from error


class DataParallel(SingleDevice):
    """`keras.distribution.DataParallel` on the JAX backend: devices of one or several processes."""

    def __init__(self, name, workers=1, index=0):
        import jax
        import keras

        super().__init__([f"{device.platform}:{device.id}" for device in jax.devices()])
        self.name, self.workers, self.index = name, workers, index
        self.distribution = keras.distribution.DataParallel(
            devices=self.devices, auto_shard_dataset=False
        )

    def scope(self):
        return self.distribution.scope()

    fitting = scope

    def feed(self, stream, **options):
        if self.workers > 1:
            options["shard"] = self.index, self.workers
        return stream(**options)

    def _sum(self, numbers):
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(numbers).sum(axis=0, dtype="int32")

    @contextlib.contextmanager
    def raise_on_dead_worker(self, again):
        if self.workers == 1:
            yield
            return
        import jax

        try:
            yield
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            if not any(word in str(error) for word in ("Gloo", "UNAVAILABLE", "ABORTED")):
                raise
            # At exit JAX would wait for the others, and then abort.
            atexit.register(_exit_at_once)
            raise RunError(_dead_worker(self, again)) from error


def _exit_at_once():
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(1)


def _dead_worker(strategy, again):
    return (
        f"one of the {strategy.workers} workers is dead or cannot be reached, and this one (number "
        f"{strategy.index}) cannot continue without it: start all of them again with: {again}"
    )


@contextlib.contextmanager
def without_strategy():
    """Context manager: create variables outside the strategy, in this process only."""
    import keras

    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def meet(config: Any, look: Callable[[], Any], command: str) -> tuple[SingleDevice | None, Any]:
    """Connect the workers, if there are several, and share whether the run is finished.

    Args:
        config: Config with the fields strategy and cpu_devices.
        look: Function () -> metrics of a finished run, or None; only the chief calls it.
        command: Command line that starts a worker again.

    Returns:
        A pair: the strategy, or None if the run is finished and there is no other worker; and the
        chief's result of `look`.

    Raises:
        UsageError: As `start`.
        RunError: As `start`; also for a dead worker.
    """
    found = look() if is_chief(config.strategy) else None
    if found and not cluster(config.strategy):
        return None, found
    import_tensorflow_quietly()
    devices = of(config)
    with devices.raise_on_dead_worker(command):
        return devices, devices.from_chief(found)


def of(config: Any) -> SingleDevice:
    """Return the strategy of a recipe's config.

    Args:
        config: Config with the fields strategy and cpu_devices.

    Returns:
        The strategy, as `start`.

    Raises:
        UsageError: As `start`.
        RunError: As `start`.
    """
    return start(config.strategy, config.cpu_devices)


@functools.cache
def start(name: str = "auto", cpu_devices: int | None = None) -> SingleDevice:
    """Start a strategy; later calls return the same one, since a process can have only one.

    Args:
        name: A name of STRATEGIES. "auto" is "multi_worker" if environment variables name several
            workers; otherwise "mirrored" if there is more than one accelerator, or on JAX more than
            one device of any kind; otherwise "none".
        cpu_devices: Number of devices to split the CPU into, to try a strategy without GPUs.

    Returns:
        The strategy.

    Raises:
        UsageError: If the backend does not support the strategy, environment variables are wrong
            or missing, or it is too late to split the CPU.
        RunError: If devices do not exist, an address is in use, or workers cannot connect.
    """
    import keras

    backend = keras.backend.backend()
    if backend not in MAKERS:
        if name in ("auto", "none"):
            return SingleDevice([backend])
        raise UsageError(
            f"--strategy={name} runs on the TensorFlow and JAX backends; this is {backend}"
        )
    found = cluster(name)
    if name == "multi_worker" and not found:
        names = "TF_CONFIG" if backend == "tensorflow" else ", ".join(JAX.values())
        raise UsageError(f"--strategy=multi_worker needs two or more workers, named by {names}")
    return MAKERS[backend](name, found, cpu_devices)


def _on_tensorflow(name, found, cpu_devices):
    import tensorflow as tf

    if cpu_devices:
        cpu = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * cpu_devices
            )
        except RuntimeError as error:
            raise UsageError(
                f"--cpu_devices={cpu_devices}: TensorFlow is already in use in this process"
            ) from error
    if found and name != "tpu":
        return MultiWorker(found)
    if name == "tpu":
        return _tensorflow_tpu()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    names = [device.name.removeprefix("/device:") for device in devices]
    several = len(devices) > 1
    if name == "none" or (name == "auto" and not several):
        return SingleDevice(names[:1])
    # Without GPUs NCCL and rings are not faster, and a process can have only one ring.
    slow = {} if "GPU" in names[0] else {"cross_device_ops": tf.distribute.ReductionToOneDevice()}
    return TensorFlowStrategy("mirrored", tf.distribute.MirroredStrategy(names, **slow), names)


def _tensorflow_tpu():
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect("local")
        strategy = tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # of any class, for instance if a library is missing
        there = ", ".join(d.name for d in tf.config.list_logical_devices())
        raise RunError(
            f"--strategy=tpu: TensorFlow finds no TPU here; there is {there}. Colab's TPU runtimes "
            "need JAX: KERAS_BACKEND=jax"
        ) from error
    names = [device.name for device in tf.config.list_logical_devices("TPU")]
    return TensorFlowStrategy("tpu", strategy, names)


def _on_jax(name, found, cpu_devices):
    import jax

    if cpu_devices:
        try:
            jax.config.update("jax_num_cpu_devices", cpu_devices)
        except RuntimeError as error:
            raise UsageError(
                f"--cpu_devices={cpu_devices}: JAX is already in use in this process"
            ) from error
    if found:
        if found.index == 0:
            _require_free(found.own)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.config.update("jax_cpu_enable_async_dispatch", False)  # workers must agree on the order
        connect = functools.partial(
            jax.distributed.initialize,
            found.addresses[0],
            len(found.addresses),
            found.index,
            heartbeat_timeout_seconds=SILENT,
        )
        _connect(found, connect)
    platform = jax.devices()[0].platform
    if name == "tpu" and platform != "tpu":
        there = ", ".join(map(str, jax.devices()))
        raise RunError(f"--strategy=tpu: JAX finds no TPU here; there is {there}")
    if found:
        return DataParallel("multi_worker", len(found.addresses), found.index)
    if name == "none" or (name == "auto" and jax.device_count() == 1):
        return SingleDevice([str(jax.devices()[0])])
    return DataParallel("tpu" if platform == "tpu" else "mirrored")


MAKERS = {"tensorflow": _on_tensorflow, "jax": _on_jax}


__getattr__ = renamed_attributes(__name__, OneDevice="SingleDevice", alone="without_strategy")
