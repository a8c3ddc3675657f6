// A line chart of the last minutes on a canvas: a few hundred points, three lines, no need for a library.

import { scale } from './text.js';

const SPAN_MS = 300_000;
const GAP_MS = 3_500; // a longer pause between two samples is a break in the line
const LEFT = 54;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 26;

/** The smallest round number at or above `n`, so that three grid lines have round labels. */
function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((top) => top >= n * 0.9999);
}

export class Chart {
  /** `series`: [{name, color: a custom property's name, pick: sample → number}]; `format`: number → text. */
  constructor(canvas, legend, series, format) {
    Object.assign(this, { canvas, series, format, samples: [], hover: null, top: 0 });
    this.values = series.map(({ name, color }) => {
      const item = document.createElement('span');
      const mark = document.createElement('i');
      mark.className = color;
      const value = document.createElement('b');
      item.append(mark, name, ' ', value);
      legend.append(item);
      return value;
    });
    const redraw = () => this.draw();
    new ResizeObserver(redraw).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
    canvas.addEventListener('pointermove', (event) => { this.hover = event.offsetX; redraw(); });
    canvas.addEventListener('pointerleave', () => { this.hover = null; redraw(); });
  }

  show(samples) {
    this.samples = samples;
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    const density = devicePixelRatio || 1;
    canvas.width = Math.round(width * density);
    canvas.height = Math.round(height * density);
    const pen = canvas.getContext('2d');
    pen.scale(density, density);
    const style = getComputedStyle(canvas);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    pen.font = `11.5px ${style.fontFamily}`;

    const end = this.samples.at(-1)?.time ?? 0;
    const largest = Math.max(0, ...this.samples.flatMap((s) => this.series.map((line) => line.pick(s))));
    // The scale grows at once and shrinks only when it is far too big, so that the lines do not breathe.
    const fitting = largest > 0 ? Math.max(4, roundUp(largest * 1.08)) : 4;
    if (fitting > this.top || fitting < this.top * 0.45) this.top = fitting;
    const x = (time) => LEFT + (1 - (end - time) / SPAN_MS) * (width - LEFT - RIGHT);
    const y = (value) => height - BOTTOM - (value / this.top) * (height - TOP - BOTTOM);

    this.grid(pen, { width, height, x, y, end, color });
    this.series.forEach((line, i) => this.line(pen, line, { x, y, end, color, fill: i === 0 }));
    this.read(pen, { x, y, end, color, height });
  }

  grid(pen, { width, height, x, y, end, color }) {
    pen.strokeStyle = color('grid');
    pen.fillStyle = color('quiet');
    pen.lineWidth = 1;
    pen.textAlign = 'right';
    pen.textBaseline = 'middle';
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      const at = Math.round(y(this.top * part)) + 0.5;
      pen.beginPath();
      pen.moveTo(LEFT, at);
      pen.lineTo(width - RIGHT, at);
      pen.stroke();
      if (part !== 0.25 && part !== 0.75) pen.fillText(scale(this.top * part), LEFT - 8, at);
    }
    pen.textBaseline = 'alphabetic';
    const step = width < 520 ? 2 : 1; // a narrow chart has no room for every minute
    for (let minute = 0; minute < 5; minute += step) {
      pen.textAlign = minute === 0 ? 'right' : 'center';
      pen.fillText(minute === 0 ? 'now' : `−${minute} min`, x(end - minute * 60_000), height - 8);
    }
  }

  line(pen, { pick, color: name }, { x, y, end, color, fill }) {
    const runs = [];
    let last = -Infinity;
    for (const sample of this.samples) {
      if (end - sample.time > SPAN_MS) continue;
      if (sample.time - last > GAP_MS) runs.push([]);
      runs.at(-1).push([x(sample.time), y(pick(sample))]);
      last = sample.time;
    }
    pen.strokeStyle = color(name);
    pen.lineWidth = 1.75;
    pen.lineJoin = 'round';
    for (const run of runs) {
      pen.beginPath();
      run.forEach(([px, py]) => pen.lineTo(px, py));
      pen.stroke();
      if (!fill || run.length < 2) continue;
      pen.lineTo(run.at(-1)[0], y(0));
      pen.lineTo(run[0][0], y(0));
      pen.globalAlpha = 0.09;
      pen.fillStyle = color(name);
      pen.fill();
      pen.globalAlpha = 1;
    }
  }

  /** The legend tells the values under the pointer, or else the newest. */
  read(pen, { x, y, end, color, height }) {
    let sample = this.samples.at(-1);
    if (this.hover !== null && sample) {
      const away = (s) => Math.abs(x(s.time) - this.hover);
      sample = this.samples.reduce((best, s) => (away(s) < away(best) ? s : best));
      if (end - sample.time > SPAN_MS) return;
      pen.strokeStyle = color('quiet');
      pen.globalAlpha = 0.5;
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(Math.round(x(sample.time)) + 0.5, TOP);
      pen.lineTo(Math.round(x(sample.time)) + 0.5, height - BOTTOM);
      pen.stroke();
      pen.globalAlpha = 1;
      for (const { pick, color: name } of this.series) {
        pen.fillStyle = color(name);
        pen.beginPath();
        pen.arc(x(sample.time), y(pick(sample)), 3, 0, 7);
        pen.fill();
      }
    }
    this.series.forEach(({ pick }, i) => { this.values[i].textContent = sample ? this.format(pick(sample)) : '–'; });
  }
}
