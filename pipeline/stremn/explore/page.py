"""The explorer as a page: one notebook cell, served by voila on this machine only, in one kernel for all tabs."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import uuid
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import ErrorHandler, RequestHandler
from traitlets.config import Config

from stremn.errors import InputError

ADDRESS = "127.0.0.1"
NAMES = (ADDRESS, "localhost")  # of the host that a request may name
QUIET = (
    "--Voila.log_level=ERROR",
    "--KernelManager.transport_encryption=auto",
)  # encrypted: nothing to warn of
# what is shown: where it is made, by what, its title
PAGES = {
    "explorer": ("stremn.explore.open", "explorer", "Memory explorer"),
    "mask": ("stremn.explore.masker", "masker", "First mask"),
}
SHARE = Path(__file__).parent / "share"  # our template of the page: voila's own loads fonts from the network


AWAY = 1800  # seconds without a tab and without work after which the kernel, and with it the session, ends


class OneKernel(AsyncMappingKernelManager):
    """All tabs have the same kernel, so that a reload or a second tab finds the session as it was."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._one, self._lock = str(uuid.uuid4()), asyncio.Lock()

    async def start_kernel(self, **options: Any) -> str:  # type: ignore[override]
        """The kernel; it is started where it does not run."""
        async with self._lock:
            return str(await super().start_kernel(**{**options, "kernel_id": self._one}))


CONFIG = Config(
    VoilaConfiguration={"multi_kernel_manager_class": OneKernel},
    OneKernel={"cull_idle_timeout": AWAY, "cull_interval": 30},
)


class TabClosed(RequestHandler):
    """A tab that is closed, or loaded again, asks to end its kernel; the others may need it: see ``AWAY``."""

    def check_xsrf_cookie(self) -> None:
        """Not needed: nothing is done."""

    def post(self, _: str) -> None:
        """Leave the kernel as it is."""
        self.set_status(204)


def page(settings: Mapping[str, Any], what: str = "explorer") -> nbformat.NotebookNode:
    """The page's notebook: the widget ``what`` with these settings, made once for all tabs."""
    given = ", ".join(f"{name}={value!r}" for name, value in settings.items() if value is not None)
    book = nbformat.v4.new_notebook()
    module, function, book.metadata["title"] = PAGES[what]
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    lines = (
        f"from {module} import {function}",
        "",
        'if "shown" not in globals():',
        f"    shown = {function}({given})",
        "shown",
    )
    book.cells = [nbformat.v4.new_code_cell("\n".join(lines))]
    return book


def serve(
    settings: Mapping[str, Any], what: str = "explorer", *, port: int | None = None, browser: bool = True
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        settings: of the function that makes ``what``, see ``PAGES``; paths absolute.
        port: None: any free one.
        browser: open the page.

    Raises:
        InputError: the port is taken.
    """
    taken = _port(port)
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(SHARE), os.environ.get("JUPYTER_PATH")]))
    from voila.app import Voila

    logging.getLogger("tornado.general").setLevel(logging.ERROR)  # Jupyter's own settings are warned of, too
    token = secrets.token_hex(24)
    url = f"http://{ADDRESS}:{taken}/?token={token}"
    with tempfile.TemporaryDirectory(prefix="stremn-explore-") as folder:
        path = Path(folder) / f"{what}.ipynb"
        nbformat.write(page(settings, what), path)
        app = _local(Voila)(
            ip=ADDRESS, port=taken, port_retries=0, open_browser=False, token=token, config=CONFIG
        )
        app.initialize([str(path), "--template=stremn", *QUIET])
        print(f"{what}: {url}\nCtrl-C stops it.", flush=True)
        if browser:
            threading.Timer(1.0, webbrowser.open, [url]).start()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # end the kernels too
        with contextlib.suppress(KeyboardInterrupt):
            app.start()
    print("stopped", file=sys.stderr)


def _local(voila: type[Any]) -> type[Any]:
    """Voila that answers requests to this machine's own names alone.

    It listens on the local address only; yet a page of another host, whose name is made to lead here (DNS
    rebinding), has the browser send requests. They name that host.
    """

    class Local(voila):  # type: ignore[misc]
        def init_handlers(self) -> list[Any]:
            shutdown = r".*/voila/api/shutdown/(.*)"
            return [(shutdown, TabClosed), *super().init_handlers()]

        def listen(self) -> None:
            found = self.app.find_handler

            def find_handler(request: Any, **arguments: Any) -> Any:
                if request.host_name in NAMES:
                    return found(request, **arguments)
                refused = {"status_code": 403}
                return self.app.get_handler_delegate(request, ErrorHandler, refused)

            self.app.find_handler = find_handler
            super().listen()

    return Local


def _port(wanted: int | None) -> int:
    """A port that is free now."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((ADDRESS, wanted or 0))
        except OSError as error:
            raise InputError(
                f"expected a free port, found {wanted} in use ({error.strerror}); name another"
            ) from None
        return int(trial.getsockname()[1])
