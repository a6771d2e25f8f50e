"""Where the images are."""

from fovea.errors import DataInvalid
from fovea.folder import Folder
from fovea.storage import LocalFolder, open_folder


def open_source(uri: str, *, patient: bool = False) -> Folder:
    """Raises DataInvalid for a local folder that does not exist; a prefix without objects is just empty.

    `patient` is as of `open_folder`.
    """
    source = open_folder(uri, patient=patient)
    if isinstance(source, LocalFolder) and not source.path.is_dir():
        raise DataInvalid(f"{source.uri}: there is no such folder; SOURCE is a folder of images or a prefix")
    return source
