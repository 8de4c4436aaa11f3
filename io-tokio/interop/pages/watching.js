// Looks at what a page plays: the pictures of a <video>, the sound of a track.

const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });

// A <video> or <audio> on the page that plays a track; a promise of it, once it plays.
export async function play(element, track) {
  element.srcObject = new MediaStream([track]);
  element.controls = element.tagName === 'AUDIO';
  document.body.append(element);
  await element.play();
}

// The luma (0 to 255) of the picture now on show at `points`, each [x, y] with 0 to 1 across and down.
export function snapshot(element, points) {
  const { videoWidth: width, videoHeight: height } = element;
  if (!width) return { width, height, luma: [] };
  if (canvas.canvas.width !== width || canvas.canvas.height !== height) Object.assign(canvas.canvas, { width, height });
  canvas.drawImage(element, 0, 0);
  const { data } = canvas.getImageData(0, 0, width, height);
  const at = (fraction, size) => Math.min(size - 1, Math.max(0, Math.floor(fraction * size)));
  const luma = points.map(([x, y]) => {
    const i = 4 * (at(y, height) * width + at(x, width));
    return Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
  });
  return { width, height, luma };
}

// The same for each of the next `frames` pictures as they come on show; fewer, if `timeout` ms pass first.
export function watchFrames(element, points, frames, timeout) {
  const samples = [];
  return new Promise((resolve) => {
    const finish = () => resolve(samples);
    const timer = setTimeout(finish, timeout);
    const next = (_, { presentationTime, rtpTimestamp, presentedFrames }) => {
      samples.push({ shown: presentationTime, rtpTimestamp, presentedFrames, ...snapshot(element, points) });
      if (samples.length < frames) return element.requestVideoFrameCallback(next);
      clearTimeout(timer);
      finish();
    };
    element.requestVideoFrameCallback(next);
  });
}

// The next `seconds` of sound, piece by piece: [length in seconds, root mean square of the samples].
export async function listen(track, seconds) {
  // Wide enough that nothing is dropped while the page is busy.
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 10000 }).readable.getReader();
  const pieces = [];
  for (let heard = 0; heard < seconds; ) {
    const { value: piece, done } = await reader.read();
    if (done) break;
    const samples = new Float32Array(piece.numberOfFrames);
    piece.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
    const length = piece.numberOfFrames / piece.sampleRate;
    pieces.push([length, Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length)]);
    heard += length;
    piece.close();
  }
  await reader.cancel();
  return pieces;
}
