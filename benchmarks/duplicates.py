"""How many resized and re-encoded copies the audit finds, and how many different pictures it takes for copies.

    python benchmarks/duplicates.py [--data ../shared/data] [--copies 1] [--seed 0]

Every real picture of each data set gets copies: resized by 0.5 to 2 with one of four filters, one in four without colour,
then written as JPEG of quality 50 to 95 (three in four) or PNG. The copies are one split, the pictures the other. Recall:
copies whose own picture was named. False alarm: a copy or picture for which, its own left out, a different one was named;
the share is over pictures, the stricter way, and over all pairs. Beside it the usual rule, a pHash within 10 bits of 64.
The last line is one JSON object; `ratio` is our false alarms by that rule's.
"""

import argparse
import io
import json
import random
import time
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

import medrl
from medrl.data.adapters import phantom
from medrl.data.duplicates import find_copies
from medrl.data.fingerprints import fingerprint
from medrl.vision.open import open_image

REAL = {
    "bccd": ("bccd/BCCD/JPEGImages", "*.jpg"),
    "vqa_rad": ("vqa_rad/data_RAD/images", "*.jpg"),
    "dsb2018": ("dsb2018/stage1_train", "*/images/*.png"),
    "nih_cxr14": ("nih_cxr14/images", "*.png"),
}
FILTERS = ("NEAREST", "BILINEAR", "BICUBIC", "LANCZOS")
PHASH_BITS = 10
PHANTOMS = 300


def copy_of(picture, rng):
    """A resized and re-encoded copy, as encoded bytes."""
    scale = rng.uniform(0.5, 2.0)
    size = [max(1, round(side * scale)) for side in picture.size]
    picture = picture.resize(size, Image.Resampling[rng.choice(FILTERS)])
    if rng.random() < 0.25:
        picture = picture.convert("L")
    buffer = io.BytesIO()
    if rng.random() < 0.75:
        picture.save(buffer, "JPEG", quality=rng.randint(50, 95))
    else:
        picture.save(buffer, "PNG")
    return buffer.getvalue()


def measure(pictures, copies_each, seed):
    """Recall and false alarms over pictures: decoded RGB images, all different."""
    rng = random.Random(seed)
    encoded, made, owner = [], [], []
    for place, picture in enumerate(pictures):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=1)
        encoded.append(buffer.getvalue())
        for _ in range(copies_each):
            made.append(copy_of(picture, rng))
            owner.append(place)
    started = time.perf_counter()
    first = [fingerprint({"bytes": data}) for data in encoded]
    second = [fingerprint({"bytes": data}) for data in made]
    hashing = time.perf_counter() - started
    started = time.perf_counter()
    named = {copy.index: copy.other for copy in find_copies(first, second)}
    searching = time.perf_counter() - started
    recalled = sum(named.get(index) == place for index, place in enumerate(owner))
    different = 0  # every copy against every picture but its own
    for place in range(len(first)):
        theirs = [one for index, one in enumerate(second) if owner[index] == place]
        different += len(find_copies([*first[:place], *first[place + 1 :]], theirs))
    bits = (
        np.array([one.phash for one in first], dtype=np.uint64),
        np.array([one.phash for one in second], dtype=np.uint64),
    )
    near = np.bitwise_count(bits[1][:, None] ^ bits[0][None]) <= PHASH_BITS  # (copies, pictures)
    own = np.zeros_like(near)
    own[np.arange(len(owner)), owner] = True
    return {
        "pictures": len(first), "copies": len(second), "recalled": recalled, "recall": recalled / len(second),
        "false_alarms": different, "false_alarm_share": different / len(second),
        "phash_recall": float(near[own].mean()), "phash_false_alarms": int((near & ~own).any(1).sum()),
        "pairs": len(second) * (len(first) - 1),
        "ms_each": 1000 * hashing / (len(first) + len(second)), "search_s": searching,
    }  # fmt: skip


def scale(count):
    """Seconds to search `count` pictures in `count` others, all different: random bits and details."""
    rng = np.random.default_rng(0)
    example = fingerprint({"bytes": _noise(rng)})
    side = len(example.details)

    def some(offset):
        made = []
        for number in range(count):
            unit = rng.standard_normal(side).astype(np.float16)
            made.append(
                type(example)({}, f"{offset}{number}", f"{offset}{number}", (1, 1), int(rng.integers(2**63)),
                              int(rng.integers(2**63)), unit, unit)
            )  # fmt: skip
        return made

    first, second = some("a"), some("b")
    started = time.perf_counter()
    find_copies(first, second)
    return time.perf_counter() - started


def _noise(rng):
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=int, default=5000)
    asked = parser.parse_args()
    rows = {}
    for name, (folder, pattern) in REAL.items():
        found = [open_image({"path": str(path)}) for path in sorted((asked.data / folder).glob(pattern))]
        rows[name] = measure(found, asked.copies, asked.seed)
    made_up = [open_image(sample.images[0]) for sample in phantom.read(None, "train", task="count", n=PHANTOMS)]
    rows["phantom (made up)"] = measure(made_up, asked.copies, asked.seed)
    headings = ("pictures", "copies", "recall", "false alarms", "pHash recall", "pHash false", "ms each")
    print(f"{'data set':20}" + "".join(f"{heading:>14}" for heading in headings))
    for name, row in rows.items():
        false = f"{row['false_alarms']} ({row['false_alarm_share']:.2%})"
        cells = (row["pictures"], row["copies"], f"{row['recall']:.3f}", false, f"{row['phash_recall']:.3f}",
                 row["phash_false_alarms"], f"{row['ms_each']:.1f}")  # fmt: skip
        print(f"{name:20}" + "".join(f"{cell:>14}" for cell in cells))
    real = [rows[name] for name in REAL]
    total = {
        key: sum(row[key] for row in real)
        for key in ("copies", "recalled", "false_alarms", "phash_false_alarms", "pairs")
    }
    seconds = scale(asked.scale)
    print(f"search of {asked.scale} pictures in {asked.scale} others: {seconds:.1f} s")
    print(json.dumps({
        "ratio": total["false_alarms"] / max(total["phash_false_alarms"], 1),
        "recall": total["recalled"] / total["copies"], "false_alarm_share": total["false_alarms"] / total["copies"],
        "false_alarm_share_of_pairs": total["false_alarms"] / total["pairs"], "search_s": seconds,
        "sets": rows, "medrl": medrl.__version__, "imagehash": imagehash.__version__,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
