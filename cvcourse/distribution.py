"""Where a model trains: one device, several of a machine, several machines, a TPU; equal results.

Synchronous data parallelism: each replica takes its part of the batch, gradients are summed before
anything else is done with them, and all make the same step. Goyal et al. 2017,
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

from cvcourse.deprecation import renamed_attributes
from cvcourse.errors import RunError, UsageError
from cvcourse.interrupt import handling
from cvcourse.startup import import_tensorflow_quietly

STRATEGIES = ("auto", "none", "mirrored", "multi_worker", "tpu")
HIGHEST = 2  # of what workers vote on
SILENT = 30  # seconds after which a worker that says nothing counts as dead
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
    """The processes that train together: their addresses, and which of them this one is."""

    addresses: tuple[str, ...]
    index: int

    @property
    def own(self):
        """HOST:PORT of this process."""
        return self.addresses[self.index]


def cluster(name="auto"):
    """The Cluster that the environment names for a strategy; None for a process on its own.

    Raises UsageError for variables that do not make sense.
    """
    if name not in ("auto", "multi_worker", "tpu"):
        return None
    on_jax = os.environ.get("KERAS_BACKEND") == "jax"
    found = _keras_cluster() if on_jax else _tf_config()
    return found if found and len(found.addresses) > 1 else None


def is_chief(name="auto"):
    """Whether this process writes the files: the first of a cluster, or the only one."""
    found = cluster(name)
    return found is None or found.index == 0


def require_one_process(name):
    """Raise UsageError where a strategy would train in several; for recipes of many runs."""
    if found := cluster(name):
        raise UsageError(
            f"this recipe trains in one process, and the environment names "
            f"{len(found.addresses)}: leave its variables out, or take --strategy=mirrored"
        )
    if name == "multi_worker":
        raise UsageError("this recipe trains in one process: take --strategy=mirrored or none")


def _tf_config():
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("it is no object")
        jobs, task = values.get("cluster", {}), values.get("task", {})
        if not jobs:
            return None
        for job in jobs:
            if job not in ("chief", "worker"):
                raise ValueError(f"the job {job!r} has no part in it: chief and worker have")
        if len(jobs.get("chief", [])) > 1:
            raise ValueError("there can be one chief")
        order = [(job, i) for job in ("chief", "worker") for i in range(len(jobs.get(job, [])))]
        own = (task["type"], int(task["index"]))
        if own not in order:
            raise ValueError(f"the task {own[0]} {own[1]} is not in its cluster")
        addresses = [jobs[job][i] for job, i in order]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise UsageError(f"TF_CONFIG: {problem}; it looks like TF_CONFIG={EXAMPLE}") from error
    return Cluster(_addresses("TF_CONFIG", addresses), order.index(own))


def _keras_cluster():
    texts = {key: os.environ.get(variable) for key, variable in JAX.items()}
    if not any(texts.values()):
        return None
    for key, variable in JAX.items():
        if not texts[key]:
            raise UsageError(
                f"{variable} is missing beside the others of {', '.join(JAX.values())}"
            )
    try:
        count, index = int(texts["count"]), int(texts["index"])
    except ValueError as error:
        raise UsageError(f"{JAX['count']} and {JAX['index']} are whole numbers: {error}") from error
    addresses = texts["addresses"].split(",")
    if count > 1 and len(addresses) == 1:  # JAX needs no more than the first
        addresses *= count
    if not 0 <= index < count == len(addresses):
        raise UsageError(
            f"{JAX['index']}={index}, {JAX['count']}={count} and {len(addresses)} "
            f"{JAX['addresses']} do not go together"
        )
    return Cluster(_addresses(JAX["addresses"], addresses), index)


def _addresses(source, addresses):
    for address in addresses:
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise UsageError(f"{source}: an address is HOST:PORT; received {address!r}")
    return tuple(addresses)


def _require_free(address):
    """Raise RunError where a server cannot listen at the port; TensorFlow would abort."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Of all interfaces: the host may be a name that others see, a Kubernetes service's.
            probe.bind(("", int(address.rpartition(":")[2])))
    except OSError as error:
        raise RunError(f"cannot serve at {address}, this worker's address: {error}") from error


def _connect(found, connect):
    """What `connect()` returns once all workers are there. Raises RunError where it fails."""
    print(
        f"worker {found.index} of {len(found.addresses)} at {found.own}, waiting for the others",
        flush=True,
    )
    # TensorFlow waits with the interpreter locked: only the system's own handlers end it.
    try:
        with handling(signal.SIG_DFL, signal.SIGINT, signal.SIGTERM):
            return connect()
    except Exception as error:
        raise RunError(f"the workers did not meet: {error}") from error


# ---- strategies ----


class SingleDevice:
    """Training as Keras does it by itself; what the other strategies replace."""

    name = "none"
    workers, index = 1, 0  # processes, and which of them this is

    def __init__(self, devices):
        self.devices = devices  # of all workers, by name

    @property
    def replicas(self):
        """How many parts a batch is cut into."""
        return len(self.devices)

    @property
    def chief(self):
        """Whether this process writes the files."""
        return self.index == 0

    def scope(self):
        """A context in which models are built and compiled."""
        return contextlib.nullcontext()

    def fitting(self):
        """A context in which models are fit. What callbacks make there is no replica's."""
        return contextlib.nullcontext()

    def ready(self, model):
        """A compiled model with its optimizer's variables where they belong; returns it.

        What Keras would get wrong with it is set right.
        """
        with self.scope():
            model.optimizer.build(model.trainable_variables)
        return model

    def feed(self, stream, **options):
        """What `fit` takes for the batches of `stream(**options)`; of workers, it knows `shard`."""
        return stream(**options)

    def all_workers(self, value):
        """The JSON-able values that all workers call this with, in their order."""
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
        """The chief's value, whatever the others call this with."""
        return self.all_workers(value if self.chief else None)[0]

    def broadcast(self, data):
        """The chief's bytes, or None where it has none; the others' count for nothing."""
        if self.workers == 1:
            return data
        length = self.from_chief(None if data is None else len(data))
        if length is None:
            return None
        words = _words(data if self.chief else b"", -(-length // 4))
        return self._sum(words).tobytes()[:length]

    def highest(self, number):
        """The highest of the numbers, 0 to HIGHEST, that all workers call this with."""
        if self.workers == 1:
            return number
        import numpy as np

        votes = np.zeros(HIGHEST + 1, "int32")
        votes[number] = 1
        return int(self._sum(votes).nonzero()[0].max())

    def _sum(self, numbers):
        """The sum of int32 arrays, of one shape, that all workers call this with."""
        return numbers

    @contextlib.contextmanager
    def raise_on_dead_worker(self, again):
        """Inside, the loss of a worker is a RunError naming the command `again`."""
        yield

    def require_divisible(self, batch_size):
        """Raise UsageError for a batch that cannot be cut into equal parts."""
        if batch_size % self.replicas:
            below = batch_size // self.replicas * self.replicas
            fits = [size for size in (below, below + self.replicas) if size]
            raise UsageError(
                f"--batch_size={batch_size} cannot be shared by {self.replicas} replicas: take "
                f"{' or '.join(map(str, fits))}, or --strategy=none"
            )

    def require_alike(self, values):
        """Raise UsageError, in all workers, where one of them has another {name: value}."""
        chief, *others = self.all_workers(values)
        for number, other in enumerate(others, start=1):
            for name in chief:
                if chief[name] != other.get(name):
                    raise UsageError(
                        f"worker {number} has another {name}: {other.get(name)!r}, and the first "
                        f"{chief[name]!r}; they must be started alike"
                    )

    def facts(self, batch_size):
        """What is recorded of it: {name: value}."""
        return {
            "strategy": self.name,
            "replicas": self.replicas,
            "batch_size_per_replica": batch_size // self.replicas,
        }

    def describe(self, batch_size):
        """What is printed of it."""
        noun = "replica" if self.replicas == 1 else "replicas"
        workers = f" of {self.workers} workers" if self.workers > 1 else ""
        return (
            f"strategy: {self.name}, {self.replicas} {noun}{workers} "
            f"({', '.join(self.devices)}), batch {batch_size} = {self.replicas} x "
            f"{batch_size // self.replicas}"
        )


def _words(data, count):
    """Bytes as `count` int32: where the other workers' are 0, their sum is exact."""
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
    """tf.distribute.MultiWorkerMirroredStrategy: several processes, each with its devices."""

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
            raise RunError(_lost(self, again)) from error


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
            # At its end JAX would wait for the others, and then abort.
            atexit.register(_exit_at_once)
            raise RunError(_lost(self, again)) from error


def _exit_at_once():
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(1)


def _lost(strategy, again):
    return (
        f"another of the {strategy.workers} workers has gone, or cannot be reached, and this one "
        f"(number {strategy.index}) cannot go on alone: start all of them again with: {again}"
    )


@contextlib.contextmanager
def without_strategy():
    """Inside, new variables are this process' own, whatever strategy trains around it."""
    import keras

    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


def meet(config, look, command):
    """Meet the workers that train together, if there are several, and hear what the chief found.

    Args:
        config: Config with the fields strategy and cpu_devices.
        look: Function () -> the metrics of a finished run, or None, that the chief alone calls.
        command: The command line that starts a worker again.

    Returns:
        A pair: the strategy, None where the run is finished and no worker waits to hear of it, and
        what `look` returned to the chief.

    Raises:
        RunError: If a worker died. UsageError and RunError also as `start` does.
    """
    found = look() if is_chief(config.strategy) else None
    if found and not cluster(config.strategy):
        return None, found
    import_tensorflow_quietly()
    devices = of(config)
    with devices.raise_on_dead_worker(command):
        return devices, devices.from_chief(found)


def of(config):
    """The strategy that a recipe's config asks for by its fields strategy and cpu_devices."""
    return start(config.strategy, config.cpu_devices)


@functools.cache
def start(name="auto", cpu_devices=None):
    """The strategy called `name`, the same one each time: a process can have no second.

    auto is several workers where the environment names some, else mirrored where there is more
    than one accelerator, or on JAX any device, else none. `cpu_devices` splits the CPU into so many
    devices, to try a strategy without others. Raises UsageError for a misshapen environment, for
    workers that nothing names and for a CPU that can no longer be split; RunError for devices that
    are not there, and an address in use.
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
        raise UsageError(f"--strategy=multi_worker needs two workers or more named by {names}")
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
                f"--cpu_devices={cpu_devices}: TensorFlow has already begun in this process"
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
    # Without GPUs NCCL's and the rings' speed is of no use, and a ring lives once in a process.
    slow = {} if "GPU" in names[0] else {"cross_device_ops": tf.distribute.ReductionToOneDevice()}
    return TensorFlowStrategy("mirrored", tf.distribute.MirroredStrategy(names, **slow), names)


def _tensorflow_tpu():
    import tensorflow as tf

    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect("local")
        strategy = tf.distribute.TPUStrategy(resolver)
    except Exception as error:  # whatever it meets: that of a missing library, too
        there = ", ".join(d.name for d in tf.config.list_logical_devices())
        raise RunError(
            f"--strategy=tpu: TensorFlow finds no TPU here; there is {there}. Colab's TPU runtimes "
            "train by JAX: KERAS_BACKEND=jax"
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
                f"--cpu_devices={cpu_devices}: JAX has already begun in this process"
            ) from error
    if found:
        if found.index == 0:
            _require_free(found.own)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.config.update("jax_cpu_enable_async_dispatch", False)  # or workers' orders differ
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
