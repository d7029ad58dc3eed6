// A visitor's page: an official client as an application uses it, with eyes and ears for the test.
//
// It must not help the client: what it calls and hears passes through as it is. The one exception is the address of
// the chat socket, below. The driver reaches everything by `window.visitor`, the test by the driver.

import { AgentEventsEnum, ElevenLabsAgentSession, LiveAvatarSession, SessionEvent } from "@heygen/liveavatar-web-sdk";
import StreamingAvatar, { StreamingEvents } from "@heygen/streaming-avatar";

const video = document.getElementById("avatar");
const list = document.getElementById("events");

window.visitor = {
  /** Make a client that is yet to be started; every event of its is kept from now on. */
  arrive({ token, basePath }) {
    chatSocketsGoTo(basePath);
    client = new StreamingAvatar({ token, basePath });
    for (const type of Object.values(StreamingEvents)) {
      client.on(type, (event) => keep(type, event.detail));
    }
    client.on(StreamingEvents.STREAM_READY, (event) => show(event.detail));
  },

  /** Likewise, LiveAvatar's client: `kind` is which of its two. */
  arriveAtLiveAvatar({ token, basePath, kind, config }) {
    const Session = { avatar: LiveAvatarSession, elevenlabs: ElevenLabsAgentSession }[kind];
    client = new Session(token, { apiUrl: basePath, ...config });
    for (const type of [...Object.values(AgentEventsEnum), ...Object.values(SessionEvent)]) {
      client.on(type, (detail) => keep(type, detail ?? null));
    }
    client.on(SessionEvent.SESSION_STREAM_READY, () => {
      client.attach(video);
      listenTo(video.srcObject);
    });
  },

  /** Call a method of the client: its result, or the error with all that it carries, for exceptions lose it here. */
  async call({ method, args }) {
    const [owner, name] = method.startsWith("voiceChat.") ? [client.voiceChat, method.slice(10)] : [client, method];
    try {
      return { result: await owner[name](...args) };
    } catch (error) {
      const { name, message, status, responseText } = error;
      return { error: { name, message: message ?? String(error), status, responseText } };
    }
  },

  /** Start a session; the milliseconds until its stream was ready, and until its first frame was shown. */
  async timeStart({ request }) {
    const since = performance.now();
    const elapsed = (resolve) => () => resolve(performance.now() - since);
    const ready = new Promise((resolve) => client.on(StreamingEvents.STREAM_READY, elapsed(resolve)));
    const frame = new Promise((resolve) => video.requestVideoFrameCallback(elapsed(resolve)));
    await client.createStartAvatar(request);
    return { ready: await ready, frame: await frame };
  },

  /** How many events were heard so far: the mark from which a test looks at those of its own. */
  mark: () => events.length,

  events: ({ since }) => events.slice(since),

  /** The first event since the mark that is of the type and has the facts. */
  heard: ({ since, type, facts, seconds }) =>
    until(seconds, () =>
      events
        .slice(since)
        .find((event) => event.type === type && Object.keys(facts).every((name) => event.detail?.[name] === facts[name])),
    ),

  /** What the page shows now: the size of the picture, how many colours it has, and how it differs from the next. */
  async picture({ seconds }) {
    const before = await nextFrame(seconds);
    const after = await nextFrame(seconds);
    const colours = new Set(new Uint32Array(after.data.buffer)).size;
    return { width: after.width, height: after.height, colours, changed: changedPixels(before, after) };
  },

  /** Wait until what sounds is louder (or quieter) than a level; the loudness then, RMS of full scale. */
  loudness: ({ above, below, seconds }) =>
    until(seconds, () => {
      const level = loudness();
      const reached = above === undefined ? level < below : level > above;
      return reached ? { level } : undefined;
    }),

  /** How good LiveKit itself says that the connection is, once it says anything. */
  liveKitQuality: ({ seconds }) =>
    until(seconds, () => {
      const quality = client.room.localParticipant.connectionQuality;
      return quality === "unknown" ? undefined : quality;
    }),

  /** In which format the picture comes, as the browser's own statistics say. */
  async codec() {
    const stats = [...(await client.room.engine.pcManager.subscriber._pc.getStats()).values()];
    const stream = stats.find(({ type, kind }) => type === "inbound-rtp" && kind === "video");
    return stats.find(({ id }) => id === stream.codecId).mimeType;
  },

  /** How often a path of the service was called over HTTP. */
  calls({ path }) {
    const requests = performance.getEntriesByType("resource");
    return requests.filter(({ name }) => new URL(name).pathname === path).length;
  },
};

let client = null;
const events = [];

function keep(type, detail) {
  const plain = detail instanceof MediaStream ? detail.getTracks().map((track) => track.kind).sort() : detail;
  events.push({ type, detail: plain, at: performance.now() });
  const line = document.createElement("li");
  line.textContent = `${type} ${typeof plain === "object" ? (plain?.message ?? plain?.text ?? "") : plain}`;
  list.append(line);
}

// The client keeps the host of its base path for the chat socket, but neither its port nor its scheme: that one
// address is put right. All else, LiveKit's sockets among it, is what the client asked for.
function chatSocketsGoTo(basePath) {
  const { hostname, host } = new URL(basePath);
  const written = `wss://${hostname}/v1/ws/streaming.chat?`;
  window.WebSocket = class extends NativeWebSocket {
    constructor(url, protocols) {
      super(String(url).startsWith(written) ? String(url).replace(`wss://${hostname}/`, `ws://${host}/`) : url, protocols);
    }
  };
}

const NativeWebSocket = window.WebSocket;

async function until(seconds, look) {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const seen = look();
    if (seen !== undefined) return seen;
    if (performance.now() > deadline) return null;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

// What is seen

function show(stream) {
  video.srcObject = stream;
  video.play().catch((error) => console.error(`the video does not play: ${error}`));
  listenTo(stream);
}

async function nextFrame(seconds) {
  await new Promise((resolve, reject) => {
    video.requestVideoFrameCallback(resolve);
    setTimeout(() => reject(new Error(`no frame was shown for ${seconds} s`)), seconds * 1000);
  });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function changedPixels(before, after) {
  let changed = 0;
  for (let at = 0; at < after.data.length; at += 4) {
    if (Math.abs(after.data[at] - before.data[at]) > 8) changed += 1;
  }
  return changed;
}

// What is heard

const audio = new AudioContext(); // suspended until the user's click, as the browser demands
const analyser = new AnalyserNode(audio, { fftSize: 2048 });
document.getElementById("enter").addEventListener("click", () => audio.resume());

function listenTo(stream) {
  audio.createMediaStreamSource(stream).connect(analyser);
}

function loudness() {
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
}
