"""Reports in headless Chromium: nothing asked of the network, nothing on the console, nothing wider than the screen.

KDRUN_SCREENSHOTS=DIR keeps the screenshots.
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
"""Requests that Chromium makes on any page, for time and updates."""
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
    """Headless Chromium behind a proxy that answers nothing and records requests."""

    def __init__(self, folder: Path, port: int, asked: list[str]) -> None:
        self.folder, self.port, self.all_asked = folder, port, asked

    def __call__(
        self, page: Path, *flags: str, width: int = 1280, height: int = 1000
    ) -> subprocess.CompletedProcess[str]:
        assert CHROMIUM is not None
        self.all_asked.clear()
        proxy = (f"--proxy-server=127.0.0.1:{self.port}", "--proxy-bypass-list=<-loopback>")
        words = [*FLAGS, *proxy, f"--user-data-dir={self.folder}", f"--window-size={width},{height}", *flags]
        done = subprocess.run(
            [CHROMIUM, *words, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        self.asked = [url for url in self.all_asked if not OWN_REQUESTS.search(url)]
        self.console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return done


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_CONNECT = do_POST = do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Browser(tmp_path / "profile", server.server_port, asked)
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


def test_the_watch_sees_requests_and_errors(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<!doctype html><img src='http://reached.test/a.png'><script>throw new Error('boo')</script>")
    browser(page, f"--screenshot={tmp_path / 'bad.png'}")
    assert browser.asked == ["http://reached.test/a.png"]
    assert "boo" in browser.console[0]


@pytest.mark.parametrize(("width", "height"), [(1280, 8000), (390, 12000)])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_report_shows_without_requests_and_errors(
    browser: Browser,
    report_file: Path,
    tmp_path: Path,
    theme: str,
    width: int,
    height: int,
    request: pytest.FixtureRequest,
) -> None:
    kept = Path(os.environ.get("KDRUN_SCREENSHOTS") or tmp_path)
    kept.mkdir(parents=True, exist_ok=True)
    kind = request.node.callspec.params["report_file"]
    shot = kept / f"{kind}-{theme}-{width}.png"
    scheme = f"--blink-settings=preferredColorScheme={int(theme == 'light')}"
    browser(report_file, f"--screenshot={shot}", scheme, width=width, height=height)
    assert (browser.asked, browser.console) == ([], [])
    assert shot.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(browser: Browser, report_file: Path, width: int) -> None:
    # a frame, because Chromium's own window cannot be as narrow as a phone
    frame = f"<iframe width={width} height=900 style='border:0' srcdoc='{escape(report_file.read_text())}'></iframe>"
    told = "document.title = 'width ' + frames[0].document.documentElement.scrollWidth"
    page = report_file.with_name("measured.html")
    page.write_text(f"<!doctype html><title>none</title>{frame}<script>onload = () => {{ {told} }}</script>")
    found = re.search(r"<title>width (\d+)</title>", browser(page, "--dump-dom", width=1400).stdout)
    assert found
    assert int(found[1]) <= width
