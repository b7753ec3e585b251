"""A functional model as a graph: its operations, each after the operations that it depends on."""


def operations(model):
    """Return the operations of a model in an order that depends on its mathematics only.

    Each operation comes after the operations that it depends on; of several inputs, the operations
    of the first come first. Two models with the same sums and concatenations therefore have their
    weights in the same order, whatever other layers they have.

    Args:
        model: A functional keras.Model.

    Returns:
        [(operation, input tensors, output tensors)].
    """
    found, seen = [], set()
    waiting = [(tensor, False) for tensor in reversed(model.outputs)]
    while waiting:
        tensor, ready = waiting.pop()
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if ready:
            found.append((operation, node.input_tensors, node.output_tensors))
        elif id(operation) not in seen:
            seen.add(id(operation))
            waiting.append((tensor, True))
            waiting += [(need, False) for need in reversed(node.input_tensors)]
    return found
