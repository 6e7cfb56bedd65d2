"""Short everyday messages, written for this course, and what their senders want."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import overload

import torch

_FILE = Path(__file__).parent / "intents.tsv"
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Texts:
    """Labelled texts, held in memory; few_shot() and skew() draw from them as they draw from Images.

    Attributes:
        texts: list of n strings.
        y: (n,) int64 tensor, values in 0 … len(classes) − 1.
        classes: the name of each class.

    `texts[i]` with an int gives the pair (text, label) of one; with a slice, an index tensor or a boolean mask the Texts
    chosen.
    """

    texts: list[str]
    y: torch.Tensor
    classes: list[str]

    def __len__(self) -> int:
        return len(self.y)

    @overload
    def __getitem__(self, index: int) -> tuple[str, int]: ...
    @overload
    def __getitem__(self, index: slice | torch.Tensor) -> "Texts": ...
    def __getitem__(self, index):
        if isinstance(index, int):
            return self.texts[index], int(self.y[index])
        chosen = torch.arange(len(self))[index]
        return Texts([self.texts[i] for i in chosen.tolist()], self.y[index], self.classes)

    def __repr__(self) -> str:
        return f"Texts({len(self)} texts, {len(self.classes)} classes)"


def intents(split: str = "all") -> Texts:
    """Load short English messages to shops, surgeries, landlords and friends, labelled with one of ten intents.

    The messages were written for this course; intents.md beside the file is the datasheet. A scene (such as "dentist")
    is in one split only, and no near-duplicate crosses the splits.

    Args:
        split: "train", "val", "test" or "all".

    Returns:
        Texts.

    Raises:
        ValueError: unknown split.
    """
    if split not in (*_SPLITS, "all"):
        raise ValueError(f"split={split!r}: use 'train', 'val', 'test' or 'all'")
    rows = _read_rows()
    classes = list(dict.fromkeys(row["intent"] for row in rows))
    chosen = [row for row in rows if split in (row["split"], "all")]
    labels = torch.tensor([classes.index(row["intent"]) for row in chosen], dtype=torch.int64)
    return Texts([row["text"] for row in chosen], labels, classes)


@lru_cache(maxsize=1)
def _read_rows():
    with open(_FILE, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
