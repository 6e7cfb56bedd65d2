"""Adapt: use a target's images without their labels."""

from tlcourse.adapt.alignment import coral_loss, mmd_loss
from tlcourse.adapt.train import train_adapted

__all__ = ["coral_loss", "mmd_loss", "train_adapted"]
