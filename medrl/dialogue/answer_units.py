"""Units of measurement a reply may name, their spellings, and what one of each comes to in its dimension's base unit.

Section 11 of the grading rules. Names are looked up in the table below and never parsed; only the table's own entries
reach sympy, which knows the factors. It is imported at the first conversion, not with this file: it takes 0.4 s.
Hounsfield units, per cent, degrees and beats per minute each convert to nothing but their own kind.
"""

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Unit:
    """A listed unit: what it measures, and `scale` times a sympy unit to a `power`, None where it is its own base."""

    dimension: str
    symbol: str
    sympy_name: str | None = None
    power: int = 1
    scale: float = 1.0


def _metre(prefix: str, prefixed: str) -> list[str]:
    return [prefix, *(f"{prefixed}{spelling}{plural}" for spelling in ("metre", "meter") for plural in ("", "s"))]


def _litre(*symbols: str, prefixed: str) -> list[str]:
    return [*symbols, *(f"{prefixed}{spelling}{plural}" for spelling in ("litre", "liter") for plural in ("", "s"))]


def _gram(*symbols: str, prefixed: str) -> list[str]:
    return [*symbols, *(f"{prefixed}{spelling}{plural}" for spelling in ("gram", "gramme") for plural in ("", "s"))]


def _cubic(symbol: str, *names: str) -> list[str]:
    return [f"{symbol}3", f"{symbol}^3", f"cu {symbol}", f"cubic {symbol}", *(f"cubic {name}" for name in names)]


_SPELLINGS: dict[Unit, list[str]] = {
    Unit("length", "nm", "nanometer"): _metre("nm", "nano"),
    Unit("length", "um", "micrometer"): [*_metre("um", "micro"), "μm", "micron", "microns"],
    Unit("length", "mm", "millimeter"): [*_metre("mm", "milli"), "mms"],
    Unit("length", "cm", "centimeter"): [*_metre("cm", "centi"), "cms"],
    Unit("length", "m", "meter"): _metre("m", ""),
    Unit("length", "in", "inch"): ["in", "inch", "inches"],
    Unit("angle", "deg", "degree"): ["deg", "degs", "degree", "degrees", "°"],
    Unit("angle", "rad", "radian"): ["rad", "rads", "radian", "radians"],
    Unit("attenuation", "HU"): ["hu", "hounsfield", "hounsfield unit", "hounsfield units"],
    Unit("proportion", "%"): ["%", "percent", "per cent"],
    Unit("volume", "uL", "liter", scale=1e-6): _litre("ul", "μl", prefixed="micro"),
    Unit("volume", "mL", "milliliter"): [*_litre("ml", "mls", "cc", "ccs", prefixed="milli")],
    Unit("volume", "cm3", "centimeter", power=3): _cubic("cm", *_metre("cm", "centi")[1:]),
    Unit("volume", "L", "liter"): _litre("l", prefixed=""),
    Unit("volume", "mm3", "millimeter", power=3): _cubic("mm", *_metre("mm", "milli")[1:]),
    Unit("mass", "mg", "milligram"): _gram("mg", "mgs", prefixed="milli"),
    Unit("mass", "g", "gram"): _gram("g", prefixed=""),
    Unit("mass", "kg", "kilogram"): _gram("kg", "kgs", prefixed="kilo"),
    Unit("pressure", "mmHg"): [
        "mmhg", "mm hg", "mm-hg", *(f"{name} of mercury" for name in _metre("mm", "milli")),
    ],
    Unit("rate", "bpm"): ["bpm", "beats per minute", "beat per minute", "beats/min", "beats/minute", "beats per min"],
    Unit("time", "ms", "millisecond"): ["ms", "msec", "msecs", "millisecond", "milliseconds"],
    Unit("time", "s", "second"): ["s", "sec", "secs", "second", "seconds"],
    Unit("time", "min", "minute"): ["min", "mins", "minute", "minutes"],
}  # fmt: skip

UNITS = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_BASE = {"length": "meter", "angle": "radian", "volume": "liter", "mass": "gram", "time": "second"}


def unit_named(name: str) -> Unit | None:
    """The unit of this name, in any case; None when it is not listed.

    >>> unit_named("Centimetres"), unit_named("px")
    (Unit(dimension='length', symbol='cm', sympy_name='centimeter', power=1, scale=1.0), None)
    """
    return UNITS.get(" ".join(name.lower().split()).replace("µ", "μ"))


@cache
def in_base_units(unit: Unit) -> float:
    """What one of the unit comes to in the base unit of its dimension: metre, radian, litre, gram or second, or itself.

    >>> [round(in_base_units(unit_named(name)), 9) for name in ("cm", "inch", "cc", "cm3", "mm3", "min", "HU")]
    [0.01, 0.0254, 0.001, 0.001, 1e-06, 60.0, 1.0]
    """
    if unit.sympy_name is None:
        return 1.0
    from sympy.physics import units

    base = getattr(units, _BASE[unit.dimension])
    one = getattr(units, unit.sympy_name) ** unit.power
    return unit.scale * float(units.convert_to(one, base) / base)
