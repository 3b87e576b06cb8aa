"""Reports in headless Chromium: no network requests, no console output, no overflow.

KDRUN_SCREENSHOTS=DIR saves the screenshots.
"""

import http.server
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path

import pytest

from kdrun.reporting.html import report
from tests.helpers.finished_runs import lines, metrics, predictions, samples, scores

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OWN_REQUESTS = re.compile(r"google\.com|googleapis\.com|gvt1\.com")
"""Requests that Chromium sends for time and updates, on any page."""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking",
    "--no-first-run", "--disable-component-update", "--disable-sync", "--virtual-time-budget=3000",
    "--enable-logging=stderr",
)  # fmt: skip
NASTY = "<script>document.title='run'</script><img src='http://reached.test/a.png'>"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH"),
]


class Browser:
    """Headless Chromium behind a proxy that answers nothing and records all requests."""

    def __init__(self, folder: Path, port: int, requests: list[str]) -> None:
        self.folder, self.port, self.all_requests = folder, port, requests

    def __call__(
        self, page: Path, *flags: str, width: int = 1280, height: int = 1000
    ) -> subprocess.CompletedProcess[str]:
        assert CHROMIUM is not None
        self.all_requests.clear()
        proxy = (f"--proxy-server=127.0.0.1:{self.port}", "--proxy-bypass-list=<-loopback>")
        args = [*FLAGS, *proxy, f"--user-data-dir={self.folder}", f"--window-size={width},{height}", *flags]
        finished = subprocess.run(
            [CHROMIUM, *args, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        self.requests = [url for url in self.all_requests if not OWN_REQUESTS.search(url)]
        self.console = [line for line in finished.stderr.splitlines() if "CONSOLE" in line]
        return finished


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    requests: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(self.path)
            self.send_error(404)

        do_CONNECT = do_POST = do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Browser(tmp_path / "profile", server.server_port, requests)
        server.shutdown()
        thread.join()


@pytest.fixture(params=["run", "scores", "comparison"])
def report_file(
    request: pytest.FixtureRequest, make_run: Callable[..., Path], make_comparison: Callable[..., Path]
) -> Path:
    if request.param == "comparison":
        folder = make_comparison(synthetic=True)
        lines(folder.parent / "runs" / "kd-1" / "samples.jsonl", samples())
        return report.write_comparison_report(folder)
    if request.param == "scores":
        return report.write_run_report(make_run(answers=scores()))
    log, texts = metrics(3300, 5, {"generator": 40, "student": 400}), samples(text=f"{NASTY} is it")
    return report.write_run_report(make_run(log=log, answers=predictions(text=NASTY), texts=texts, method="mate_kd"))


def test_requests_and_errors_are_detected(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<!doctype html><img src='http://reached.test/a.png'><script>throw new Error('boo')</script>")
    browser(page, f"--screenshot={tmp_path / 'bad.png'}")
    assert browser.requests == ["http://reached.test/a.png"]
    assert "boo" in browser.console[0]


@pytest.mark.parametrize(("width", "height"), [(1280, 8000), (390, 12000)])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_reports_cause_no_requests_and_errors(
    browser: Browser,
    report_file: Path,
    tmp_path: Path,
    theme: str,
    width: int,
    height: int,
    request: pytest.FixtureRequest,
) -> None:
    folder = Path(os.environ.get("KDRUN_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page_type = request.node.callspec.params["report_file"]
    screenshot = folder / f"{page_type}-{theme}-{width}.png"
    scheme = f"--blink-settings=preferredColorScheme={int(theme == 'light')}"
    browser(report_file, f"--screenshot={screenshot}", scheme, width=width, height=height)
    assert (browser.requests, browser.console) == ([], [])
    assert screenshot.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(browser: Browser, report_file: Path, width: int) -> None:
    # a frame, because Chromium's own window cannot be as narrow as a phone
    frame = f"<iframe width={width} height=900 style='border:0' srcdoc='{escape(report_file.read_text())}'></iframe>"
    script = "document.title = 'width ' + frames[0].document.documentElement.scrollWidth"
    page = report_file.with_name("measured.html")
    page.write_text(f"<!doctype html><title>none</title>{frame}<script>onload = () => {{ {script} }}</script>")
    match = re.search(r"<title>width (\d+)</title>", browser(page, "--dump-dom", width=1400).stdout)
    assert match
    assert int(match[1]) <= width
