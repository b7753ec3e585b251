"""Convert a PyTorch state_dict to NumPy arrays, and report weights that do not fit.

torch is not imported: the methods of its tensors suffice.
"""

import itertools
import sys

from cvcourse.errors import reason

# Prefixes that wrappers and training code put before every name; they may be nested.
PREFIXES = (
    "module.",  # torch.nn.DataParallel, DistributedDataParallel, AveragedModel
    "_orig_mod.",  # torch.compile
    "model.",  # usual attribute of a network in training code, such as Lightning's
    "backbone.",  # usual attribute in self-supervised training, detection and segmentation
)
MAX_NESTED = 4
MAX_LOOKED_AT = 2000  # names; a DenseNet-201 has 1,002
# Counters: batches of a batch normalization, models of torch.optim.swa_utils.AveragedModel
COUNTERS = ("num_batches_tracked", "n_averaged")
MAX_NAMES, MAX_LENGTH = 5, 140  # names in an error, and their total number of characters


def to_arrays(tensors):
    """Convert the tensors of a state_dict to NumPy arrays.

    Args:
        tensors: {name: array, or any tensor that NumPy or torch converts}. Parameters that require
            gradients and tensors on other devices are converted; bfloat16 becomes float32.

    Returns:
        {name: array}, without counters such as `num_batches_tracked`, which do not affect outputs.

    Raises:
        ValueError: If `tensors` is not a mapping by name, or a tensor cannot be converted to
            numbers.
    """
    if not hasattr(tensors, "items"):  # such as a torch.nn.Module
        raise ValueError(
            f"weights are needed as {{name: tensor}}, such as a state_dict(); received "
            f"{type(tensors).__name__}"
        )
    if others := [name for name in tensors if not isinstance(name, str)]:
        raise ValueError(f"tensors are needed by name; received the key {others[0]!r}")
    return {
        name: _to_array(name, tensor)
        for name, tensor in tensors.items()
        if not name.endswith(COUNTERS)
    }


def _to_array(name, tensor):
    """Convert a tensor to a NumPy array. Raises ValueError."""
    import numpy as np

    try:
        if hasattr(tensor, "detach"):  # a torch tensor
            tensor = tensor.detach().cpu()
            try:
                tensor = tensor.numpy()
            except TypeError:  # bfloat16, which NumPy does not have
                tensor = tensor.float().numpy()
        array = np.asarray(tensor)
        if array.dtype.kind == "V" and array.dtype.names is None:  # bfloat16 of ml_dtypes
            array = array.astype("float32")
    except Exception as error:  # torch's, of any class
        raise ValueError(f"the tensor {name} cannot be converted: {reason(error)}") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"the tensor {name} does not contain numbers, but {array.dtype}")
    return array


def strip_prefix(tensors, count_known):
    """Remove the prefixes of all names, if a model knows more names without them.

    Args:
        tensors: {name: value}.
        count_known: Function ({name: value}) -> number of names that the model knows.

    Returns:
        (tensors, prefix): the mapping without the prefix, and the prefix, which may be "".
    """
    best, known, removed, prefix = tensors, count_known(tensors), "", ""
    for _ in range(MAX_NESTED):
        found = next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), None)
        if not (tensors and found):
            break
        prefix += found
        tensors = {name.removeprefix(found): value for name, value in tensors.items()}
        if (count := count_known(tensors)) > known:
            best, known, removed = tensors, count, prefix
    return best, removed


def tell_prefix(name, prefix):
    """Print that `prefix` was removed from the names of the weights of the model `name`."""
    if prefix:
        print(f"{name}: removed the prefix {prefix!r} from all names of weights", file=sys.stderr)


def foreign_prefix(names, wanted):
    """Return the text before a wanted name in one of `names`, or ""."""
    for name in itertools.islice(names, MAX_LOOKED_AT):
        start = 0
        for _ in range(MAX_NESTED):
            start = name.find(".", start) + 1
            if not start:
                break
            if name[start:] in wanted:
                return name[:start]
    return ""


def require_finite(name, arrays):
    """Check that weights are finite.

    Args:
        name: Name of the model that they are for.
        arrays: {name: array}.

    Raises:
        ValueError: If arrays contain NaN or infinite values.
    """
    import numpy as np

    broken = [key for key, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        raise ValueError(
            f"the weights for {name} are NaN or infinite in {len(broken)} of {len(arrays)} "
            f"tensors: {shorten(broken)}"
        )


def shorten(names):
    """Format the first few names and the number of the others in one line."""
    names = sorted(names)
    lengths = itertools.accumulate(len(name) for name in names[:MAX_NAMES])
    count = max(1, sum(length <= MAX_LENGTH for length in lengths))
    shown = [name if len(name) <= MAX_LENGTH else f"{name[:MAX_LENGTH]}..." for name in names]
    more = len(names) - count
    return ", ".join(shown[:count]) + (f" and {more} more" if more else "")


def refuse(name, cause="", **problems):
    """Raise the error for weights that do not fit a model, if there are any problems.

    Args:
        name: Name of the model.
        cause: The likeliest cause, in a few words.
        **problems: {kind: names of tensors or layers}, such as missing=, extra=, misshaped=.

    Raises:
        ValueError: If a kind has names. The message lists the first `MAX_NAMES` of each.
    """
    found = [f"{kind}: {shorten(names)}" for kind, names in problems.items() if names]
    if found:
        reasons = "; ".join([cause, *found] if cause else found)
        raise ValueError(f"these weights are not those of {name}: {reasons}")
