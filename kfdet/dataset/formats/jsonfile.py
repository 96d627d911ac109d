"""JSON files of annotation tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kfdet.errors import InputError


def read_json(path: Path) -> Any:
    """The content of a JSON file; NaN and Infinity are read, for the box checks to find.

    Raises:
        InputError: It is no JSON, with the line where it stops being so.
    """
    try:
        return json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise InputError(
            f"is not JSON: {error.msg}.",
            file=path,
            line=error.lineno,
            hint="The file may be cut off; export it again.",
        ) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}.", file=path, hint="Export it again.") from error
