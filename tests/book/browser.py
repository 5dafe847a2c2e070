"""A headless Chromium for tests, driven over the DevTools protocol, and a command that photographs every page.

`python -m tests.book.browser _build/html --out FOLDER` takes each page at 1440 and 390 pixels, light and dark.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WIDTHS = (1440, 390)
THEMES = ("light", "dark")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-port=0"
)
_KEYS = {"Tab": ("Tab", 9, ""), "Space": (" ", 32, " "), "Enter": ("Enter", 13, "\r")}


def find() -> str | None:
    """The path of a Chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@dataclass
class Log:
    """What a page did while it loaded: addresses asked for, those that failed, and complaints on the console."""

    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    @property
    def outside(self) -> list[str]:
        """Requests that left the machine."""
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:", "about:"))]


class Browser:
    """One Chromium with one page. Use as a context manager; `executable` is what `find` returns."""

    def __init__(self, executable: str) -> None:
        import websocket

        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        command = [executable, *_FLAGS.split(), f"--user-data-dir={self._profile.name}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port, path = self._endpoint()
        address = f"ws://127.0.0.1:{port}{path}"
        options = {"timeout": 60, "suppress_origin": True, "http_no_proxy": ["127.0.0.1"]}
        self._socket = websocket.create_connection(address, **options)
        self._ids, self._session, self._context, self.log = itertools.count(1), None, None, Log()

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(timeout=20)
        self._profile.cleanup()

    def _endpoint(self) -> list[str]:
        file, deadline = Path(self._profile.name) / "DevToolsActivePort", time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            lines = file.read_text().split() if file.exists() else []
            if len(lines) == 2:
                return lines
            time.sleep(0.05)
        self._process.kill()
        raise RuntimeError("Chromium did not open its debugging port within 60 s")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one DevTools command and return its result; events that arrive meanwhile go to the log."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        self._socket.send(json.dumps(message | ({"sessionId": self._session} if self._session else {})))
        while True:
            reply = json.loads(self._socket.recv())
            if reply.get("id") == number:
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']['message']}")
                return reply["result"]
            self._note(reply.get("method"), reply.get("params", {}))

    def _note(self, event: str | None, params: dict[str, Any]) -> None:
        if event == "Network.requestWillBeSent":
            self.log.requests.append(params["request"]["url"])
        elif event == "Network.loadingFailed" and not params.get("canceled"):
            self.log.failed.append(f"{params['type']}: {params['errorText']}")
        elif event == "Network.responseReceived" and params["response"]["status"] >= 400:
            self.log.failed.append(f"{params['response']['status']} {params['response']['url']}")
        elif event == "Runtime.exceptionThrown":
            self.log.console.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.log.console.append(" ".join(str(part.get("value", "")) for part in params["args"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.log.console.append(params["entry"]["text"])

    def open(self, url: str, width: int = 1440, theme: str = "light", scripts: bool = True) -> Log:
        """Load a page in a new tab, wait until fonts, pictures and formulas are there, return its log.

        width: of the window in pixels; below 600 it acts as a phone. theme: what the reader's system prefers, light or
        dark. scripts: False for a reader who has switched them off.
        """
        self._new_tab()
        self._size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **self._size)
        wishes = {"prefers-color-scheme": theme, "prefers-reduced-motion": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in wishes.items()])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=url)
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")
        self.evaluate(
            "(async () => { await document.fonts.ready; if (window.MathJax?.startup) await MathJax.startup.promise;"
            " document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; });"
            " await Promise.allSettled([...document.images].map((image) => image.decode())); })()"
        )
        return self.log

    def _new_tab(self) -> None:
        self._session, self.log = None, Log()
        if self._context:
            self.call("Target.disposeBrowserContext", browserContextId=self._context)
        self._context = self.call("Target.createBrowserContext")["browserContextId"]  # no memory of earlier pages
        target = self.call("Target.createTarget", url="about:blank", browserContextId=self._context)["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; promises are awaited."""
        reply = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in reply:
            raise RuntimeError(reply["exceptionDetails"]["exception"].get("description", script))
        return reply["result"].get("value")

    def wait(self, condition: str, seconds: float = 30) -> None:
        """Wait until a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(condition):
            if time.monotonic() > deadline:
                raise RuntimeError(f"not true after {seconds} s: {condition}")
            time.sleep(0.02)

    def press(self, key: str) -> None:
        """Press and release a key: Tab, Space or Enter."""
        name, code, text = _KEYS[key]
        about = {"key": name, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def missing_images(self) -> list[str]:
        """Addresses of pictures that did not arrive."""
        return self.evaluate("[...document.images].filter((i) => !i.naturalWidth).map((i) => i.src)")

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return self.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def screenshot(self, path: Path) -> None:
        """A PNG of the whole page: the window is made as tall as the page first."""
        height = self.evaluate("document.documentElement.scrollHeight")
        self.call("Emulation.setDeviceMetricsOverride", **self._size | {"height": min(height, 16000)})
        data = self.call("Page.captureScreenshot", format="png")["data"]
        self.call("Emulation.setDeviceMetricsOverride", **self._size)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))


def pages(site: Path) -> list[Path]:
    """The pages of a built site that a reader reads: the cover, the book's pages, the chapters."""
    return [*sorted((site / "book").glob("*.html")), *sorted((site / "chapters").glob("*.html"))]


def main() -> None:
    """Photograph every page of a built site at every width and theme."""
    parser = argparse.ArgumentParser(description="Photograph every page of a built site.")
    parser.add_argument("site", type=Path, help="the folder of the built site, _build/html")
    parser.add_argument("--out", type=Path, required=True, help="where the pictures go")
    parser.add_argument("--only", default="", help="only pages whose name contains this")
    options = parser.parse_args()
    executable = find()
    if not executable:
        parser.exit(2, "no Chromium on this machine; install it from the system's packages\n")
    with Browser(executable) as browser:
        for page, width, theme in itertools.product(pages(options.site.resolve()), WIDTHS, THEMES):
            if options.only in page.name:
                log = browser.open(page.as_uri(), width, theme=theme)
                browser.screenshot(options.out / f"{page.stem}.{width}.{theme}.png")
                trouble = [*log.console, *log.failed, *log.outside, *browser.missing_images()]
                print(f"{page.stem} {width} {theme}: wider by {browser.overflow()} px {trouble or ''}")


if __name__ == "__main__":
    main()
