"""The audit's page in a real Chromium: on a wide screen and a telephone, light and dark, nothing hangs over or is too faint."""

import pytest
from planted import encoded, picture, questions
from test_rollouts_browser import CONTRAST, PHONE, QUIET, WIDE

from medrl.evaluation.audit import audit
from medrl.record.audit_page import write_audit_page

pytestmark = pytest.mark.cluster


def test_nothing_hangs_over_loads_or_is_too_faint(tmp_path):
    from playwright.sync_api import sync_playwright

    shown = [encoded(picture(number)) for number in range(24)]
    splits = {
        split: questions(split, 24, seed, prior=0.9, image=lambda number: shown[number])
        for seed, split in enumerate(("train", "val"))
    }
    page_file = write_audit_page(audit(splits, tmp_path, 0.6), tmp_path / "audit.html", "planted" * 20, tmp_path)
    complaints, requests = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        for size in (WIDE, PHONE):
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
                page.on("console", lambda message: complaints.append(message.text))
                page.on("request", lambda request: requests.append(request.url))
                page.goto(page_file.as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") <= size[0], (size, scheme)
                assert page.evaluate(CONTRAST) == [], (size, scheme)
                assert page.evaluate("[...document.images].every((one) => one.complete && one.naturalWidth > 0)")
        browser.close()
    assert complaints == [] and {url.partition(":")[0] for url in requests} == {"file", "data"}
