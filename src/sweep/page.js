// The sweep's page: lines of trials are picked by pointer, slider or table, and kept by ranges of the axes.
(() => {
const figure = document.querySelector('.para');
if (!figure) return;
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const made = (name, css) => { const element = document.createElement(name); element.className = css; return element; };
const within = (value, low, high) => Math.min(high, Math.max(low, value));
const field = figure.querySelector('.field'), said = figure.querySelector('.said'), shown = figure.querySelector('.shown');
const rows = new Map(all('tr[data-trial]').map(row => [row.dataset.trial, row]));
// As drawn: the best is the last.
const lines = all('path', field).map(path => ({path, text: path.dataset.text, row: rows.get(path.dataset.trial),
  ys: path.getAttribute('d').split(/[ML]/).slice(1).map(p => +p.split(' ')[1]), kept: true})).reverse();
const axes = all('.axis', field).map((element, at) => ({element, at, top: 0, bottom: 1000}));
const exact = value => String(+value.toPrecision(4));

// What stands at a height of an axis, 0 at the top, 1000 at the bottom.
function value(axis, y) {
  const data = axis.element.dataset;
  if (data.names !== undefined) {
    const names = data.names.split('\n');
    return names[Math.round((1 - y / 1000) * (names.length - 1))];
  }
  const low = +data.low, high = +data.high;
  if ('bottom' in data) return y > +data.bottom + 50 ? 'no result' : exact(high + (low - high) * within(y / data.bottom, 0, 1));
  const share = 1 - y / 1000, v = 'log' in data ? low * (high / low) ** share : low + (high - low) * share;
  return 'whole' in data ? String(Math.round(v)) : exact(v);
}

let picked = null;
function pick(line) {
  if (picked === line) return;
  for (const l of [picked, line]) if (l) {
    l.path.classList.toggle('on', l === line);
    if (l.row) l.row.classList.toggle('on', l === line);
  }
  picked = line;
  figure.classList.toggle('picking', !!line);
  said.textContent = line ? line.text : '';
}

function filter() {
  let n = 0;
  for (const line of lines) {
    line.kept = axes.every(a => line.ys[a.at] >= a.top - 1e-6 && line.ys[a.at] <= a.bottom + 1e-6);
    n += line.kept;
    line.path.classList.toggle('out', !line.kept);
    if (line.row) line.row.classList.toggle('out', !line.kept);
  }
  shown.textContent = n === lines.length ? 'all ' + n + ' trials' : n + ' of ' + lines.length + ' trials';
  if (picked && !picked.kept) pick(null);
  for (const a of axes) {
    const whole = a.top <= 0 && a.bottom >= 1000;
    a.kept.hidden = whole;
    a.kept.style.top = a.top / 10 + '%';
    a.kept.style.height = (a.bottom - a.top) / 10 + '%';
    for (const [end, y] of [[a.upper, a.top], [a.lower, a.bottom]]) {
      end.style.top = y / 10 + '%';
      end.classList.toggle('moved', end === a.upper ? y > 0 : y < 1000);
      end.setAttribute('aria-valuenow', Math.round(100 - y / 10));
      end.setAttribute('aria-valuetext', value(a, y));
    }
  }
}

for (const a of axes) {
  const height = event => {
    const box = a.element.getBoundingClientRect();
    return within((event.clientY - box.top) / box.height * 1000, 0, 1000);
  };
  const rail = made('div', 'rail');
  a.kept = made('div', 'kept');
  a.element.append(rail, a.kept);
  for (const side of ['upper', 'lower']) {
    const end = a[side] = made('div', 'end');
    end.tabIndex = 0;
    end.setAttribute('role', 'slider');
    end.setAttribute('aria-orientation', 'vertical');
    end.setAttribute('aria-label', a.element.dataset.name + ', ' + side + ' end');
    end.setAttribute('aria-valuemin', 0);
    end.setAttribute('aria-valuemax', 100);
    const move = y => {
      if (side === 'upper') a.top = within(y, 0, a.bottom); else a.bottom = within(y, a.top, 1000);
      filter();
      said.textContent = a.element.dataset.name + ': ' + value(a, a.bottom) + ' to ' + value(a, a.top);
    };
    end.addEventListener('keydown', event => {
      const here = side === 'upper' ? a.top : a.bottom, by = event.shiftKey ? 100 : 25;
      const keys = {ArrowUp: here - by, ArrowRight: here - by, ArrowDown: here + by, ArrowLeft: here + by, PageUp: here - 200, PageDown: here + 200,
        Home: 1000, End: 0, Escape: side === 'upper' ? 0 : 1000};
      if (!(event.key in keys)) return;
      event.preventDefault();
      move(keys[event.key]);
    });
    let held = false;
    end.addEventListener('pointerdown', event => { held = true; end.setPointerCapture(event.pointerId); event.stopPropagation(); });
    end.addEventListener('pointermove', event => { if (held) move(height(event)); event.stopPropagation(); });
    for (const name of ['pointerup', 'pointercancel']) end.addEventListener(name, () => { held = false; });
    a.element.append(end);
  }
  let start = null, dragged = false;
  rail.addEventListener('pointerdown', event => {
    if (event.button !== 0) return;
    start = height(event), dragged = false;
    rail.setPointerCapture(event.pointerId);
  });
  rail.addEventListener('pointermove', event => {
    if (start === null) return;
    const y = height(event);
    if (!dragged && Math.abs(y - start) < 15) return;
    dragged = true;
    event.stopPropagation();
    a.top = Math.min(start, y), a.bottom = Math.max(start, y);
    // The ends of the rail take in what lies there.
    if (a.top < 15) a.top = 0;
    if (a.bottom > 985) a.bottom = 1000;
    filter();
    said.textContent = a.element.dataset.name + ': ' + value(a, a.bottom) + ' to ' + value(a, a.top);
  });
  rail.addEventListener('pointerup', () => { if (start !== null && !dragged) a.top = 0, a.bottom = 1000, filter(); start = null; });
  rail.addEventListener('pointercancel', () => { start = null; });
}

// The line nearest to the pointer, measured along the height.
function near(event) {
  const box = field.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * (axes.length - 1), y = (event.clientY - box.top) / box.height * 1000;
  if (x < -.2 || x > axes.length - .8) return null;
  const left = within(Math.floor(x), 0, axes.length - 2), share = within(x - left, 0, 1);
  let best = null, least = 16 / box.height * 1000;
  for (const line of lines) {
    if (!line.kept) continue;
    const d = Math.abs(line.ys[left] + (line.ys[left + 1] - line.ys[left]) * share - y);
    if (d < least) best = line, least = d;
  }
  return best;
}
field.addEventListener('pointermove', event => { if (event.buttons === 0) pick(near(event)); });
field.addEventListener('pointerleave', event => { if (event.pointerType !== 'touch') pick(null); });
field.addEventListener('click', event => { const line = near(event); if (line) pick(line); });

const picker = figure.querySelector('.picker'), slider = picker.querySelector('input');
const slide = () => { const kept = lines.filter(l => l.kept); slider.max = Math.max(0, kept.length - 1);
  const line = kept[slider.value]; if (line) pick(line); slider.setAttribute('aria-valuetext', line ? line.text : 'none'); };
slider.addEventListener('input', slide);
slider.addEventListener('focus', () => { if (slider.matches(':focus-visible')) slide(); });
slider.addEventListener('blur', () => pick(null));
picker.querySelector('button').addEventListener('click', () => { for (const a of axes) a.top = 0, a.bottom = 1000; filter(); pick(null); });
for (const line of lines) if (line.row) {
  line.row.addEventListener('pointerenter', () => pick(line));
  line.row.addEventListener('pointerleave', () => pick(null));
}
picker.hidden = false;
figure.querySelector('.hint').hidden = false;
filter();
})();
