"""Which commands there are and where they lie. Nothing is loaded here."""

from __future__ import annotations

import click

from airgap.cli.lazy import LazyCommand, LazyGroup
from airgap.version import __version__

export = LazyGroup(
    "export",
    help="Put images from registries into a bundle.",
    lazy={
        "images": LazyCommand(
            "airgap.cli.export_images", "export_images", "Put images into one bundle."
        ),
    },
)

import_ = LazyGroup(
    "import",
    help="Push what a bundle carries to a registry.",
    lazy={
        "bundle": LazyCommand(
            "airgap.cli.import_bundle", "import_bundle", "Push a bundle to a registry."
        ),
    },
)

inspect = LazyGroup(
    "inspect",
    help="Show what a bundle carries.",
    lazy={
        "bundle": LazyCommand(
            "airgap.cli.inspect_bundle", "inspect_bundle", "List what a bundle carries."
        ),
    },
)

verify = LazyGroup(
    "verify",
    help="Check that a bundle is whole and unchanged.",
    lazy={
        "bundle": LazyCommand(
            "airgap.cli.verify_bundle", "verify_bundle", "Hash everything in a bundle."
        ),
    },
)

airgap = LazyGroup(
    "airgap",
    help="Carry container images and every other OCI artifact across an air gap.",
    lazy={
        "login": LazyCommand("airgap.cli.login", "login", "Log in to a registry."),
        "logout": LazyCommand("airgap.cli.login", "logout", "Forget a registry's credentials."),
        "completion": LazyCommand(
            "airgap.cli.completion", "completion", "Print a shell's completion script."
        ),
    },
)
for group in (export, import_, inspect, verify):
    airgap.add_command(group)
click.version_option(__version__, prog_name="airgap", message="%(prog)s %(version)s")(airgap)
