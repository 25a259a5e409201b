"""Copies are found and different pictures are not, on real pictures; `benchmarks/duplicates.py` measures all of them."""

import pytest
from PIL import Image
from planted import encoded, picture

from medrl.data.adapters import phantom
from medrl.data.duplicates import count_levels, find_copies
from medrl.data.fingerprints import fingerprint
from medrl.data.sample import Sample
from medrl.vision.open import open_image

CHANGES = {
    "png": lambda image: encoded(image.convert("L"), "PNG"),
    "jpeg": lambda image: encoded(image, "JPEG", quality=50),
    "half": lambda image: encoded(image.resize((image.width // 2, image.height // 2)), "JPEG", quality=60),
    "double": lambda image: encoded(
        image.resize((image.width * 2, image.height * 2), Image.Resampling.BILINEAR), "JPEG"
    ),
    "square": lambda image: encoded(image.resize((384, 384)), "JPEG", quality=80),
}


@pytest.fixture(scope="module")
def real(shared_data):
    paths = sorted((shared_data / "bccd" / "BCCD" / "JPEGImages").glob("*.jpg"))[30:48]  # 37 and 38 overlap in view
    paths += sorted((shared_data / "nih_cxr14" / "images").glob("*.png"))
    return [open_image({"path": str(path)}) for path in paths]


def test_changed_copies_of_real_pictures_are_found_and_nothing_else(real):
    first = [fingerprint({"bytes": encoded(image)}) for image in real]
    changes = list(CHANGES.values())
    second = [fingerprint({"bytes": changes[place % len(changes)](image)}) for place, image in enumerate(real)]
    found = find_copies(first, second)
    assert [(copy.index, copy.other) for copy in found] == [(place, place) for place in range(len(real))]
    for place in range(len(real)):  # its own left out, a copy has no partner
        assert find_copies([*first[:place], *first[place + 1 :]], [second[place]]) == []


def test_pictures_that_share_an_outline_are_not_copies():
    made = [one for one in phantom.read(None, "train", task="count", n=160) if isinstance(one, Sample)]
    prints = [fingerprint(one.images[0]) for one in made]
    assert find_copies(prints[:80], prints[80:]) == []


def test_levels_go_from_the_file_to_its_pixels_to_a_copy():
    image = picture(1)
    first = [fingerprint({"bytes": encoded(picture(2))}), fingerprint({"bytes": encoded(image)})]
    second = [encoded(image), encoded(image, "BMP"), encoded(image, "JPEG", quality=70), encoded(picture(3))]
    found = find_copies(first, [fingerprint({"bytes": data}) for data in second])
    assert [(copy.index, copy.other, copy.how) for copy in found] == [(0, 1, "bytes"), (1, 1, "pixels"), (2, 1, "near")]
    assert count_levels(found) == {"bytes": 1, "pixels": 1, "near": 1}


def test_blank_pictures_are_copies_only_when_they_are_equal():
    def blank(grey, size=(60, 40)):
        return fingerprint({"bytes": encoded(Image.new("RGB", size, (grey, grey, grey)))})

    found = find_copies([blank(10), blank(0)], [blank(0), blank(1), blank(10, (61, 40))])
    assert [(copy.index, copy.other, copy.how) for copy in found] == [(0, 1, "bytes")]
