"""Load a plug-in named `path.py:function` or, of an installed package, `package.module:function`.

A path is looked up in the working directory, then beside the recipe, then in what medrl ships, so one recipe works
in a checkout and after `pip install medrl`. What fails to import is shown with its full traceback.
"""

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
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
    code = name.endswith(".py")
    raise MedrlError(
        f"{name}: no such file. Looked at: {looked}.{_known(name, places) if code else ''} Give a path relative to one of "
        f"these, or an absolute one{', or package.module:name of an installed package' if code else ''}."
    )


def _known(name: str, places: Sequence[Path]) -> str:
    """The nearest file and all that lie where this one was looked for, medrl's own for a bare name; a sentence or two."""
    folder = Path(name).parent
    bare = folder == Path()
    folders = [Path("rewards"), Path("envs")] if bare else [folder]
    there = {str(one / file.name) for one in folders for place in places for file in (place / one).glob("*.py")}
    stems = {Path(one).stem: one for one in sorted(there)}
    near = difflib.get_close_matches(Path(name).stem, stems, n=1)
    hint = f" Did you mean {stems[near[0]]}?" if near else ""
    return f"{hint} Known: {', '.join(sorted(there))}." if there else ""


def load_plugin(reference: str, default: str | Sequence[str], beside: Path | None = None) -> Plugin:
    """Load `path.py[:name]`; without `:name` the object called `default` is taken, or the only one of several such names.

    Raises MedrlError when the file or module is missing, fails to import (the traceback is in the message), lacks the
    name, or has several of the names.
    """
    file_name, _, name = reference.partition(":")
    names = [name] if name else [default] if isinstance(default, str) else list(default)
    if _is_module(file_name):
        module = _importable(reference, file_name)
        path = Path(str(module.__file__))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    else:
        path = find_file(file_name, beside)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        module = _run_file(reference, path, sha256)
    found = [one for one in names if getattr(module, one, None) is not None]
    if not found:
        public = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        wanted = " or ".join(f"`{one}`" for one in names)
        raise MedrlError(f"{reference}: {path} has no {wanted}. It offers: {', '.join(public) or 'nothing callable'}.")
    if len(found) > 1:
        raise MedrlError(f"{reference}: {path} has both {' and '.join(found)}. Name one: {file_name}:{found[0]}.")
    return Plugin(reference=reference, path=path, sha256=sha256, target=getattr(module, found[0]))


def _is_module(name: str) -> bool:
    """Whether a reference means a module by its dotted name: `my_lab.rewards`, and no `rewards/box.py`."""
    return not name.endswith(".py") and all(part.isidentifier() for part in name.split("."))


def _importable(reference: str, name: str) -> ModuleType:
    """The module of that name, imported as Python would: installed, or on PYTHONPATH."""
    try:
        module = importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise MedrlError(
                f"{reference}: Python finds no module {error.name}. Install its package, put its folder on PYTHONPATH, or give "
                f"a file as path/to/file.py[:name].{_known(name, [SHIPPED]) if '.' not in name else ''}"
            ) from None
        raise MedrlError(f"{reference}: {name} does not import. Its traceback:\n{traceback.format_exc()}") from None
    if getattr(module, "__file__", None) is None:
        raise MedrlError(f"{reference}: {name} is a folder without a file of its own. Name one of its modules.")
    return module


def _run_file(reference: str, path: Path, sha256: str) -> ModuleType:
    """The module made of a file; made once for one content of it."""
    module_name = f"medrl_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    module = sys.modules.get(module_name)
    if module is not None and getattr(module, "__medrl_sha256__", None) == sha256:
        return module
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise MedrlError(f"{reference}: {path} is not a Python file. Expected `path/to/file.py[:name]`.")
    module = importlib.util.module_from_spec(spec)
    module.__dict__["__medrl_sha256__"] = sha256
    sys.modules[module_name] = module  # so that its functions can be pickled
    try:
        # not by the loader, which would take the bytecode of another content of the same second and length
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except Exception:
        del sys.modules[module_name]
        raise MedrlError(f"{reference}: {path} does not import. Its traceback:\n{traceback.format_exc()}") from None
    return module


def check_call(
    plugin: Plugin, positional: tuple[str, ...], kwargs: dict[str, Any], always: Mapping[str, Any] | None = None
) -> None:
    """Refuse a plug-in that cannot be called with these positional names and keyword arguments.

    `kwargs`: of the recipe; `always`: those that come with every call. Raises MedrlError naming the file, its signature,
    the argument that does not fit and those there are.
    """
    function: Callable[..., Any] = plugin.target
    if not callable(function):
        raise MedrlError(f"{plugin.reference}: a {type(function).__name__}, expected a function.")
    if taken := [key for key in kwargs if key in (always or {})]:
        raise MedrlError(
            f"{plugin.path}: `kwargs:` has {', '.join(taken)}, which every call brings by itself. Leave it out, or give the "
            "argument another name."
        )
    signature = inspect.signature(function)
    given = {**(always or {}), **kwargs}
    try:
        signature.bind(*positional, **given)
    except TypeError as error:
        name = getattr(function, "__name__", plugin.reference)
        wanted = ", ".join([*positional, *(f"{key}=…" for key in given)])
        named = [
            key for key, one in signature.parameters.items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        ]
        free = [key for key in named[len(positional) :] if key not in (always or {})]
        raise MedrlError(
            f"{plugin.path}: {name}{signature} cannot be called as {name}({wanted}): {error}. "
            f"`kwargs:` may name {', '.join(free) or 'nothing'}. Mend the signature, or the `kwargs:` in the recipe."
        ) from None
