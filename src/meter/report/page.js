'use strict';
// The page reads without this: it adds the choice of colours, zoom and crosshair of the charts, and copying.
(() => {
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const made = (name, css, text) => {
  const element = document.createElement(name);
  if (css) element.className = css;
  if (text !== undefined) element.textContent = text;
  return element;
};
const within = (value, low, high) => Math.min(high, Math.max(low, value));

// Colours: as the system has them, light, dark. Nothing is stored.
const theme = document.querySelector('.theme');
theme.hidden = false;
theme.addEventListener('click', () => {
  const themes = ['auto', 'light', 'dark'];
  const next = themes[(themes.indexOf(document.documentElement.dataset.theme || 'auto') + 1) % 3];
  document.documentElement.dataset.theme = next;
  theme.textContent = 'Theme: ' + next;
});

for (const box of all('.command')) {
  const button = made('button', '', 'Copy');
  button.type = 'button';
  button.addEventListener('click', async () => {
    const text = box.querySelector('code');
    getSelection().selectAllChildren(text);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Selected';
    }
  });
  box.append(button);
}

// Tables wider than the page are scrolled with the keyboard, too.
const scrolls = all('.scroll, .sample .text');
const reach = () => scrolls.forEach(box => {
  const more = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
  const caption = box.querySelector('caption');
  if (more) box.tabIndex = 0; else box.removeAttribute('tabindex');
  if (more) box.setAttribute('role', 'group'); else box.removeAttribute('role');
  if (more) box.setAttribute('aria-label', caption ? caption.textContent : 'Text'); else box.removeAttribute('aria-label');
});
addEventListener('resize', reach);
all('details').forEach(d => d.addEventListener('toggle', reach));
reach();

const folded = all('details.printed');
let opened = [];
addEventListener('beforeprint', () => { opened = folded.filter(d => !d.open); opened.forEach(d => d.open = true); });
addEventListener('afterprint', () => opened.forEach(d => d.open = false));

// Charts. All of a page show the same steps, view = [first, last].
function ticks(low, high, wanted) {
  if (!(high > low)) return [low];
  const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(k => k * power).find(s => raw <= s * 1.0000001) || 10 * power, values = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && values.length < 20; ++k) values.push(k * step);
  return values.length < 2 && wanted < 8 ? ticks(low, high, 2 * wanted) : values;
}
function logTicks(low, high) {
  const decades = Math.log10(high / low), values = [];
  const parts = decades > 3 ? [1] : decades > 1 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); ++e)
    for (const part of parts) if (part * 10 ** e >= low && part * 10 ** e <= high) values.push(+(part * 10 ** e).toPrecision(3));
  const every = Math.ceil(values.length / 8);
  return values.length > 1 ? values.filter((_, i) => i % every === 0) : ticks(low, high, 4);
}
function label(value, spacing) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e4) {
    const unit = size >= 1e12 ? [1e12, 'T'] : size >= 1e9 ? [1e9, 'G'] : size >= 1e6 ? [1e6, 'M'] : [1e3, 'k'];
    return +(value / unit[0]).toPrecision(4) + unit[1];
  }
  if (spacing < 1e-3) return String(+value.toPrecision(4));
  return value.toFixed(spacing >= 1 ? 0 : Math.ceil(-Math.log10(spacing) - 1e-9));
}
const exact = value => String(+value.toPrecision(5));

// Index of the first of rising values that is not below `value`.
function lower(values, value) {
  let low = 0, high = values.length;
  while (low < high) { const middle = (low + high) >> 1; if (values[middle] < value) low = middle + 1; else high = middle; }
  return low;
}
function nearest(line, step) {
  const i = lower(line.x, step);
  if (i === 0) return 0;
  return i === line.x.length || step - line.x[i - 1] <= line.x[i] - step ? i - 1 : i;
}

const charts = all('.chart').map(figure => {
  const plot = figure.querySelector('.plot');
  const lines = all('.line', plot).map(path => {
    const width = +path.dataset.width, flat = path.dataset.points.split(',').map(Number);
    const column = k => flat.filter((_, i) => i % width === k);
    const line = {path, name: path.dataset.name, x: column(0), mean: column(1), low: column(width > 2 ? 2 : 1), high: column(width > 2 ? 3 : 1)};
    for (const near of [path.previousElementSibling, path.nextElementSibling]) {
      if (near && near.classList.contains('band') && near === path.previousElementSibling) line.band = near;
      if (near && near.classList.contains('dots')) line.dots = near;
    }
    path.removeAttribute('data-points');
    return line;
  });
  return {figure, plot, lines, axes: plot.querySelector('.axes'), grid: plot.querySelector('.grid'), log: false,
          zero: 'zero' in figure.dataset, wide: figure.classList.contains('wide')};
});
if (charts.length === 0) return;
const steps = charts.flatMap(c => c.lines.flatMap(l => [l.x[0], l.x[l.x.length - 1]]));
const whole = [Math.min(...steps), Math.max(...steps)];
if (whole[0] === whole[1]) whole[0] -= .5, whole[1] += .5;
// Closer than a few points there is nothing more to see.
const closest = Math.max(2, 4 * Math.min(...charts.flatMap(c => c.lines.map(l =>
  (l.x[l.x.length - 1] - l.x[0]) / Math.max(1, l.x.length - 1)).filter(gap => gap > 0)), whole[1] - whole[0]));
let view = [...whole], at = null;
const tools = document.querySelector('.tools'), range = tools.querySelector('.range');

function draw(chart) {
  const [first, last] = view, parts = [];
  let low = Infinity, high = -Infinity;
  for (const line of chart.lines) {
    const begin = Math.max(0, lower(line.x, first) - 1), end = Math.min(line.x.length, lower(line.x, last) + 1);
    const fits = v => !chart.log || v > 0;
    const some = line.x.slice(begin, end).some(step => step >= first && step <= last);
    for (let i = begin; i < end; ++i) {
      if (some && (line.x[i] < first || line.x[i] > last)) continue;
      const lo = line.band ? line.low[i] : line.mean[i], hi = line.band ? line.high[i] : line.mean[i];
      if (fits(lo)) low = Math.min(low, lo);
      if (fits(hi)) high = Math.max(high, hi);
    }
    parts.push([begin, end]);
  }
  if (!(high >= low)) low = chart.log ? 1 : 0, high = 1;
  if (chart.zero && !chart.log) low = Math.min(0, low);
  if (!(high > low)) high = low + Math.max(1e-9, Math.abs(low) * .1);
  const f = chart.log ? Math.log : v => v;
  let bottom = f(low), top = f(high);
  const margin = (top - bottom) * .04;
  top += margin;
  if (!chart.zero || chart.log) bottom -= margin;
  const x = step => ((step - first) / (last - first) * 1000).toFixed(1);
  const y = value => chart.log && !(value > 0) ? '1000.0' : ((top - f(value)) / (top - bottom) * 1000).toFixed(1);
  chart.x = x, chart.y = y;
  chart.lines.forEach((line, k) => {
    const [begin, end] = parts[k];
    let path = '', above = '', below = '', dots = '';
    for (let i = begin; i < end; ++i) {
      path += (path ? 'L' : 'M') + x(line.x[i]) + ' ' + y(line.mean[i]);
      if (line.x[i] >= first && line.x[i] <= last) dots += 'M' + x(line.x[i]) + ' ' + y(line.mean[i]) + 'h0';
      above += (above ? 'L' : 'M') + x(line.x[i]) + ' ' + y(line.high[i]);
      below = 'L' + x(line.x[i]) + ' ' + y(line.low[i]) + below;
    }
    line.path.setAttribute('d', path || 'M0 0');
    if (line.band) line.band.setAttribute('d', above ? above + below + 'Z' : 'M0 0');
    if (line.dots) line.dots.setAttribute('d', dots || 'M-99 0');
  });
  const unlog = v => chart.log ? Math.exp(v) : v;
  const marks = chart.log ? logTicks(unlog(bottom), unlog(top)) : ticks(bottom, top, chart.wide ? 5 : 4);
  const spacing = marks.length > 1 ? marks[1] - marks[0] : top - bottom;
  chart.grid.setAttribute('d', marks.map(m => 'M0 ' + y(m) + 'H1000').join(''));
  chart.axes.replaceChildren(...marks.map(m => {
    const text = made('span', 'y', chart.log ? exact(m) : label(m, spacing));
    text.style.top = y(m) / 10 + '%';
    return text;
  }), ...ticks(first, last, chart.wide ? 6 : 4).map(m => {
    const text = made('span', 'x', m >= 1e5 ? label(m, 1e3) : String(+m.toPrecision(6)));
    text.style.left = x(m) / 10 + '%';
    return text;
  }));
}

function show(first, last) {
  const span = within(last - first, Math.min(closest, whole[1] - whole[0]), whole[1] - whole[0]);
  const begin = within(first + (last - first - span) / 2, whole[0], whole[1] - span);
  view = [begin, begin + span];
  const full = span >= whole[1] - whole[0];
  for (const chart of charts) chart.figure.classList.toggle('zoomed', !full), draw(chart);
  range.textContent = full ? 'all steps' : 'steps ' + Math.ceil(view[0]) + ' to ' + Math.floor(view[1]);
  point();
}
const zoom = (factor, middle = (view[0] + view[1]) / 2) =>
  show(middle - (middle - view[0]) * factor, middle + (view[1] - middle) * factor);
const pan = share => { const d = within((view[1] - view[0]) * share, whole[0] - view[0], whole[1] - view[1]); show(view[0] + d, view[1] + d); };
const actions = {in: () => zoom(.5), out: () => zoom(2), left: () => pan(-.5), right: () => pan(.5), reset: () => show(...whole)};

const values = (chart, step) => chart.lines.filter(l => l.x.length).map(line => {
  const i = nearest(line, step);
  const more = line.band && line.low[i] < line.high[i] ? ' (' + exact(line.low[i]) + ' to ' + exact(line.high[i]) + ')' : '';
  const far = Math.abs(line.x[i] - step) > (view[1] - view[0]) / 100 ? ' at step ' + Math.round(line.x[i]) : '';
  return {line, i, text: (chart.lines.length > 1 ? line.name + ' ' : '') + exact(line.mean[i]) + more + far};
});

const place = chart => (chart.lines.some(l => l.band) ? 'around step ' : 'step ') + Math.round(at);

// The crosshair stands at the same step in all charts; its values are told where the pointer or the focus is.
let told = null;
function point() {
  for (const chart of charts) {
    all('.cursor, .tip', chart.plot).forEach(e => e.remove());
    const inside = at !== null && at >= view[0] && at <= view[1];
    if (at !== null) {
      const list = values(chart, at);
      chart.plot.setAttribute('aria-valuenow', Math.round(at));
      chart.plot.setAttribute('aria-valuetext', place(chart) + ': ' + list.slice(0, 12).map(v => v.text).join(', '));
    }
    if (!inside) continue;
    const left = (at - view[0]) / (view[1] - view[0]) * 100, cursor = made('i', 'cursor');
    cursor.style.left = left + '%';
    chart.plot.append(cursor);
    if (told !== chart) continue;
    const tip = made('div', 'tip');
    tip.append(made('div', '', place(chart)), ...values(chart, at).slice(0, 24).map(v => made('div', '', v.text)));
    if (left > 50) tip.style.right = 'calc(' + (100 - left) + '% + 8px)'; else tip.style.left = 'calc(' + left + '% + 8px)';
    chart.plot.append(tip);
  }
}

for (const [number, chart] of charts.entries()) {
  const {plot, figure} = chart, longest = chart.lines.reduce((a, b) => b.x.length > a.x.length ? b : a);
  const log = figure.querySelector('.log');
  const toggle = () => { chart.log = !chart.log; log.setAttribute('aria-pressed', chart.log); draw(chart); point(); };
  const usable = chart.lines.some(l => l.mean.some(v => v > 0));
  log.hidden = !usable;
  log.addEventListener('click', toggle);
  if (usable && 'log' in figure.dataset) toggle();

  const description = figure.appendChild(document.createElement('p'));
  description.hidden = true;
  description.id = 'about-' + number;
  description.textContent = plot.getAttribute('aria-label');
  plot.setAttribute('aria-describedby', description.id);
  plot.setAttribute('aria-label', figure.querySelector('h3').textContent + ', crosshair');
  plot.setAttribute('role', 'slider');
  plot.setAttribute('aria-valuemin', Math.round(whole[0]));
  plot.setAttribute('aria-valuemax', Math.round(whole[1]));
  plot.setAttribute('aria-valuenow', Math.round(whole[1]));
  plot.setAttribute('aria-valuetext', 'no step chosen');
  plot.tabIndex = 0;

  const stepAt = event => {
    const box = plot.getBoundingClientRect();
    return view[0] + within((event.clientX - box.left) / box.width, 0, 1) * (view[1] - view[0]);
  };
  const move = step => {
    let i = nearest(longest, step);
    if (longest.x[i] > view[1] && i > 0) --i; else if (longest.x[i] < view[0] && i + 1 < longest.x.length) ++i;
    at = longest.x[i], told = chart;
    point();
  };
  let start = null, pick = null;
  plot.addEventListener('pointerdown', event => {
    if (event.button !== 0) return;
    start = {x: event.clientX, step: stepAt(event)};
    plot.setPointerCapture(event.pointerId);
    move(stepAt(event));
  });
  plot.addEventListener('pointermove', event => {
    move(stepAt(event));
    if (!start || (!pick && Math.abs(event.clientX - start.x) < 6)) return;
    if (!pick) plot.append(pick = made('i', 'pick'));
    const share = [start.step, stepAt(event)].sort((a, b) => a - b).map(s => (s - view[0]) / (view[1] - view[0]) * 100);
    pick.style.left = share[0] + '%';
    pick.style.width = share[1] - share[0] + '%';
  });
  plot.addEventListener('pointerup', event => {
    if (start && pick) { const ends = [start.step, stepAt(event)].sort((a, b) => a - b); show(...ends); }
    if (pick) pick.remove();
    start = pick = null;
  });
  plot.addEventListener('pointercancel', () => { if (pick) pick.remove(); start = pick = null; });
  plot.addEventListener('pointerleave', event => {
    if (document.activeElement !== plot && !start && event.pointerType !== 'touch') at = told = null, point();
  });
  plot.addEventListener('dblclick', actions.reset);
  plot.addEventListener('focus', () => { if (at === null && plot.matches(':focus-visible')) move(view[1]); });
  plot.addEventListener('blur', () => { at = told = null; point(); });
  // Without the focus the wheel scrolls the page.
  plot.addEventListener('wheel', event => {
    if (document.activeElement !== plot || event.ctrlKey) return;
    event.preventDefault();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(within(event.deltaX / 400, -.5, .5));
    else zoom(event.deltaY < 0 ? .8 : 1.25, stepAt(event));
  }, {passive: false});
  plot.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const here = at === null ? nearest(longest, view[1]) : nearest(longest, at);
    const by = d => { const step = longest.x[within(here + d, 0, longest.x.length - 1)];
      if (step < view[0]) pan((step - view[0]) / (view[1] - view[0])); else if (step > view[1]) pan((step - view[1]) / (view[1] - view[0]));
      move(step); };
    const keys = {ArrowLeft: () => by(event.shiftKey ? -10 : -1), ArrowRight: () => by(event.shiftKey ? 10 : 1),
      ArrowDown: () => by(-1), ArrowUp: () => by(1), Home: () => move(view[0]), End: () => move(view[1]),
      PageUp: actions.left, PageDown: actions.right, '+': () => zoom(.5, at ?? undefined), '=': () => zoom(.5, at ?? undefined),
      '-': () => zoom(2, at ?? undefined), '0': actions.reset, Escape: actions.reset, l: toggle, L: toggle};
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}
tools.hidden = false;
range.textContent = 'all steps';
for (const button of all('button', tools)) button.addEventListener('click', () => actions[button.dataset.do]());
})();
