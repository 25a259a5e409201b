"""Which confirmed actions count as a look of their own: repeating one, or taking the whole picture as it is, is none."""

from collections.abc import Mapping, Sequence
from typing import Any

from medrl.vision.boxes import iou

ALIKE = 0.9  # intersection over union at which two regions are the same look


def looks(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The actions in `extra_info["rollout"]` less those that show nothing new.

    A region is new where no earlier one of the same picture in the same `view` (window, slice, turn) is like it; a search,
    where it brings a document none has brought; any other action, where it is not an earlier one again.

    >>> box = {"tool": "zoom", "source": 0, "box_px_original": [0, 0, 50, 50]}
    >>> len(looks({"actions": [box, {**box, "box_px_original": [0, 0, 50, 49]}], "image_sizes": [[100, 100]]}))
    1
    """
    found: list[dict[str, Any]] = []
    for action in record["actions"]:
        if not _repeats(action, found, record["image_sizes"]):
            found.append(action)
    return found


def _repeats(action: Mapping[str, Any], before: Sequence[Mapping[str, Any]], sizes: Sequence[Sequence[int]]) -> bool:
    if "documents" in action:
        return set(action["documents"]) <= {one for other in before for one in other.get("documents", ())}
    box, source, view = action.get("box_px_original"), action.get("source", 0), action.get("view")
    if box is None:
        return action in before
    alike = [one for one in before if one.get("source", 0) == source and one.get("view") == view]
    seen = [one["box_px_original"] for one in alike if "box_px_original" in one]
    if view is None and 0 <= source < len(sizes):
        seen.append([0, 0, *sizes[source]])
    return any(iou(box, one) > ALIKE for one in seen)
