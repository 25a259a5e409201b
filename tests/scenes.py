"""Scenes for tests of environments: pictures in files, shown as an episode shows them."""

import io
from pathlib import Path

from PIL import Image

from medrl.data.sample import Sample, make_sample
from medrl.rollout.env import Action, Scene
from medrl.rollout.episode import _show
from medrl.vision.open import open_image


def encoded(image: Image.Image, image_format: str = "PNG", **options) -> dict[str, bytes]:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return {"bytes": stream.getvalue()}


def sample_of(*images: dict, **extra) -> Sample:
    return make_sample(
        id="one", data_source="test", question="?", images=images, ground_truth="yes", kind="yes_no", split="train", **extra
    )  # fmt: skip


class Playing:
    """An environment with a sample before it; `act` does what an episode does with an action that can be read."""

    def __init__(self, env, sample: Sample, frame="px_model", model_size=None, root: Path | None = None):
        self.env, self.sample = env, sample
        self.scene = Scene(frame, lambda size: model_size or size, root=root)
        for number, source in enumerate(sample.images):
            picture = open_image(source, root)
            self.scene.show(picture, number, (0.0, 0.0, float(picture.width), float(picture.height)))
        env.reset(sample, self.scene)

    def act(self, name: str, **arguments):
        seen = self.env.step(Action(name, arguments))
        _show(self.scene, seen)
        return seen
