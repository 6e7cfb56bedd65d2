"""What a step of training holds in memory, counted rather than sampled."""

import copy

import torch
from torch import nn


def training_memory(model: nn.Module, x: torch.Tensor) -> int:
    """Count the bytes that a step of training with Adam holds at once.

    These are the weights and buffers; for each trained parameter its gradient and Adam's two moments; and what autograd
    keeps of the forward pass for the backward pass. Scratch space of single operations is not counted, so the peak
    that a profiler sees is somewhat higher.

    Args:
        model: network; requires_grad says what is trained. It is counted in training mode and left as it was.
        x: (b, …) a batch of its input.

    Returns:
        bytes, int.

    Raises:
        ValueError: by PyTorch, where x is a batch of one that BatchNorm cannot normalise; give it two.
    """
    model = copy.deepcopy(model).train()  # a forward pass moves BatchNorm's statistics
    held = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in model.state_dict().values()}
    trained = sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)

    def keep(tensor):
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    x = x.clone()  # a slice would be counted with all that it was cut from
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(x)  # bound, so that what autograd keeps stays alive
    del output
    return sum(storage.nbytes() for storage in held.values()) + 3 * trained
