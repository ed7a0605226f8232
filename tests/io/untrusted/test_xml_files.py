"""XML that is refused."""

import pytest

from depthbox.io.untrusted.xml_files import MAX_XML_NESTING, XmlFileError, parse_xml


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"<a>", "not valid XML"),
        (b"<a>" * 50_000, "not valid XML"),
        (b"<a>" * 50_000 + b"</a>" * 50_000, "nested too deeply"),
        (b"<!DOCTYPE a><a/>", "DOCTYPE"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "DOCTYPE"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>', "DOCTYPE"),
        (b'<?xml version="1.0" encoding="nonsense"?><a/>', "not valid XML"),
        (b"<a>&x;</a>", "not valid XML"),
    ],
)
def test_xml_that_is_damaged_or_declares_entities_is_refused(content, cause):
    with pytest.raises(XmlFileError, match=cause):
        parse_xml(content)


def test_nesting_up_to_the_bound_is_read():
    levels = MAX_XML_NESTING
    assert parse_xml(b"<a>" * levels + b"</a>" * levels).tag == "a"
    with pytest.raises(XmlFileError, match="nested too deeply"):
        parse_xml(b"<a>" * (levels + 1) + b"</a>" * (levels + 1))
