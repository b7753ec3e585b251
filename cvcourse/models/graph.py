"""A functional model as a graph: its operations, each behind those whose outputs it takes."""


def operations(model):
    """The operations of `model` with their input and output tensors: [(operation, ins, outs)].

    Each stands behind all it needs; of several inputs, the first one's past comes first. The
    order is therefore that of the mathematics, whatever layers lie between: two models that add
    and concatenate alike have their weights in the same order.
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
