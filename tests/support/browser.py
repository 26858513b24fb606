"""A real browser, used as by a person: clicks, keys, and printing. It needs Chromium."""

import asyncio
import base64
import contextlib
import itertools
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import attrs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
_KEYS = {"Enter": (13, "\r"), "Tab": (9, "")}
_SECONDS = 60.0


@attrs.define
class Browser:
    """One page of the browser."""

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    numbers: "itertools.count[int]" = attrs.field(factory=lambda: itertools.count(1))

    async def send(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send one command of the DevTools protocol and return its result."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters}
        await self.socket.send_json(message | ({"sessionId": self.session} if self.session else {}))
        async with asyncio.timeout(_SECONDS):
            while (found := await self.socket.receive_json()).get("id") != number:
                pass
        assert "error" not in found, found
        return dict(found["result"])

    async def open(self, page: Path, *, width: int = 1280, height: int = 900) -> None:
        """Open a page in a window of this size, and wait for its scripts."""
        target = await self.send("Target.createTarget", url="about:blank")
        attached = await self.send(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self.session = attached["sessionId"]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", **size)
        await self.send("Page.navigate", url=page.as_uri())
        while await self.run("document.readyState+location.protocol") != "completefile:":
            pass

    async def run(self, script: str) -> Any:  # whatever the script returns
        """Run a script in the page and return its result."""
        found = await self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        box = await self.run(
            f"(e=>{{e.scrollIntoView();const r=e.getBoundingClientRect();"
            f"return [r.x+r.width/2,r.y+r.height/2]}})(document.querySelector({selector!r}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            at = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
            await self.send("Input.dispatchMouseEvent", type=kind, **at)

    async def press(self, key: str) -> None:
        """Press a key and release it."""
        code, text = _KEYS[key]
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **named)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **named)

    async def write(self, text: str) -> None:
        """Type a text where the cursor is."""
        await self.send("Input.insertText", text=text)

    async def print_to(self, path: Path) -> None:
        """Print the page into a PDF."""
        found = await self.send("Page.printToPDF", preferCSSPageSize=True)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(found["data"]))

    async def photograph(self, path: Path) -> None:
        """Write a screenshot of the window into a PNG."""
        found = await self.send("Page.captureScreenshot")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(found["data"]))


@contextlib.asynccontextmanager
async def browser(folder: Path) -> AsyncGenerator[Browser]:
    """Start a browser with its settings in a folder, and end it after the block."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, *options, f"--user-data-dir={folder}", stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(_SECONDS):
            async for line in process.stderr:
                if line.startswith(b"DevTools listening on "):
                    break
        address = line.decode().split()[-1]
        reading = asyncio.create_task(process.stderr.read())  # a full pipe would stop it
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(address, max_msg_size=0) as socket,
        ):
            yield Browser(socket)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading
