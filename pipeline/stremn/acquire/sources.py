"""Files that do not lie at a plain address: Google Drive (gdown) and Hugging Face (its own cache)."""

import logging
import threading
from pathlib import Path

from stremn.acquire.download import Habits, Wanted, accept
from stremn.acquire.network import words
from stremn.acquire.progress import Meter, Stopped
from stremn.errors import InputError

DRIVE_PAGE = "https://drive.google.com/file/d/{}/view"


def fetch_drive(
    drive: str, wanted: Wanted, meter: Meter, stop: threading.Event, habits: Habits | None = None
) -> str:
    """Fetch a Google Drive file; gdown keeps its own partial file and goes on with it.

    Args:
        drive: the file's id.
        wanted: the file; what comes is accepted by the same rules as over HTTP.
        meter: counts the bytes.
        stop: when set, the download stops.
        habits: patience.

    Returns:
        sha256 of the file.

    Raises:
        InputError: it cannot be had (often a quota of the day), or is not what was expected.
        Stopped: ``stop`` was set.
    """
    import gdown
    import requests

    habits = habits or Habits()
    wanted.path.parent.mkdir(parents=True, exist_ok=True)
    seen = 0

    def tell(have: int, total: int | None) -> None:
        nonlocal seen
        meter.expect(wanted.name, total or wanted.size or 0, 0)
        meter.add(max(0, have - seen))
        seen = have

    try:
        found = gdown.download(
            id=drive,
            output=str(wanted.part),
            quiet=True,
            use_cookies=False,
            resume=True,
            progress=tell,
            cancel=stop,
            timeout=habits.timeout,
            retries=habits.tries,
        )
    except gdown.exceptions.DownloadCancelled:
        raise Stopped from None
    except (gdown.exceptions.DownloadError, requests.RequestException) as error:
        raise InputError(
            f"expected {wanted.name} from Google Drive, found: {words(error)}; try again later (tomorrow, if it "
            "is a quota), or fetch "
            f"{DRIVE_PAGE.format(drive)} by hand into {wanted.path}"
        ) from None
    if found is None or not wanted.part.is_file():
        raise InputError(f"expected {wanted.name} from Google Drive, found nothing: try again later")
    return accept(wanted)


def fetch_hub(repository: str, name: str) -> Path:
    """A file of a Hugging Face repository, in that library's own cache, where timm looks for it.

    What is in the cache is not fetched again; a cut download goes on.

    Args:
        repository: such as ``timm/resnet50_gn.a1h_in1k``.
        name: file in it.

    Raises:
        InputError: it cannot be had.
    """
    from huggingface_hub import hf_hub_download

    log = logging.getLogger("huggingface_hub")  # it tells every one of its own tries
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        return Path(hf_hub_download(repository, name))
    except (OSError, ValueError) as error:  # its own errors derive from these; no network: OSError
        raise InputError(
            f"expected {name} of huggingface.co/{repository}, found: {words(error)}; try again later"
        ) from None
    finally:
        log.setLevel(before)


def find_hub(repository: str, name: str) -> Path | None:
    """Where that file lies in the cache; nothing is fetched."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name)
    return Path(found) if isinstance(found, str) else None
