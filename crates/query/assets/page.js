// The first page: one live stream in, figures, charts, the latest anomalies and windows out.

import { Chart } from './chart.js';
import { bytes, clock, count, duration, layOut, millis, rate } from './text.js';

const HISTORY_MAX = 300;
const LATE_MS = 4_000;
const RETRY_MS = 2_000;
const ROWS_MAX = 12;
const WINDOWS_MAX = 6;
const byId = (id) => document.getElementById(id);

function show(id, text, mood = '') {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
  if (node.className !== mood) node.className = mood;
}

// ---- the connection ----

let samples = [];
let lastFrame = 0;

function connect() {
  const stream = new EventSource('/v1/live');
  stream.addEventListener('history', (event) => {
    const { columns, rows } = JSON.parse(event.data);
    samples = rows.map((row) => Object.fromEntries(row.map((value, i) => [columns[i], value])));
    drawCharts();
  });
  stream.onmessage = (event) => {
    lastFrame = performance.now();
    state('live');
    take(JSON.parse(event.data));
  };
  stream.onerror = () => {
    state('offline', 'reconnecting');
    // The browser tries again by itself, except after an answer that is an error.
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
  };
}

function state(name, text = name) {
  const badge = byId('connection');
  if (badge.dataset.state === name) return;
  badge.dataset.state = name;
  badge.textContent = text;
  if (name !== 'live') document.querySelector('.flow').classList.remove('flowing');
}

setInterval(() => {
  const live = byId('connection').dataset.state === 'live';
  if (live && performance.now() - lastFrame > LATE_MS) state('late', 'no answer');
}, 1000);

// ---- figures ----

function take(frame) {
  const { totals, rates, lag, latency, log, pressure, breakers, anomalies, windows } = frame;
  const refused = (n) => (n > 0 ? 'attention' : '');
  show('uptime', duration(frame.uptime_seconds));
  show('in-rate', rate(rates.accepted + rates.duplicates + rates.rejected));
  show('accepted', count(totals.accepted));
  show('duplicates', count(totals.duplicates));
  show('rejected', count(totals.rejected), refused(rates.rejected));
  show('accepted-rate', rate(rates.accepted));
  show('ack-p50', millis(latency.ack_ms.p50));
  show('ack-p99', millis(latency.ack_ms.p99));
  show('log-bytes', bytes(log.bytes));
  // More than five seconds of work waiting is worth a colour, more than a minute an alarm.
  const behind = lag.events / Math.max(rates.stored, 1);
  show('lag', count(lag.events), lag.events > 1000 && behind > 60 ? 'alarm' : lag.events > 1000 && behind > 5 ? 'attention' : '');
  show('anomalies', count(totals.anomalies));
  show('late', count(totals.late), refused(rates.late));
  const full = pressure.queue_bytes / pressure.queue_bytes_max;
  show('queue', bytes(pressure.queue_bytes), full > 0.9 ? 'alarm' : full > 0.5 ? 'attention' : '');
  show('stored-rate', rate(rates.stored));
  show('stored', count(totals.stored));
  show('dead-letters', count(totals.dead_letters), refused(rates.dead_letters));
  const breaker = breakers.store ?? '–';
  show('breaker', breaker, breaker === 'open' ? 'alarm' : breaker === 'half-open' ? 'attention' : '');
  show('e2e-p50', millis(latency.end_to_end_ms.p50));
  show('e2e-p99', millis(latency.end_to_end_ms.p99));
  document.querySelector('.flow').classList.toggle('flowing', rates.accepted + rates.stored > 0);

  if (!samples.length || frame.time > samples.at(-1).time) {
    samples.push({ time: frame.time, ...rates, lag_events: lag.events });
    samples = samples.slice(-HISTORY_MAX);
  }
  drawCharts();
  findings(anomalies, totals);
  measures(windows);
}

const ratesChart = new Chart(byId('rates-chart'), byId('rates-legend'), [
  { name: 'accepted', color: 'blue', pick: (s) => s.accepted },
  { name: 'stored', color: 'green', pick: (s) => s.stored },
  { name: 'refused', color: 'amber', pick: (s) => s.rejected },
], rate);
const lagChart = new Chart(byId('lag-chart'), byId('lag-legend'), [
  { name: 'events waiting', color: 'blue', pick: (s) => s.lag_events },
], count);

function drawCharts() {
  if (document.hidden) return;
  ratesChart.show(samples);
  lagChart.show(samples);
}
document.addEventListener('visibilitychange', drawCharts);

// ---- the latest anomalies ----

const shown = new Map();
const stamp = (found) => `${found.stream}-${found.partition}-${found.offset}`;

function findings(anomalies, totals) {
  const latest = (anomalies.latest ?? []).slice(0, ROWS_MAX);
  const rules = Object.entries(anomalies.by_rule).filter(([, n]) => n > 0);
  show('by-rule', rules.map(([rule, n]) => `${rule} ${count(n)}`).join(' · '), 'quiet');
  byId('table').hidden = latest.length === 0;
  byId('empty').hidden = latest.length > 0;
  if (latest.length === 0) return empty(anomalies.latest === null, totals);

  const fresh = shown.size > 0;
  const wanted = latest.map((found) => `${found.stream}/${found.id}`);
  for (const [id, row] of shown) if (!wanted.includes(id)) { row.remove(); shown.delete(id); }
  const body = byId('rows');
  latest.forEach((found, i) => {
    let row = shown.get(wanted[i]);
    if (!row) {
      row = line(found, fresh);
      shown.set(wanted[i], row);
    }
    // Rows that are in place already are left alone: moving one would take the focus from it.
    if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null);
  });
}

function line(found, fresh) {
  const row = document.createElement('tr');
  if (fresh) row.className = 'new';
  const cell = (kind, content, title) => {
    const td = row.insertCell();
    td.className = kind;
    td.append(content);
    if (title) td.title = title;
  };
  const severity = document.createElement('span');
  severity.className = `badge ${['high', 'medium', 'low'].includes(found.severity) ? found.severity : ''}`;
  severity.textContent = found.severity;
  const rule = document.createElement('button');
  rule.type = 'button';
  rule.textContent = found.rule;
  cell('time', clock(found.time), found.time);
  cell('severity', severity);
  cell('rule', rule, found.rule);
  cell('key', found.key ?? '', found.key ?? '');
  cell('what', found.description, found.description);
  row.addEventListener('click', () => trace(found));
  return row;
}

// ---- the latest windows ----

let latestWindows = '';

function measures({ closed, latest }) {
  const rows = (latest ?? []).slice(0, WINDOWS_MAX);
  const text = JSON.stringify(rows);
  byId('windows').hidden = rows.length === 0;
  show('windows-closed', `${count(closed)} closed ·`);
  if (text === latestWindows) return;
  latestWindows = text;
  byId('window-rows').replaceChildren(...rows.map((row) => {
    const line = document.createElement('tr');
    const cell = (kind, content, title = content) => {
      const td = line.insertCell();
      td.className = kind;
      td.textContent = content;
      td.title = title;
    };
    const list = (object) => Object.entries(object ?? {}).map(([name, value]) => `${name} ${value ?? '–'}`).join(' · ');
    cell('time', clock(row.start), `${row.start} to ${row.end}`);
    cell('severity', row.size);
    cell('rule', row.window);
    cell('key', list(row.key));
    cell('what', [list(row.values), row.late ? `${count(row.late)} late` : ''].filter(Boolean).join(' · '));
    return line;
  }));
}

const COMMAND = `curl '${location.origin}/v1/streams/signals/events' \\
  -H 'content-type: application/json' \\
  -d '{"user_id": 7, "type": "purchase", "timestamp": '$(date +%s000)',
       "payload": {"amount": 1500, "currency": "USD"}}'`;
byId('command-text').textContent = COMMAND;

function empty(unknown, totals) {
  const none = totals.accepted === 0;
  byId('command').hidden = unknown || !none;
  show('empty-text', unknown ? 'Reading the store.'
    : none ? 'No events since the start. Send one that raises an anomaly:'
      : 'No anomalies so far: no rule has found anything.');
}

byId('copy').addEventListener('click', async () => {
  const button = byId('copy');
  try {
    await navigator.clipboard.writeText(COMMAND);
    button.textContent = 'Copied';
  } catch {
    // Without permission (or over plain HTTP from afar) the text is at least marked, ready to be copied by hand.
    getSelection().selectAllChildren(byId('command-text'));
    button.textContent = 'Marked';
  }
  setTimeout(() => { button.textContent = 'Copy'; }, 1500);
});

// ---- one event on its way ----

async function trace(found) {
  byId('trace-title').textContent = `${found.rule} · ${stamp(found)}`;
  byId('trace-text').textContent = found.description;
  byId('trace-steps').replaceChildren();
  byId('trace-json').textContent = 'Reading…';
  byId('trace').showModal();
  try {
    const answer = await fetch(`/v1/events/${encodeURIComponent(stamp(found))}`);
    const text = await answer.text();
    byId('trace-json').replaceChildren(layOut(text));
    if (answer.ok) byId('trace-steps').replaceChildren(...steps(JSON.parse(text)));
  } catch (error) {
    byId('trace-json').textContent = `The event could not be read: ${error.message}`;
  }
}

function steps({ event, lineage }) {
  const { position, received_at: received, stored_at: stored } = lineage;
  const took = stored ? new Date(stored) - new Date(received) : 0;
  const after = took > 0 ? ` · ${millis(took)} later` : '';
  return [
    ['Happened', clock(event.time), true],
    ['Received', clock(received), true],
    ['In the log', `${position.stream} ${position.partition} / ${position.offset}`, true],
    ['Stored', stored ? clock(stored) + after : 'not yet', Boolean(stored)],
  ].map(([name, value, done]) => {
    const item = document.createElement('li');
    if (done) item.className = 'done';
    const label = document.createElement('span');
    label.textContent = name;
    item.append(label, value);
    return item;
  });
}

byId('trace-close').addEventListener('click', () => byId('trace').close());
byId('trace').addEventListener('click', (event) => { if (event.target === byId('trace')) byId('trace').close(); });

fetch('/version').then((answer) => answer.json()).then(({ version }) => show('version', version, 'quiet'), () => {});
connect();
