"""How fast `airgap serve` is beside the CNCF registry, and what it needs with many clients."""

from __future__ import annotations

import base64
import http.client
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from urllib.parse import quote

from benchmarks import product
from benchmarks.corpus import CONFIG_TYPE, MANIFEST_TYPE, sha256
from benchmarks.floor import ACCEPT, connect
from benchmarks.measure import ROOT, Sample, Series, alternate, settle
from benchmarks.options import Options, Source, remove
from benchmarks.registries import Registry
from benchmarks.report import TIMES, Row, Section, ratio_row, table
from benchmarks.serving import PASSWORD, USER, Served, add_user
from benchmarks.speed import fetching
from benchmarks.upload import Uploader

CNCF = "CNCF registry"
OWN = "airgap serve"
BUNDLE = "airgap serve, from a bundle in place"
SYNCED = "airgap serve, synced"
CONNECTIONS = 16
SIGNED_IN = f"{OWN}, signed in by token"
_RATE_SECONDS = 3.0
_CLIENTS = 500
_SPEED = 1_000_000
_SLOW_SECONDS = 20
_MEMORY = 200 << 20
_MEBI = 1 << 20
_REPOSITORIES, _TAGS = 1000, 100
_PAGE_LIMIT = 0.020
_START_LIMIT = 1.0
_ASKS = 50

Requests = Sequence[str]


def section(options: Options) -> Section:
    """All that is asked of the registry."""
    own = options.work / "own"
    with options.large_source() as source:
        bundle = _fill(options, source, own)
        users = options.work / "users"
        add_user(options.program, options.bench, users)
        with (
            _serve(options, "own", "--data", own) as ours,
            _serve(options, "users", "--data", _copy_path(own), "--users", users) as guarded,
            _serve(options, "bundle", bundle) as in_place,
        ):
            hosts = {CNCF: source.host, OWN: ours.host, BUNDLE: in_place.host}
            pulls = _pulls(options, source, hosts)
            rates = _rates(options, source, ours.host, guarded.host)
        pushes = _pushes(options, source)
        slow = _slow(options, own, source)
    remove(own, _copy_path(own), bundle)
    rows = [
        ratio_row("pull: time / CNCF registry", pulls, OWN, CNCF, 0.9),
        ratio_row("pull from a bundle in place: time / data folder", pulls, BUNDLE, OWN, 1.05),
        ratio_row("push, `--no-sync`: time / CNCF registry", pushes, OWN, CNCF, 0.8),
        ratio_row("push, synced: time / CNCF registry", pushes, SYNCED, CNCF, 1.25),
        _rate_row("manifest GETs, signed in: rate / CNCF registry", rates["manifests"], 1.5),
        _rate_row("small blob GETs: rate / CNCF registry", rates["blobs"], 2.0),
        *slow,
        *_many_tags(options),
    ]
    details = [*_times_table("pull", pulls), "", *_times_table("push", pushes), ""]
    details += _rates_table(rates)
    intro = (
        f"{len(source.images)} images; the rates with {CONNECTIONS} connections, which"
        " `benchmarks/load.py` keeps busy from one process on the same cores."
    )
    return Section("registry", intro, rows, details)


def _serve(options: Options, name: str, *arguments: object) -> Served:
    log = options.work / f"serve-{name}.log"
    return Served(options.program, options.bench, log, *arguments)


def _fill(options: Options, source: Source, own: Path) -> Path:
    """Carry the corpus over by a bundle, which stays."""
    options.say("filling the data folder of airgap serve")
    bundle = options.work / "registry.tar"
    remove(bundle, own, _copy_path(own))
    options.bench.run(product.export(options.program, source.full, bundle, options.jobs))
    for data in (own, _copy_path(own)):
        with _serve(options, "fill", "--data", data, "--no-sync") as served:
            load = product.load(options.program, bundle, served.host, options.jobs)
            options.bench.run(load)
    return bundle


def _copy_path(own: Path) -> Path:
    """A data folder with the same content: one folder has one server."""
    return own.with_name("own-guarded")


def _pulls(options: Options, source: Source, hosts: Mapping[str, str]) -> dict[str, Series]:
    runs: list[tuple[str, Callable[[], Sample]]] = []
    for number, (name, host) in enumerate(hosts.items()):
        at = Source(host, source.images, options.work / f"pull{number}")
        run = fetching(options, at.floor_export(options.jobs), at, None)
        options.say(f"warming: {name}, not measured")
        run()
        runs.append((name, run))
    results = alternate(runs, options.rounds, say=options.say)
    remove(*(options.work / f"pull{number}" for number in range(len(hosts))))
    return results


def _pushes(options: Options, source: Source) -> dict[str, Series]:
    options.bench.run(source.floor_export(options.jobs))
    storage = options.work / "target"

    def cncf() -> Sample:
        remove(storage)
        with Registry(storage, options.bench.environment) as target:
            return send(target.host)

    def own(*flags: str) -> Callable[[], Sample]:
        def run() -> Sample:
            remove(storage)
            with _serve(options, "push", "--data", storage, *flags) as target:
                return send(target.host)

        return run

    def send(host: str) -> Sample:
        settle()
        fixed = (source.floor_plan, source.floor_file, options.jobs)
        return options.bench.run(product.floor_import(host, *fixed))

    runs = [(CNCF, cncf), (OWN, own("--no-sync")), (SYNCED, own())]
    for _, run in runs:
        run()
    results = alternate(runs, options.rounds, say=options.say)
    remove(storage)
    return results


def _rates(
    options: Options, source: Source, ours: str, guarded: str
) -> dict[str, dict[str, list[float]]]:
    """Answers a second: kinds of content, then contestants, then rounds."""
    targets = {
        "manifests": [f"{image.rpartition(':')[0]}/manifests/{image.rpartition(':')[2]}"
                      for image in source.images],
        "blobs": _small_blobs(source),
    }  # fmt: skip
    found: dict[str, dict[str, list[float]]] = {}
    for kind, paths in targets.items():
        contestants = {CNCF: (source.host, False), OWN: (ours, False), SIGNED_IN: (guarded, True)}
        found[kind] = {name: [] for name in contestants}
        for number in range(options.rounds):
            for name, (host, signed_in) in contestants.items():
                tokens = _tokens(host, paths) if signed_in else {}
                requests = [_request(host, path, tokens) for path in paths]
                rate = _load(options, requests, host)
                found[kind][name].append(rate)
                options.say(f"round {number + 1} {kind} {name}: {rate:.0f}/s")
    return found


def _small_blobs(source: Source) -> list[str]:
    paths = []
    connection = connect(source.host)
    for image in source.images:
        repository, _, tag = image.rpartition(":")
        path = f"/v2/{repository}/manifests/{tag}"
        connection.request("GET", path, headers={"Accept": ACCEPT})
        manifest = json.loads(connection.getresponse().read())
        paths.append(f"{repository}/blobs/{manifest['config']['digest']}")
    connection.close()
    return paths


def _tokens(host: str, paths: Sequence[str]) -> dict[str, str]:
    """A token for each repository, as clients get them."""
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    connection, tokens = connect(host), {}
    for repository in {_repository(path) for path in paths}:
        scope = quote(f"repository:{repository}:pull", safe="")
        headers = {"Authorization": f"Basic {login}"}
        connection.request("GET", f"/token?service=airgap&scope={scope}", headers=headers)
        tokens[repository] = json.loads(connection.getresponse().read())["token"]
    connection.close()
    return tokens


def _repository(path: str) -> str:
    return path.rpartition("/")[0].rpartition("/")[0]


def _request(host: str, path: str, tokens: Mapping[str, str]) -> str:
    lines = [f"GET /v2/{path} HTTP/1.1", f"Host: {host}", f"Accept: {ACCEPT}"]
    if tokens:
        lines.append(f"Authorization: Bearer {tokens[_repository(path)]}")
    return "\r\n".join([*lines, "", ""])


def _load(options: Options, requests: Requests, host: str) -> float:
    file = options.work / "requests.json"
    file.write_text(json.dumps(requests))
    said = _generate("rate", host, CONNECTIONS, _RATE_SECONDS, file)
    return said["rate"]


def _generate(*arguments: object) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.load", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-1000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _slow(options: Options, own: Path, source: Source) -> list[Row]:
    """Many slow clients, each of which fetches one layer."""
    plan = json.loads(source.floor_plan.read_text())
    wanted = _SPEED * _SLOW_SECONDS // 2
    fitting = [row for row in plan if row[2] <= wanted]
    digest, repository, size, _ = max(fitting, key=lambda row: int(row[2]))
    options.say(f"{_CLIENTS} clients fetch {size} bytes each at {_SPEED} bytes a second")
    with _serve(options, "slow", "--data", own) as served:
        path = f"/v2/{repository}/blobs/{digest}"
        said = _generate("slow", served.host, _CLIENTS, _SPEED, _SLOW_SECONDS, path, size)
        peak = served.peak_memory()
    needed = size / _SPEED
    what = f"{_CLIENTS} clients at 1 MB/s"
    return [
        Row(
            f"{what}: served (the slowest in {said['slowest']:.1f} s of {needed:.1f} s at best)",
            f"{said['served']:.0f}",
            f"at least {_CLIENTS}",
            said["served"] == _CLIENTS,
        ),
        _memory_row(f"{what}: peak memory", peak),
    ]


def _memory_row(work: str, peak: int) -> Row:
    return Row(work, f"{peak / _MEBI:.0f} MiB", f"{_MEMORY / _MEBI:.0f} MiB", peak < _MEMORY)


def _many_tags(options: Options) -> list[Row]:
    """A registry with very many tags: how soon it is there, and how fast it lists them."""
    data = options.work / "many"
    remove(data)
    options.say(f"making {_REPOSITORIES * _TAGS} tags in {_REPOSITORIES} repositories")
    with _serve(options, "many", "--data", data, "--no-sync") as served:
        _make_tags(served.host)
    _multiply_tags(data / "registry.db")
    starts, pages, catalogs = [], [], []
    for _ in range(options.rounds):
        with _serve(options, "many", "--data", data) as served:
            starts.append(served.started_in)
            number = _REPOSITORIES // 2
            pages.append(_asked(served.host, f"/v2/{_name(number)}/tags/list", _TAGS, "tags"))
            wanted = min(100, _REPOSITORIES)
            catalogs.append(_asked(served.host, "/v2/_catalog?n=100", wanted, "repositories"))
            peak = served.peak_memory()
    remove(data)
    what = f"{_REPOSITORIES * _TAGS:,} tags in {_REPOSITORIES:,} repositories"
    start = median(starts)
    limit = f"{_PAGE_LIMIT * 1000:.0f} ms"
    return [
        _page_row(f"{what}: a page of {_TAGS} tags", pages, limit),
        _page_row(f"{what}: a page of 100 repositories", catalogs, limit),
        _memory_row(f"{what}: peak memory", peak),
        Row(f"{what}: start", f"{start:.2f} s", f"{_START_LIMIT:g} s", start < _START_LIMIT),
    ]


def _page_row(work: str, times: Sequence[float], limit: str) -> Row:
    taken = median(times)
    return Row(work, f"{taken * 1000:.1f} ms", limit, taken < _PAGE_LIMIT)


def _name(number: int) -> str:
    return f"team{number % 20}/app{number}"


def _make_tags(host: str) -> None:
    config = b"{}"
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": sha256(config), "size": len(config)},
        "layers": [],
    }
    raw = json.dumps(manifest).encode()
    uploader = Uploader(host)
    for number in range(_REPOSITORIES):
        uploader.blob(_name(number), sha256(config), config)
        uploader.manifest(_name(number), "v1.0", MANIFEST_TYPE, raw)


def _multiply_tags(database: Path) -> None:
    """Give each repository the rest of its tags, past the server: 100,000 pushes take minutes."""
    with closing(sqlite3.connect(database)) as connection, connection:
        for number in range(1, _TAGS):
            connection.execute(
                "INSERT INTO tags (repository, name, digest, tagged_at)"
                " SELECT repository, ?, digest, tagged_at FROM tags WHERE name = 'v1.0'",
                (f"v1.{number}",),
            )


def _asked(host: str, path: str, wanted: int, field: str) -> float:
    """How long an answer takes: the median of several."""
    times = []
    connection = connect(host)
    for _ in range(_ASKS):
        begin = time.perf_counter()
        connection.request("GET", path)
        response: http.client.HTTPResponse = connection.getresponse()
        value = json.loads(response.read())
        times.append(time.perf_counter() - begin)
        if len(value[field]) != wanted:
            raise RuntimeError(f"{path}: {len(value[field])} and not {wanted}")
    connection.close()
    return median(times)


def _rate_row(work: str, rates: Mapping[str, Sequence[float]], least: float) -> Row:
    ours = SIGNED_IN if "signed in" in work else OWN
    ratio = median(rates[ours]) / median(rates[CNCF])
    each = [one / other for one, other in zip(rates[ours], rates[CNCF], strict=True)]
    measured = f"{ratio:.2f} {TIMES} ({min(each):.2f}..{max(each):.2f})"
    return Row(work, measured, f"at least {least:g} {TIMES}", ratio >= least)


def _times_table(what: str, results: Mapping[str, Series]) -> list[str]:
    return table(
        (what, "time, s", "least..most", "CPU of the client, s"),
        [(s.name, f"{s.wall:.2f}", s.spread, f"{s.cpu:.2f}") for s in results.values()],
    )


def _rates_table(rates: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    return table(
        ("answers a second", "manifests", "small blobs"),
        [
            (name, *(f"{median(kind[name]):.0f}" for kind in rates.values()))
            for name in (CNCF, OWN, SIGNED_IN)
        ],
    )
