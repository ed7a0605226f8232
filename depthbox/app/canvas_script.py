"""Script of the image on the page: upload of a file, and drawing of boxes with mouse, pen or finger."""

from __future__ import annotations

# Body of a function of (element, trigger, props, server, upload, watch), see gr.HTML. ``props.value`` is a record as
# ``canvas.EMPTY``, ``props.preview`` the URL of the image, ``props.classes`` the class names,
# ``props.largest`` the largest size of a file in bytes.
SCRIPT = r"""
const find = (name) => element.querySelector('.db-' + name);
const drop = find('drop'), stage = find('stage'), image = find('image'), layer = find('layer');
const badges = find('badges'), note = find('note'), tools = find('tools'), list = find('list');
const input = find('input'), choice = find('class');
const LEAST = 4;  // a shorter drag, in pixels of the screen, is a click
let drawn = null;

function color(number) {  // as instance_color in visualization/draw.py
  const hue = (0.02 + number * 0.61803398875) % 1, saturation = [0.95, 0.7, 0.85][number % 3];
  const value = [1, 0.9][Math.floor(number / 3) % 2];
  const part = (n) => {
    const k = (n + hue * 6) % 6;
    return Math.round(255 * (value - value * saturation * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [part(5), part(3), part(1)];
}
const css = (rgb) => 'rgb(' + rgb.join(',') + ')';
const ink = (rgb) => (0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2] > 120 ? '#000' : '#fff');

function badge(tag, number) {
  const mark = document.createElement(tag);
  mark.className = 'db-badge';
  mark.textContent = number + 1;
  mark.style.background = css(color(number));
  mark.style.color = ink(color(number));
  return mark;
}

function button(text, label, act) {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = text;
  made.setAttribute('aria-label', label);
  made.addEventListener('click', act);
  return made;
}

function rectangle(box, number) {
  const shape = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  ['x', 'y', 'width', 'height'].forEach((name, place) => shape.setAttribute(name, box[place]));
  shape.setAttribute('stroke', css(color(number)));
  return shape;
}

function show() {
  const value = props.value, boxes = value.boxes, there = Boolean(props.preview && value.width);
  drop.hidden = there;
  stage.hidden = tools.hidden = !there;
  note.textContent = value.error || '';
  note.classList.toggle('db-error', Boolean(value.error));
  if (!there) {
    list.replaceChildren();
    return;
  }
  if (image.getAttribute('src') !== props.preview) image.src = props.preview;
  stage.style.setProperty('--ratio', value.width / value.height);
  layer.setAttribute('viewBox', '0 0 ' + value.width + ' ' + value.height);
  layer.replaceChildren(...boxes.map((entry, number) => rectangle(entry.box, number)));
  badges.replaceChildren(...boxes.map((entry, number) => {
    const mark = badge('span', number);
    mark.style.left = (100 * entry.box[0]) / value.width + '%';
    mark.style.top = (100 * entry.box[1]) / value.height + '%';
    return mark;
  }));
  list.replaceChildren(...boxes.map((entry, number) => {
    const row = document.createElement('li'), text = document.createElement('span');
    const shown = entry.box.map((side) => Math.round(side));
    text.textContent = entry.label + ' · ' + shown[2] + ' × ' + shown[3] + ' at ' + shown[0] + ', ' + shown[1];
    row.append(badge('span', number), text, button('×', 'remove box ' + (number + 1), () => remove(number)));
    return row;
  }));
  tools.querySelectorAll('.db-needs-boxes').forEach((one) => { one.disabled = boxes.length === 0; });
  if (!value.error) {
    note.textContent = boxes.length
      ? 'Draw more, or press Mask my boxes.' : 'Draw boxes: press in a corner of an object, drag, release.';
  }
}

function change(more) {
  props.value = { ...props.value, error: '', ...more };
  show();
}
const remove = (number) => change({ boxes: props.value.boxes.filter((_, place) => place !== number) });

async function send(file) {  // the reference of the uploaded file
  if (file.size > props.largest) throw new Error('it has more than ' + props.largest / 1e6 + ' MB');
  const form = new FormData();
  form.append('files', file);
  const answer = await fetch('gradio_api/upload', { method: 'POST', body: form });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail || 'the server answered ' + answer.status);
  return said[0];
}

async function take(file) {
  if (!file) return;
  note.classList.remove('db-error');
  note.textContent = 'Reading ' + file.name + ' ...';
  try {
    props.value = { ...props.value, name: file.name, error: '', boxes: [], file: { path: await send(file) } };
    trigger('upload');
  } catch (error) {
    change({ error: file.name + ' could not be uploaded: ' + error.message });
  }
}

function place(event) {
  const area = layer.getBoundingClientRect(), value = props.value;
  const share = (at, start, length) => Math.min(Math.max((at - start) / length, 0), 1);
  return [share(event.clientX, area.left, area.width) * value.width,
    share(event.clientY, area.top, area.height) * value.height];
}

function sides(first, second) {
  const round = (number) => Math.round(number * 10) / 10;
  const x = Math.min(first[0], second[0]), y = Math.min(first[1], second[1]);
  return [x, y, Math.abs(first[0] - second[0]), Math.abs(first[1] - second[1])].map(round);
}

layer.addEventListener('pointerdown', (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  layer.setPointerCapture(event.pointerId);
  drawn = { start: place(event), at: [event.clientX, event.clientY], shape: null };
});
layer.addEventListener('pointermove', (event) => {
  if (!drawn || !event.isPrimary) return;
  if (drawn.shape) drawn.shape.remove();
  drawn.shape = rectangle(sides(drawn.start, place(event)), props.value.boxes.length);
  layer.append(drawn.shape);
});
layer.addEventListener('pointerup', (event) => {
  if (!drawn || !event.isPrimary) return;
  const last = drawn, box = sides(last.start, place(event));
  const moved = Math.min(Math.abs(event.clientX - last.at[0]), Math.abs(event.clientY - last.at[1]));
  drawn = null;
  if (moved < LEAST || Math.min(box[2], box[3]) < 0.5) show();
  else change({ boxes: [...props.value.boxes, { box: box, label: choice.value }] });
});
const cancel = () => { if (drawn) { drawn = null; show(); } };
layer.addEventListener('pointercancel', cancel);
element.addEventListener('keydown', (event) => { if (event.key === 'Escape') cancel(); });

find('choose').addEventListener('click', () => input.click());
find('other').addEventListener('click', () => input.click());
find('undo').addEventListener('click', () => change({ boxes: props.value.boxes.slice(0, -1) }));
find('clear').addEventListener('click', () => change({ boxes: [] }));
input.addEventListener('change', () => { take(input.files[0]); input.value = ''; });
for (const area of [drop, stage]) {
  for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) {
    area.addEventListener(kind, (event) => {
      event.preventDefault();
      area.classList.toggle('db-over', kind === 'dragenter' || kind === 'dragover');
      if (kind === 'drop') take(event.dataTransfer.files[0]);
    });
  }
}
document.addEventListener('paste', (event) => {
  const files = [...(event.clipboardData ? event.clipboardData.files : [])];
  const file = files.find((one) => one.type.startsWith('image/'));
  if (file) { event.preventDefault(); take(file); }
});

choice.replaceChildren(...props.classes.map((name) => new Option(name, name)));
find('classes').hidden = props.classes.length < 2;
watch(['value', 'preview'], show);
show();
"""
