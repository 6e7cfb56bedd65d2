"""The rendered source domain: characters in the text fonts that matplotlib ships, bent by random smooth warps."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFont

from tlcourse.data.images import Images

CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTERS = CAPITALS + "abdefghnqrt"  # the lower-case letters whose shape is not a small capital
DIGITS = "0123456789"
LOOKALIKES = "OISZBGbqg"  # letters that can be taken for a digit; leave them out for a control

HELD_OUT_FONTS = ("DejaVuSansMono-Oblique", "DejaVuSerif-BoldItalic", "STIXGeneralItalic", "cmss10")
FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique"),
    *("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmtt10"),
)

_CANVAS = 64  # glyphs are drawn at twice the final size and sampled down by the warp
_BODY = 52  # pixels of the canvas that the longer side of a glyph fills


def glyphs(
    n: int, classes: str = "letters", seed: int = 0, *, fonts: Sequence[str] = FONTS, coarse: float = 0.6
) -> Images:
    """Render n characters, white on black, each in a random font under a random affine and elastic warp.

    Args:
        n: number of images, at least 1.
        classes: "letters" (37: capitals and the lower-case letters of another shape), "digits" (10), "all" (47),
            or a string of distinct characters. Classes are drawn in equal shares, up to rounding.
        seed: the same seed gives the same bytes with the same versions of Pillow and PyTorch.
        fonts: names from FONTS (the default) or HELD_OUT_FONTS, which no bundled model was trained on.
        coarse: the share of images, in [0, 1], that are reduced to 10×10 pixels and enlarged again, as a cheap scanner
            would. 0 draws every character crisp. Varied sharpness makes a source that transfers better.

    Returns:
        Images: .x (n, 3, 32, 32) float32 in [0, 1], .y (n,) int64, .classes the characters.

    Raises:
        ValueError: n < 1, an unknown class set, a repeated or unprintable character, an unknown font, coarse outside
            [0, 1].
    """
    if n < 1:
        raise ValueError(f"n={n}: ask for at least 1 image")
    if not 0 <= coarse <= 1:
        raise ValueError(f"coarse={coarse}: want a share from 0 to 1")
    characters = {"letters": LETTERS, "digits": DIGITS, "all": DIGITS + LETTERS}.get(classes, classes)
    _check_characters(characters)
    templates = _templates(characters, tuple(fonts))  # (fonts, classes, 1, 64, 64)

    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n).remainder(len(characters))[torch.randperm(n, generator=generator)]
    font = torch.randint(len(fonts), (n,), generator=generator)
    warp = _random_warp(n, generator)
    warps = _warp_basis()
    reduced = torch.rand(n, generator=generator) < coarse
    soften = _linear(lambda x: F.interpolate(F.interpolate(x, size=10, mode="area"), size=32, mode="linear"), 32)
    x = torch.empty(n, 3, 32, 32)
    for start in range(0, n, 250):  # small parts stay in cache: three times as fast as all at once
        part = slice(start, start + 250)
        grid = (warp[part] @ warps).view(-1, 2, 32, 32).permute(0, 2, 3, 1)
        grey = F.grid_sample(templates[font[part], y[part]], grid, align_corners=False)
        grey[reduced[part]] = soften.T @ grey[reduced[part]] @ soften
        x[part] = grey.clamp(0, 1)
    return Images(x, y, list(characters))


def _check_characters(characters):
    if not isinstance(characters, str) or not characters:
        raise ValueError(f"classes={characters!r}: use 'letters', 'digits', 'all' or a string of characters")
    if len(set(characters)) < len(characters):
        raise ValueError(
            f"classes={characters!r}: a character occurs twice, or the name is unknown; "
            "use 'letters', 'digits', 'all' or a string of distinct characters"
        )
    unknown = [c for c in characters if not (c.isascii() and c.isprintable() and c != " ")]
    if unknown:
        raise ValueError(f"classes: the fonts draw printable ASCII characters only, got {unknown}")


def _random_warp(n, generator):
    """(n, 2, 19) coefficients of _warp_basis(): a random affine map plus a smooth displacement field, in x and in y."""

    def uniform(low, high):
        return low + (high - low) * torch.rand(n, generator=generator)

    angle, shear = uniform(-0.3, 0.3), uniform(-0.3, 0.3)  # radians, and horizontal shift per unit of height
    width, height = uniform(0.75, 1.25), uniform(0.8, 1.15)  # size relative to the template
    cos, sin = angle.cos(), angle.sin()
    affine = torch.stack(
        [cos / width, (shear - sin) / width, uniform(-0.12, 0.12), sin / height, cos / height, uniform(-0.08, 0.08)],
        dim=1,
    )
    smooth = 0.09 * torch.randn(n, 2, 16, generator=generator)
    return torch.cat([affine.view(n, 2, 3), smooth], dim=2)


def _warp_basis():
    """(19, 1024) functions of the pixel: x, y and 1, in [−1, 1], and sixteen smooth bumps on a 4×4 grid.

    A warp is linear in its coefficients; as one product of matrices it takes a tenth of the time of affine_grid and a
    bicubic interpolate.
    """
    places = (torch.arange(32) + 0.5) / 16 - 1
    affine = torch.stack([places.expand(32, 32), places[:, None].expand(32, 32), torch.ones(32, 32)])
    bumps = _linear(lambda x: F.interpolate(x.view(1, 16, 4, 4), size=32, mode="bicubic", align_corners=True), 16)
    return torch.cat([affine.view(3, 1024), bumps])


def _linear(function, n):
    """The matrix M of a linear function of n numbers: function(x) is x @ M."""
    return function(torch.eye(n).view(1, n, n)).view(n, -1)


@lru_cache(maxsize=16)
def _templates(characters, fonts):
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    unknown = [name for name in fonts if name not in FONTS + HELD_OUT_FONTS]
    if unknown or not fonts:
        raise ValueError(f"fonts: unknown {unknown or 'empty list'}; choose from {', '.join(FONTS + HELD_OUT_FONTS)}")
    drawn = np.zeros((len(fonts), len(characters), 1, _CANVAS, _CANVAS), dtype=np.float32)
    for i, name in enumerate(fonts):
        font = ImageFont.truetype(str(folder / f"{name}.ttf"), 96)
        for j, character in enumerate(characters):
            drawn[i, j, 0] = _centred(font, character)
    return torch.from_numpy(drawn)


def _centred(font, character):
    """Draw one character so that its longer side fills _BODY pixels of a square canvas, values in [0, 1]."""
    left, top, right, bottom = font.getbbox(character)
    mask = font.getmask(character, mode="L")
    ink = Image.frombytes("L", mask.size, bytes(mask))
    scale = _BODY / max(right - left, bottom - top)
    size = [max(1, round(side * scale)) for side in ink.size]
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    left, top = ((_CANVAS - side) // 2 for side in size)
    canvas.paste(ink.resize(size, Image.Resampling.LANCZOS), (left, top))
    return np.asarray(canvas, dtype=np.float32) / 255
