"""A rollout on its way from the worker of its episode to the trainer, as bytes.

verl's containers would take an object apart, and its storage process would have to import what the object is made of.
"""

import pickle
from dataclasses import replace

from medrl.record.album import thumbnails
from medrl.rollout.types import Rollout


def packed(rollout: Rollout, with_pictures: bool = False) -> bytes:
    """Without the sample's pictures, which the trainer has and puts back; those an environment showed go along small,
    where they are wanted."""
    sample = replace(rollout.prompt.sample, images=(), extra_info={})
    light = replace(rollout.prompt, pixel_values=None, image_grid_thw=None, sample=sample)
    small = thumbnails(rollout) if with_pictures else ()
    return pickle.dumps(replace(rollout, prompt=light, added=None, thumbnails=small))


def unpacked(parcel: bytes) -> Rollout:
    """Of a process of this very run: not for bytes from anywhere else."""
    found = pickle.loads(parcel)
    assert isinstance(found, Rollout)
    return found
