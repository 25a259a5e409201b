"""Look it up: a search over texts and pictures of the user's own, such as the pages of a textbook (as Patho-AgenticRAG does).

`corpus` is a JSON-lines file with `text`, `image` (a path below the file's folder) or both, and `id`; or a folder, in which
every .txt and .md file is a document and a picture of the same name its picture. Texts are ranked by BM25, pictures by
likeness to one of the episode's, ties by their order in the corpus. An index is built once per process.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from medrl.errors import MedrlError
from medrl.plugin import load_plugin
from medrl.rollout.env import Action, ActionError, Observation, Scene
from medrl.vision.open import open_image, resolve_inside
from medrl.vision.resize import MAX_ASPECT_RATIO

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MAX_QUERY = 500  # characters
RANK_OFFSET = 60  # of reciprocal rank fusion, Cormack et al. 2009


@dataclass(frozen=True)
class Document:
    """`image`: its picture's path, or None."""

    id: str
    text: str
    image: Path | None


class RetrieveEnv:
    """`top_k` documents unless the model says otherwise, `most` at most, `characters` of each. `pictures`: the best hit's
    picture is shown. `embed`: `path.py:function`, from a PIL image to a vector; cosine likeness of a thumbnail's grey values
    without it, which finds near-copies and no more."""

    def __init__(self, corpus, top_k=3, most=5, characters=600, pictures=True, embed=None, name="search"):
        if not 1 <= top_k <= most:
            raise MedrlError(f"RetrieveEnv: top_k={top_k} and most={most}; expected 1 <= top_k <= most.")
        self.top_k, self.most, self.characters, self.pictures = top_k, most, characters, pictures
        self.index = index_of(corpus, embed)
        searches = {
            "query": {"type": "string", "description": "What to look for."},
            "top_k": {"type": "integer", "minimum": 1, "maximum": most, "description": f"How many. Default: {top_k}."},
        }
        if self.index.vectors is not None:
            what = "Find documents with pictures like this image, 0 being the first. May be left out."
            searches["image"] = {"type": "integer", "description": what}
        self.tools = [{"type": "function", "function": {
            "name": name, "description": "Search the reference library.",
            "parameters": {"type": "object", "required": ["query"], "properties": searches},
        }}]  # fmt: skip

    def reset(self, sample, scene: Scene) -> None:
        self.sample, self.scene = sample, scene

    def step(self, action: Action) -> Observation:
        given = action.arguments
        query, top_k, number = given.get("query"), given.get("top_k", self.top_k), given.get("image")
        if not isinstance(query, str) or len(query) > MAX_QUERY:
            raise ActionError(f"query={str(query)[:40]!r}; give text of at most {MAX_QUERY} characters")
        if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= self.most:
            raise ActionError(f"top_k={str(top_k)[:40]}; expected 1 to {self.most}")
        alike = None if "image" not in given else self.scene.picture(number).image
        if alike is not None and self.index.vectors is None:
            raise ActionError("there are no pictures to search in; leave image out")
        found = self.index.search(query, alike, top_k)
        texts = [self._told(place, self.index.documents[one]) for place, one in enumerate(found, 1)]
        confirmed = {"tool": action.name, "query": query, "documents": [self.index.documents[one].id for one in found]}
        confirmed |= {"image": number} if alike is not None else {}
        best = next((one for one in found if self.index.documents[one].image), None) if self.pictures else None
        text = "\n".join(texts) or "Nothing was found."
        if best is None:
            return Observation(text, confirmed=confirmed)
        image = self.index.picture(best)
        source = len(self.sample.images) + best  # not one of the sample's own
        whole = (0.0, 0.0, float(image.width), float(image.height))
        text = f"The image belongs to {self.index.documents[best].id}.\n{text}"
        return Observation(text, (image,), False, confirmed, source, whole)

    def _told(self, place, document):
        text = " ".join(document.text.split())[: self.characters] or "(a picture)"
        return f"[{place}] {document.id}: {text}"


class Index:
    """Documents, their BM25 scores and the unit vectors of their pictures, (pictures, size); None without pictures."""

    def __init__(self, documents, embed):
        try:
            import bm25s
        except ImportError:
            raise MedrlError('RetrieveEnv needs bm25s. Install it: pip install "medrl[retrieval]".') from None
        self.documents, self.embed, self.words = documents, embed, bm25s.tokenize
        self.bm25 = None
        if any(words := self._words([one.text for one in documents])):
            self.bm25 = bm25s.BM25()
            self.bm25.index(words, show_progress=False)
            self.known = set(self.bm25.vocab_dict)
        self.pictured = [place for place, one in enumerate(documents) if one.image]
        self.vectors = np.stack([self._vector(self.picture(one)) for one in self.pictured]) if self.pictured else None

    def search(self, query, alike, top_k):
        """Places of the best documents, best first: by the text, the picture, or the sum of both reciprocal ranks."""
        rankings = []
        words = [word for word in self._words([query])[0] if self.bm25 and word in self.known]
        if words:
            scores = self.bm25.get_scores(words)
            rankings.append([int(one) for one in np.argsort(-scores, kind="stable") if scores[one] > 0])
        if alike is not None:
            likeness = np.round(self.vectors @ self._vector(alike), 9)  # threads may sum in another order
            rankings.append([self.pictured[one] for one in np.argsort(-likeness, kind="stable")])
        fused = {}
        for ranking in rankings:
            for rank, one in enumerate(ranking, 1):
                fused[one] = fused.get(one, 0.0) + 1 / (RANK_OFFSET + rank)
        return sorted(fused, key=lambda one: (-fused[one], one))[:top_k]

    def picture(self, place):
        return open_image({"path": str(self.documents[place].image)})

    def _words(self, texts):
        return self.words(texts, stopwords="en", return_ids=False, show_progress=False)

    def _vector(self, image):
        vector = np.asarray(self.embed(image), dtype=np.float64).reshape(-1)
        return vector / (np.linalg.norm(vector) or 1.0)


@lru_cache(maxsize=4)
def index_of(corpus, embed=None) -> Index:
    """The index of a corpus, built once per process. MedrlError names the line or file that is no good."""
    path = Path(corpus).resolve()
    if not path.exists():
        raise MedrlError(f"RetrieveEnv: corpus={corpus!r}: no such file or folder, seen from {Path.cwd()}.")
    documents = _of_lines(path) if path.is_file() else _of_folder(path)
    if not documents:
        raise MedrlError(
            f"RetrieveEnv: {path} holds no document. Expected lines of JSON with text, or .txt and .md files."
        )
    for one in documents:
        if one.image:
            width, height = open_image({"path": str(one.image)}).size
            if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
                raise MedrlError(f"RetrieveEnv: {one.image} is {width} x {height}; no model takes that. Crop it.")
    return Index(documents, load_plugin(embed, "embed").target if embed else thumbnail)


def _of_lines(path):
    documents = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise MedrlError(f"{path} line {number}: not JSON ({error}).") from None
        text, image = (row.get("text"), row.get("image")) if isinstance(row, dict) else (None, None)
        if not (isinstance(text, str) or isinstance(image, str)):
            raise MedrlError(f"{path} line {number}: expected an object with `text`, `image` (a path) or both.")
        picture = resolve_inside(path.parent, image) if image else None
        documents.append(Document(str(row.get("id", number)), text or "", picture))
    return documents


def _of_folder(path):
    parts = {}
    for one in sorted(path.rglob("*")):
        kind = "text" if one.suffix.lower() in (".txt", ".md") else "image" if one.suffix.lower() in PICTURES else None
        if kind and one.is_file():
            resolve_inside(path, one.relative_to(path))  # a link may lead out
            parts.setdefault(one.relative_to(path).with_suffix("").as_posix(), {})[kind] = one
    return [
        Document(name, of["text"].read_text(encoding="utf-8") if "text" in of else "", of.get("image"))
        for name, of in sorted(parts.items())
    ]


def thumbnail(image):
    """Grey values of a 16 x 16 copy less their mean: (256,)."""
    small = np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BOX), dtype=np.float64)
    return small - small.mean()
