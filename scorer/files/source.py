"""Where the images are."""

from fovea.errors import DataInvalid
from fovea.stores.folder import Folder
from fovea.stores.storage import LocalFolder, open_answering, open_folder


def open_source(uri: str, *, first: bool = False) -> Folder:
    """Raises DataInvalid for a local folder that does not exist; a prefix without objects is just empty.

    A bucket is given the time that `open_folder` gives the patient. By the `first` to open it, who may have
    mistyped its endpoint, it is opened as by `open_answering`, which may raise Unavailable.
    """
    source = open_answering(uri) if first else open_folder(uri, patient=True)
    if isinstance(source, LocalFolder) and not source.path.is_dir():
        raise DataInvalid(f"{source.uri}: there is no such folder; SOURCE is a folder of images or a prefix")
    return source
