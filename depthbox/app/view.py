"""HTML of a result: the image with numbered objects, and a table of the objects."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..io.images import RGBImage
from ..visualization.draw import COLORMAP, Color, is_bright
from .canvas import encode_data_url
from .result import PageResult, choose_colors, draw_result

_SCALE = ", ".join(f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in COLORMAP)

# Style of the whole page. Colors are Gradio's variables, which follow the light and dark themes.
STYLE = """
.gradio-container { width: 100%; }
.gradio-container main { width: 100%; max-width: 1240px !important; margin: 0 auto; }
#head .html-container, #canvas .html-container, #view .html-container, #file .html-container { padding: 0 !important; }
@media (max-width: 640px) { .gradio-container .main { padding: 16px !important; } }
#find, #mask { white-space: nowrap; padding-left: 8px; padding-right: 8px; }
.gradio-container { --db-error: #b42318; }
.dark .gradio-container, .gradio-container.dark, .dark { --db-error: #ff9a91; }
.db-head h1 { font-size: 24px; font-weight: 700; margin: 0 0 4px; }
.db-head p { margin: 0; max-width: 96ch; }
.db-empty { display: flex; align-items: center; justify-content: center; min-height: 220px; padding: 16px;
  text-align: center; border-radius: 8px; border: 1px solid var(--border-color-primary);
  color: var(--body-text-color); background: var(--background-fill-secondary); overflow-wrap: anywhere; }
.db-empty.db-error { color: var(--db-error); font-weight: 600; }
.db-shown { position: relative; width: min(100%, calc(68vh * var(--ratio))); margin: 0 auto; line-height: 0; }
.db-shown img { display: block; width: 100%; height: auto; border-radius: 4px; margin: 0; }
.db-badge { display: inline-block; min-width: 20px; height: 20px; padding: 0 4px; border-radius: 4px; flex: none;
  font: 600 13px/20px system-ui, sans-serif; text-align: center; }
.db-shown .db-badge { position: absolute; }
.db-download { display: block; width: 100%; padding: 8px 12px; text-align: center; border-radius: 6px; font-size: 16px;
  border: 1px solid var(--border-color-primary); color: var(--button-secondary-text-color) !important;
  background: var(--button-secondary-background-fill); text-decoration: none !important; }
.db-download:hover { background: var(--button-secondary-background-fill-hover); }
.db-download:disabled { opacity: .45; cursor: default; }
.db-status { margin: 10px 0 6px; }
.db-rows { max-height: 340px; overflow-y: auto; }
.db-rows table { width: 100%; border-collapse: collapse; margin: 0; font-size: 14px;
  font-variant-numeric: tabular-nums; }
.db-rows th, .db-rows td { padding: 4px 6px; text-align: right; border: 0;
  border-bottom: 1px solid var(--border-color-primary); }
.db-rows th { position: sticky; top: 0; background: var(--body-background-fill); font-weight: 600; }
.db-rows th:nth-child(-n+2), .db-rows td:nth-child(-n+2) { text-align: left; overflow-wrap: anywhere; }
.db-scale { display: flex; align-items: center; gap: 8px; font-size: 14px; margin-top: 8px; }
.db-scale i { flex: 1; height: 10px; border-radius: 5px;
  background: linear-gradient(90deg, {scale}); }
""".replace("{scale}", _SCALE)


def show_message(text: str, error: bool = False) -> str:
    """Return the HTML of a message in place of a result."""
    return f'<div class="db-empty{" db-error" if error else ""}" role="status">{escape(text)}</div>'


def show_result(image: RGBImage, result: PageResult, names: Sequence[str], by: str = "masks") -> str:
    """Return the HTML of an image with its objects, and a table of the objects.

    Args:
        image: (H, W, 3) uint8, RGB.
        result: result of this image, with at least one object.
        names: class names.
        by: "masks" or "depth", see ``draw_result``.

    Raises:
        ValueError: ``by`` is "depth" and the objects have no depth.
    """
    colors = choose_colors(result, by)
    height, width = result.size
    badges = [
        f'<span class="db-badge" style="left:{100 * found.corners[0] / width:.2f}%;'
        f'top:{100 * found.corners[1] / height:.2f}%;{_style(color)}">{number}</span>'
        for number, (found, color) in enumerate(zip(result.objects, colors, strict=True), start=1)
    ]
    url = encode_data_url(draw_result(image, result, by))
    scale = '<div class="db-scale">far<i></i>near</div>' if by == "depth" else ""
    return (
        f'<div class="db-shown" style="--ratio:{width / height:.5f}"><img src="{url}" alt="the result">'
        f"{''.join(reversed(badges))}</div>"  # the first object on top
        f'{scale}<p class="db-status" role="status">{escape(_summarize(result))}</p>'
        f"{_make_table(result, names, colors)}"
    )


def _summarize(result: PageResult) -> str:
    count = len(result.objects)
    empty = sum(found.area == 0 for found in result.objects)
    text = f"{count} {'mask' if result.given else 'object'}{'' if count == 1 else 's'}"
    if empty:
        text += f", {empty} of them empty (no pixel above 0.5)"
    return f"{text}. {'Quality is the estimated quality of the mask, 0 to 1.' if result.given else ''}".strip()


def _make_table(result: PageResult, names: Sequence[str], colors: Sequence[Color]) -> str:
    depth = any(found.depth is not None for found in result.objects)
    head = ["#", "Class", "Quality" if result.given else "Score", "Area", *(["Depth"] if depth else [])]
    rows = []
    for number, (found, color) in enumerate(zip(result.objects, colors, strict=True), start=1):
        cells = [
            f'<span class="db-badge" style="{_style(color)}">{number}</span>',
            escape(names[found.label]),
            f"{found.score:.2f}",
            f"{found.area:,} px",
            *([f"{found.depth:.2f}"] if found.depth is not None else []),
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    header = "".join(f"<th>{name}</th>" for name in head)
    return f'<div class="db-rows"><table><thead><tr>{header}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _style(color: Color) -> str:
    return f"background:rgb{color};color:{'#000' if is_bright(color) else '#fff'}".replace(" ", "")
