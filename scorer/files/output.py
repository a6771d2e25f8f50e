"""Where a run is written."""

from fovea.stores.conditional_puts import require_conditional_puts
from fovea.stores.folder import Folder
from fovea.stores.storage import open_answering


def open_output(uri: str) -> Folder:
    """Raises SettingsInvalid for a store that lets one of two workers replace what the other has committed,
    Unavailable when it cannot be written."""
    output = open_answering(uri)
    require_conditional_puts(output)
    return output
