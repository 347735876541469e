"""What every engine gets beside its own arguments."""

from __future__ import annotations

from dataclasses import dataclass, field

from airgap.run.cancel import CancelToken
from airgap.run.events import Event, Notice, NullReporter, Reporter


@dataclass(frozen=True, slots=True)
class Run:
    """One run: where facts are reported and how it is told to stop."""

    reporter: Reporter = field(default_factory=NullReporter)
    cancel: CancelToken = field(default_factory=CancelToken)

    def emit(self, event: Event) -> None:
        """Report a fact."""
        self.reporter.emit(event)

    def scoped(self) -> Run:
        """A run with a cancellation of its own that ends with this one, but not the other way."""
        return Run(self.reporter, CancelToken(parent=self.cancel))

    def warn(self, code: str, message: str) -> None:
        """Report something that a user should know."""
        self.reporter.emit(Notice("warning", code, message))

    def debug(self, code: str, message: str) -> None:
        """Report something that helps to find out why."""
        self.reporter.emit(Notice("debug", code, message))
