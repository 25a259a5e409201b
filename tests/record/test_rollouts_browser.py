"""The rollouts page in a real Chromium: nothing runs or loads but our own script, and a person can find a rollout."""

import pytest
from makers import tiny
from rollout_runs import HOSTILE, single_turn_run, zoom_run

from medrl.record.view import view_run

pytestmark = pytest.mark.cluster

QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
WIDE, PHONE = (1400, 1000), (390, 844)

# Contrast after WCAG 2.2: of every element's own text against the nearest background that is painted
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const shown = element.checkVisibility({ opacityProperty: true }) && !element.closest("svg, .hide, .skip, [aria-hidden=true]");
    if (!own || !shown) continue;
    let behind = element;
    while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] < 250) behind = behind.parentElement;
    const colours = [getComputedStyle(element).color, behind ? getComputedStyle(behind).backgroundColor : "white"];
    const [a, b] = colours.map(rgba).map(light);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${element.tagName}.${element.className} ${ratio.toFixed(2)} ${element.textContent.slice(0, 30)}`);
  }
  return poor;
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Files: real episodes over two steps with a hostile one among them, and a run of single turns."""
    folder, loaded = tmp_path_factory.mktemp("pages"), tiny()
    runs = {"zoom": zoom_run(folder, loaded, steps=(1, 2), questions=1), "single": single_turn_run(folder, loaded)}
    for run in runs.values():
        view_run(run, None, 64, None)
    return {name: (run / "rollouts.html").as_uri() for name, run in runs.items()}


@pytest.fixture(scope="module")
def browser(pages):  # after the pages: playwright has an event loop of its own, in which no episode can be played
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """Opens a page and, at the end, sees that it complained of nothing and asked for nothing."""
    complaints, requests, contexts = [], [], []

    def open_page(uri, size=WIDE, scheme="light", **more):
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **more)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(uri)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
    assert all(url.partition("#")[0].endswith("/rollouts.html") for url in requests if url.startswith("file:"))


def here(page):
    """The address of the conversation that is shown."""
    return page.locator("article.attempt:visible").evaluate_all("all => all.map((one) => one.dataset.name)")


def test_a_hostile_reply_stays_text(opened, pages):
    page = opened(pages["zoom"] + "#1-1-6")
    assert here(page) == ["1-1-6"]
    assert page.evaluate("[window.hacked, document.scripts.length]") == [None, 1]
    said = page.locator("article.attempt:visible .model .said").last.inner_text()
    assert HOSTILE.partition("\u202e")[0] in said and "⟨U+202E⟩" in said


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE])
@pytest.mark.parametrize("name", ["zoom", "single"])
def test_nothing_hangs_over_and_everything_can_be_read(opened, pages, name, size, scheme):
    page = opened(pages[name], size, scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    for _ in range(page.locator("article.attempt").count()):
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], here(page)
        assert page.evaluate(CONTRAST) == []
        page.keyboard.press("j")


def test_filters_combine_and_the_count_tells(opened, pages):
    page = opened(pages["zoom"])
    shown, cells = page.locator("#f-count"), page.locator(".cell:not(.out)")

    def state():
        assert shown.inner_text() == f"{cells.count()} of 16 shown"
        return cells.count()

    assert state() == 16
    page.select_option("#f-verdict", "right")
    assert state() == 8
    page.select_option("#f-tool", "done")
    assert state() == 4
    page.select_option("#f-step", "2")
    assert state() == 2 and here(page)[0].startswith("2-")
    page.select_option("#f-verdict", "wrong")
    page.select_option("#f-end", "turns")
    assert state() == 1 and here(page) == ["2-1-4"]
    page.select_option("#f-end", "")
    page.select_option("#f-verdict", "")
    page.select_option("#f-step", "")
    page.select_option("#f-tool", "refused")
    assert state() == 6
    page.fill("#f-words", "there is no image 7")
    assert state() == 2 and here(page) == ["1-1-2"]
    page.fill("#f-words", "no such words at all")
    assert state() == 0 and here(page) == [] and page.locator("#nothing").is_visible()
    page.click("#clear")
    assert state() == 16 and len(here(page)) == 1


def test_keys_move_between_rollouts_groups_and_fields(opened, pages):
    page = opened(pages["zoom"])
    walked = []
    for key in ("j", "ArrowRight", "k", "J", "K", "ArrowLeft"):
        page.keyboard.press(key)
        walked += here(page)
    assert walked == ["1-1-1", "1-1-2", "1-1-1", "2-1-0", "1-1-0", "2-1-7"]
    assert page.evaluate("location.hash") == "#2-1-7"
    page.keyboard.press("/")
    page.keyboard.type("jkg")  # words, not commands, inside a field
    assert page.locator("#f-words").input_value() == "jkg" and here(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    assert page.locator("#f-words").input_value() == "" and len(here(page)) == 1
    page.keyboard.press("g")
    assert len(here(page)) == 8 and page.locator("#side").get_attribute("aria-pressed") == "true"
    page.keyboard.press("g")
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help").is_visible()


def test_an_address_names_a_rollout_and_back_goes_back(opened, pages):
    page = opened(pages["zoom"] + "#2-1-3")
    assert here(page) == ["2-1-3"] and page.evaluate("scrollY") == 0
    page.click(".cell[data-id='1-1-5'] a")
    assert here(page) == ["1-1-5"]
    page.click("tr[data-id='1-1-7'] td:nth-child(2)")
    assert here(page) == ["1-1-7"] and page.evaluate("location.hash") == "#1-1-7"
    page.go_back()
    assert here(page) == ["1-1-5"]
    page.evaluate("location.hash = '#not-one'")
    assert here(page) == ["1-1-5"]


def test_boxes_are_those_of_the_conversation_and_light_up_with_their_turn(opened, pages):
    page = opened(pages["zoom"] + "#1-1-0")
    marks = page.locator(".group.here .mark.role-action:visible")
    assert marks.count() == 1
    page.keyboard.press("j")
    assert marks.count() == 3
    page.hover("article.attempt:visible li[data-turn$='-t2'] .act")
    assert page.locator(".mark.lit").count() == 1 and page.locator(".mark.lit text").inner_html() == "2"
    picture, mark = (
        page.locator(".group.here .look img").bounding_box(),
        marks.first.locator("rect").last.bounding_box(),
    )
    assert mark["x"] == pytest.approx(picture["x"], abs=3) and mark["width"] == pytest.approx(
        picture["width"] / 2, abs=5
    )


def test_a_picture_is_enlarged_with_its_boxes(opened, pages):
    page = opened(pages["zoom"] + "#1-1-1")
    before = page.locator(".group.here .look img").bounding_box()["width"]
    page.keyboard.press("o")
    image = page.locator("#lens img")
    first = image.bounding_box()["width"]
    assert first > 1.5 * before and page.locator("#lens .mark.role-action:visible").count() == 3
    page.click("#larger")
    assert image.bounding_box()["width"] > 2 * first
    page.keyboard.press("Escape")
    assert not page.locator("#lens").is_visible()
    page.locator("article.attempt:visible .shots button").first.click()
    assert page.locator("#lens img").is_visible()


def test_without_a_script_all_conversations_stand_below_each_other(opened, pages):
    page = opened(pages["zoom"], java_script_enabled=False)
    assert page.locator("article.attempt:visible").count() == 16
    assert not page.locator("#filter").is_visible() and not page.locator(".moves").is_visible()


def test_printing_leaves_the_conversation_alone_on_the_paper(opened, pages):
    page = opened(pages["zoom"] + "#1-1-1")
    page.emulate_media(media="print")
    assert here(page) == ["1-1-1"]
    assert not any(page.locator(part).first.is_visible() for part in (".top", ".list", ".moves"))
    assert len(page.pdf()) > 10_000
