"""A sweep's page in a real Chromium: wide and on a telephone, light and dark; nothing hangs over, loads or is too faint."""

import sys
from pathlib import Path

import pytest
from sweep_runs import asked, make_run, planned

from medrl.sweep.results import write_results

sys.path.insert(0, str(Path(__file__).parent.parent / "record"))
from test_rollouts_browser import CONTRAST, PHONE, QUIET

pytestmark = pytest.mark.cluster
WIDE = (1280, 900)
LONG = "a_very_long_name_of_a_setting_that_no_table_has_room_for" * 2


def test_nothing_hangs_over_loads_or_is_too_faint_and_links_lead_to_the_runs(tmp_path):
    from playwright.sync_api import sync_playwright

    grid = [(0.0, 2), (0.0, 4), (0.5, 2), (0.5, 4)]
    settings = {f"lambda={one},{LONG}={size}": {"algorithm.kwargs.lambda": one, "x.size": size} for one, size in grid}
    table = {point: {0: [0.0, 0.5, one, 1.0], 1: [0.0, one, one, 1.0]} for point, (one, _) in zip(settings, grid)}
    sweep = planned(tmp_path / "shaped", table, settings=settings)
    for place, run in enumerate(sweep.runs[:-1]):
        how = {"status": "failed", "reason": "RewardTimeout: " + "x" * 400} if place == 3 else {}
        make_run(sweep, run, asked(4), table[run.point][run.seed], report=place == 0, **how)
    facts = write_results(sweep)
    complaints, requests = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        for size in (WIDE, PHONE):
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
                page.on("console", lambda message: complaints.append(message.text))
                page.on("pageerror", lambda error: complaints.append(str(error)))
                page.on("request", lambda request: requests.append(request.url))
                page.goto((sweep.folder / "index.html").as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") <= size[0], (size, scheme)
                assert page.evaluate(CONTRAST) == [], (size, scheme)
                assert page.get_by_text(facts["headline"]).is_visible()
                cut = "[...document.querySelectorAll('svg.chart text')].filter((one) => one.checkVisibility()).filter((one) => {"
                cut += " const a = one.getBoundingClientRect(), b = one.ownerSVGElement.getBoundingClientRect();"
                cut += " return a.left < b.left - 1 || a.right > b.right + 1; }).map((one) => one.textContent)"
                assert page.evaluate(cut) == [], (size, scheme)
        page.locator("#curves svg.chart >> visible=true").first.hover()
        assert page.locator("#tip").inner_text().startswith("step ")
        page.get_by_role("link", name=sweep.runs[0].name).click()
        assert page.title() == f"{sweep.runs[0].name} · medrl"
        browser.close()
    assert complaints == [] and {url.partition(":")[0] for url in requests} <= {"file", "data"}
