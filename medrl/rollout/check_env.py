"""The validator anyone runs on an environment of their own: `medrl check env my_env.py:MyEnv`.

It plays good and bad actions on phantom pictures and lists every promise of rollout/env.py that is not kept.
"""

import json
import math
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from PIL.Image import Image

from medrl.data.adapters import phantom_detail
from medrl.data.sample import Sample
from medrl.rollout.env import Action, ActionError, MakeEnv, Observation, Scene
from medrl.vision.open import open_image
from medrl.vision.resize import MAX_ASPECT_RATIO

# in the place of every argument in turn; none may do more than raise ActionError
BAD_VALUES: tuple[Any, ...] = (
    None, "", "x" * 5000, -1, 10**30, math.nan, math.inf, True, [], [1, 2, 3], [60, 60, 20, 20], [math.nan] * 4,
    [0, 0, 10**400, 5], ["a"] * 4, [[0, 0], [5, 5]], {}, {"a": {"b": []}}, [0, 0, 0, 0],
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """`faults`: what is wrong, one sentence each; `actions`: how many were played."""

    faults: list[str]
    actions: int


def check_env(make: MakeEnv, size_px: int = 224) -> Found:
    """Play an environment. Never raises for what the environment does."""
    faults: list[str] = []
    try:
        tools = make().tools
    except Exception as error:
        return Found([f"it cannot be made: {_told(error)}"], 0)
    faults += _schema_faults(tools)
    if faults:
        return Found(faults, 0)
    try:
        pickle.loads(pickle.dumps(make))
    except Exception as error:
        faults.append(f"it cannot be pickled, so it cannot travel to a worker: {_told(error)}")
    grey = phantom_detail.read(None, "val", n=1, size_px=size_px, slope=False)
    sample = next(one for one in grey if isinstance(one, Sample))
    actions = list(_actions(tools, size_px))
    good = [action for action, sort in actions if sort == "valid"]
    for action, sort in actions:
        faults += _play(make, sample, action, sort)
    once, again = ([_trace(make, sample, [action]) for action in good] for _ in range(2))
    faults += [
        f"{_shown(action)}: the same action on the same sample gave another answer the second time"
        for action, one, other in zip(good, once, again)
        if one != other
    ]
    faults += _keeps_pictures(make, sample, good)
    return Found(list(dict.fromkeys(faults)), len(actions) + 2 * len(good))


def _schema_faults(tools: Any) -> list[str]:
    if not isinstance(tools, (list, tuple)) or not tools:
        return ["`tools` is not a list of JSON schemas; without one the model can do nothing"]
    faults = []
    for number, tool in enumerate(tools):
        where = f"tools[{number}]"
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
            faults.append(f'{where}: expected {{"type": "function", "function": {{"name": …, "parameters": …}}}}')
            continue
        parameters = function.get("parameters")
        if not isinstance(parameters, dict) or parameters.get("type") != "object":
            faults.append(f'{where} ({function["name"]}): `parameters` is not a JSON schema of type "object"')
            continue
        properties = parameters.get("properties", {})
        untyped = [name for name, schema in properties.items() if not isinstance(schema, dict) or "type" not in schema]
        unknown = set(parameters.get("required", ())) - set(properties)
        if untyped:
            faults.append(f"{where} ({function['name']}): no type for {', '.join(untyped)}")
        if unknown:
            faults.append(f"{where} ({function['name']}): required but not described: {', '.join(sorted(unknown))}")
        try:
            json.dumps(tool, allow_nan=False)
        except (TypeError, ValueError) as error:
            faults.append(f"{where} ({function['name']}): not plain JSON ({error}), and the prompt shows it as that")
    names = [tool["function"]["name"] for tool in tools if not faults]
    return faults + [
        f"two tools are called {name!r}" for name in sorted({name for name in names if names.count(name) > 1})
    ]


Sort = Literal["valid", "incomplete", "bad"]  # by the tool's schema; bad values may be mended, a missing one may not


def _actions(tools: Any, size_px: int) -> Iterator[tuple[Action, Sort]]:
    """Actions to play, and of which sort they are."""
    for tool in tools:
        function = tool["function"]
        properties = function["parameters"].get("properties", {})
        required = function["parameters"].get("required", [])
        whole = {name: _example(schema, size_px) for name, schema in properties.items()}
        yield Action(function["name"], {name: whole[name] for name in required}), "valid"
        yield Action(function["name"], whole), "valid"
        for name in required:
            yield Action(function["name"], {key: value for key, value in whole.items() if key != name}), "incomplete"
        for name in properties:
            for value in BAD_VALUES:
                yield Action(function["name"], {**whole, name: value}), "bad"
        yield Action(function["name"], {**whole, "an argument nobody knows": 1}), "bad"


def _example(schema: dict[str, Any], size_px: int) -> Any:
    """A value that the schema allows and that means something on a picture of this size."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema["type"]
    if kind == "array":
        length = schema.get("minItems", 1)
        if length == 4:  # a box
            return [size_px // 4, size_px // 4, size_px // 2, size_px // 2]
        item = _example(schema.get("items", {"type": "number"}), size_px)
        return [item] * length
    low = schema.get("minimum", 0)
    return {"integer": int(low), "number": float(low) or 1.0, "boolean": True, "object": {}}.get(kind, "text")


def _begin(make: MakeEnv, sample: Sample) -> tuple[Any, Scene]:
    scene = Scene("px_model", lambda size: size)
    for number, source in enumerate(sample.images):
        picture = open_image(source, None)
        scene.show(picture, number, (0.0, 0.0, float(picture.width), float(picture.height)))
    env = make()
    env.reset(sample, scene)
    return env, scene


def _play(make: MakeEnv, sample: Sample, action: Action, sort: Sort) -> list[str]:
    try:
        env, _ = _begin(make, sample)
    except Exception as error:
        return [f"reset failed: {_told(error)}"]
    try:
        seen = env.step(action)
    except ActionError as error:
        if sort == "valid":
            return [f"{_shown(action)}: its own schema allows this, and it was refused: {error}"]
        return [] if str(error).strip() else [f"{_shown(action)}: ActionError without a text for the model"]
    except Exception as error:
        return [f"{_shown(action)}: raised {_told(error)}; raise ActionError with a text for the model instead"]
    if sort == "incomplete":
        return [f"{_shown(action)}: done although an argument that the schema requires is missing; raise ActionError"]
    return [f"{_shown(action)}: {fault}" for fault in _observation_faults(seen)]


def _observation_faults(seen: Any) -> list[str]:
    if not isinstance(seen, Observation):
        return [f"returned a {type(seen).__name__}, expected an Observation"]
    faults = []
    if not isinstance(seen.text, str):
        faults.append(f"Observation.text is a {type(seen.text).__name__}, expected text")
    if not seen.text and not seen.images and not seen.done:
        faults.append("the observation is empty: the model learns nothing from it")
    for image in seen.images:
        if not isinstance(image, Image) or image.mode != "RGB" or min(image.size) < 1:
            faults.append(f"Observation.images holds {image!r}, expected RGB pictures")
        elif max(image.size) > MAX_ASPECT_RATIO * min(image.size):
            faults.append(f"Observation.images holds {image!r}, longer than {MAX_ASPECT_RATIO} times its width")
    try:
        json.dumps(seen.confirmed, allow_nan=False)
    except (TypeError, ValueError) as error:
        faults.append(f"Observation.confirmed is not plain JSON: {error}")
    return faults


def _trace(make: MakeEnv, sample: Sample, actions: list[Action]) -> Any:
    """All that can be seen of these actions, to be compared."""

    def play() -> Any:
        env, _ = _begin(make, sample)
        seen = [env.step(action) for action in actions]
        return [(one.text, [image.tobytes() for image in one.images], one.done, repr(one.confirmed)) for one in seen]

    return _quietly(play)


def _keeps_pictures(make: MakeEnv, sample: Sample, actions: list[Action]) -> list[str]:
    def play() -> Any:
        env, scene = _begin(make, sample)
        before = scene.shown[0].image.tobytes()
        for action in actions:
            env.step(action)
        return before == scene.shown[0].image.tobytes()

    return ["an action changed the sample's own picture; work on a copy"] if _quietly(play) is False else []


def _quietly(play: Callable[[], Any]) -> Any:
    """Its result; None where it raises, which is told elsewhere."""
    try:
        return play()
    except Exception:
        return None


def _shown(action: Action) -> str:
    return f"{action.name}({str(action.arguments)[:120]})"


def _told(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:160]} ({frame.filename.rsplit('/', 1)[-1]} line {frame.lineno})"
