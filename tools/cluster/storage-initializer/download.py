"""Download models; KServe's pod mutator calls download.py URI FOLDER [URI FOLDER]..."""

import sys
from pathlib import Path

from kserve_storage import Storage

uris, folders = sys.argv[1::2], sys.argv[2::2]
for folder in folders:
    Path(folder).mkdir(parents=True, exist_ok=True)
Storage.download_files(uris, folders)
