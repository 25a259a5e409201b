"""How English says that a number is a bound and not a value: "at least 7", "<5", "7 or more", "9+".

Section 4 and 9 of the grading rules; pieces of verbose, case-blind regular expressions that the number readers share.
"""

import re

HEDGE = r"(?:(?:of|about|around|approximately|roughly|circa|the|a|an|some|~)\s+)*~?\s*"

# ends where the number begins
BOUND_BEFORE = rf"""
    (?:(?<!-)[<>≤≥≦≧⩽⩾≲≳≮≯]=?|\\(?:leq?|geq?|lt|gt|pm)(?!\w))\s*{HEDGE}
  | (?<!\w)(?:
        (?<!rather\s)than\s+{HEDGE}
      | or\s+equal\s+to\s+{HEDGE}
      | at\s+(?:the\s+)?(?:very\s+)?(?:least|most|minimum|maximum):?\s+{HEDGE}
      | (?:over|under|above|below|up\s*to(?:\s+and\s+including)?|upwards?|beyond|in\s+excess\s+of|exceed(?:s|ing)?
          |minimum|maximum|min|max)[.:]?\s+{HEDGE}
      | as\s+(?:many|few|much)\s+as\s+{HEDGE}
    )
"""

_COMPARED = r"more|less|fewer|greater|higher|lower|larger|smaller|longer|shorter|above|below|over|under|up|counting"

# begins where the number (or its unit) ends: "5 lesions or more", but not "5 more or less"
BOUND_AFTER = rf"""
    (?:\s+(?!more\s)\w+){{0,2}}[\s,(]+(?:
        (?:or|and)\s+(?:(?:even|possibly|perhaps|maybe|probably|slightly|some|many|much)\s+)?(?:{_COMPARED})
      | (?:upwards?|onwards?)(?!\s+\w)
      | at\s+(?:the\s+)?(?:very\s+)?(?:least|most|minimum|maximum)
      | (?:minimum|maximum|min|max)(?!\s+\w)
    )(?!\w)
"""

_NOT_FINITE = re.compile(r"(?<!\w)(?:nan|inf|infinity|infinite)(?!\w)|∞", re.IGNORECASE)


def is_not_finite(text: str) -> bool:
    """True when a text names a number that is none, or is endless.

    >>> is_not_finite("NaN"), is_not_finite("banana"), is_not_finite("-inf mm")
    (True, False, True)
    """
    lower = text.lower()
    hint = "nan" in lower or "inf" in lower or "∞" in lower  # much faster than the pattern
    return hint and _NOT_FINITE.search(text) is not None
