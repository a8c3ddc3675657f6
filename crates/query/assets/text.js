// Numbers, times and JSON as people read them. Nothing here makes HTML out of text: strings from events are shown
// through textContent only.

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** A count: all digits up to a million, then `1.23 M`. */
export function count(n) {
  if (n < 1e6) return grouped.format(n);
  const [unit, by] = n < 1e9 ? ['M', 1e6] : ['G', 1e9];
  return `${(n / by).toFixed(2)} ${unit}`;
}

/** A rate: one decimal while it is small. */
export function rate(n) {
  return n > 0 && n < 10 ? tenths.format(n) : count(Math.round(n));
}

/** A number on an axis, which has little room: `400 k`, `1.5 M`. */
export function scale(n) {
  const [unit, by] = n >= 1e6 ? [' M', 1e6] : n >= 1e4 ? [' k', 1e3] : ['', 1];
  return `${Number((n / by).toFixed(1))}${unit}`;
}

/** Bytes in powers of 1024. */
export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i += 1; }
  return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

/** Milliseconds, with the digits that matter; nothing measured yet is a dash. */
export function millis(n) {
  if (!(n > 0)) return '–';
  if (n >= 10_000) return `${(n / 1000).toFixed(1)} s`;
  return `${n < 10 ? n.toFixed(1) : grouped.format(n)} ms`;
}

/** Seconds as `3 d 4 h`, `4 h 12 min`, `12 min 5 s`. */
export function duration(s) {
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = Math.max(0, parts.findIndex(([size]) => s >= size));
  if (s < 1) return '0 s';
  return parts.slice(first, first + 2).map(([size, unit], i) => {
    const whole = i === 0 ? Math.floor(s / size) : Math.floor((s % parts[first][0]) / size);
    return `${whole} ${unit}`;
  }).join(' ');
}

/** A time of day; with the date when it is not today. */
export function clock(rfc3339) {
  const at = new Date(rfc3339);
  if (Number.isNaN(at.getTime())) return rfc3339;
  const time = at.toLocaleTimeString('en-GB');
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' })} ${time.slice(0, 5)}`;
}

// JSON is laid out from its text, not through JSON.parse: that would round big numbers and drop a repeated key.
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/** JSON text as coloured, indented nodes. */
export function layOut(text) {
  const nodes = document.createDocumentFragment();
  const put = (word, kind) => {
    if (!kind) { nodes.append(word); return; }
    const span = document.createElement('span');
    span.className = kind;
    span.textContent = word;
    nodes.append(span);
  };
  const tokens = text.match(TOKEN) ?? [];
  let depth = 0;
  const line = () => put(`\n${'  '.repeat(depth)}`);
  tokens.forEach((token, i) => {
    if (token === '{' || token === '[') {
      put(token);
      if (!'}]'.includes(tokens[i + 1])) { depth += 1; line(); }
    } else if (token === '}' || token === ']') {
      if (!'{['.includes(tokens[i - 1])) { depth -= 1; line(); }
      put(token);
    } else if (token === ',') {
      put(token);
      line();
    } else if (token === ':') {
      put(': ');
    } else if (token[0] === '"') {
      put(token, tokens[i + 1] === ':' ? 'key' : 'string');
    } else {
      put(token, /^[a-z]/.test(token) ? 'word' : '');
    }
  });
  return nodes;
}
