"""The text of a page's elements, as a reader sees it."""

from html.parser import HTMLParser


class _Reader(HTMLParser):
    def __init__(self, tag: str) -> None:
        super().__init__()
        self.tag, self.depth, self.text = tag, 0, ""

    def handle_starttag(self, tag, attrs):
        self.depth += tag == self.tag

    def handle_endtag(self, tag):
        self.depth -= tag == self.tag

    def handle_data(self, data):
        self.text += data if self.depth else ""


def elements(page: str, tag: str) -> str:
    """All text inside elements of this kind."""
    reader = _Reader(tag)
    reader.feed(page)
    return reader.text
