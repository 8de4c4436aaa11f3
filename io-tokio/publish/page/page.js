// Plays what the room receives. The browser makes an offer, the program answers; what the room counts comes as
// server-sent events.

const $ = (id) => document.getElementById(id);
const video = $('video');

const SILENT_AFTER_MS = 2000;
const RECONNECT_MS = 1500;
const GIVE_UP_DISCONNECTED_MS = 4000;

/** The connection: {pc, id, events}. Replaced as a whole when it breaks. */
let session = null;
/** The latest sample of the room, and whether they still come. */
let sample = null;
let reachable = true;
let refusal = '';
/** When packets of the shown producer were last counted. */
let heard = { packets: -1, at: performance.now() };
let reconnecting = 0;

// --- connection ---

async function connect() {
  clearTimeout(reconnecting);
  leave();
  const pc = new RTCPeerConnection();
  const mine = { pc, id: null, events: null };
  session = mine;
  const stream = new MediaStream();
  pc.addTransceiver('video', { direction: 'recvonly' });
  pc.addTransceiver('audio', { direction: 'recvonly' });
  pc.ontrack = ({ track }) => {
    stream.addTrack(track);
    video.srcObject = stream;
  };
  let lost = 0;
  pc.onconnectionstatechange = () => {
    clearTimeout(lost);
    if (pc.connectionState === 'failed' || pc.connectionState === 'closed') reconnect(mine);
    if (pc.connectionState === 'disconnected') lost = setTimeout(() => reconnect(mine), GIVE_UP_DISCONNECTED_MS);
    show();
  };
  try {
    await pc.setLocalDescription();
    const answer = await post('/viewers', { sdp: pc.localDescription.sdp });
    const { viewer, sdp } = await answer.json();
    if (session !== mine) return;
    mine.id = viewer;
    refusal = '';
    await pc.setRemoteDescription({ type: 'answer', sdp });
  } catch (error) {
    if (session !== mine) return;
    refusal = error instanceof TypeError ? '' : error.message;
    reconnect(mine);
  }
  if (session === mine) follow(mine);
}

function reconnect(broken) {
  if (session !== broken) return;
  clearTimeout(reconnecting);
  reconnecting = setTimeout(connect, RECONNECT_MS);
}

function leave() {
  if (!session) return;
  session.events?.close();
  session.pc.onconnectionstatechange = null;
  session.pc.close();
  if (session.id !== null) navigator.sendBeacon(`/viewers/${session.id}/close`);
  session = null;
}

function follow(mine) {
  mine.events?.close();
  const events = new EventSource(mine.id === null ? '/events' : `/events?viewer=${mine.id}`);
  mine.events = events;
  events.addEventListener('history', ({ data }) => {
    reachable = true;
    plot.restart(JSON.parse(data));
  });
  events.addEventListener('sample', ({ data }) => {
    reachable = true;
    sample = JSON.parse(data);
    plot.add(sample);
    show();
    // The program forgot us: it was started anew, or took us for gone.
    if (mine.id !== null && !sample.viewer) reconnect(mine);
  });
  events.onerror = () => {
    reachable = false;
    sample = null;
    show();
    // EventSource tries again by itself, except after an answer that is an error.
    if (events.readyState === EventSource.CLOSED) reconnect(mine);
  };
}

async function post(path, body) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await response.text());
  return response;
}

addEventListener('pagehide', leave);
addEventListener('pageshow', ({ persisted }) => persisted && connect());

// --- what there is to show ---

const kindOf = (kind) => (sample?.producers ?? []).find((producer) => producer.kind === kind);
const colour = (producer, layer) =>
  producer.kind === 'audio' ? '--audio' : layer.profile === 'default' ? '--high' : `--${layer.profile}`;
const total = (producer) => producer.layers.reduce((sum, layer) => sum + layer.packets, 0);
const count = new Intl.NumberFormat('en').format;

/** One line and what to do about it, or null while all is well. */
function trouble() {
  const producer = kindOf('video');
  if (refusal) return ['The program refuses', refusal];
  if (!reachable) return ['The program does not answer', 'It has ended, or is starting again. This page keeps trying.'];
  if (!sample) return ['Connecting', ''];
  if (sample.producers.length === 0) return ['The room is silent', 'Nobody publishes to it.'];
  if (session?.pc.connectionState !== 'connected') return ['Connecting', 'ICE and DTLS are on their way.'];
  if (!producer) return ['Sound only', 'Nobody publishes a picture.'];
  if (!sample.viewer?.codecs.includes(producer.codec))
    return [`This browser does not play ${producer.codec}`, 'The room receives it all the same: see the table.'];
  if (producer.paused_by_room) return ['Paused by the room', 'It passes nothing on. Resume goes on.'];
  if (producer.paused_by_peer) return ['Paused by the publisher', ''];
  const silence = performance.now() - heard.at;
  if (silence > SILENT_AFTER_MS)
    return ['The room is silent', `No packet from the publisher for ${Math.floor(silence / 1000)} s.`];
  if (!sample.viewer?.effective) return ['Waiting for a key frame', ''];
  if (video.videoWidth === 0) return ['Waiting for the first picture', ''];
  return null;
}

function show() {
  const producer = kindOf('video');
  const packets = producer ? total(producer) : 0;
  if (packets !== heard.packets) heard = { packets, at: performance.now() };

  const [title, text] = trouble() ?? ['', ''];
  $('message').hidden = !title;
  set('message-title', title);
  set('message-text', text);

  const live = !title;
  set('status', live ? 'live' : !reachable || refusal ? 'no connection' : title.toLowerCase());
  $('status').dataset.state = live ? 'live' : !reachable || refusal ? 'gone' : 'waiting';

  showLayers(producer);
  showPause(producer);
  showTable();
}

function set(id, text) {
  // Untouched text is not announced again, nor a selection lost.
  if ($(id).textContent !== text) $(id).textContent = text;
}

function showLayers(producer) {
  const viewer = sample?.viewer;
  const profiles = producer?.layers.map((layer) => layer.profile) ?? [];
  const simulcast = profiles.length > 1;
  const switching = simulcast && viewer?.effective && viewer.effective !== viewer.preferred;
  for (const button of $('layers').children) {
    button.disabled = !simulcast || !profiles.includes(button.dataset.profile);
    button.setAttribute('aria-pressed', String(simulcast && viewer?.preferred === button.dataset.profile));
  }
  $('layers').classList.toggle('switching', Boolean(switching));
  set('layer-state', switching ? `showing ${viewer.effective}` : producer && !simulcast ? 'no simulcast' : '');
  set('preferred', simulcast ? (viewer?.preferred ?? '–') : '–');
  set('effective', viewer?.effective ?? '–');
}

function showPause(producer) {
  $('pause').disabled = !producer;
  set('pause', producer?.paused_by_room ? 'Resume' : 'Pause');
}

/** Rows are kept while the encodings stay the same, so that a button is not replaced under the pointer. */
let rowsFor = '';
function showTable() {
  const body = $('encodings');
  const producers = sample?.producers ?? [];
  const rows = producers.flatMap((producer) => producer.layers.map((layer, index) => ({ producer, layer, index })));
  const identity = JSON.stringify(rows.map(({ producer, layer }) => [producer.peer, producer.producer, layer.ssrc]));
  if (identity !== rowsFor) {
    rowsFor = identity;
    body.replaceChildren(...(rows.length ? rows.map(makeRow) : [emptyRow()]));
  }
  rows.forEach(({ producer, layer, index }, at) => {
    const row = body.rows[at];
    const shown = producer.kind === 'video' && producer === kindOf('video') && sample.viewer?.effective === layer.profile;
    const state = producer.paused_by_room
      ? 'paused by the room'
      : producer.paused_by_peer
        ? 'paused by the publisher'
        : layer.bitrate_bps === 0
          ? 'silent'
          : shown
            ? 'shown here'
            : 'received';
    row.classList.toggle('shown', shown);
    const cells = [kilobits(layer.bitrate_bps), count(layer.packets), count(layer.bytes), count(layer.lost), state];
    cells.forEach((text, cell) => {
      if (row.cells[cell + 3].textContent !== text) row.cells[cell + 3].textContent = text;
    });
    if (index === 0) row.querySelector('button').textContent = producer.paused_by_room ? 'Resume' : 'Pause';
  });
}

function makeRow({ producer, layer, index }) {
  const row = document.createElement('tr');
  row.title = `producer ${producer.producer} of ${producer.peer}`;
  row.classList.toggle('second', producer !== kindOf(producer.kind));
  const key = document.createElement('span');
  key.className = 'key';
  key.style.borderColor = `var(${colour(producer, layer)})`;
  const name = layer.profile === 'default' ? producer.kind : `${producer.kind} ${layer.profile}`;
  row.insertCell().append(key, name);
  row.insertCell().textContent = producer.codec;
  row.insertCell().textContent = String(layer.ssrc);
  for (let cell = 0; cell < 5; cell += 1) row.insertCell();
  for (const cell of [2, 3, 4, 5, 6]) row.cells[cell].className = 'number';
  const last = row.insertCell();
  last.className = 'number';
  if (index === 0) {
    const button = document.createElement('button');
    button.type = 'button';
    button.onclick = () => toggle(producer.peer, producer.producer);
    last.append(button);
  }
  return row;
}

function emptyRow() {
  const row = document.createElement('tr');
  const cell = row.insertCell();
  cell.colSpan = 9;
  cell.className = 'quiet';
  cell.textContent = 'Nobody publishes to the room.';
  return row;
}

function kilobits(bps) {
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(2)} Mbit/s` : `${(bps / 1e3).toFixed(bps < 1e5 ? 1 : 0)} kbit/s`;
}

/** What the browser itself knows of the picture. */
async function measure() {
  const report = await session?.pc.getStats().catch(() => null);
  for (const entry of report?.values() ?? []) {
    if (entry.type !== 'inbound-rtp' || entry.kind !== 'video') continue;
    const size = entry.frameWidth ? `${entry.frameWidth} × ${entry.frameHeight}` : '–';
    const fps = `${Math.round(entry.framesPerSecond ?? 0)} fps`;
    set('picture', size);
    set('fps', fps);
    set('decoded', count(entry.framesDecoded ?? 0));
    set('lost', count(entry.packetsLost ?? 0));
    set('size', `${size} · ${fps}`);
    $('size').hidden = !entry.frameWidth || !$('message').hidden;
  }
  show();
}

// --- commands ---

$('layers').onclick = ({ target }) => {
  const { profile } = target.dataset;
  if (profile && session?.id != null) command(`/viewers/${session.id}/layer`, { profile });
};

$('pause').onclick = () => {
  const producer = kindOf('video');
  if (producer) toggle(producer.peer, producer.producer);
};

$('mute').onclick = () => {
  video.muted = !video.muted;
  $('mute').textContent = video.muted ? 'Unmute' : 'Mute';
  video.play().catch(() => {});
};

function toggle(peer, producer) {
  const now = sample?.producers.find((each) => each.peer === peer && each.producer === producer);
  if (now) command(now.paused_by_room ? '/producers/resume' : '/producers/pause', { peer, producer });
}

function command(path, body) {
  post(path, body).catch((error) => set('layer-state', error.message));
}

// --- the plot ---

const plot = {
  seconds: 60,
  /** The encodings drawn: {key, label, colour, dash}; and the samples they are drawn from. */
  lines: [],
  samples: [],
  chart: null,

  restart(history) {
    this.samples = history;
    this.draw();
  },

  add(next) {
    this.samples.push(next);
    while (this.samples.length && this.samples[0].t < next.t - this.seconds - 1) this.samples.shift();
    this.draw();
  },

  draw() {
    const lines = new Map();
    for (const each of this.samples) {
      for (const producer of each.producers) {
        const second = producer.producer !== each.producers.find(({ kind }) => kind === producer.kind).producer;
        for (const layer of producer.layers) {
          const key = `${producer.peer}/${producer.producer}/${layer.profile}`;
          if (!lines.has(key)) lines.set(key, { key, colour: colour(producer, layer), dash: second ? [3, 4] : [] });
        }
      }
    }
    const keys = [...lines.keys()];
    const times = this.samples.map(({ t }) => t);
    const rates = keys.map(() => new Array(times.length).fill(null));
    this.samples.forEach((each, at) => {
      for (const producer of each.producers) {
        for (const layer of producer.layers) {
          const line = keys.indexOf(`${producer.peer}/${producer.producer}/${layer.profile}`);
          rates[line][at] = layer.bitrate_bps / 1000;
        }
      }
    });
    if (!this.chart || keys.join() !== this.lines.join()) this.make([...lines.values()]);
    this.lines = keys;
    this.chart.setData([times, ...rates]);
  },

  make(lines) {
    const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis = { stroke: () => css('--quiet'), grid: { stroke: () => css('--line'), width: 1 }, ticks: { show: false } };
    const font = '12px system-ui, sans-serif';
    const { clientWidth: width, clientHeight: height } = $('plot');
    const latest = (u) => u.data[0].at(-1) ?? this.seconds;
    this.chart?.destroy();
    this.chart = new uPlot(
      {
        width,
        height,
        padding: [10, 14, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        scales: {
          x: { time: false, range: (u) => [latest(u) - this.seconds, latest(u)] },
          y: { range: (_, __, max) => [0, Math.max(10, (max ?? 0) * 1.1)] },
        },
        axes: [
          {
            ...axis,
            font,
            size: 30,
            splits: (u) => [60, 45, 30, 15, 0].map((ago) => latest(u) - ago),
            values: (u, splits) => splits.map((t) => (t === latest(u) ? 'now' : `−${Math.round(latest(u) - t)} s`)),
          },
          { ...axis, font, size: 52 },
        ],
        series: [
          {},
          ...lines.map((line) => ({ stroke: () => css(line.colour), dash: line.dash, width: 2, points: { show: false } })),
        ],
      },
      [[], ...lines.map(() => [])],
      $('plot'),
    );
  },
};

new ResizeObserver(() => {
  const { clientWidth: width, clientHeight: height } = $('plot');
  plot.chart?.setSize({ width, height });
}).observe($('plot'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot.chart?.redraw());

setInterval(measure, 500);
connect();
