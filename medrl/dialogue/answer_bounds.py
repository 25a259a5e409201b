"""How English says that a number is a bound and not a value: "at least 7", "<5", "7 or more", "9+".

Section 4 and 9 of the grading rules; pieces of verbose, case-blind regular expressions that the number readers share.
"""

HEDGE = r"(?:(?:of|about|around|approximately|roughly|circa|the|a|an|some|~)\s+)*~?\s*"

# ends where the number begins
BOUND_BEFORE = rf"""
    (?:[<>≤≥≦≧⩽⩾≲≳≮≯]=?|\\(?:leq?|geq?|lt|gt|pm)(?!\w))\s*{HEDGE}
  | (?<!\w)(?:
        (?<!rather\s)than\s+{HEDGE}
      | at\s+(?:the\s+)?(?:very\s+)?(?:least|most|minimum|maximum):?\s+{HEDGE}
      | (?:over|under|above|below|up\s*to|upwards?|beyond|exceed(?:s|ing)?|minimum|maximum|min|max)[.:]?\s+{HEDGE}
      | as\s+(?:many|few|much)\s+as\s+{HEDGE}
    )
"""

_COMPARED = r"more|less|fewer|greater|higher|lower|larger|smaller|longer|shorter|above|below|over|under|up|counting"

# begins where the number (or its unit) ends: "5 lesions or more", but not "5 more or less"
BOUND_AFTER = rf"""
    (?:\s+(?!more\s)\w+){{0,2}}[\s,(]+(?:
        (?:or|and)\s+(?:{_COMPARED})
      | at\s+(?:the\s+)?(?:very\s+)?(?:least|most|minimum|maximum)
      | (?:minimum|maximum|min|max)(?!\s+\w)
    )(?!\w)
"""
