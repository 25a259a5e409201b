"""Load a plug-in named `path.py:function`: a reward, an adapter, an environment, an estimator.

The path is looked up in the working directory, then beside the recipe, then in what medrl ships, so one recipe works
in a checkout and after `pip install medrl`. A file that fails to import is shown with its full traceback.
"""

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrl.errors import MedrlError

PACKAGE = Path(__file__).resolve().parent
# a wheel carries rewards/, envs/, recipes/ inside the package; a checkout has them beside it
SHIPPED = PACKAGE / "_bundled" if (PACKAGE / "_bundled").is_dir() else PACKAGE.parent


@dataclass(frozen=True)
class Plugin:
    """A loaded object and where it came from; `sha256` is that of the file, for the run's card."""

    reference: str
    path: Path
    sha256: str
    target: Any


def find_file(name: str, beside: Path | None = None) -> Path:
    """The first existing file among working directory, the recipe's directory `beside`, and the shipped ones."""
    places = [Path.cwd(), *([beside] if beside else []), SHIPPED]
    for place in places:
        candidate = place / name
        if candidate.is_file():
            return candidate.resolve()
    looked = ", ".join(str(place / name) for place in places)
    raise MedrlError(
        f"{name}: no such file. Looked at: {looked}. Give a path relative to one of these, or an absolute one."
    )


def load_plugin(reference: str, default: str | Sequence[str], beside: Path | None = None) -> Plugin:
    """Load `path.py[:name]`; without `:name` the object called `default` is taken, or the only one of several such names.

    Raises MedrlError when the file is missing, fails to import (the traceback is in the message), lacks the name, or
    has several of the names.
    """
    file_name, _, name = reference.partition(":")
    names = [name] if name else [default] if isinstance(default, str) else list(default)
    path = find_file(file_name, beside)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    module_name = f"medrl_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    module = sys.modules.get(module_name)
    if module is None or getattr(module, "__medrl_sha256__", None) != sha256:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise MedrlError(f"{reference}: {path} is not a Python file. Expected `path/to/file.py[:name]`.")
        module = importlib.util.module_from_spec(spec)
        module.__dict__["__medrl_sha256__"] = sha256
        sys.modules[module_name] = module  # so that its functions can be pickled
        try:
            spec.loader.exec_module(module)
        except Exception:
            del sys.modules[module_name]
            raise MedrlError(f"{reference}: {path} does not import. Its traceback:\n{traceback.format_exc()}") from None
    found = [one for one in names if getattr(module, one, None) is not None]
    if not found:
        public = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        wanted = " or ".join(f"`{one}`" for one in names)
        raise MedrlError(f"{reference}: {path} has no {wanted}. It offers: {', '.join(public) or 'nothing callable'}.")
    if len(found) > 1:
        raise MedrlError(f"{reference}: {path} has both {' and '.join(found)}. Name one: {file_name}:{found[0]}.")
    return Plugin(reference=reference, path=path, sha256=sha256, target=getattr(module, found[0]))


def check_call(plugin: Plugin, positional: tuple[str, ...], kwargs: dict[str, Any]) -> None:
    """Refuse a plug-in that cannot be called with these positional names and keyword arguments.

    Raises MedrlError naming the file, its signature and the argument that does not fit.
    """
    function: Callable[..., Any] = plugin.target
    if not callable(function):
        raise MedrlError(f"{plugin.reference}: a {type(function).__name__}, expected a function.")
    signature = inspect.signature(function)
    try:
        signature.bind(*positional, **kwargs)
    except TypeError as error:
        wanted = ", ".join([*positional, *(f"{key}=…" for key in kwargs)])
        raise MedrlError(
            f"{plugin.path}: {function.__name__}{signature} cannot be called as {function.__name__}({wanted}): {error}. "
            "Mend the signature, or the `kwargs:` in the recipe."
        ) from None
