// Proves that the bench itself works: mediasoup-client sends to the real server, and a viewer sees it.
//
//     ./setup.sh && node selftest.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { alive, eventually, launchBrowser, launchServer } from './launch.mjs';

const POINTS = [[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]];

test('a simulcast through a server with the stock certificate', async (t) => {
  const server = await launchServer(t, 'server.mjs', '--active-speaker');
  const browser = await launchBrowser(t);
  const { control } = server;
  const room = 'simulcast';
  const sender = (expr) => browser.evaluate('sender', `sender.${expr}`);
  const viewer = (expr) => browser.evaluate('viewer', `viewer.${expr}`);
  const stats = async (kind = 'video') => (await viewer('stats()')).find((one) => one.kind === kind);
  const frames = async () => (await stats())?.framesDecoded ?? 0;
  const seen = (page, name) =>
    eventually(`${page}: ${name}`, () => browser.evaluate(page, `${page}.events.find((e) => e.event === '${name}')`));
  const growing = async () => {
    const before = await frames();
    await eventually('frames', async () => (await frames()) > before + 5);
  };
  let video;

  await t.test('the sender sends audio and three streams of video', async () => {
    await browser.open('sender', { url: server.ws, roomId: room, peerName: 'alice', simulcast: 1 });
    await seen('sender', 'sending');
    const [{ peers: [{ producers, transports }] }] = (await control('list')).rooms;
    assert.deepEqual(producers.map(({ kind }) => kind), ['audio', 'video']);
    video = { room, peer: 'alice', id: producers[1].id };
    assert.deepEqual(producers[1].rtpParameters.encodings.map(({ profile }) => profile), ['low', 'medium', 'high']);
    await eventually('DTLS', async () => {
      const [{ peers: [{ transports: [{ dtlsState }] }] }] = (await control('list')).rooms;
      return dtlsState === 'connected';
    });
    assert.equal(transports.length, 1);
    // The fake microphone beeps.
    const active = ({ data, method }) => method === 'active-speaker' && data.peerName === 'alice';
    await eventually('active speaker', async () => (await sender('events')).some(active));
  });

  await t.test('the viewer decodes video and audio', async () => {
    await browser.open('viewer', { url: server.ws, roomId: room, peerName: 'bob' });
    await eventually('both consumers', async () => (await viewer('stats()')).length === 2);
    await growing();
    await eventually('audio', async () => (await stats('audio')).totalSamplesReceived > 48000);
  });

  await t.test('the preferred profile decides the size of the picture', async () => {
    // Chromium reaches the high stream only after its bandwidth estimate has grown.
    for (const [profile, width] of [['low', 240], ['medium', 480], ['high', 960], ['low', 240]]) {
      await viewer(`setPreferredProfile('${profile}')`);
      await eventually(profile, async () => (await stats()).frameWidth === width, 40000);
      await eventually(profile, async () => (await viewer('effectiveProfile()')) === profile);
    }
  });

  await t.test('the viewer reads pixels, now and frame by frame', async () => {
    // What is decoded is on show a moment later.
    const { luma } = await eventually('the small picture on show', async () => {
      const shot = await viewer(`snapshot(${JSON.stringify(POINTS)})`);
      return shot.width === 240 && shot;
    });
    assert.equal(luma.length, 3);
    assert.ok(luma.some((value) => value > 20), `${luma}`);
    const samples = await viewer(`watchFrames(${JSON.stringify(POINTS)}, 10)`);
    assert.equal(samples.length, 10);
  });

  await t.test('a producer paused by the server stops the frames, resumed it goes on', async () => {
    await control('pauseProducer', { ...video, appData: { why: 'test' } });
    assert.deepEqual((await seen('sender', 'producer.pause')).args, ['remote', { why: 'test' }]);
    // For as long as half a second of sound takes, there is no picture.
    await eventually('no frames', async () => {
      const [before, heard] = [await frames(), (await stats('audio')).totalSamplesReceived];
      await eventually('sound', async () => (await stats('audio')).totalSamplesReceived > heard + 24000);
      return (await frames()) === before;
    });
    await control('resumeProducer', video);
    await growing();
  });

  await t.test("the server's counters and its limit are at hand", async () => {
    const streams = await control('stats', video);
    assert.equal(streams.length, 3);
    assert.ok(streams.every(({ packetCount }) => packetCount > 0));
    const [{ peers: [{ transports: [{ id }] }] }] = (await control('list')).rooms;
    const transport = { room, peer: 'alice', id };
    await control('setMaxBitrate', { ...transport, bitrate: 300000 });
    const [{ localAvailableSendBw }] = await control('stats', transport);
    assert.equal(localAvailableSendBw.maxBitrate, 300000);
    await eventually('limit', async () => (await sender('availableBitrate()')) <= 300000);
    const { events } = await control('events', { only: ['message'] });
    assert.ok(events.some(({ msg }) => msg?.method === 'createProducer'));
  });

  await t.test('a producer closed by the server is closed at both ends', async () => {
    await control('closeProducer', { ...video, appData: 7 });
    assert.deepEqual((await seen('sender', 'producer.close')).args, ['remote', 7]);
    await seen('viewer', 'consumer.close');
  });

  await t.test('a dropped socket ends the viewer', async () => {
    assert.deepEqual(await control('dropSockets', { peer: 'bob' }), { dropped: ['bob'] });
    await eventually('closed', async () => (await viewer('state')) === 'closed');
  });

  await t.test('a killed worker closes the room, and the next room has a new one', async () => {
    const { workers } = await control('list');
    assert.deepEqual(await control('killWorker'), { killed: workers });
    await eventually('closed', async () => (await sender('state')) === 'closed');
    await browser.open('sender', { url: server.ws, roomId: 'next', peerName: 'alice', video: 0 });
    await seen('sender', 'sending');
    assert.notDeepEqual((await control('list')).workers, workers);
  });

  await t.test('all end with their stdin', async () => {
    const { workers: [worker] } = await control('list');
    await Promise.all([browser.end(), server.end()]);
    await eventually('no worker', () => !alive(worker));
  });
});

for (const codec of ['VP8', 'VP9', 'H264']) {
  test(`${codec} over IPv6 and wss, with an ECDSA certificate`, async (t) => {
    const server = await launchServer(t, 'server.mjs', '--cert', 'ecdsa', '--listen-ip', '::1', '--tls', '--codecs', `opus,${codec}`);
    const browser = await launchBrowser(t);
    for (const [page, peerName] of [['sender', 'alice'], ['viewer', 'bob']]) {
      await browser.open(page, { url: server.wss, roomId: codec, peerName });
    }
    await eventually('frames', () =>
      browser.evaluate('viewer', "viewer.stats().then((all) => all.some((one) => one.framesDecoded > 10))"));
    await Promise.all([browser.end(), server.end()]);
  });
}
