"""Docker, podman and containerd with folders of their own, as far from the system's as can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.compat import software
from tests.compat.software import Program


@dataclass(frozen=True)
class Docker:
    """The docker engine and its client."""

    client: Program

    def load(self, bundle: Path) -> list[str]:
        """Load a file; what docker says of it, line by line."""
        return self.client.run("load", "-i", bundle).lines

    def images(self) -> dict[str, str]:
        """The ids of images by their names."""
        found = {}
        for line in self.client.run("images", "--no-trunc", "--format", "{{json .}}").lines:
            image = json.loads(line)
            found[f"{image['Repository']}:{image['Tag']}"] = image["ID"]
        return found

    def ids(self) -> set[str]:
        """The ids of all images, with or without a name."""
        return set(self.client.run("images", "-q", "--no-trunc").lines)

    def clear(self) -> None:
        """Remove every image."""
        if ids := self.ids():
            self.client.run("rmi", "-f", *sorted(ids))


@contextmanager
def docker(folder: Path) -> Iterator[Docker]:
    """Run a docker engine that has no network of its own."""
    software.need_root("the docker engine")
    program, client = software.find("dockerd"), software.find("docker")
    socket = folder / "s"
    (folder / "daemon.json").write_text("{}")
    (folder / "client").mkdir()
    environment = {"DOCKER_HOST": f"unix://{socket}", "DOCKER_CONFIG": str(folder / "client")}
    command = Program((client,), folder, environment)

    def is_ready() -> bool:
        return socket.exists() and command.attempt("version").code == 0

    failure = RuntimeError()
    for driver in ("overlay2", "vfs"):  # the first needs a kernel and a file system that can
        arguments = [
            program,
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            f"--storage-driver={driver}",
            f"--config-file={folder / 'daemon.json'}",
            f"--data-root={folder / 'data'}",
            f"--exec-root={folder / 'exec'}",
            f"--pidfile={folder / 'pid'}",
            f"--host=unix://{socket}",
            "--insecure-registry=127.0.0.0/8",
        ]
        running = software.daemon(
            arguments, is_ready=is_ready, home=folder, log=folder / f"log-{driver}"
        )
        try:
            running.__enter__()
        except RuntimeError as error:
            failure = error
            continue
        try:
            yield Docker(command)
        finally:
            running.__exit__(None, None, None)
        return
    raise failure


@dataclass(frozen=True)
class Podman:
    """Podman, which has no daemon."""

    client: Program

    def load(self, bundle: Path) -> list[str]:
        """Load a file; what podman says of it, line by line."""
        return self.client.run("load", "-i", bundle).lines

    def images(self) -> dict[str, str]:
        """The ids of images by their names."""
        return {
            name: f"sha256:{image['Id']}"
            for image in self.client.run("images", "--format", "json").json
            for name in image.get("Names") or ()
        }

    def ids(self) -> set[str]:
        """The ids of all images, with or without a name."""
        images = self.client.run("images", "--format", "json").json
        return {f"sha256:{image['Id']}" for image in images}

    def clear(self) -> None:
        """Remove every image."""
        self.client.run("rmi", "--all", "--force")


def podman(folder: Path, *, driver: str = "vfs") -> Podman:
    """Podman with images of its own.

    Args:
        folder: Where they are.
        driver: How; vfs works everywhere and leaves nothing mounted.
    """
    software.need_root("podman with its own storage")
    options = (f"--tmpdir={folder / 'tmp'}", "--cgroup-manager=cgroupfs", "--events-backend=none")
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "{driver}"\n'
        f'graphroot = "{folder / "root"}"\nrunroot = "{folder / "run"}"\n'
    )
    settings = folder / ".config" / "containers"
    settings.mkdir(parents=True)
    (settings / "policy.json").write_text(software.TRUST_ANYTHING)
    environment = {"CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}
    return Podman(Program((software.find("podman"), *options), folder, environment))


@dataclass(frozen=True)
class Containerd:
    """Containerd and its client `ctr`."""

    client: Program
    snapshotter: tuple[str, ...]

    def load(self, bundle: Path, *options: str) -> list[str]:
        """Import a file; what ctr says of it, line by line."""
        return self.client.run("images", "import", *self.snapshotter, *options, bundle).lines

    def images(self) -> dict[str, str]:
        """The digests of images by their names."""
        rows = [line.split() for line in self.client.run("images", "ls").lines[1:]]
        return {name: digest for name, _type, digest, *_ in rows}

    def content(self) -> set[str]:
        """The digests of all content."""
        return set(self.client.run("content", "ls", "-q").lines)

    def snapshots(self) -> int:
        """How many layers are unpacked."""
        return len(self.client.run("snapshots", *self.snapshotter, "ls").lines) - 1

    def clear(self) -> None:
        """Remove every image, and what only they needed."""
        if names := list(self.images()):
            self.client.run("images", "rm", "--sync", *names)


@contextmanager
def containerd(folder: Path, *, program: str, client: str) -> Iterator[Containerd]:
    """Run a containerd.

    Args:
        folder: Where it keeps everything.
        program: The daemon.
        client: The `ctr` of the same version.
    """
    software.need_root("containerd")
    socket = folder / "s"
    # CRI brings a network and cgroups into play; images need neither.
    (folder / "config.toml").write_text(
        f'version = 2\nroot = "{folder / "root"}"\nstate = "{folder / "state"}"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images",'
        ' "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri",'
        ' "io.containerd.internal.v1.opt"]\n'
        f'[grpc]\naddress = "{socket}"\n'
    )
    command = Program((client, "--address", str(socket), "--namespace", "test"), folder)
    running = software.daemon(
        [program, "--config", folder / "config.toml", "--log-level", "info"],
        is_ready=lambda: socket.exists() and command.attempt("version").code == 0,
        home=folder,
        log=folder / "log",
    )
    with running:
        yield Containerd(command, _snapshotter(command))


def _snapshotter(command: Program) -> tuple[str, ...]:
    """Name a snapshotter where the default one does not work here."""
    plugins = [line.split() for line in command.run("plugins", "ls").lines]
    works = any("overlayfs" in plugin and plugin[-1] == "ok" for plugin in plugins)
    return () if works else ("--snapshotter", "native")
