// A track of the browser's (fake) microphone or camera, the latter as the page's query says: width, height, frameRate.
export async function capture(kind, query) {
  const number = (name, otherwise) => Number(query.get(name) ?? otherwise);
  const video = { width: number('width', 960), height: number('height', 540), frameRate: number('frameRate', 15) };
  const stream = await navigator.mediaDevices.getUserMedia(kind === 'audio' ? { audio: true } : { video });
  return stream.getTracks()[0];
}
