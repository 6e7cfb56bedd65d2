"""What models learn from: rendered glyphs, real handwritten digits, photographs, messages, and a dial for domain shift."""

from tlcourse.data.digits import digits
from tlcourse.data.folder import folder
from tlcourse.data.glyphs import FONTS, HELD_OUT_FONTS, LETTERS, LOOKALIKES, glyphs
from tlcourse.data.images import Images, halve
from tlcourse.data.intents import Texts, intents
from tlcourse.data.photos import photos
from tlcourse.data.shift import Shift
from tlcourse.data.splits import few_shot, mislabel, skew
from tlcourse.data.turns import turn_quarters
