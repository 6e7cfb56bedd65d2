"""A linear head on features that were computed before."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from tlcourse.data.images import Numbers


def fit_head(features: Numbers, labels: Numbers, strength: float = 1.0) -> Pipeline:
    """Fit logistic regression to standardised features: a linear probe (Alain and Bengio, ICLR workshop, 2017).

    Args:
        features: (N, D) tensor or array of finite numbers, as extract_features() returns.
        labels: (N,) integers, at least two different ones.
        strength: scikit-learn's C, above 0: the inverse of the penalty on the weights.

    Returns:
        scikit-learn Pipeline, fitted; .score(features, labels) is its accuracy, .predict(features) its labels.

    Raises:
        ValueError: strength ≤ 0, a single class, lengths that differ, NaN or infinity.
    """
    if not strength > 0:
        raise ValueError(f"strength={strength}: want a number above 0")
    head = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    with threadpool_limits(
        limits=1, user_api="blas"
    ):  # a few hundred rows: starting threads takes longer than the sums
        return head.fit(features, labels)
