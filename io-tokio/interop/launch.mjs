// The bench's programs as a test of the bench itself runs them; `t` is a test of node:test.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

// One of our programs: its ready line, and a way to end it as a test does.
async function launch(t, script, ...args) {
  const file = new URL(script, import.meta.url).pathname;
  const child = spawn(process.execPath, [file, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.stdin.end());
  const lines = createInterface({ input: child.stdout });
  const [line] = await once(lines, 'line');
  const ready = JSON.parse(line);
  assert.ok(ready.ready, line);
  const end = async () => {
    child.stdin.end();
    if (child.exitCode === null) await once(child, 'exit');
    assert.equal(child.exitCode, 0, script);
  };
  return { child, lines, ready, end };
}

// One of the servers, and its door.
export async function launchServer(t, script, ...args) {
  const { child, ready, end } = await launch(t, script, ...args);
  const control = async (op, target) => {
    const response = await fetch(ready.control, { method: 'POST', body: JSON.stringify({ op, ...target }) });
    const { ok, value, error } = await response.json();
    if (!ok) throw new Error(error);
    return value;
  };
  return { ...ready, child, control, end };
}

// The browser. A page has the name of its file.
export async function launchBrowser(t) {
  const { child, lines, end } = await launch(t, 'viewer.mjs');
  const pending = new Map();
  lines.on('line', (line) => {
    const { id, value, error } = JSON.parse(line);
    const { resolve, reject } = pending.get(id);
    pending.delete(id);
    if (error) reject(new Error(error));
    else resolve(value);
  });
  let lastId = 0;
  const call = (op, rest) => new Promise((resolve, reject) => {
    pending.set(++lastId, { resolve, reject });
    child.stdin.write(`${JSON.stringify({ id: lastId, op, ...rest })}\n`);
  });
  const open = (page, query) => call('open', { page, url: `${page}.html?${new URLSearchParams(query)}` });
  const evaluate = (page, expr) => call('eval', { page, expr });
  return { call, open, evaluate, end };
}

// The value of `probe` once it is not falsy.
export async function eventually(what, probe, timeout = 30000) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${timeout} ms: ${what}`);
    await sleep(100);
  }
}

// Whether there is such a process.
export function alive(pid) {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
