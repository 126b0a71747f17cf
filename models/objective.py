"""What is to be made good: a figure, and whether less or more of it is better."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from textmill.errors import UserError

Direction = Literal["min", "max"]

# What names of figures end with. "error" stands for "mean_absolute_error" and "val_error_1" too; of
# several that fit, the longest decides, so that "d2_log_loss_score" is a score.
_DOWN = """
    loss losses logloss error errors mae mse rmse mape smape msle rmsle medae
    crossentropy cross_entropy bce cce ce nll perplexity ppl bits_per_byte bits_per_character
    bits_per_token bits_per_word bpb bpc bpw nats divergence kld kl jsd deviance distance distances
    hinge huber log_cosh logcosh poisson davies_bouldin davies_bouldin_score brier brier_score
    false_positives false_negatives false_positive_rate false_negative_rate false_discovery_rate
    false_omission_rate fp fn fpr fnr fdr eer error_rate wer cer ter mer edit_rate miss_rate
    misclassification_rate ece neg_log_likelihood negative_log_likelihood negative_likelihood_ratio
"""
_UP = """
    score scores accuracy acc auc auroc auprc aucpr roc_auc pr_auc average_precision ap map mrr
    reciprocal_rank dcg ndcg precision recall specificity sensitivity f1 f2 f3 f05 f_1 f_beta fbeta
    f_measure iou io_u jaccard r2 r_squared explained_variance d2_brier_score similarity correlation
    corrcoef corr pearson pearsonr spearman spearmanr kendall kendalltau mcc kappa
    correlation_coefficient dice_coefficient dice_coef jaccard_coefficient likelihood
    likelihood_ratio elbo silhouette silhouette_samples calinski_harabasz true_positives
    true_negatives true_positive_rate true_negative_rate positive_predictive_value
    negative_predictive_value hit_rate tp tn tpr tnr ppv npv bleu sacrebleu chrf rouge rouge1 rouge2
    rouge3 rougel rouge_l rougelsum rouge_l_sum meteor bertscore exact_match hits
"""
_KNOWN: dict[str, Direction] = {
    **dict.fromkeys(_DOWN.split(), "min"),
    **dict.fromkeys(_UP.split(), "max"),
}
# How a figure is averaged over classes or outputs, and not what it is of.
_AVERAGES = {"micro", "macro", "weighted", "samples", "binary", "ovr", "ovo", "mean", "avg"}
# Where a name in one word becomes several: MeanIoU, KLDivergence.
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")


@dataclass(frozen=True)
class Objective:
    """A column of a history, and whether less or more of it is better.

    Attributes:
        name: The column, such as "val_loss".
        direction: "min" or "max", as KerasTuner has it.
    """

    name: str
    direction: Direction

    @property
    def sign(self) -> int:
        """What makes more of the figure better, multiplied with it: 1 or -1."""
        return 1 if self.direction == "max" else -1

    @property
    def words(self) -> str:
        """The column with what is better, for people."""
        return f"{self.name} ({'less' if self.direction == 'min' else 'more'} is better)"


def direction_of(name: str) -> Direction | None:
    """Returns whether less or more of a figure is better, as its name tells; None: it does not.

    Losses, errors, divergences, deviances, distances and perplexities are better the smaller they
    are; scores, accuracies, shares of what is right and correlations the larger. What Keras and
    scikit-learn call their metrics is known, as are names of outputs before them, averages
    ("_macro") and numbers ("_1") behind, and scikit-learn's "neg_".

    KerasTuner 1.4.8 guesses for itself, and looks for the lowest "val_f1_score" and "val_r2_score":
    `infer_metric_direction` in `keras_tuner/src/engine/metrics_tracking.py`.

    Args:
        name: A column of a history.

    Example:
        >>> [direction_of(name) for name in ("val_mae", "val_auc_1", "neg_log_loss", "val_width")]
        ['min', 'max', 'max', None]
    """
    words = [word.lower() for word in _WORDS.split(name) if word]
    return _direction(words[1:] if words[:1] == ["val"] else words)


def _direction(words: list[str]) -> Direction | None:
    if not words:
        return None
    if known := _KNOWN.get("_".join(words)):
        return known
    if words[-1].isdigit() or words[-1] in _AVERAGES:
        return _direction(words[:-1])
    if words[-1] == "score" and _direction(words[:-1]) == "min":
        # A score made of an error, or the error itself; D² is the share of one that is explained.
        return "max" if "d2" in words else None
    if words[0] in ("neg", "negative", "minus", "inverse"):
        # A negated error is better the larger it is; neg_recall may be the recall of the class neg.
        return "max" if _direction(words[1:]) == "min" else None
    if "at" in words:  # recall_at_precision is a recall
        return _direction(words[: words.index("at")])
    return _direction(words[1:])


def objective_of(name: str, direction: Direction | None = None) -> Objective:
    """Returns what is to be made good.

    Args:
        name: A column of a history.
        direction: Whether less or more of it is better; None: as its name tells.

    Raises:
        UserError: The name does not tell, or the direction is neither.

    Example:
        >>> objective_of("val_mae").words
        'val_mae (less is better)'
    """
    if direction not in (None, "min", "max"):
        raise UserError(
            f"tune.direction is {direction!r}",
            expected='"min" where less of the objective is better, "max" where more is',
            received=repr(direction),
            fix='set direction = "min" or direction = "max" under [tune]',
        )
    found = direction or direction_of(name)
    if found is None:
        raise UserError(
            f"tune.objective: its name does not tell whether less or more of {name!r} is better",
            expected='the name of a metric of Keras or scikit-learn, or direction = "min" or "max"',
            received=repr(name),
            fix='set direction = "min" or direction = "max" under [tune]',
        )
    return Objective(name, found)
