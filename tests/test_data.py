import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tlcourse import data

STRENGTHS = ["polarity", "contrast", "blur", "noise", "rotation", "clutter", "background"]


def test_glyphs_are_images_in_range_with_every_class_equally_often():
    images = data.glyphs(370)
    assert images.x.shape == (370, 3, 32, 32) and images.x.dtype == torch.float32
    assert images.x.min() >= 0 and images.x.max() <= 1
    assert torch.bincount(images.y).tolist() == [10] * 37
    assert images.x.amax(dim=(1, 2, 3)).min() > 0.3, "a character was drawn empty, or off the canvas"


@given(seed=st.integers(0, 2**31), n=st.integers(1, 40))
@settings(max_examples=10, deadline=None)
def test_same_seed_gives_same_bytes_and_another_seed_does_not(seed, n):
    first, again, other = data.glyphs(n, seed=seed), data.glyphs(n, seed=seed), data.glyphs(n, seed=seed + 1)
    assert torch.equal(first.x, again.x) and torch.equal(first.y, again.y)
    assert not torch.equal(first.x, other.x)


@pytest.mark.parametrize("classes, count", [("letters", 37), ("digits", 10), ("all", 47), ("xyz", 3)])
def test_class_sets(classes, count):
    assert len(data.glyphs(count, classes).classes) == count


def test_glyphs_do_not_touch_the_global_random_state():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    data.glyphs(5)
    assert torch.equal(torch.rand(3), expected)


def test_held_out_fonts_are_not_among_the_training_fonts():
    assert not set(data.FONTS) & set(data.HELD_OUT_FONTS)
    assert len(data.FONTS) + len(data.HELD_OUT_FONTS) == 20


def test_crisp_glyphs_have_more_contrast_than_coarse_ones():
    def edges(images):
        return images.x.diff(dim=3).abs().mean()

    assert edges(data.glyphs(200, coarse=0)) > 1.1 * edges(data.glyphs(200, coarse=1))


@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"n": 0}, "n=0"),
        ({"n": -3}, "n=-3"),
        ({"n": 5, "classes": "greek"}, "classes='greek'"),
        ({"n": 5, "classes": ""}, "classes=''"),
        ({"n": 5, "classes": "aéb"}, "é"),
        ({"n": 5, "fonts": ("Comic Sans",)}, "Comic Sans"),
        ({"n": 5, "fonts": ()}, "fonts"),
        ({"n": 5, "coarse": 1.5}, "coarse=1.5"),
    ],
)
def test_glyphs_name_a_bad_argument(arguments, named):
    with pytest.raises(ValueError, match=named):
        data.glyphs(**arguments)


def test_digit_splits_are_contiguous_near_balanced_blocks():
    blocks = [data.digits(split) for split in ("train", "val", "test")]
    assert [len(block) for block in blocks] == [900, 200, 697]
    assert torch.equal(torch.cat([block.x for block in blocks]), data.digits("all").x)
    for block in blocks:
        counts = torch.bincount(block.y).float()
        assert counts.min() >= 0.8 * counts.mean()


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match="split='dev'"):
        data.digits("dev")


@given(per_class=st.integers(1, 20), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_few_shot_draws_each_class_equally_without_repetition(per_class, seed):
    pool = data.glyphs(200, "digits", seed=1)
    drawn = data.few_shot(pool, per_class, seed)
    assert torch.bincount(drawn.y).tolist() == [per_class] * 10
    assert len(torch.unique(drawn.x.flatten(1), dim=0)) == len(drawn)


@given(weights=st.lists(st.integers(0, 5), min_size=10, max_size=10).filter(any), n=st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_skew_keeps_the_proportions_to_within_one_image(weights, n):
    pool = data.glyphs(700, "digits")
    drawn = data.skew(pool, weights, n)
    share = n * np.array(weights) / sum(weights)
    assert len(drawn) == n
    assert np.abs(torch.bincount(drawn.y, minlength=10).numpy() - share).max() < 1
    most = len(data.skew(pool, weights))
    assert max(most * np.array(weights)) <= 70 * sum(weights) < max((most + 1) * np.array(weights))


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda d: data.few_shot(d, 0), "per_class=0"),
        (lambda d: data.few_shot(d, 6), "per_class.*needs 6"),
        (lambda d: data.skew(d, [1] * 9, 5), "class_weights.*10 weights"),
        (lambda d: data.skew(d, [-1] + [1] * 9, 5), "class_weights"),
        (lambda d: data.skew(d, [0] * 10, 5), "class_weights"),
        (lambda d: data.skew(d, [float("nan")] * 10, 5), "class_weights"),
        (lambda d: data.skew(d, [1] * 10, 0), "n=0"),
        (lambda d: data.skew(d, [1] + [0] * 9, 40), "n: needs 40"),
    ],
)
def test_samples_name_a_bad_argument(few, call, named):
    with pytest.raises(ValueError, match=named):
        call(few)


@pytest.mark.parametrize(
    "x, y, error, named",
    [
        (torch.zeros(2, 3, 32, 40), torch.zeros(2, dtype=torch.int64), ValueError, "x: want shape"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64), ValueError, "side at least 8"),
        (torch.zeros(2, 1, 32, 32), torch.zeros(2, dtype=torch.int64), ValueError, "x: want shape"),
        (torch.zeros(2, 3, 32, 32).double(), torch.zeros(2, dtype=torch.int64), TypeError, "x: want a float32"),
        (np.zeros((2, 3, 32, 32)), torch.zeros(2, dtype=torch.int64), TypeError, "x: want a float32"),
        (torch.full((2, 3, 32, 32), 255.0), torch.zeros(2, dtype=torch.int64), ValueError, "divide bytes by 255"),
        (torch.full((2, 3, 32, 32), torch.nan), torch.zeros(2, dtype=torch.int64), ValueError, "NaN"),
        (torch.zeros(2, 3, 32, 32), torch.zeros(2), TypeError, "y: want an int64"),
        (torch.zeros(2, 3, 32, 32), torch.zeros(3, dtype=torch.int64), ValueError, "y: want one label"),
        (torch.zeros(2, 3, 32, 32), torch.tensor([0, 2]), ValueError, "y: labels run from 0 to 2"),
        (torch.zeros(2, 3, 32, 32), torch.tensor([-1, 0]), ValueError, "y: labels run from -1"),
    ],
)
def test_images_name_what_is_wrong_with_them(x, y, error, named):
    with pytest.raises(error, match=named):
        data.Images(x, y, ["a", "b"])


def test_images_index_like_a_sequence(few):
    x, y = few[3]
    assert x.shape == (3, 32, 32) and y == int(few.y[3])
    assert len(few[:4]) == 4 and len(few[few.y == 0]) == 5
    batch_x, batch_y = next(iter(torch.utils.data.DataLoader(few, batch_size=8)))
    assert batch_x.shape == (8, 3, 32, 32) and batch_y.dtype == torch.int64


def test_no_shift_changes_nothing(few):
    assert torch.equal(data.Shift()(few).x, few.x)


@pytest.mark.parametrize("name", STRENGTHS)
def test_every_strength_moves_images_further_from_the_original(few, name):
    distances = [(data.Shift(**{name: s})(few).x - few.x).abs().mean().item() for s in (0.25, 1.0)]
    assert 0 < distances[0] < distances[1]


@given(strengths=st.fixed_dictionaries({name: st.floats(0, 1) for name in STRENGTHS}), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_shift_is_deterministic_stays_in_range_and_keeps_labels(few, strengths, seed):
    before = few.x.clone()
    shifted = data.Shift(**strengths, seed=seed)(few)
    assert torch.equal(shifted.x, data.Shift(**strengths, seed=seed)(few).x)
    assert shifted.x.min() >= 0 and shifted.x.max() <= 1
    assert torch.equal(shifted.y, few.y) and torch.equal(few.x, before)


def test_one_dial_does_not_redraw_another(few):
    swapped = data.Shift(polarity=0.5)(few).x.mean(dim=(1, 2, 3)) > 0.5
    with_noise = data.Shift(polarity=0.5, noise=0.1)(few).x.mean(dim=(1, 2, 3)) > 0.5
    assert torch.equal(swapped, with_noise)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_shift_names_a_strength_out_of_range(strength):
    with pytest.raises(ValueError, match="noise="):
        data.Shift(noise=strength)


def test_shift_wants_images(few):
    with pytest.raises(TypeError, match="images: want Images"):
        data.Shift()(few.x)


@pytest.mark.parametrize("name", ["fashion", "cifar10", "mnist", "usps", "svhn"])
def test_photos_without_a_network_say_what_to_do(name, tmp_path, monkeypatch):
    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(ConnectionError, match=f"{name}.*root=.*data.glyphs"):
        data.photos(name, root=tmp_path / "cache")


def test_photos_in_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="root="):
        data.photos("fashion", root=tmp_path / "file" / "cache")


def test_photos_read_torchvisions_layout(tmp_path):
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for part, n in (("train", 60), ("t10k", 20)):
        pixels = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
        header = np.array([0x0803, n, 28, 28], dtype=">i4").tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        labels = (np.arange(n) % 10).astype(np.uint8)
        header = np.array([0x0801, n], dtype=">i4").tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(header + labels.tobytes())
    images = data.photos("fashion", "test", root=tmp_path)
    assert images.x.shape == (20, 3, 32, 32) and images.y.tolist() == [*range(10)] * 2
    assert images.classes[0] == "T-shirt/top"


@pytest.mark.parametrize("arguments, named", [(("imagenet",), "name="), (("fashion", "val"), "split=")])
def test_photos_name_a_bad_argument(arguments, named):
    with pytest.raises(ValueError, match=named):
        data.photos(*arguments)


def write_pictures(folder, sizes):
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.new("RGB", size)
        picture.paste((255, 0, 0), (size[0] // 2, 0, *size))  # the right half is red
        picture.save(path)


def test_a_folder_becomes_images_with_the_sub_folders_as_classes(tmp_path):
    write_pictures(tmp_path, {"dogs/b.png": (80, 40), "cats/a.jpg": (40, 60), "cats/c.png": (20, 20)})
    images = data.folder(tmp_path)
    assert images.x.shape == (3, 3, 32, 32) and images.classes == ["cats", "dogs"] and images.y.tolist() == [0, 0, 1]
    dog = images.x[2]
    assert dog[0, :, -4:].min() > 0.95 and dog[0, :, :4].max() < 0.05, "the centre keeps both halves"
    assert dog[1:].max() < 0.05
    assert data.folder(str(tmp_path), side=64).x.shape == (3, 3, 64, 64)
    assert data.few_shot(images, 1).x.shape == (2, 3, 32, 32)


def test_a_photograph_is_turned_as_its_camera_noted(tmp_path):
    write_pictures(tmp_path, {"a/upright.png": (40, 40)})
    sideways = Image.open(tmp_path / "a" / "upright.png")
    noted = Image.Exif()
    noted[0x0112] = 6  # turn by 90 degrees clockwise to view
    sideways.save(tmp_path / "a" / "turned.jpg", exif=noted)
    turned, upright = data.folder(tmp_path).x
    assert upright[0, 16, -4:].min() > 0.95
    assert turned[0, -4:, 16].min() > 0.95, "the right half is below now"


def test_grey_palette_and_transparent_pictures_are_read_in_colour(tmp_path):
    (tmp_path / "a").mkdir()
    for mode in ("L", "P", "RGBA", "1"):
        Image.new(mode, (10, 10)).save(tmp_path / "a" / f"{mode}.png")
    assert data.folder(tmp_path).x.shape == (4, 3, 32, 32)


def test_folder_names_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        data.folder(tmp_path / "absent")
    with pytest.raises(ValueError, match="one sub-folder for each class"):
        data.folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="one sub-folder for each class"):
        data.folder(tmp_path)
    (tmp_path / "empty" / "broken.jpg").write_text("no picture")
    with pytest.raises(ValueError, match=r"broken\.jpg is no picture"):
        data.folder(tmp_path)
    with pytest.raises(ValueError, match="side=4"):
        data.folder(tmp_path, side=4)


def test_clutter_and_background_refuse_other_sizes_than_theirs(tmp_path):
    write_pictures(tmp_path, {"a/1.png": (64, 64)})
    large = data.folder(tmp_path, side=64)
    assert data.Shift(blur=0.5, contrast=0.5)(large).x.shape == (1, 3, 64, 64)
    for dial in ("clutter", "background"):
        with pytest.raises(ValueError, match="32×32"):
            data.Shift(**{dial: 0.5})(large)


def test_halve_takes_the_mean_of_four_pixels():
    images = data.glyphs(5, "digits", seed=1)
    half = data.halve(images)
    assert half.x.shape == (5, 3, 16, 16) and torch.equal(half.y, images.y)
    torch.testing.assert_close(half.x[2, 0, 3, 4], images.x[2, 0, 6:8, 8:10].mean())
    with pytest.raises(ValueError, match="8×8"):
        data.halve(data.halve(half))


def test_turned_images_carry_their_turn_as_a_label():
    images = data.digits("val")
    turned = data.turn_quarters(images, seed=2)
    for i in range(20):
        assert torch.equal(turned.x[i].rot90(-int(turned.y[i]), dims=(1, 2)), images.x[i])
    assert len(turned.y.unique()) == 4
