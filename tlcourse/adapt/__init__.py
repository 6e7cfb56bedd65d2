"""Adapt: use a target's images without their labels."""

from tlcourse.adapt.adversarial import DANN, DomainDiscriminator, grad_reverse, reversal_strength
from tlcourse.adapt.alignment import coral_loss, dan, deep_coral, mmd_loss
from tlcourse.adapt.augment import match_style, vary_strokes
from tlcourse.adapt.batchnorm import adapt_batchnorm, only_batchnorm
from tlcourse.adapt.entropy import entropy, entropy_minimisation, information_maximisation, mutual_information
from tlcourse.adapt.reweighting import class_weights, importance_weights
from tlcourse.adapt.selection import validate_unlabelled
from tlcourse.adapt.self_training import balanced_self_training, confident_labels, naive_self_training
from tlcourse.adapt.source_free import prototype_labels, shot
from tlcourse.adapt.train import Batch, train_adapted

__all__ = [
    "DANN",
    "Batch",
    "DomainDiscriminator",
    "adapt_batchnorm",
    "balanced_self_training",
    "class_weights",
    "confident_labels",
    "coral_loss",
    "dan",
    "deep_coral",
    "entropy",
    "entropy_minimisation",
    "grad_reverse",
    "importance_weights",
    "information_maximisation",
    "match_style",
    "mmd_loss",
    "mutual_information",
    "naive_self_training",
    "only_batchnorm",
    "prototype_labels",
    "reversal_strength",
    "shot",
    "train_adapted",
    "validate_unlabelled",
    "vary_strokes",
]
