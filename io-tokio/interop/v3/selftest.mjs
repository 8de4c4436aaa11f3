// Proves that the bench itself works with mediasoup v3: mediasoup-client sends to the real server, and a viewer sees it.
//
//     ./setup.sh && node --test v3/selftest.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { alive, eventually, launchBrowser, launchServer } from '../launch.mjs';

const POINTS = [[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]];

// A server, and two pages of a browser: alice, who sends as `query` says, and bob, who sees and hears.
async function launch(t, query, ...args) {
  const [server, browser] = await Promise.all([launchServer(t, 'v3/server.mjs', ...args), launchBrowser(t)]);
  const sender = (expr) => browser.evaluate('v3/sender', `sender.${expr}`);
  const viewer = (expr) => browser.evaluate('v3/viewer', `viewer.${expr}`);
  await browser.open('v3/sender', { url: server.ws, peerName: 'alice', ...query });
  await eventually(`sending, not ${await sender('error')}`, () => sender("events.some((e) => e.event === 'sending')"));
  await browser.open('v3/viewer', { url: server.ws, peerName: 'bob' });
  const stats = async (kind = 'video') => (await viewer('stats()')).find((one) => one.kind === kind);
  const frames = async () => (await stats())?.framesDecoded ?? 0;
  const growing = async () => {
    const before = await frames();
    await eventually('frames', async () => (await frames()) > before + 5);
  };
  const heard = async () => (await stats('audio'))?.totalSamplesReceived ?? 0;
  const peer = async (name) => (await server.control('list')).peers.find((one) => one.peer === name);
  return { ...server, server, browser, sender, viewer, stats, frames, growing, heard, peer };
}

test('a simulcast, with the signalling of an application', async (t) => {
  const { control, browser, server, sender, viewer, stats, frames, growing, heard, peer } = await launch(t, { simulcast: 1 });
  const { transports: [transport], producers: [, video] } = await peer('alice');
  const target = { peer: 'alice', id: video.id };

  await t.test('the server has three streams, and the viewer shows and hears them', async () => {
    assert.equal(video.type, 'simulcast');
    assert.deepEqual(video.rtpParameters.encodings.map(({ rid }) => rid), ['r0', 'r1', 'r2']);
    await growing();
    await eventually('audio', async () => (await heard()) > 48000);
    assert.ok((await stats('audio')).totalAudioEnergy > 0, 'the fake microphone beeps');
    const streams = await eventually('all streams', async () => {
      const streams = await control('stats', target);
      return streams.length === 3 && streams;
    });
    assert.deepEqual(streams.map(({ rid }) => rid).sort(), ['r0', 'r1', 'r2']);
    assert.ok(streams.every(({ packetCount }) => packetCount > 0));
    assert.equal((await control('dump', target)).rtpStreams.length, 3);
  });

  await t.test('the preferred layer decides the size of the picture', async () => {
    // Chromium reaches the highest only after its bandwidth estimate has grown.
    for (const [layer, width] of [[0, 240], [1, 480], [2, 960], [0, 240]]) {
      await viewer(`setPreferredLayers(${layer})`);
      await eventually(`layer ${layer}`, async () => {
        const { frameWidth, layers } = await stats();
        return frameWidth === width && layers.spatialLayer === layer;
      }, 40000);
    }
    const { luma } = await eventually('the small picture on show', async () => {
      const shot = await viewer(`snapshot(${JSON.stringify(POINTS)})`);
      return shot.width === 240 && shot;
    });
    assert.ok(luma.some((value) => value > 20), `${luma}`);
    assert.equal((await viewer(`watchFrames(${JSON.stringify(POINTS)}, 10)`)).length, 10);
  });

  await t.test('paused by the server or by the sender, nothing is shown; resumed, it goes on', async () => {
    const ways = [
      [() => control('pauseProducer', target), () => control('resumeProducer', target)],
      [() => sender("pause('video')"), () => sender("resume('video')")],
    ];
    for (const [pause, resume] of ways) {
      await pause();
      // For as long as half a second of sound takes, there is no picture.
      await eventually('no frames', async () => {
        const [before, until] = [await frames(), (await heard()) + 24000];
        await eventually('sound', async () => (await heard()) > until);
        return (await frames()) === before;
      });
      assert.equal((await sender('list()')).video.paused, true);
      assert.equal((await stats()).paused, true);
      await resume();
      await growing();
    }
  });

  await t.test('after an ICE restart it goes on', async () => {
    await sender('restartIce()');
    await growing();
    const asked = (await control('events', { only: ['message'] })).events.filter(({ msg }) => msg?.method === 'restartIce');
    assert.equal(asked.length, 1);
  });

  await t.test("the server's limit is set, and lifted", async () => {
    for (const bitrate of [300000, 0]) {
      await control('setMaxIncomingBitrate', { peer: 'alice', id: transport.id, bitrate });
      const [{ maxIncomingBitrate }] = await control('stats', { peer: 'alice', id: transport.id });
      assert.equal(maxIncomingBitrate ?? 0, bitrate);
    }
  });

  await t.test('a refusal comes in the words of the server', async () => {
    const refused = await sender("ask('produce', { transportId: sender.transport.id, kind: 'smell' }).catch(String)");
    assert.match(refused, /kind/);
    assert.match(await sender("ask('nonsense').catch(String)"), /no such method/);
  });

  await t.test('closed by the server, it is closed at both ends', async () => {
    await control('closeProducer', target);
    await eventually('closed', async () => (await sender('list()')).video.closed);
    await eventually('closed', async () => (await viewer('stats()')).length === 1);
  });

  await t.test('a killed worker closes all, and there is another for those who come then', async () => {
    const { killed, worker } = await control('killWorker');
    assert.notEqual(worker, killed);
    await eventually('closed', async () => (await sender('state')) === 'closed');
    await browser.open('v3/sender', { url: server.ws, peerName: 'alice', video: 0 });
    await eventually('sending', () => sender("events.some((e) => e.event === 'sending')"));
  });

  await t.test('a dropped socket takes what was its along', async () => {
    await control('dropSocket', { peer: 'alice' });
    await eventually('closed', async () => (await sender('state')) === 'closed');
    await eventually('gone', async () => !(await peer('alice')));
    await eventually('no transport', async () => (await control('dumpRouter')).transportIds.length === 0);
  });

  await t.test('all end with their stdin', async () => {
    const { worker } = await control('list');
    await Promise.all([browser.end(), server.end()]);
    await eventually('no worker', () => !alive(worker));
  });
});

for (const [codec, address, args] of [
  ['VP9', '::1', ['--listen-ip', '::1']],
  ['H264', 'localhost', ['--cert', 'files', '--announced-address', 'localhost']],
]) {
  test(`${codec}, to ${address}`, async (t) => {
    const { browser, server, control, peer, growing } = await launch(t, { codec }, ...args);
    await growing();
    const { producers: [, video] } = await peer('alice');
    assert.equal(video.rtpParameters.codecs[0].mimeType, `video/${codec}`);
    const { events } = await control('events', { only: ['message'] });
    assert.equal(events.find(({ data }) => data?.iceCandidates).data.iceCandidates[0].address, address);
    await Promise.all([browser.end(), server.end()]);
  });
}

test('a server that is killed leaves no worker', async (t) => {
  const { child, control } = await launchServer(t, 'v3/server.mjs');
  const { worker } = await control('list');
  child.kill('SIGKILL');
  await eventually('no worker', () => !alive(worker));
});
