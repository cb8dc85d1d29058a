"""Hostile input: spoilt and malicious files at every door. Each ends in a result or in one line, soon, in little memory.

    python benchmarks/fuzz.py --inputs 1000 --out fuzz.csv
    python benchmarks/fuzz.py --door traces --inputs 200

Each door (``fuzz_doors.py``) has valid files and some that were made to do harm; chance, seeded, does the rest
(``fuzz_mutations.py``). The files are read in a process of its own; more than ``LIMIT`` seconds of processor time, or
``WAIT`` seconds in all, are a hang. Memory is the process's peak while one file is read (Linux counts it), beside that of
the door's valid files.
"""

import argparse
import csv
import json
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

LIMIT = 10.0  # seconds of processor time for one file
WAIT = 60.0  # seconds for one file on a machine that does other things too
TWICE = 2.0  # of the memory of a valid file
START = 300.0  # seconds in which the reading process must be ready


@dataclass(frozen=True)
class Input:
    """A file to read: a door, one of its seeds, and the number that spoils it; None: as it is."""

    door: str
    seed: str
    chance: int | None


@dataclass(frozen=True)
class Outcome:
    """What became of an input.

    Attributes:
        kind: result, refused, traceback, hang or crash.
        detail: the line, or the last lines of the traceback.
        seconds: time.
        peak: bytes at most while it was read; 0: not known.
    """

    kind: str
    detail: str = ""
    seconds: float = 0.0
    peak: int = 0


def plan(seeds: dict[str, list[str]], count: int, start: int = 0) -> list[Input]:
    """``count`` inputs, the doors in turn: of each door every seed as it is, then spoilt ones."""

    def of(door: str) -> Iterator[Input]:
        yield from (Input(door, name, None) for name in seeds[door])
        for number, name in enumerate(cycle(seeds[door])):
            yield Input(door, name, start + number)

    streams = [of(door) for door in seeds]
    return list(islice((next(stream) for stream in cycle(streams)), count))


class Reader:
    """Feeds inputs to their doors in this process; the doors' seeds are made once, in a folder."""

    def __init__(self, folder: Path) -> None:
        from fuzz_doors import DOORS

        self.doors, self.folder = DOORS, folder
        self._seeds: dict[str, dict[str, bytes]] = {}

    def seeds(self, door: str) -> dict[str, bytes]:
        """The files of a door by name."""
        if door not in self._seeds:
            place = self.folder / f"seeds-{len(self._seeds)}"
            place.mkdir(parents=True)
            self._seeds[door] = self.doors[door].seeds(place)
        return self._seeds[door]

    def content(self, one: Input) -> bytes:
        """The file's bytes."""
        from fuzz_mutations import mutated

        seed = self.seeds(one.door)[one.seed]
        return seed if one.chance is None else mutated(seed, Random(f"{one.door}/{one.seed}/{one.chance}"))

    def feed(self, one: Input) -> Outcome:
        """Read an input in a folder of its own."""
        from stremn.errors import InputError

        place = self.folder / "input"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        (place / one.seed).write_bytes(self.content(one))
        _forget_peak()
        began = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.doors[one.door].feed(place / one.seed)
            kind, detail = "result", ""
        except InputError as error:
            detail = str(error)
            kind = "refused" if len(detail.splitlines()) == 1 and len(detail) < 1000 else "traceback"
        except Exception as error:
            kind = "traceback"
            detail = "".join(traceback.format_exception(error)[-4:])
        return Outcome(kind, detail, time.process_time() - began, _peak())


def _forget_peak() -> None:
    """The peak of memory counts from now on (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def serve() -> None:
    """The reading process: inputs come as lines of JSON, outcomes go the same way."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    with tempfile.TemporaryDirectory(prefix="stremn-fuzz-") as folder:
        reader = Reader(Path(folder))
        wanted = sys.argv[2:] or reader.doors
        seeds = {door: list(reader.seeds(door)) for door in wanted}
        print(json.dumps(seeds), file=answers, flush=True)
        for line in sys.stdin:
            print(json.dumps(asdict(reader.feed(Input(**json.loads(line))))), file=answers, flush=True)


class Process:
    """A reading process; a new one follows where an input ended it."""

    def __init__(self, doors: list[str]) -> None:
        self._doors = doors
        self._start()

    def _start(self) -> None:
        call = [sys.executable, __file__, "--serve", *self._doors]
        self._process = subprocess.Popen(
            call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.seeds: dict[str, list[str]] = self._answer(START)
        assert self.seeds, "the reading process did not start"

    def _answer(self, limit: float) -> Any:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], limit)
        line = self._process.stdout.readline() if ready else b""
        return json.loads(line) if line else None if ready else False

    def feed(self, one: Input) -> Outcome:
        """Have an input read."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(one)).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._answer(WAIT)
        if answer:
            found = Outcome(**answer)
            return (
                found if found.seconds <= LIMIT else Outcome("hang", found.detail, found.seconds, found.peak)
            )
        self.close()
        self._start()
        return Outcome("hang" if answer is False else "crash", "", LIMIT)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def table(outcomes: list[tuple[Input, Outcome]]) -> str:
    """A row for each door."""
    lines = [
        "| door | inputs | results | refused | tracebacks | hangs | crashes | slowest (s) "
        "| memory (MB) | of valid files (MB) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for door in dict.fromkeys(one.door for one, _ in outcomes):
        own = [(one, found) for one, found in outcomes if one.door == door]
        kinds = [found.kind for _, found in own]
        counts = [kinds.count(kind) for kind in ("result", "refused", "traceback", "hang", "crash")]
        normal = max((f.peak for one, f in own if one.chance is None and f.kind == "result"), default=0)
        most, slowest = max(f.peak for _, f in own), max(f.seconds for _, f in own)
        cells = [door, len(own), *counts, f"{slowest:.1f}", f"{most / 1e6:.0f}", f"{normal / 1e6:.0f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    """Read all inputs, print what failed and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="how many files")
    parser.add_argument("--start", type=int, default=0, help="first number of chance")
    parser.add_argument("--door", help="one door alone")
    parser.add_argument("--out", type=Path, help="a CSV with a row for each input")
    if sys.argv[1:2] == ["--serve"]:
        return serve()
    options = parser.parse_args()
    process, outcomes = Process([options.door] if options.door else []), []
    for one in plan(process.seeds, options.inputs, options.start):
        found = process.feed(one)
        outcomes.append((one, found))
        if found.kind not in ("result", "refused"):
            print(f"{found.kind}: {one}\n{found.detail}\n", flush=True)
    process.close()
    if options.out:
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*asdict(outcomes[0][0]), *asdict(outcomes[0][1])])
            writer.writeheader()
            writer.writerows({**asdict(one), **asdict(found)} for one, found in outcomes)
    print(table(outcomes))


if __name__ == "__main__":
    main()
