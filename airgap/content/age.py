"""Keys of the age format: whom something is encrypted to, and who can read it.

pyrage is an extra, and imported only where something is encrypted or decrypted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from airgap.content.storage import storage_errors
from airgap.errors import ContentNotFoundError, SettingsError, UnauthorizedError
from airgap.wording import visible

MAGIC = b"age-encryption.org/v1"
"""How an age file begins."""
BLOCK = 16 << 20
"""So many encrypted bytes have a checksum of their own."""
_ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_MAX_KEYS = 1 << 20
"""The most bytes of a file of keys."""
_CHUNK = 64 << 10
_TAG = 16
_HEADER = 4096
"""What a header takes at most for one recipient: that of a large RSA key is the largest; and what
it takes beside recipients, with a stanza that means nothing and has a random size."""


_SECRETS = ("AGE-SECRET-KEY", "-----BEGIN")
"""How secrets begin; nothing that does is ever shown."""


@dataclass(frozen=True, slots=True)
class Recipients:
    """Whom something is encrypted to.

    Attributes:
        lines: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`.
    """

    lines: tuple[str, ...]

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Take recipients as they are given, or files of them, one a line.

        Raises:
            SettingsError: One is none, there is none, or pyrage is not installed.
            ContentNotFoundError: There is no such file.
            StorageError: A file cannot be read.
        """
        lines: dict[str, str] = {}
        for text in texts:
            for line, place in _recipient_lines(text.strip()):
                lines.setdefault(line, place)
        if not lines:
            raise SettingsError("there are no recipients", hint="--encrypt-to age1… or a file")
        child = _child()
        for line, place in lines.items():
            try:
                child.recipient(line)
            except _pyrage().RecipientError as error:
                # never with the text of a file: it may be the wrong one, with secrets
                raise SettingsError(
                    f"{place} is no recipient",
                    hint="a recipient begins with age1, ssh-ed25519 or ssh-rsa; or name a file"
                    " of them",
                ) from error
        return cls(tuple(lines))

    def most(self, size: int) -> int:
        """How many bytes so many plain ones have at most when they are encrypted."""
        return size + _HEADER * (1 + len(self.lines)) + _TAG * (1 + -(-size // _CHUNK))

    def room(self, limit: int) -> int:
        """How many plain bytes an encrypted file of a size holds for sure."""
        left = limit - _HEADER * (1 + len(self.lines)) - _TAG
        whole, rest = divmod(max(0, left), _CHUNK + _TAG)
        return whole * _CHUNK + max(0, rest - _TAG)


@dataclass(frozen=True, slots=True)
class Identities:
    """Secret keys, which read what was encrypted to them.

    Attributes:
        texts: `AGE-SECRET-KEY-1…`, or whole private keys of SSH.
    """

    texts: tuple[str, ...] = field(repr=False)

    @classmethod
    def read(cls, paths: Iterable[Path], passphrase: Callable[[Path], str]) -> Self:
        """Read files of identities; they may be encrypted with a passphrase themselves.

        Args:
            paths: The files.
            passphrase: Asked for the passphrase of a file that has one.

        Raises:
            SettingsError: A file holds none, or pyrage is not installed.
            UnauthorizedError: The passphrase is another one.
            ContentNotFoundError: There is no such file.
            StorageError: A file cannot be read.
        """
        texts: dict[str, None] = {}
        for path in paths:
            raw = _read(path)
            if raw.startswith((MAGIC, _ARMOR)):
                raw = _open_key(raw, passphrase(path), path)
            texts.update(dict.fromkeys(_identities(raw, path)))
        return cls(tuple(texts))

    @property
    def recipients(self) -> Recipients:
        """Whom to encrypt to so that these can read it; only of age's own kind.

        Raises:
            SettingsError: One is a key of SSH, whose public half stands in a file of its own.
        """
        if any(text.startswith("-----BEGIN") for text in self.texts):
            raise SettingsError(
                "the recipient of a key of SSH is not made from it",
                hint="name its public half, the line in the file that ends with .pub",
            )
        child = _child()
        return Recipients(tuple(str(child.identity(text).to_public()) for text in self.texts))


def new_key(passphrase: str) -> tuple[Recipients, bytes]:
    """Make a key that a passphrase opens: whom to encrypt to, and the file of the identity.

    Files are not encrypted with the passphrase itself: pyrage would take them into memory. `age
    -d -i FILE` asks for the passphrase just as well.

    Raises:
        SettingsError: pyrage is not installed.
    """
    pyrage = _pyrage()
    key = pyrage.x25519.Identity.generate()
    public = str(key.to_public())
    text = f"# public key: {public}\n{key}\n"
    return Recipients((public,)), bytes(pyrage.passphrase.encrypt(text.encode(), passphrase))


def read_passphrase(path: Path) -> str:
    """Read a passphrase from a file, without the end of its line.

    Raises:
        SettingsError: It is empty, or no text.
        ContentNotFoundError: There is no such file.
        StorageError: It cannot be read.
    """
    text = _text(_read(path), path).removesuffix("\n").removesuffix("\r")
    if not text or "\n" in text:
        raise SettingsError(f"{path} does not hold a passphrase in one line")
    return text


def _recipient_lines(text: str) -> Iterator[tuple[str, str]]:
    """Each recipient, with what it is called in messages."""
    if text.startswith(("age1", "ssh-")):
        yield text, repr(visible(text[:80]))
        return
    if text.upper().startswith(_SECRETS):
        raise SettingsError(
            "a secret key was given as a recipient, and is not shown here",
            hint="take the public one, which begins with age1; make a new pair if others saw this",
        )
    path = Path(text)
    for number, line in enumerate(_text(_read(path), path).splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            yield line.strip(), f"line {number} of {path}"


def _identities(raw: bytes, path: Path) -> list[str]:
    text = _text(raw, path)
    texts = [text]
    if not text.startswith("-----BEGIN"):
        lines = (line.strip() for line in text.splitlines())
        texts = [line for line in lines if line and not line.startswith("#")]
    child = _child()
    for number, found in enumerate(texts, 1):
        try:
            child.identity(found)
        except _pyrage().IdentityError as error:
            # never with the text of it: it may be a damaged secret
            raise SettingsError(
                f"{path}: key {number} of the file is no identity",
                hint="a file that age-keygen wrote, or a private key of SSH without passphrase",
            ) from error
    if not texts:
        raise SettingsError(f"{path} holds no identity", hint="age-keygen makes such a file")
    return texts


def _open_key(raw: bytes, passphrase: str, path: Path) -> bytes:
    pyrage = _pyrage()
    try:
        return bytes(pyrage.passphrase.decrypt(raw, passphrase))
    except pyrage.DecryptError as error:
        raise UnauthorizedError(
            f"{path}: the passphrase does not open it", hint="give the right one", origin="local"
        ) from error


def _read(path: Path) -> bytes:
    with storage_errors(path):
        try:
            with path.open("rb") as stream:
                raw = stream.read(_MAX_KEYS + 1)
        except FileNotFoundError as error:
            raise ContentNotFoundError(
                f"{path}: there is no such file", hint="check the path", origin="local"
            ) from error
    if len(raw) > _MAX_KEYS:
        raise SettingsError(f"{path} is too large for a file of keys")
    return raw


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not text in UTF-8") from error


def _child() -> Any:  # noqa: ANN401 - a module that imports pyrage
    _pyrage()
    return importlib.import_module("airgap.content.age_child")


def _pyrage() -> Any:  # noqa: ANN401 - an extra, without types
    try:
        return importlib.import_module("pyrage")
    except ImportError as error:
        raise SettingsError(
            "encryption needs pyrage, which is not installed", hint="pip install 'airgap[age]'"
        ) from error
