"""XML files of unknown origin, read without entities and with bounds on size and nesting."""

from __future__ import annotations

from xml.etree.ElementTree import Element

MAX_XML_NESTING = 100  # elements within each other; annotations have about 6 levels


class XmlFileError(ValueError):
    """Content that is not usable XML. The message is the cause with the remedy, without the name of the file."""


def parse_xml(data: bytes) -> Element:
    """Parse an XML document.

    Args:
        data: the document. Declarations of its type (DOCTYPE), and so all entities, are refused.

    Returns:
        The root element.

    Raises:
        XmlFileError: the document is empty, not well-formed, nested too deeply, or has a DOCTYPE.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    data = data.lstrip()
    if not data:
        raise XmlFileError("is not valid XML: it is empty; export the annotations again")
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise XmlFileError(
            "declares a document type (DOCTYPE), which may define XML entities and is refused for safety; "
            "remove the DOCTYPE"
        ) from error
    # ParseError is a SyntaxError; unknown encodings are a LookupError or ValueError.
    except (SyntaxError, ValueError, LookupError, RecursionError) as error:
        raise XmlFileError(f"is not valid XML: {error}; correct it, or export it again") from error
    if _measure_nesting(root) > MAX_XML_NESTING:
        raise XmlFileError("is nested too deeply; export the annotations again")
    return root


def _measure_nesting(root: Element) -> int:
    """Return the number of elements within each other, at most one more than ``MAX_XML_NESTING``."""
    level, depth = [root], 0
    while level and depth <= MAX_XML_NESTING:
        level = [child for element in level for child in element]
        depth += 1
    return depth
