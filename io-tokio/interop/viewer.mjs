// A real browser for tests, driven by lines of JSON on stdin.
//
//     node viewer.mjs
//
// Prints {"ready":true,"version":...,"pages":...} (or {"ready":false,"error":...}), then answers each line
// {"id":1,"op":...} with {"id":1,"value":...} or {"id":1,"error":...}, in whatever order they finish:
//
//     open        {url}   relative to `pages`, where viewer.html and sender.html are served for any server:
//                         "viewer.html?url=ws://...&roomId=R&peerName=P"
//     eval        {expr}  in the page; a promise is waited for
//     screenshot  {path}
//     close               the page
//
// `page` names one of several pages in the same browser. What the pages log goes to stderr. Ends when stdin does.
// CHROMIUM is the browser to use.

import http from 'node:http';
import { createInterface } from 'node:readline';

import { chromium } from 'playwright-core';

import { servePage } from './pages.mjs';

const FLAGS = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  // Servers of tests listen on loopback, and some machines have nothing else.
  '--allow-loopback-in-peer-connection',
];

const say = (message) => console.log(JSON.stringify(message));
const pages = new Map();
let browser;
let base;
let ending = false;

const operations = {
  async open({ url, page: name }) {
    await pages.get(name)?.close();
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    pages.set(name, page);
    page.on('console', (message) => console.error(`[${name}] ${message.text()}`));
    page.on('pageerror', (error) => console.error(`[${name}] ${error.stack}`));
    await page.goto(new URL(url, base).href);
  },
  eval: ({ expr, page }) => opened(page).evaluate(expr),
  async screenshot({ path, page }) {
    await opened(page).screenshot({ path });
  },
  async close({ page }) {
    await opened(page).close();
    pages.delete(page);
  },
};

function opened(name) {
  const page = pages.get(name);
  if (!page) throw new Error(`no such page: ${name}`);
  return page;
}

async function perform({ id, op, page = 'main', ...rest }) {
  try {
    if (!Object.hasOwn(operations, op)) throw new Error(`no such op: ${op}`);
    say({ id, value: (await operations[op]({ ...rest, page })) ?? null });
  } catch (error) {
    say({ id, error: error.message });
  }
}

async function start() {
  const server = http.createServer(servePage);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}/`;
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  browser = await chromium.launch({ executablePath, args: FLAGS });
  // A browser that crashed leaves nothing to go on with; one that is being closed still has its profile to remove.
  browser.on('disconnected', () => ending || process.exit(1));
  say({ ready: true, version: browser.version(), pages: base });
}

async function end() {
  ending = true;
  await browser.close();
  process.exit(0);
}

const lines = createInterface({ input: process.stdin });
const started = start().catch((error) => {
  say({ ready: false, error: String(error) });
  process.exit(1);
});
lines.on('line', (line) => void started.then(() => perform(JSON.parse(line))));
lines.on('close', () => void started.then(end));
