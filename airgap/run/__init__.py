"""One run of an engine: where its facts go and how it is cancelled.

Engines take a `Run` as the keyword `run=`; pure modules never see one.
"""

from airgap.run.cancel import CancelToken
from airgap.run.events import Event, NullReporter, Reporter
from airgap.run.run import Run

__all__ = ["CancelToken", "Event", "NullReporter", "Reporter", "Run"]
