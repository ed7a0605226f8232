"""What the page says of a result, as HTML: the picture with numbered objects, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..visualization.draw import COLORMAP, Color, Picture, is_bright
from .canvas import picture_address
from .result import Result, draw_result, object_colors

_SCALE = ", ".join(f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in COLORMAP)

# Of the whole page. The colours are Gradio's, so that they follow light and dark.
STYLE = """
.gradio-container { width: 100%; }
.gradio-container main { width: 100%; max-width: 1240px !important; margin: 0 auto; }
#head .html-container, #picture .html-container, #view .html-container { padding: 0 !important; }
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
.db-said { margin: 10px 0 6px; }
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


def say(text: str, error: bool = False) -> str:
    """A sentence where a result would be."""
    return f'<div class="db-empty{" db-error" if error else ""}" role="status">{escape(text)}</div>'


def show_result(picture: Picture, result: Result, names: Sequence[str], by: str = "masks") -> str:
    """The picture with its objects, and a table of them; not for a result without objects.

    Args:
        picture: (H, W, 3) uint8, RGB.
        result: of this picture.
        names: of the classes.
        by: "masks" or "depth", see ``draw_result``.

    Raises:
        ValueError: depth is asked for and there is none.
    """
    colors = object_colors(result, by)
    height, width = result.size
    badges = [
        f'<span class="db-badge" style="left:{100 * found.corners[0] / width:.2f}%;'
        f'top:{100 * found.corners[1] / height:.2f}%;{_paint(color)}">{number}</span>'
        for number, (found, color) in enumerate(zip(result.objects, colors, strict=True), start=1)
    ]
    address = picture_address(draw_result(picture, result, by))
    scale = '<div class="db-scale">far<i></i>near</div>' if by == "depth" else ""
    return (
        f'<div class="db-shown" style="--ratio:{width / height:.5f}"><img src="{address}" alt="the result">'
        f"{''.join(reversed(badges))}</div>"  # the surest on top
        f'{scale}<p class="db-said" role="status">{escape(_summary(result))}</p>{_table(result, names, colors)}'
    )


def _summary(result: Result) -> str:
    count = len(result.objects)
    empty = sum(found.area == 0 for found in result.objects)
    said = f"{count} {'mask' if result.given else 'object'}{'' if count == 1 else 's'}"
    if empty:
        said += f"; {empty} of them {'is' if empty == 1 else 'are'} empty, the network sees nothing there"
    return f"{said}. {'Quality is what the network thinks of the mask, 0 to 1.' if result.given else ''}".strip()


def _table(result: Result, names: Sequence[str], colors: Sequence[Color]) -> str:
    depth = any(found.depth is not None for found in result.objects)
    head = ["#", "Class", "Quality" if result.given else "Score", "Area", *(["Depth"] if depth else [])]
    rows = []
    for number, (found, color) in enumerate(zip(result.objects, colors, strict=True), start=1):
        cells = [
            f'<span class="db-badge" style="{_paint(color)}">{number}</span>',
            escape(names[found.label]),
            f"{found.score:.2f}",
            f"{found.area:,} px",
            *([f"{found.depth:.2f}"] if found.depth is not None else []),
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    header = "".join(f"<th>{name}</th>" for name in head)
    return f'<div class="db-rows"><table><thead><tr>{header}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _paint(color: Color) -> str:
    return f"background:rgb{color};color:{'#000' if is_bright(color) else '#fff'}".replace(" ", "")
