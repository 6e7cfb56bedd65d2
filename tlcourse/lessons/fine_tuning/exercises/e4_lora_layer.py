"""Put a low-rank adapter around a linear layer, and merge it into one."""

import torch.nn.functional as F

from tlcourse.checks.compare import differs, explain, short_name, type_name
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import draw_normal

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "03.4", "A LoRA layer", 6, "add_adapter", 2


def cases(rng):
    for inputs, outputs, rank, alpha, has_bias in ((7, 5, 2, 6.0, True), (6, 9, 4, 2.0, False)):
        weight, bias = draw_normal(rng, outputs, inputs), draw_normal(rng, outputs) if has_bias else None
        down, up, x = draw_normal(rng, rank, inputs), draw_normal(rng, outputs, rank), draw_normal(rng, 8, inputs)
        yield Case((weight, bias, rank, alpha, down, up, x))


def verify(case, seen):
    weight, bias, rank, alpha, down, up, x = case.inputs
    if "other" in seen:
        return f"Return an nn.Module; you returned {type_name(seen['other'])}."
    plain, product = F.linear(x, weight, bias), up @ down
    shapes = [list(down.shape), list(up.shape)]
    if sorted(seen["trainable"]) != sorted(shapes):
        if len(seen["trainable"]) > 2:
            return "More than A and B is trainable. Freeze the layer's own weight and bias."
        return f"Want two trainable tensors, A (rank, in) and B (out, rank), here {shapes}; got {seen['trainable']}."
    if differs("output", seen["at first"], plain, 1e-9):
        return "A new adapter changes what the layer computes. Start B at zero."
    largest = seen["largest"]
    if not max(float(value) for value in largest.values()) > 0:
        return "A and B are both zero, so neither ever gets a gradient. Draw A at random."
    if float(largest[str(shapes[1])]) > 0:
        return "B is the one that starts at zero, and A the random one."

    def scaled(scale):
        return plain + scale * x @ product.T

    scale = alpha / rank**0.5
    others = (
        (scaled(alpha / rank), "The scale is α/r. This exercise asks for rank stabilisation: α/√r."),
        (scaled(1.0), "The scale α/√r is missing."),
        (scaled(alpha), "The scale is α alone. Divide it by √r."),
    )
    problem = "The output is not W x + b + α/√r · B A x."
    if message := explain("output", seen["afterwards"], scaled(scale), others, 1e-9, problem):
        return message
    if seen["merged type"] != "Linear":
        return f"merged() is to return an nn.Linear, not {short_name(seen['merged type'])}."
    if bias is None and seen["bias"] is not None:
        return "The layer had no bias, so the merged one has none."
    others = [(weight, "merged() returns the layer as it was. Its weight is W + α/√r · BA.")]
    problem = "The merged weight is not W + α/√r · BA."
    if message := explain("weight", seen["weight"], weight + scale * product, others, 1e-9, problem):
        return message
    if bias is not None and differs("bias", seen["bias"], bias, 1e-9):
        return "The merged layer has another bias than the layer."
    return None
