"""A data set with planted faults for the audit: an option prior, a favoured position, copies and patients on both sides."""

import io

import numpy as np
from PIL import Image, ImageFilter

from medrl.data.options import letter_options, list_options
from medrl.data.sample import make_sample

FINDINGS = ("effusion", "oedema", "fracture", "nodule", "mass", "fibrosis", "hernia", "infiltrate")


def picture(seed, size=(120, 80)):
    """A made-up picture with coarse and fine structure, unlike any of another seed."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(0, 256, (size[1] // step, size[0] // step, 3), dtype=np.uint8)).resize(size)
        for step in (20, 5)
    ]
    return Image.blend(layers[0], layers[1], 0.4).filter(ImageFilter.GaussianBlur(1))


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **({"compress_level": 1} if form == "PNG" else {}), **options)
    return buffer.getvalue()


def questions(split, n, seed, *, prior=0.0, first=0.0, patient=None, image=None):
    """`n` choice questions of four options. A share `prior` has a tell-tale right option, a share `first` has it as A.

    `image(number)` gives the encoded picture; without it there is none.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(n):
        texts = [str(text) for text in rng.choice(FINDINGS, 4, replace=False)]
        right = int(rng.integers(4))
        if rng.random() < prior:
            texts[right] = "pneumothorax"
        if rng.random() < first:
            texts.insert(0, texts.pop(right))
            right = 0
        options = letter_options(texts)
        samples.append(
            make_sample(
                id=f"{split}/{number}",
                data_source="planted",
                question=list_options("Which finding is shown?", options),
                images=[{"bytes": image(number)}] if image else [],
                ground_truth="ABCD"[right],
                kind="choice",
                split=split,
                options=options,
                patient_id=patient(number) if patient else f"{split}-{number}",
            )
        )
    return samples
