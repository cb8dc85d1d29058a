"""Files that do not lie at a plain address: Google Drive (gdown) and Hugging Face (its own cache)."""

import logging
import threading
from pathlib import Path

import requests
from rich.progress import Progress

from stremn.acquire.download import TIMEOUT, TRIES, Download, Stopped, accept
from stremn.errors import InputError, short_reason


def fetch_drive(drive: str, download: Download, progress: Progress, stop: threading.Event) -> str:
    """Fetch a Google Drive file; gdown keeps its own partial file and goes on with it.

    Args:
        drive: the file's id.
        download: the file; what comes is accepted by the same rules as over HTTP.
        progress: shows its bytes.
        stop: when set, the download stops.

    Returns:
        sha256 of the file.

    Raises:
        InputError: it cannot be had (often a quota of the day), or is not what was expected.
        Stopped: ``stop`` was set.
    """
    import gdown

    download.path.parent.mkdir(parents=True, exist_ok=True)
    task = progress.add_task(download.name, total=download.size)
    try:
        found = gdown.download(
            id=drive,
            output=str(download.part),
            quiet=True,
            use_cookies=False,
            resume=True,
            progress=lambda have, total: progress.update(task, completed=have, total=total),
            cancel=stop,
            timeout=TIMEOUT,
            retries=TRIES,
        )
    except gdown.exceptions.DownloadCancelled:
        raise Stopped from None
    except (gdown.exceptions.DownloadError, requests.RequestException) as error:
        raise InputError(
            f"expected {download.name} from Google Drive, found: {short_reason(error)}; try again later "
            f"(tomorrow, if it is a quota), or fetch https://drive.google.com/file/d/{drive}/view by hand "
            f"into {download.path}"
        ) from None
    if found is None or not download.part.is_file():
        raise InputError(f"expected {download.name} from Google Drive, found nothing: try again later")
    return accept(download)


def fetch_hub(repository: str, name: str) -> Path:
    """A file of a Hugging Face repository, in that library's own cache, where timm looks for it.

    A file in the cache is not fetched again; a cut download goes on.

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
            f"expected {name} of huggingface.co/{repository}, found: {short_reason(error)}; try again later"
        ) from None
    finally:
        log.setLevel(before)
