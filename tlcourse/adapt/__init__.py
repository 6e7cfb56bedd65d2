"""Adapt: use a target's images without their labels."""

from tlcourse.adapt.adversarial import DANN, DomainDiscriminator, grad_reverse, reversal_strength
from tlcourse.adapt.alignment import CORAL_WEIGHT, coral_loss, dan, deep_coral, mmd_loss
from tlcourse.adapt.augment import match_style, vary_strokes
from tlcourse.adapt.batch import Batch
from tlcourse.adapt.batchnorm import adapt_batchnorm, only_batchnorm
from tlcourse.adapt.entropy import entropy, entropy_minimisation, information_maximisation, mutual_information
from tlcourse.adapt.reweighting import class_weights, importance_weights
from tlcourse.adapt.selection import validate_unlabelled
from tlcourse.adapt.self_training import balanced_self_training, confident_labels, naive_self_training
from tlcourse.adapt.source_free import prototype_labels, shot
from tlcourse.adapt.train import train_adapted
