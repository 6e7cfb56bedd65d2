"""Watch a stream of features for drift, with a bound on the chance of ever giving a false alarm."""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlcourse.data.images import Numbers


@dataclass(frozen=True)
class Watch:
    """What a watch over a stream saw.

    Attributes:
        wealth: (m,) what a stake of 1 had become after each point of the stream.
        alarm: the first position, counted from 0, at which it reached 1 / level; None if it never did.
    """

    wealth: np.ndarray
    alarm: int | None


def watch_stream(reference: Numbers, stream: Numbers, *, level: float = 0.05, refit: int = 10, seed: int = 0) -> Watch:
    """Sequential two-sample test by betting (Podkopaev and Ramdas, Sequential Predictive Two-Sample and Independence Testing, NeurIPS, 2023).

    Each point of the stream is paired with a fresh reference point. A classifier that learned from the pairs before
    says which of the two looks more like the stream, and money is put on it. While stream and reference come from one
    distribution no bet has an edge, and the wealth ever reaches 1 / level with a probability of at most level, however
    long you watch (Ville's inequality).

    Args:
        reference: (n, d) features of the domain that the model was made for, each used once: n ≥ m.
        stream: (m, d) features, in the order in which they come.
        level: bound on the chance of a false alarm, between 0 and 1.
        refit: the classifier learns again after so many points, at least 1; before that no bet is made.
        seed: shuffles the reference.

    Returns:
        Watch. The wealth is followed to the end of the stream, past an alarm.

    Raises:
        ValueError: not two such matrices, too few reference points, level or refit out of range.
    """
    reference, stream = (np.asarray(value, dtype=np.float64) for value in (reference, stream))
    for name, value in (("reference", reference), ("stream", stream)):
        if value.ndim != 2 or len(value) == 0 or value.shape[1] != reference.shape[1]:
            raise ValueError(f"{name}: want (n, d) features, n ≥ 1, the same d on both sides; got {value.shape}")
        if not np.isfinite(value).all():
            raise ValueError(f"{name}: has NaN or infinity in it")
    if len(reference) < len(stream):
        raise ValueError(
            f"reference: has {len(reference)} points for a stream of {len(stream)}, and each is used once; give more"
        )
    if not 0 < level < 1 or refit < 1:
        raise ValueError(f"level={level}, refit={refit}: want a number between 0 and 1, and at least 1")
    reference = reference[np.random.default_rng(seed).permutation(len(reference))[: len(stream)]]
    wealth, path, won, squared = 1.0, [], 0.0, 0.0
    for start in range(0, len(stream), refit):
        part = slice(start, start + refit)
        edge = np.zeros(len(stream[part]))
        if start > 0:
            classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
            classifier.fit(np.concatenate([reference[:start], stream[:start]]), np.repeat([0, 1], start))
            chance = [classifier.predict_proba(points[part])[:, 1] for points in (stream, reference)]
            edge = chance[0] - chance[1]  # in [−1, 1]
        for gain in edge:
            stake = np.clip(won / (1 + squared), 0, 0.9)  # known before the point is seen
            wealth *= 1 + stake * gain
            won, squared = won + gain, squared + gain**2
            path.append(wealth)
    reached = np.flatnonzero(np.array(path) >= 1 / level)
    return Watch(np.array(path), int(reached[0]) if len(reached) else None)
