// The page's half of the widget: shows pictures, plays sound, lends its microphone.
//
// Everything comes and goes as custom messages; nothing is kept in the model, whose state notebooks save. One Page for
// each model, however many views of it are shown. Plain ES module, no build step, nothing loaded from elsewhere.

export default () => {
  let page;
  return {
    initialize({ model }) {
      page = new Page(model);
      return () => page.close();
    },
    render({ model, el }) {
      const view = new View(page, el, model.get("width"));
      return () => view.close();
    },
  };
};

class Page {
  constructor(model) {
    this.model = model;
    this.name = crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.views = new Set();
    this.state = { state: "connected", quality: "UNKNOWN", captions: [] };
    this.picture = null;
    this.drawing = Promise.resolve();
    this.drawn = 0;
    this.speaker = new Speaker(() => this.refresh());
    this.microphone = new Microphone(this);
    this.hear = (message, buffers) => this.receive(message, buffers);
    this.look = () => this.tell();
    this.leave = () => this.send({ kind: "gone", page: this.name });
    model.on("msg:custom", this.hear);
    document.addEventListener("visibilitychange", this.look);
    window.addEventListener("pagehide", this.leave);
    this.tell({ new: true });
  }

  close() {
    this.model.off("msg:custom", this.hear);
    document.removeEventListener("visibilitychange", this.look);
    window.removeEventListener("pagehide", this.leave);
    this.microphone.release();
    this.speaker.close();
  }

  receive(message, buffers) {
    if (message.kind === "picture") this.drawing = this.drawing.then(() => this.draw(message.n, buffers[0]));
    else if (message.kind === "sound") this.speaker.play(buffers[0], message.rate);
    else if (message.kind === "notice") this.notice(message.text);
    else if (message.kind === "state") {
      this.state = message;
      this.refresh();
      // Answered behind the pictures before it: whatever got lost on the way, both sides know where they are.
      this.drawing = this.drawing.then(() => this.tell({ n: message.n }));
    }
  }

  async draw(n, buffer) {
    try {
      if (this.seen) {
        const picture = await createImageBitmap(new Blob([buffer], { type: "image/jpeg" }));
        for (const view of this.views) view.draw(picture);
        this.picture?.close();
        this.picture = picture;
      }
    } catch (error) {
      console.warn("a picture of the avatar could not be shown", error);
    }
    this.drawn = n;
    this.send({ kind: "ack", page: this.name, n });
  }

  get seen() {
    return !document.hidden && [...this.views].some((view) => view.visible);
  }

  /** Say that this page is here, and what it wants. */
  tell(more = {}) {
    const sound = this.views.size > 0 && this.speaker.on;
    this.send({ kind: "here", page: this.name, n: this.drawn, picture: this.seen, sound, ...more });
  }

  send(message, buffers) {
    try {
      this.model.send(message, undefined, buffers);
    } catch {
      // The kernel is gone, or has closed the widget: there is nobody to tell.
    }
  }

  press(button) {
    if (button === "interrupt") this.speaker.silence();
    this.send({ kind: "press", button });
  }

  notice(text) {
    for (const view of this.views) view.notice(text);
  }

  refresh() {
    for (const view of this.views) view.refresh();
  }
}

/** Plays pieces of sound without a gap, a little behind their arrival, so that late ones are not missed. */
class Speaker {
  delay = 0.15;
  most = 0.8;
  muted = false;
  next = 0;
  playing = new Set();

  constructor(changed) {
    this.changed = changed;
  }

  /** Whether sound is wanted. A browser that waits for a click lets none sound, and what would pile up is not sent. */
  get on() {
    return !this.muted && !this.blocked;
  }

  get blocked() {
    return this.context?.state === "suspended";
  }

  /** Made with the first sound, or by a click: browsers let a page sound only once it was clicked on. */
  open(rate = 24000) {
    if (this.context) return;
    this.context = new AudioContext({ sampleRate: rate });
    this.volume = this.context.createGain();
    this.volume.connect(this.context.destination);
    this.context.addEventListener("statechange", this.changed);
  }

  play(buffer, rate) {
    this.open(rate);
    if (!this.on) return this.blocked && this.changed();
    const now = this.context.currentTime;
    if (this.next < now) this.next = now + this.delay;
    if (this.next - now > this.most) return; // a burst after a hold-up: staying close to the picture matters more
    const pcm = new Int16Array(buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength));
    const sound = this.context.createBuffer(1, pcm.length, rate);
    sound.copyToChannel(Float32Array.from(pcm, (sample) => sample / 32768), 0);
    const source = new AudioBufferSourceNode(this.context, { buffer: sound });
    source.connect(this.volume);
    source.start(this.next);
    this.next += sound.duration;
    this.playing.add(source);
    source.onended = () => this.playing.delete(source);
  }

  silence() {
    for (const source of this.playing) source.stop();
    this.playing.clear();
    this.next = 0;
  }

  async toggle() {
    if (this.blocked) await this.context.resume();
    else this.muted = !this.muted;
    if (this.muted) this.silence();
    this.changed();
  }

  close() {
    this.context?.close();
  }
}

/** The browser's microphone, open only while the button is held. */
class Microphone {
  state = "idle"; // opening, open

  constructor(page) {
    this.page = page;
  }

  async hold() {
    if (this.state !== "idle") return;
    if (!navigator.mediaDevices) {
      return this.page.notice("Browsers lend their microphone only to pages from https or from localhost.");
    }
    this.set("opening");
    const take = (this.take = {});
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
      take.stream = stream;
      take.context = new AudioContext();
      await take.context.audioWorklet.addModule(recorderModule());
      if (this.take !== take) return this.end(take); // let go before it was open
      const recorder = new AudioWorkletNode(take.context, "recorder", { numberOfOutputs: 0 });
      take.recorder = recorder;
      this.page.send({ kind: "talk", held: true, rate: take.context.sampleRate });
      recorder.port.onmessage = ({ data }) => this.page.send({ kind: "voice" }, [data]);
      take.context.createMediaStreamSource(stream).connect(recorder);
      this.set("open");
    } catch (error) {
      this.end(take);
      if (this.take === take) this.release();
      const reason = error.name === "NotAllowedError" ? "the browser does not allow it" : error.message;
      this.page.notice(`There is no microphone: ${reason}.`);
    }
  }

  release() {
    const { take } = this;
    if (!take) return;
    this.take = null;
    if (this.state === "open") this.page.send({ kind: "talk", held: false });
    this.end(take);
    this.set("idle");
  }

  end(take) {
    if (take.recorder) take.recorder.port.onmessage = null;
    take.stream?.getTracks().forEach((track) => track.stop());
    if (take.context && take.context.state !== "closed") take.context.close();
  }

  set(state) {
    this.state = state;
    this.page.refresh();
  }
}

/** An audio worklet's module, as a URL: samples in pieces of 40 ms, as int16. */
function recorderModule() {
  const source = `registerProcessor("recorder", class extends AudioWorkletProcessor {
    piece = new Int16Array(Math.round(sampleRate / 25));
    filled = 0;
    process([[channel]]) {
      for (const sample of channel ?? []) {
        this.piece[this.filled++] = Math.max(-1, Math.min(1, sample)) * 32767;
        if (this.filled < this.piece.length) continue;
        const full = this.piece.slice().buffer;
        this.port.postMessage(full, [full]);
        this.filled = 0;
      }
      return true;
    }
  });`;
  recorderModule.url ??= URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  return recorderModule.url;
}

/** What is seen of a page in one place. */
class View {
  constructor(page, el, width) {
    this.page = page;
    this.visible = true;
    this.root = element("div", "heygen-avatar");
    this.root.style.maxWidth = `${width}px`;
    this.stage = element("div", "heygen-stage", this.root);
    this.canvas = element("canvas", "heygen-picture", this.stage);
    this.canvas.setAttribute("aria-label", "the avatar");
    this.status = element("div", "heygen-status", this.stage);
    this.captions = element("div", "heygen-captions", this.stage);
    this.captions.setAttribute("aria-live", "polite");
    this.bar = element("div", "heygen-bar", this.root);
    this.mute = this.button("mute", () => page.speaker.toggle().then(() => page.tell()));
    this.talk = this.button("talk");
    this.holdable(this.talk);
    this.interrupt = this.button("interrupt", () => page.press("interrupt"));
    this.stop = this.button("stop", () => page.press("stop"));
    this.note = element("div", "heygen-note", this.root);
    this.note.setAttribute("role", "status");
    el.append(this.root);
    this.watcher = new IntersectionObserver(([entry]) => {
      if (this.visible === entry.isIntersecting) return;
      this.visible = entry.isIntersecting;
      page.tell();
    });
    this.watcher.observe(this.root);
    page.views.add(this);
    if (page.picture) this.draw(page.picture);
    this.refresh();
    page.tell();
  }

  close() {
    this.watcher.disconnect();
    this.page.views.delete(this);
    if (!this.page.views.size) {
      this.page.microphone.release();
      this.page.speaker.silence();
    }
    this.page.tell();
  }

  draw(picture) {
    const { canvas } = this;
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      [canvas.width, canvas.height] = [picture.width, picture.height];
      this.stage.style.aspectRatio = `${picture.width} / ${picture.height}`;
    }
    canvas.getContext("2d").drawImage(picture, 0, 0);
    this.stage.classList.add("shown");
  }

  refresh() {
    const { state, quality, talking, captions } = this.page.state;
    const { speaker, microphone } = this.page;
    const words = { connected: talking ? "speaking" : "live", disconnected: "ended" };
    this.status.replaceChildren(dot(), words[state] ?? state);
    if (quality === "BAD") this.status.append(" · bad connection");
    this.status.dataset.state = quality === "BAD" && state === "connected" ? "bad" : state;
    this.status.classList.toggle("talking", Boolean(talking));
    this.captions.replaceChildren(...captions.filter(({ text }) => text).map(caption));
    this.captions.scrollTop = this.captions.scrollHeight;
    const muteLabel = speaker.blocked ? "Click for sound" : speaker.muted ? "Unmute" : "Mute";
    label(this.mute, speaker.on ? "sound" : "silent", muteLabel);
    this.mute.classList.toggle("wanted", speaker.blocked === true);
    label(this.talk, "microphone", { idle: "Hold to talk", opening: "One moment…", open: "Speak now" }[microphone.state]);
    this.talk.classList.toggle("held", microphone.state === "open");
    this.talk.setAttribute("aria-pressed", microphone.state !== "idle");
    label(this.interrupt, "interrupt", "Interrupt");
    label(this.stop, "stop", "Stop");
    const over = state === "disconnected" || state === "disconnecting";
    for (const button of [this.mute, this.talk, this.interrupt, this.stop]) button.disabled = over;
  }

  notice(text) {
    this.note.textContent = text;
    clearTimeout(this.forget);
    this.forget = setTimeout(() => (this.note.textContent = ""), 10_000);
  }

  button(name, press) {
    const button = element("button", `heygen-button heygen-${name}`, this.bar);
    button.type = "button";
    if (press) button.addEventListener("click", press);
    return button;
  }

  holdable(button) {
    const { microphone } = this.page;
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      button.setPointerCapture(event.pointerId);
      microphone.hold();
    });
    for (const end of ["pointerup", "pointercancel", "blur"]) button.addEventListener(end, () => microphone.release());
    const isKey = ({ key }) => key === " " || key === "Enter";
    button.addEventListener("keydown", (event) => {
      if (!isKey(event)) return;
      event.preventDefault();
      microphone.hold();
    });
    button.addEventListener("keyup", (event) => isKey(event) && microphone.release());
    button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch
  }
}

function caption({ speaker, text }) {
  const line = element("div", `heygen-caption heygen-${speaker}`);
  line.textContent = text;
  return line;
}

function dot() {
  return element("span", "heygen-dot");
}

function label(button, icon, text) {
  if (button.dataset.label === text) return;
  button.dataset.label = text;
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[icon]);
  drawing.append(path);
  button.replaceChildren(drawing, text);
}

const ICONS = {
  sound: "M2 6v4h2.5L8 13V3L4.5 6zM10 5.3a3.5 3.5 0 0 1 0 5.4M11.7 3.2a6.2 6.2 0 0 1 0 9.6",
  silent: "M2 6v4h2.5L8 13V3L4.5 6zM10.5 6l4 4M14.5 6l-4 4",
  microphone: "M6 4a2 2 0 0 1 4 0v3.5a2 2 0 0 1-4 0zM3.5 7.5a4.5 4.5 0 0 0 9 0M8 12v2.5M5.5 14.5h5",
  interrupt: "M5 3.5v9M11 3.5v9",
  stop: "M4 4h8v8H4z",
};

function element(tag, name, parent) {
  const made = document.createElement(tag);
  made.className = name;
  parent?.append(made);
  return made;
}
