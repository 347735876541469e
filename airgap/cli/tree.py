"""Which commands there are and where they lie. Nothing is loaded here."""

from __future__ import annotations

import click

from airgap.cli.lazy import LazyCommand, LazyGroup
from airgap.version import __version__

export = LazyGroup(
    "export",
    help="Put images into a bundle, or write down what a place holds.",
    lazy={
        "images": LazyCommand(
            "airgap.cli.export_images", "export_images", "Put images into one bundle."
        ),
        "inventory": LazyCommand(
            "airgap.cli.export_inventory", "export_inventory", "Write down what a place holds."
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
    help="Show what a bundle carries, or what an inventory is of.",
    lazy={
        "bundle": LazyCommand(
            "airgap.cli.inspect_bundle", "inspect_bundle", "List what a bundle carries."
        ),
        "inventory": LazyCommand(
            "airgap.cli.inspect_inventory", "inspect_inventory", "Show what an inventory is of."
        ),
    },
)

verify = LazyGroup(
    "verify",
    help="Check that bundles are whole, and records right.",
    lazy={
        "bundle": LazyCommand(
            "airgap.cli.verify_bundle", "verify_bundle", "Hash everything in a bundle."
        ),
        "inventory": LazyCommand(
            "airgap.cli.verify_inventory", "verify_inventory", "Check whose inventory a file is."
        ),
        "receipt": LazyCommand(
            "airgap.cli.verify_receipt", "verify_receipt", "Check what an import says that came."
        ),
    },
)

repair = LazyGroup(
    "repair",
    help="Rebuild what is damaged or lost of a bundle.",
    lazy={
        "bundle": LazyCommand(
            "airgap.cli.repair_bundle", "repair_bundle", "Rebuild from parity or other copies."
        ),
    },
)

sign = LazyGroup(
    "sign",
    help="Sign what others are to trust.",
    lazy={
        "bundle": LazyCommand(
            "airgap.cli.sign_bundle", "sign_bundle", "Write a signature beside a bundle."
        ),
    },
)

key = LazyGroup(
    "key",
    help="Make keys that sign, look at them, and take them back.",
    lazy={
        "generate": LazyCommand("airgap.cli.key", "generate_key", "Make a key that signs."),
        "show": LazyCommand("airgap.cli.key", "show_key", "Show the id of a key."),
        "revoke": LazyCommand("airgap.cli.key", "revoke_key", "Take keys back."),
    },
)

user = LazyGroup(
    "user",
    help="Say who may sign in to the registry that airgap serves.",
    lazy={
        "add": LazyCommand("airgap.cli.user", "add_user", "Add a user."),
        "remove": LazyCommand("airgap.cli.user", "remove_user", "Remove a user."),
        "list": LazyCommand("airgap.cli.user", "list_users", "List the users."),
        "password": LazyCommand("airgap.cli.user", "set_password", "Set a user's password."),
    },
)

access = LazyGroup(
    "access",
    help="Show who may do what in the registry that airgap serves.",
    lazy={
        "show": LazyCommand("airgap.cli.access", "show_access", "Show the rules."),
        "check": LazyCommand("airgap.cli.access", "check_access", "Ask whether somebody may."),
    },
)

delete = LazyGroup(
    "delete",
    help="Delete what the registry that airgap serves holds.",
    lazy={
        "image": LazyCommand("airgap.cli.delete_image", "delete_image", "Delete images."),
    },
)

log = LazyGroup(
    "log",
    help="Show and check what was done with bundles here.",
    lazy={
        "show": LazyCommand("airgap.cli.custody_log", "show_log", "Show the last entries."),
        "verify": LazyCommand(
            "airgap.cli.custody_log", "verify_log", "Check that nothing was changed."
        ),
        "export": LazyCommand("airgap.cli.custody_log", "export_log", "Copy it as JSON lines."),
    },
)

airgap = LazyGroup(
    "airgap",
    help="Carry container images and every other OCI artifact across an air gap.",
    lazy={
        "serve": LazyCommand(
            "airgap.cli.serve", "serve_registry", "Be a registry, of a folder or of bundles."
        ),
        "lock": LazyCommand(
            "airgap.cli.lock", "lock", "Write down the digests that names stand for."
        ),
        "compare": LazyCommand(
            "airgap.cli.compare", "compare_places", "Show what differs between two places."
        ),
        "gc": LazyCommand("airgap.cli.gc", "collect", "Free the room of what nothing needs."),
        "backup": LazyCommand("airgap.cli.backup", "backup", "Write the data folder into a tar."),
        "restore": LazyCommand("airgap.cli.backup", "restore", "Make a data folder of a backup."),
        "login": LazyCommand("airgap.cli.login", "login", "Log in to a registry."),
        "logout": LazyCommand("airgap.cli.login", "logout", "Forget a registry's credentials."),
        "completion": LazyCommand(
            "airgap.cli.completion", "completion", "Print a shell's completion script."
        ),
    },
)
for group in (export, import_, inspect, verify, repair, sign, key, user, access, delete, log):
    airgap.add_command(group)
click.version_option(__version__, prog_name="airgap", message="%(prog)s %(version)s")(airgap)
