"""A Chromium for pages from disk, and axe-core; where either is not there, tests are skipped and say so."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Opened:
    """A page with what it said and asked for."""

    def __init__(self, page):
        self.page, self.errors, self.requests = page, [], []
        page.on(
            "console", lambda message: self.errors.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def _said(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def load(self, path, hash_=""):
        self.page.goto(f"file://{path}{hash_}")
        return self.page

    @property
    def other_requests(self):
        return [url for url in self.requests if not url.startswith(("file://", "data:image/"))]


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_page(browser):
    """Opens a page in a theme and a width."""
    contexts = []

    def opened(path, theme="light", width=1200, hash_="", scripts=True):
        context = browser.new_context(
            color_scheme=theme,
            viewport={"width": width, "height": 900},
            java_script_enabled=scripts,
            bypass_csp=False,
        )
        contexts.append(context)
        own = Opened(context.new_page())
        own.load(path, hash_)
        return own

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def serious_faults():
    """Ids of axe-core's serious and critical findings on a page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-core is not installed")

    def faults(page):
        found = axe.Axe().run(page).response["violations"]
        return [
            (one["id"], [node["target"] for node in one["nodes"]][:3])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    return faults
