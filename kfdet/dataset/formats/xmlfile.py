"""Untrusted XML as a stream of events with line numbers; and XML that we write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import Locator

from defusedxml import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from kfdet.dataset.formats.limits import MAX_DEPTH
from kfdet.errors import InputError

_CHUNK = 16 << 20
"""Bytes sent to Expat at a time. It starts again on a tag or comment that goes on in the next chunk
(CVE-2023-52425): with small ones, its time grows with the square of the longest."""


class LineHandler(ContentHandler):
    """A content handler that knows where it is."""

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802
        """Called by the parser before the first event."""
        self._position = locator

    def line(self) -> int:
        """1-based line of the tag that is being read."""
        return int(self._position.getLineNumber() or 0)


def parse_xml(stream: BinaryIO, handler: ContentHandler, file: str) -> None:
    """Send the events of an XML stream to `handler`; memory does not grow with the file.

    Raises:
        InputError: Not well-formed, nested too deep, or with entities of its own (an XML bomb, or a
            way to other files).
    """
    parser = _Parser(file)
    parser.setContentHandler(handler)
    try:
        parser.parse(stream)
    except DefusedXmlException as error:
        raise InputError(
            "the XML defines entities, as an XML bomb does; it is not read.",
            file=file,
            hint="Export the annotations again from the tool that made them.",
        ) from error
    except SAXParseException as error:
        raise InputError(
            f"not well-formed XML: {error.getMessage()}.",
            file=file,
            line=error.getLineNumber(),
            hint="The file may be cut off or not be XML; export it again.",
        ) from error
    except (SAXException, UnicodeError, LookupError, ValueError) as error:
        raise InputError(
            f"cannot be read as XML: {error}.", file=file, hint="Export it again."
        ) from error


class _Parser(DefusedExpatParser):
    """Refuses elements inside each other that no annotation tool writes."""

    def __init__(self, file: str) -> None:
        super().__init__(bufsize=_CHUNK)
        self._file = file
        self._depth = 0

    def start_element(self, name: str, attrs: Mapping[str, str]) -> None:
        """Called by Expat at a start tag."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InputError(
                f"<{name[:60]}> lies in more than {MAX_DEPTH} other elements.",
                file=self._file,
                line=self.getLineNumber(),
                hint="No annotation tool writes this; export the annotations again.",
            )
        super().start_element(name, attrs)

    def end_element(self, name: str) -> None:
        """Called by Expat at an end tag."""
        self._depth -= 1
        super().end_element(name)


class XmlWriter:
    """Writes indented XML, escaping what must be."""

    def __init__(self, stream: BinaryIO) -> None:
        self._generator = XMLGenerator(stream, "utf-8")
        self._generator.startDocument()
        self._depth = 0

    def open(self, name: str, attributes: dict[str, str] | None = None) -> None:
        """Start an element."""
        self._generator.ignorableWhitespace("\n" * (self._depth > 0) + "  " * self._depth)
        self._generator.startElement(name, attributes or {})  # type: ignore[arg-type]
        self._depth += 1

    def close(self, name: str, *, inline: bool = False) -> None:
        """End the element that was started last."""
        self._depth -= 1
        if not inline:
            self._generator.ignorableWhitespace("\n" + "  " * self._depth)
        self._generator.endElement(name)

    def leaf(self, name: str, text: str, attributes: dict[str, str] | None = None) -> None:
        """Write an element without children."""
        self.open(name, attributes)
        self._generator.characters(text)
        self.close(name, inline=True)
