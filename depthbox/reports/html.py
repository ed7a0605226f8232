"""Shared parts of the HTML pages: one file without external resources, light or dark as the system of the reader."""

from __future__ import annotations

import base64
import html
import io

from PIL import Image

from ..data.check.report import printable

# Colors and fonts of all pages. Styles of a single page are in its own module.
STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fff; --card: #f3f4f6; --line: #d5d8dd; --soft: #5b6270;
  --error: #c01c2e; --warning: #8a5a00; --note: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #16181c; --card: #22252b; --line: #3a3f48;
  --soft: #a4abb8; --error: #ff8a93; --warning: #f0bb55; --note: #8cbcff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1160px; padding: 16px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 4px; } h2 { font-size: 1.1rem; margin: 0; line-height: 1.35; }
p { margin: 6px 0; } .soft { color: var(--soft); font-size: .9rem; } .verdict { font-weight: 600; }
a { color: inherit; }
section { border-top: 1px solid var(--line); margin-top: 24px; padding-top: 16px; }
.error { color: var(--error); } .warning { color: var(--warning); } .note { color: var(--note); }
.grid { display: grid; gap: 12px; align-items: start; margin-top: 12px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 260px), 1fr)); }
figure { margin: 0; padding: 8px; background: var(--card); border-radius: 6px; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
img + figcaption { margin-top: 6px; } figcaption { font-size: .85rem; } figcaption b { display: block; }
"""


def make_document(title: str, body: str, style: str = "") -> str:
    """Return a complete HTML page.

    Args:
        title: plain text.
        body: HTML.
        style: CSS in addition to ``STYLE``.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def make_image_tag(image: Image.Image, alt: str) -> str:
    """Return an ``img`` element with the image embedded as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    data = base64.b64encode(buffer.getvalue()).decode()
    size = f'width="{image.width}" height="{image.height}"'
    return f'<img src="data:image/jpeg;base64,{data}" {size} alt="{escape(alt)}">'


def escape(text: str) -> str:
    """Escape text for HTML, with control characters written as escape sequences."""
    return html.escape(printable(text))
