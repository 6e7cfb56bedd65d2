"""Write the CORAL loss, and the transform that gives the source the covariance of the target."""

import torch

from tlcourse.adapt import coral_loss
from tlcourse.checks.compare import differs, explain, misfit
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import CHANGED, NO_GRADIENT, draw_normal, flatten_gradients, loss_gradients

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "06.2", "CORAL", 5, "coral", 2
PARTS = {"loss": 2, "transform": 3}


def cases(rng):
    for part in PARTS:
        for n, m, d in ((14, 9, 5), (6, 8, 7)):  # in the second the source's covariance has no inverse
            pair = [draw_normal(rng, k, d) @ draw_normal(rng, d, d) + draw_normal(rng, d) for k in (n, m)]
            yield Case(tuple(pair), part=part)


def verify(case, seen):
    if seen is None:
        return "Return two things: the loss, and the moved source features."
    if differs("", seen["after"], case.inputs):
        return CHANGED
    return (_verify_loss if case.part == "loss" else _verify_transform)(seen, *case.inputs)


def _verify_loss(seen, source, target):
    leaves = [value.clone().requires_grad_() for value in (source, target)]
    n, d = source.shape
    right, apart = coral_loss(*leaves), (source.mean(dim=0) - target.mean(dim=0)).square()
    squares = right.detach() * 4 * d**2

    def by(matrix):
        return (matrix(source) - matrix(target)).square().sum() / (4 * d**2)

    others = [
        (by(lambda x: torch.cov(x.T, correction=0)), "A covariance divides by n − 1, and yours by n."),
        (by(lambda x: x.T @ x / (len(x) - 1)), "Subtract the mean of each column before you multiply."),
        (by(lambda x: x.T @ x / len(x)), "Subtract the mean of each column first, and divide by n − 1."),
        (by(lambda x: (x - x.mean(dim=0)).T @ (x - x.mean(dim=0))), "Divide each covariance by its own n − 1."),
        (by(lambda x: torch.corrcoef(x.T)), "Those are correlations. Covariances keep the scale."),
        (by(lambda x: torch.cov(x.T).diag()), "Only the variances are in it. Take the whole matrices."),
        (squares.sqrt() / (4 * d**2), "The norm is to be squared."),
        (squares.sqrt(), "The norm is to be squared, and divided by 4 d²."),
        (squares, "Divide by 4 d²."),
        (squares / (4 * d), "You divide by 4 d. It is 4 d²."),
        (squares / d**2, "The 4 is missing: 4 d², where the mean of the squares has d²."),
        (squares / (4 * n**2), "d is the number of features, the columns. You take the rows."),
        (squares / d**2 + apart.mean(), "The means do not count in CORAL, and the squares are divided by 4 d²."),
        (right.detach() + apart.sum(), "The means do not count in CORAL."),
        (right.detach() + apart.mean(), "The means do not count in CORAL."),
    ]
    if problem := explain("loss", seen["loss"], right.detach(), others):
        return problem
    if seen["gradients"] is None:
        return f"loss: the value is right. {NO_GRADIENT}"
    wanted = flatten_gradients(loss_gradients(right, leaves), leaves)
    if differs("", flatten_gradients(seen["gradients"], leaves), wanted):
        return "The loss is right, but its gradient is not. Did you detach one of the two sides?"
    return None


def _power(matrix, exponent):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=1e-12) ** exponent @ vectors.T


def _verify_transform(seen, source, target):
    plain = [torch.cov(x.T) for x in (source, target)]
    unit, centred = torch.eye(source.shape[1]), source - source.mean(dim=0)
    c_s, c_t = (matrix + unit for matrix in plain)
    of_n = [torch.cov(x.T, correction=0) + unit for x in (source, target)]
    uncentred = [x.T @ x / (len(x) - 1) + unit for x in (source, target)]
    lower, back = torch.linalg.cholesky(c_t), torch.linalg.inv(torch.linalg.cholesky(c_s))

    def move(first, second, x=source):
        return x @ _power(first, -0.5) @ _power(second, 0.5)

    mean = "A mean is taken from the rows. Only the covariances are centred: multiply the rows as they are."
    cholesky = "Those are Cholesky factors. Take the symmetric roots."
    others = [
        (move(*plain), "The unit matrix is missing: add it to both covariances."),
        (move(c_s, plain[1]), "The unit matrix is missing in the target's covariance."),
        (move(plain[0], c_t), "The unit matrix is missing in the source's covariance."),
        (move(c_t, c_s), "The two are swapped: whiten by the source's matrix, colour by the target's."),
        (source @ _power(c_t, 0.5) @ _power(c_s, -0.5), "The order is turned: whiten first, then colour."),
        (source @ _power(c_s, -1) @ c_t, "Take the roots: the power −1/2 of the one matrix and 1/2 of the other."),
        (source @ _power(c_s, -0.5), "The features are whitened, but not coloured by the target."),
        (source @ _power(c_t, 0.5), "The features are coloured, but not whitened first."),
        (source @ back.T @ lower.T, cholesky),
        (source @ back @ lower, cholesky),
        (move(*of_n), "A covariance divides by n − 1, and yours by n."),
        (move(*uncentred), "The covariances are not centred: subtract the mean of each column."),
        *((move(c_s, c_t, centred) + shift, mean) for shift in (0, source.mean(dim=0), target.mean(dim=0))),
    ]
    if problem := misfit("moved", seen["moved"], source.shape):
        is_root = "NaN" in problem
        return f"{problem} The root of a matrix is not the root of its entries." if is_root else problem
    problem = "The moved features are not source · (C_S + I)^(−1/2) · (C_T + I)^(1/2)."
    return explain("", seen["moved"], move(c_s, c_t), others, problem=problem)
